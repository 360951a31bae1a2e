"""What `push`, `pull` and `inspect` share: files with modules, and where images live."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.cli.context import add_state, state_dir
from propeller.cli.settings import add_config, fleet_of, registries_of
from propeller.errors import UsageError

if TYPE_CHECKING:
    from propeller.registry.registries import Place

MAX_MODULE = 256 << 20


def add_registry(parser: argparse.ArgumentParser) -> None:
    """Options that say where images are looked for."""
    add_config(parser)
    add_state(parser)


@contextmanager
def place_of(args: argparse.Namespace, image: str) -> Iterator[Place]:
    """Where `image` lives and under which name. Raises UsageError for what is no image."""
    from propeller.registry.reference import parse_location

    fleet = fleet_of(args)
    with registries_of(fleet, state_dir(args)) as registries:
        yield registries.place(parse_location(image))


def read_module(path: Path) -> bytes:
    """The Wasm bytes of a file; `.wat` is compiled. Raises UsageError."""
    try:
        if path.stat().st_size > MAX_MODULE:
            raise UsageError(f"{path}: a module is at most {MAX_MODULE >> 20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if path.suffix != ".wat":
        return data
    import wasmtime

    try:
        return bytes(wasmtime.wat2wasm(data))
    except wasmtime.WasmtimeError as error:
        raise UsageError(f"{path}: {error}") from error
