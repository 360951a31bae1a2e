"""The reference pages of the kinds, from the schemas that check specs.

    python -m propeller.cli.kindpages docs/reference/kinds

One page a kind and `README.md`, which lists them. A test holds the pages to what this makes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from propeller.cli.explain import bounds, choices, inline, type_words
from propeller.sources.schemas import KINDS, TREE_KINDS, load_schema, walk

MADE = "<!-- made by `python -m propeller.cli.kindpages`; edit schemas/spec, not this page -->"

_NOT_ALONE = frozenset({"App", "Overlay", "Plugin", "Secret"})
"""Their examples need a folder or a key beside them. A test loads the others."""

_HEAD = f"""\
# Kinds

{MADE}

What may stand in a spec, field by field, from the schemas in `schemas/spec` that check it.
`propeller explain KIND.path` prints the same in a terminal, `propeller schema KIND` gives the
schema to [an editor](../../how-to/editor.md).

Leaving a field out and writing `null` mean the same. A field that no table names is refused, with
file and line. `path[]` is an item of a list, `path.*` a value under a name of your own.

| kind | what it is |
|---|---|"""


def pages() -> Iterator[tuple[str, str]]:
    """(file name, text) of every page."""
    kinds = (*KINDS, *TREE_KINDS)
    rows = (
        f"| [{kind}]({kind.lower()}.md) | {_cell(load_schema(kind)['description'])} |"
        for kind in kinds
    )
    yield "README.md", "\n".join((_HEAD, *rows)) + "\n"
    for kind in kinds:
        yield f"{kind.lower()}.md", "\n".join(_page(kind)) + "\n"


def write(folder: Path) -> int:
    """Write them all; how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for name, text in pages():
        (folder / name).write_text(text, encoding="utf-8")
        count += 1
    return count


def _page(kind: str) -> Iterator[str]:
    schema = load_schema(kind)
    yield from (f"# {kind}", "", MADE, "", str(schema["description"]))
    for example in schema.get("examples", ()):
        text = yaml.safe_dump(example, sort_keys=False, allow_unicode=True, width=100)
        yield from ("", "```yml" if kind in _NOT_ALONE else "```yaml", text.rstrip("\n"), "```")
    fields = dict(walk(kind))
    groups: dict[str, list[str]] = {}
    for path in fields:
        groups.setdefault(_parent(path), []).append(path)
    for parent, below in groups.items():
        whole = fields[parent] if parent else schema
        yield from ("", f"## {f'`{parent}`' if parent else 'Top level'}", "")
        if parent:
            yield from (str(whole.get("description", "")), "")
        yield from (
            "| field | type | default | allowed | meaning | example |",
            "|---|---|---|---|---|---|",
        )
        required = whole.get("required", ())
        for path in below:
            yield _row(path[len(parent) :].lstrip("."), fields[path], required)


def _parent(path: str) -> str:
    """What a field stands in: of `a.b` it is `a`, of `a[]` too."""
    if path.endswith("[]"):
        return path[:-2]
    return path.rpartition(".")[0]


def _row(name: str, field: Mapping[str, Any], required: tuple[str, ...] | list[str]) -> str:
    default = "required" if name in required else ""
    if "default" in field:
        default = _code(field["default"])
    examples = field.get("examples") or [None]
    example = "" if examples[0] is None else _code(examples[0])
    words = _cell(str(field.get("description", "")))
    return (
        f"| `{name}` | {type_words(field)} | {default} | {_allowed(field)} | {words} | {example} |"
    )


def _allowed(field: Mapping[str, Any]) -> str:
    if "x-allowed" in field:
        said = _cell(str(field["x-allowed"]))
    elif "enum" in field:
        said = ", ".join(_code(each) for each in choices(field))
    elif "const" in field:
        said = _code(field["const"])
    else:
        said = ""
    return "; ".join(part for part in (said, bounds(field)) if part)


def _code(value: object) -> str:
    return f"`{_cell(inline(value))}`"


def _cell(words: str) -> str:
    return " ".join(words.replace("|", "\\|").split())


def main(argv: Sequence[str]) -> int:
    """Write them where the arguments say; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m propeller.cli.kindpages", description="Write the pages of the kinds."
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/reference/kinds"))
    folder: Path = parser.parse_args(argv).folder
    sys.stdout.write(f"{write(folder)} pages in {folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
