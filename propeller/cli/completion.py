"""`propeller completion bash|zsh|fish`: generated from the table of verbs and their parsers.

source <(propeller completion bash)
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

NAMES = ("propeller", "propeller-cli")


@dataclass(frozen=True, slots=True)
class _Words:
    """What may follow `propeller VERB`: options with their help, and words (actions, choices)."""

    options: Mapping[str, str]
    words: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `completion`."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="which shell it is for")


def run(args: argparse.Namespace) -> int:
    """Print the script; returns the exit code."""
    from propeller.cli.__main__ import parser_of
    from propeller.cli.names import KINDS
    from propeller.cli.verbs import VERBS

    known = {name: _words_of(parser_of(verb)) for name, verb in VERBS.items()}
    for verb in ("get", "explain"):
        known[verb] = _Words(known[verb].options, tuple(sorted(set(KINDS) | {*known[verb].words})))
    summaries = {name: verb.summary for name, verb in VERBS.items()}
    scripts = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    print("\n".join(scripts[args.shell](known, summaries)))
    return 0


def _words_of(parser: argparse.ArgumentParser) -> _Words:
    options: dict[str, str] = {}
    words: list[str] = []
    # argparse has no public list of what a parser takes; its own help is made of `_actions`.
    for action in parser._actions:
        for option in action.option_strings:
            if option.startswith("--"):
                options[option] = (action.help or "").replace("%%", "%")
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                words.append(str(name))
                options |= _words_of(below).options
        elif not action.option_strings and action.choices:
            words += [str(choice) for choice in action.choices]
    return _Words(options, tuple(words))


def _bash(known: Mapping[str, _Words], summaries: Mapping[str, str]) -> Iterator[str]:
    yield "# bash completion for propeller; source it, or put it where bash-completion looks"
    yield "_propeller() {"
    yield '    local current="${COMP_WORDS[COMP_CWORD]}" verb="${COMP_WORDS[1]}" words=""'
    yield '    if [ "$COMP_CWORD" -eq 1 ]; then'
    yield f'        COMPREPLY=($(compgen -W "{" ".join(summaries)}" -- "$current"))'
    yield "        return"
    yield "    fi"
    yield '    case "$verb" in'
    for name, each in known.items():
        yield f'        {name}) words="{" ".join((*each.words, *each.options))}" ;;'
    yield "    esac"
    yield '    COMPREPLY=($(compgen -W "$words" -- "$current"))'
    yield '    case "$current" in -*) ;; *) COMPREPLY+=($(compgen -f -- "$current")) ;; esac'
    yield "}"
    yield f"complete -o filenames -F _propeller {' '.join(NAMES)}"


def _zsh(known: Mapping[str, _Words], summaries: Mapping[str, str]) -> Iterator[str]:
    yield f"#compdef {' '.join(NAMES)}"
    yield "# zsh completion for propeller; source it, or put it on fpath as _propeller"
    yield "_propeller() {"
    yield "    local -a found"
    yield "    if (( CURRENT == 2 )); then"
    yield "        found=("
    for name, summary in summaries.items():
        yield f"            {_quoted(f'{name}:{summary}')}"
    yield "        )"
    yield "        _describe verb found"
    yield "        return"
    yield "    fi"
    yield '    case "${words[2]}" in'
    for name, each in known.items():
        yield f"        {name})"
        yield "            found=("
        for word in each.words:
            yield f"                {word}"
        for option, text in each.options.items():
            yield f"                {_quoted(f'{option}:{text}')}"
        yield "            )"
        yield "            ;;"
    yield "    esac"
    yield "    _describe argument found"
    yield "    _files"
    yield "}"
    yield f"compdef _propeller {' '.join(NAMES)}"


def _fish(known: Mapping[str, _Words], summaries: Mapping[str, str]) -> Iterator[str]:
    yield "# fish completion for propeller; source it, or put it into completions/propeller.fish"
    for program in NAMES:
        yield f"complete -c {program} -n __fish_use_subcommand -f"
        for name, summary in summaries.items():
            yield (
                f"complete -c {program} -n __fish_use_subcommand -f -a {name} -d {_quoted(summary)}"
            )
        for name, each in known.items():
            here = f"-n '__fish_seen_subcommand_from {name}'"
            for word in each.words:
                yield f"complete -c {program} {here} -a {word}"
            for option, text in each.options.items():
                yield f"complete -c {program} {here} -l {option[2:]} -d {_quoted(text)}"


def _quoted(text: str) -> str:
    """For a shell, in single quotes."""
    return "'" + text.replace("'", "") + "'"
