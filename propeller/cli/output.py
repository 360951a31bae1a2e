"""How data leaves a verb: `-o table|wide|json|yaml|name`, colour, and readers that go away.

Data goes to stdout, words to stderr. Colour only on a terminal, and never under NO_COLOR.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from propeller.cli.table import Cell, render

FORMATS = ("table", "wide", "json", "yaml", "name")

Row = Sequence[str | Cell]


def add_output(parser: argparse.ArgumentParser, *, default: str = "table") -> None:
    """The `-o` every list has."""
    parser.add_argument(
        "-o",
        "--output",
        choices=FORMATS,
        default=default,
        help=f"how to print it (default {default})",
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """The `-o` of what is not a list: text for people, or data."""
    parser.add_argument(
        "-o",
        "--output",
        choices=("text", "json", "yaml"),
        default="text",
        help="how to print it (default text)",
    )


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """The `--dry-run` every verb that changes something has."""
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, do nothing")


def colour_on(stream: TextIO | None = None) -> bool:
    """Whether `stream` (stdout) is a terminal that wants colour."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return (stream or sys.stdout).isatty()


def print_list(
    output: str,
    items: Sequence[Mapping[str, Any]],
    *,
    heads: Sequence[str],
    row: Callable[[Mapping[str, Any]], Row],
    name: Callable[[Mapping[str, Any]], str],
    wide_heads: Sequence[str] = (),
    wide_row: Callable[[Mapping[str, Any]], Row] = lambda _: (),
    headless: bool = False,
) -> None:
    """A list as `output` asks for it: one table, one document, or one name a line.

    headless: rows that go on a table printed before.
    """
    match output:
        case "json" | "yaml":
            print_data(output, {"kind": "List", "items": list(items)})
        case "name":
            for item in items:
                print(name(item))
        case _:
            wide = output == "wide"
            rows = [(*row(item), *(wide_row(item) if wide else ())) for item in items]
            text = render((*heads, *(wide_heads if wide else ())), rows, colour=colour_on())
            print(text.partition("\n")[2] if headless else text)


def print_data(output: str, document: Mapping[str, Any]) -> None:
    """One document as JSON or YAML."""
    if output == "yaml":
        print(yaml_text(document), end="")
    else:
        print(json.dumps(document, indent=2, ensure_ascii=False))


def yaml_text(document: object) -> str:
    """YAML in the order given."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(
        document, Dumper=dumper, sort_keys=False, allow_unicode=True, width=1_000_000
    )
    return text


def say(text: str) -> None:
    """Words for the person at the terminal, after what was printed before."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """For verbs whose exit code means something: a closed pipe ends the printing, not the verb."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, sys.stdout.fileno())
        os.close(quiet)
