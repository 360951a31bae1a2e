"""The reference page of the command line, from the table of verbs and their parsers.

    python -m propeller.cli.reference > docs/reference/cli.md

A test holds the page to what this prints. Not made with argparse's own help, whose layout differs
between versions of Python.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from propeller.cli.__main__ import parser_of
from propeller.cli.verbs import VERBS

_HEAD = """\
# The command line

<!-- made by `python -m propeller.cli.reference`; edit the parsers, not this page -->

`propeller VERB [options]`; `propeller-cli` is the same command. `propeller VERB --help` prints what
stands here.

**Names.** An object is named by `NAME`, `KIND/NAME`, `KIND/NAMESPACE/NAME` or its uid. A name that
means several objects is refused, with the candidates.

**State.** `--state DIR`, else `PROPELLER_STATE`, else `./.propeller`. Reading needs nothing
running. What changes something goes to the reconciler that runs on that state, or says what to
start.

**Output.** Data goes to stdout, words to stderr. Lists take `-o table|wide|json|yaml|name`, the
others `-o text|json|yaml`. Colour only on a terminal; `NO_COLOR` switches it off. Every verb that
changes something takes `--dry-run`.

**Configuration.** Flags win over `PROPELLER_*` in the environment, that over `propeller.yaml`;
`propeller config show` prints each value with its origin.

## Exit codes

| verb | 0 | 1 | 2 | 3 | 4 | 5 |
|---|---|---|---|---|---|---|
| `diff` | no changes | changes | any error | | | |
| `up --until-ready` | all Ready | | invalid | something failed | timed out | |
| `apply` | converged | | invalid | failed | devices pending | stale plan, guard, lease held |
| `reconcile --once` | converged, or lease held | | invalid | failed | devices pending | |
| `run` | succeeded | | error | failed | timed out | |
| `wait` | met | | error | Stalled | timed out | |
| all others | done | | error | | | |

130 is an interrupt (Ctrl-C). A defect of Propeller itself is 2, never 1: `diff` says 1 for changes
only."""


def page() -> Iterator[str]:
    """The page, line by line."""
    yield from _HEAD.split("\n")
    for verb in VERBS.values():
        yield ""
        yield f"## propeller {verb.name}"
        yield ""
        yield f"{verb.summary[0].upper()}{verb.summary[1:]}."
        yield from _parser(parser_of(verb), f"propeller {verb.name}")


def _parser(parser: argparse.ArgumentParser, command: str) -> Iterator[str]:
    below: list[tuple[str, str, argparse.ArgumentParser]] = []
    rows: list[tuple[str, str]] = []
    positional: list[str] = []
    for action in parser._actions:
        text = (action.help or "").replace("%%", "%")
        if isinstance(action, argparse._SubParsersAction):
            helps = {one.dest: one.help or "" for one in action._choices_actions}
            below = [
                (str(name), helps.get(str(name), ""), one) for name, one in action.choices.items()
            ]
        elif isinstance(action, argparse._HelpAction):
            continue
        elif action.option_strings:
            given = value(action)
            rows.append(
                (f"`{', '.join(action.option_strings)}{' ' + given if given else ''}`", text)
            )
        else:
            name = value(action) or action.dest
            positional.append(many(action, name))
            rows.append((f"`{name}`", text))
    if not below:
        yield ""
        yield "```"
        yield " ".join(
            (command, *positional, *(("[options]",) if len(rows) > len(positional) else ()))
        )
        yield "```"
    if rows:
        yield ""
        yield "| argument | meaning |"
        yield "|---|---|"
        for name, text in rows:
            yield f"| {name.replace('|', chr(92) + '|')} | {text.replace('|', chr(92) + '|')} |"
    for name, summary, one in below:
        yield ""
        yield f"### {command} {name}"
        yield ""
        yield f"{summary[0].upper()}{summary[1:]}."
        yield from _parser(one, f"{command} {name}")


def value(action: argparse.Action) -> str:
    """What an argument takes, as it is shown; "" where it takes nothing."""
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices is not None:
        return "|".join(str(choice) for choice in action.choices)
    return action.dest.upper() if action.option_strings else ""


def many(action: argparse.Action, name: str) -> str:
    """`name` as often as the argument may stand."""
    match action.nargs:
        case "?":
            return f"[{name}]"
        case "*":
            return f"[{name} ...]"
        case "+":
            return f"{name} [...]"
        case _:
            return name


if __name__ == "__main__":
    sys.stdout.write("\n".join(page()) + "\n")
