"""Manual pages from the table of verbs and their parsers.

    python -m propeller.cli.manpages build/man

One page a verb, `propeller-VERB.1`, and `propeller.1`, in the macros of man(7). The same parsers
make `--help` and the reference page, so the three never part.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from propeller import __version__
from propeller.cli.__main__ import parser_of
from propeller.cli.reference import many, value
from propeller.cli.verbs import VERBS, Verb

HEAD = '.TH {title} 1 "" "Propeller {version}" "Propeller"'


def pages() -> Iterator[tuple[str, str]]:
    """(file name, roff) of every page."""
    yield "propeller.1", _overview()
    for verb in VERBS.values():
        yield f"propeller-{verb.name}.1", _page(verb)


def write(folder: Path) -> int:
    """Write them all; how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for name, text in pages():
        (folder / name).write_text(text, encoding="utf-8")
        count += 1
    return count


def _overview() -> str:
    lines = [
        HEAD.format(title="PROPELLER", version=__version__),
        ".SH NAME",
        "propeller \\- GitOps for WebAssembly at the edge",
        ".SH SYNOPSIS",
        ".B propeller",
        ".I VERB",
        "[options]",
        ".SH VERBS",
    ]
    for verb in VERBS.values():
        lines += [".TP", f".BR propeller-{_text(verb.name)} (1)", _text(verb.summary)]
    lines += [
        ".SH EXIT STATUS",
        "0 done, 2 any error. Some verbs say more: see the reference of the command line.",
        "130 is an interrupt.",
        ".SH ENVIRONMENT",
        ".TP",
        ".B PROPELLER_STATE",
        "the state directory, where \\-\\-state does not say",
        ".TP",
        ".B NO_COLOR",
        "no colour",
    ]
    return "\n".join(lines) + "\n"


def _page(verb: Verb) -> str:
    name = f"propeller-{verb.name}"
    lines = [
        HEAD.format(title=name.upper(), version=__version__),
        ".SH NAME",
        f"{_text(name)} \\- {_text(verb.summary)}",
        *_parser(parser_of(verb), f"propeller {verb.name}", "SH"),
        ".SH SEE ALSO",
        ".BR propeller (1)",
    ]
    return "\n".join(lines) + "\n"


def _parser(parser: argparse.ArgumentParser, command: str, level: str) -> Iterator[str]:
    below: list[tuple[str, str, argparse.ArgumentParser]] = []
    options: list[str] = []
    positional: list[str] = []
    for action in parser._actions:
        words = _text((action.help or "").replace("%%", "%"))
        if isinstance(action, argparse._SubParsersAction):
            helps = {one.dest: one.help or "" for one in action._choices_actions}
            below = [
                (str(name), helps.get(str(name), ""), one) for name, one in action.choices.items()
            ]
        elif action.option_strings:
            given = value(action)
            flags = ", ".join(f"\\fB{_text(flag)}\\fR" for flag in action.option_strings)
            options += [".TP", flags + (f" \\fI{_text(given)}\\fR" if given else ""), words]
        else:
            name = value(action) or action.dest
            positional.append(many(action, name))
            options += [".TP", f"\\fI{_text(name)}\\fR", words]
    if not below:
        yield f".{level} SYNOPSIS" if level == "SH" else f".SS {_text(command)}"
        yield f".B {_text(command)}"
        yield _text(" ".join(("[options]", *positional)))
    if options:
        if level == "SH":
            yield ".SH OPTIONS"
        yield from options
    if below:
        yield ".SH COMMANDS"
    for name, summary, one in below:
        yield f".SS {_text(command)} {_text(name)}"
        yield _text(summary)
        yield from _parser(one, f"{command} {name}", "PP")


def _text(words: str) -> str:
    """For roff: no line begins a request, a hyphen stays one."""
    safe = words.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "build/man")
    sys.stdout.write(f"{write(target)} pages in {target}\n")
