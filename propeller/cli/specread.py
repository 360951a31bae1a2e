"""Reading specs for a verb that changes nothing: PATH or a git URL to a whole revision.

Used by `validate`, `diff` and `plan`. Faults name the file as the person would open it. Modules are
only digested, never stored.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.cli.context import state_dir
from propeller.cli.pluginimages import OfRegistries
from propeller.cli.settings import fleet_of
from propeller.cli.specsource import WHAT, add_overlay, open_specs
from propeller.errors import Fault, SpecError

if TYPE_CHECKING:
    from propeller.model.revision import Revision


def add_specs(parser: argparse.ArgumentParser) -> None:
    """PATH and how to read it."""
    parser.add_argument("path", metavar="PATH", help=f"a spec file, {WHAT}")
    parser.add_argument("--git", action="store_true", help="PATH is a git repository")
    parser.add_argument("--ref", help="branch, tag or commit of a git PATH")
    add_overlay(parser)


def read_specs(args: argparse.Namespace, *, domain: str) -> Revision:
    """The revision PATH holds. Raises SpecError with every fault, UsageError, Unavailable."""
    from propeller.model.ids import sha256_digest
    from propeller.registry.wasm import inspect
    from propeller.sources.load import load

    state = state_dir(args)
    fleet = fleet_of(args, tree=Path(args.path))
    with _cache(state.git, exists=state.exists()) as cache:
        source = open_specs(
            args.path,
            fleet,
            state,
            cache=cache,
            ref=args.ref,
            git=args.git,
            overlay=args.overlay,
        )
        try:
            tree = source.read()
            return load(
                tree,
                domain=domain,
                keep=sha256_digest,
                inspect=inspect,
                images=OfRegistries(lambda: fleet, state),
            )
        except SpecError as error:
            raise SpecError(_findable(fault, args.path) for fault in error.faults) from error


@contextlib.contextmanager
def _cache(path: Path, *, exists: bool) -> Iterator[Path]:
    """Where bare clones go: the state's own folder, or one for now where there is no state."""
    if exists:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="propeller-") as folder:
        yield Path(folder)


def _findable(fault: Fault, path: str) -> Fault:
    """With the path as typed in front, where that names a file on this machine."""
    given = Path(path)
    folder = given.parent if given.is_file() else given
    if not folder.is_dir() or not fault.file or not (folder / fault.file).exists():
        return fault
    return Fault(str(folder / fault.file), fault.line, fault.path, fault.message)
