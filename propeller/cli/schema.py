"""`propeller schema WHAT`: schemas as files, for editors and for programs.

`openapi` is the OpenAPI 3.1 document of `/api/v1`, made from the route table. A kind, `specs` (any
kind) and `config` are JSON Schemas that stand on their own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from propeller.errors import UsageError

EVERY = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `schema`."""
    parser.add_argument(
        "what",
        metavar="WHAT",
        help="openapi, config, specs (any kind), a kind such as task; all, with --into",
    )
    parser.add_argument("--into", metavar="DIR", help="write files there instead of printing")


def run(args: argparse.Namespace) -> int:
    """Print or write; returns the exit code."""
    word = str(args.what).lower()
    if word == EVERY:
        if args.into is None:
            raise UsageError("all of them are files", hint="propeller schema all --into DIR")
        names = _names()
    else:
        names = [word]
    documents = {_file(name): _document(name) for name in names}
    if args.into is None:
        for document in documents.values():
            print(json.dumps(document, indent=1, ensure_ascii=False))
        return 0
    folder = Path(args.into)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, document in documents.items():
            text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
            (folder / name).write_text(text, encoding="utf-8")
            print(folder / name)
    except OSError as error:
        raise UsageError(
            f"{error.filename}: {error.strerror}", hint="choose another DIR"
        ) from error
    return 0


def _names() -> list[str]:
    from propeller.sources.bundle import ANY
    from propeller.sources.schemas import KINDS, TREE_KINDS

    return [ANY, *(kind.lower() for kind in (*KINDS, *TREE_KINDS)), "config", "openapi"]


def _file(name: str) -> str:
    return "openapi.json" if name == "openapi" else f"{name}.schema.json"


def _document(word: str) -> Mapping[str, Any]:
    """The schema called so. Raises UsageError."""
    from propeller.sources.bundle import ANY, any_kind, bundled
    from propeller.sources.schemas import KINDS, TREE_KINDS, schema_root

    if word == "openapi":
        return openapi()
    if word == ANY:
        return any_kind()
    if word == "config":
        config: Mapping[str, Any] = json.loads(
            (schema_root() / "config.schema.json").read_text("utf-8")
        )
        return config
    kinds = {kind.lower(): kind for kind in (*KINDS, *TREE_KINDS)}
    if word in kinds:
        return bundled(kinds[word])
    raise UsageError(f"there is no schema {word!r}", hint=f"there are: {', '.join(_names())}")


def openapi() -> Mapping[str, Any]:
    """The document, without a gateway that runs."""
    from propeller import __version__
    from propeller.gateway.access.gate import Gate
    from propeller.gateway.app import House, api_entries
    from propeller.gateway.gallery import Gallery
    from propeller.gateway.v1.openapi import document_of
    from propeller.registry.blobs import BlobStore

    nowhere = Path("nowhere")
    house = House(
        database=nowhere, blobs=BlobStore(nowhere), shelves=nowhere, loop=_Nobody(), clock=_never
    )
    gallery = Gallery(nowhere, _never)
    return document_of(api_entries(house, Gate(clock=_never), gallery), __version__)


def _never() -> int:
    return 0


class _Nobody:
    """Stands where the routes expect a loop; no route is called here."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)
