"""`propeller schema openapi`: the OpenAPI 3.1 document of `/api/v1`, made from the route table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `schema`."""
    parser.add_argument("what", choices=("openapi",), help="which one")


def run(_: argparse.Namespace) -> int:
    """Print it; returns the exit code."""
    print(json.dumps(openapi(), indent=1))
    return 0


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
