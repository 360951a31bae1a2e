"""A plan in a file: written by `plan -o FILE`, carried out by `apply FILE`.

The diff that was approved is the diff that runs, or nothing runs: before anything is handed over
the plan is made again from the same specs, and every difference is told. The file holds no secret:
values are masked as on the screen.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propeller.cli.names import short_revision
from propeller.errors import Conflict, UsageError

if TYPE_CHECKING:
    from propeller.cli.planning import Planned

MAX_PLAN_BYTES = 64 << 20

SHOWN = 20
"""Differences told of a stale plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """What `apply` needs of the file. path: the specs, as `open_source` takes them."""

    file: str
    path: str
    overlay: str | None
    digest: str
    specs: str
    revision: str
    changes: tuple[Mapping[str, Any], ...]


def save(file: str, args: argparse.Namespace, planned: Planned) -> None:
    """Write the plan. Raises UsageError when the file cannot be written."""
    document = {**planned.data(), "path": _address(args), "overlay": args.overlay}
    try:
        Path(file).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error


def _address(args: argparse.Namespace) -> str:
    """The specs by an address that means the same in any folder."""
    here = Path(args.path)
    text = str(here.absolute()) if here.exists() else str(args.path)
    if args.git or args.ref:
        scheme = "git+file://" if here.exists() else "" if text.startswith("git+") else "git+"
        text = scheme + text
        if args.ref:
            text += f"{'&' if '?' in text else '?'}ref={args.ref}"
    return text


def saved_plan(file: str) -> SavedPlan | None:
    """The plan in `file`; None where that is something else (a folder, a spec, a repository).

    Raises UsageError for a plan that cannot be read.
    """
    path = Path(file)
    if path.suffix != ".json" or not path.is_file():
        return None
    try:
        with path.open("rb") as opened:
            data = opened.read(MAX_PLAN_BYTES + 1)
        document = json.loads(data)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    except ValueError:
        return None
    if not isinstance(document, dict) or document.get("kind") != "Plan" or "spec" in document:
        return None
    if len(data) > MAX_PLAN_BYTES:
        raise UsageError(f"{file}: is larger than {MAX_PLAN_BYTES >> 20} MiB")
    if document.get("formatVersion") != 1:
        raise UsageError(
            f"{file}: a plan of format {document.get('formatVersion')!r}, this one reads 1",
            hint="plan again with this Propeller",
        )
    try:
        return SavedPlan(
            file=file,
            path=str(document["path"]),
            overlay=document["overlay"] and str(document["overlay"]),
            digest=str(document["digest"]),
            specs=str(document["specsDigest"]),
            revision=str(document["revision"]),
            changes=tuple(dict(change) for change in document["changes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{file}: is no saved plan", hint="make one with `plan -o FILE`"
        ) from error


def check(saved: SavedPlan, planned: Planned) -> None:
    """Raises Conflict when the plan is not what would happen now, saying what moved."""
    if planned.digest != saved.digest:
        moved = list(_moved(saved, planned))
        more = f"\n  and {len(moved) - SHOWN} more" if len(moved) > SHOWN else ""
        told = "".join(f"\n  {line}" for line in moved[:SHOWN]) + more
        raise Conflict(
            f"{saved.file}: the plan is stale, nothing was done{told}",
            hint=f"plan again: propeller plan {saved.path} -o {saved.file}",
        )
    if planned.trips:
        told = "".join(f"\n  App {trip.app}: {trip.message}" for trip in planned.trips)
        raise Conflict(
            f"{saved.file}: a guard waits for a confirmation, nothing was done{told}",
            hint=f"let it happen with: propeller confirm {saved.digest}",
        )


def _moved(saved: SavedPlan, planned: Planned) -> Iterator[str]:
    if saved.specs != planned.specs:
        was, now = short_revision(saved.revision), short_revision(planned.revision)
        yield f"the specs moved: planned from {was}, now {now}"
    before = {(change["object"], change["op"]): change for change in saved.changes}
    after = {(change["object"], change["op"]): change for change in planned.data()["changes"]}
    for name in sorted(before.keys() | after.keys()):
        thing, operation = name
        if name not in after:
            yield f"{thing}: {operation} was planned, and is nothing to do now"
        elif name not in before:
            yield f"{thing}: {operation} was not planned ({after[name]['reason']})"
        elif before[name]["fields"] != after[name]["fields"]:
            yield f"{thing}: other fields would change than were planned"
    if saved.specs == planned.specs:
        yield "the inventory moved since the plan was made"
