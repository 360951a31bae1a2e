"""`propeller inspect FILE|IMAGE`: what a module needs and offers, or what a name stands for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from propeller.cli.images import add_registry, place_of, read_module
from propeller.cli.output import add_data, print_data, yaml_text
from propeller.cli.table import printable
from propeller.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `inspect`."""
    parser.add_argument("what", metavar="FILE|IMAGE", help="a .wasm or .wat file, or an image")
    add_registry(parser)
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Print; returns the exit code."""
    path = Path(args.what)
    if path.is_file():
        found = _file(path)
        if args.output != "text":
            print_data(args.output, found)
            return 0
        for line in _module_text(found):
            print(line)
        return 0
    if path.suffix in (".wasm", ".wat") and ":" not in args.what:
        raise UsageError(f"no file {path}")
    with place_of(args, args.what) as place:
        published = place.artifacts.inspect(place.reference)
    if args.output == "json":
        print_data("json", published)
    else:
        print(yaml_text(dict(published)), end="")
    return 0


def _file(path: Path) -> dict[str, Any]:
    from propeller.model.ids import sha256_digest
    from propeller.registry.wasm import inspect

    data = read_module(path)
    facts = inspect(data)
    return {
        "file": str(path),
        "digest": sha256_digest(data),
        "size": len(data),
        "component": facts.component,
        "memoryMin": facts.memory_min,
        "memoryMax": facts.memory_max,
        "imports": [
            f"{one.module}.{one.name}" if one.name else one.module for one in facts.imports
        ],
        "exports": [
            {"name": one.name, "params": list(one.params), "results": list(one.results)}
            for one in facts.exports
        ],
    }


def _module_text(found: Mapping[str, Any]) -> Iterator[str]:
    from propeller.model.quantities import size_text

    most = found["memoryMax"]
    limit = "no limit of its own" if most is None else f"at most {size_text(most)}"
    kind = "component" if found["component"] else "core module"
    yield f"File:     {found['file']} ({kind})"
    yield f"Digest:   {found['digest']}"
    yield f"Size:     {found['size']} bytes"
    yield f"Memory:   {size_text(found['memoryMin'])} to start, {limit}"
    yield f"Imports:  {len(found['imports']) or 'none'}"
    yield from (f"  {printable(name)}" for name in found["imports"])
    yield f"Exports:  {len(found['exports']) or 'none'}"
    for one in found["exports"]:
        types = f"({', '.join(one['params'])})"
        results = f" -> {', '.join(one['results'])}" if one["results"] else ""
        yield f"  {printable(one['name'])}{types}{results}"
