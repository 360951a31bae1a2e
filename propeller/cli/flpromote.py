"""`propeller fl promote NAME [PATH]`: a model that is good enough into the spec of who uses it.

Writes digest and size of the model into `run.models` of the Daemon or Task that `promote.to` names,
and changes nothing else of the file: an edit to look at, a commit, or a branch to be reviewed. The
rollout that follows is that of any other edit. Nothing is written where the round does not hold
what `promote.when` says.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propeller.cli.bump import keep, with_files
from propeller.cli.bumpgit import add_commit
from propeller.cli.context import state_dir
from propeller.cli.flfind import Found, add_name, metrics_text, opened
from propeller.cli.names import short_digest
from propeller.cli.output import add_dry_run, say
from propeller.cli.settings import add_config, fleet_of
from propeller.errors import UsageError
from propeller.model.ids import Key
from propeller.model.rounds import Blob, Round

if TYPE_CHECKING:
    from propeller.sources.markers import MarkedText
    from propeller.sources.tree import Tree

KINDS = ("Daemon", "Function", "Task")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fl promote`."""
    parser.description = __doc__
    add_name(parser)
    parser.add_argument(
        "path", metavar="PATH", nargs="?", default=".", help="the spec tree (default: this folder)"
    )
    parser.add_argument(
        "--round", type=int, metavar="N", help="of this round (default: the best measured, or last)"
    )
    parser.add_argument(
        "--to", metavar="KIND/NAME", help="who uses it (default: promote.to of the spec)"
    )
    parser.add_argument(
        "--model", metavar="FILE", help="which of its run.models (default: the only one)"
    )
    parser.add_argument(
        "--anyway", action="store_true", help="also where promote.when does not hold"
    )
    add_commit(parser)
    add_config(parser)
    add_dry_run(parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A row of `run.models` in the text. path: of the row in its document."""

    file: str
    text: MarkedText
    document: int
    path: tuple[str | int, ...]
    row: dict[str, Any]


def run(args: argparse.Namespace) -> int:
    """Choose, check, write; returns the exit code."""
    from propeller.cli.push import validate_tree
    from propeller.sources.directory import DirectorySource

    if args.push and not (args.commit or args.branch):
        raise UsageError("--push goes with --commit or --branch NAME")
    path = Path(args.path)
    if not path.is_dir():
        raise UsageError(f"{path}: no such directory of specs")
    with opened(args) as found:
        round_ = _chosen(found, args.round)
        model = _good_model(found, round_, anyway=args.anyway)
        target = _target(found, args.to)
        name = found.key.name
    tree = DirectorySource(path, exclude=(state_dir(args).path,)).read()
    place = _place(tree, path, target, args.model)
    where = f"{target}, models/{place.row['name']}"
    if (place.row.get("digest"), place.row.get("size")) == (model.digest, model.size):
        say(f"{where} is {short_digest(model.digest)} of round {round_.number} already")
        return 0
    files = {place.file: _edited(place, model)}
    fleet = fleet_of(args, tree=path)
    validate_tree(with_files(tree, files), domain=fleet.domain, path=path)
    print(f"{place.file}: {where} is {model.digest}, {model.size} bytes")
    if args.dry_run:
        say("nothing was written")
        return 0
    if not args.message:
        measured = metrics_text(round_)
        args.message = f"Promote round {round_.number} of {name} to {target}" + (
            f"\n\n{measured}" if measured else ""
        )
    made = keep(args, path, files, ())
    if made is not None:
        sent = f" and pushed to {args.remote}" if made.pushed else ""
        say(f"committed {made.commit[:12]} on {made.branch or 'no branch'}{sent}")
    return 0


# -- what is promoted -------------------------------------------------------------------------


def _chosen(found: Found, number: int | None) -> Round:
    job = found.job
    if job is None or not job.done:
        raise UsageError(f"{found.key} has no committed round yet")
    return found.round(number or job.best_round or job.done)


def _good_model(found: Found, round_: Round, *, anyway: bool) -> Blob:
    fold, promote = round_.fold, found.task.promote
    if fold is None or not fold.model:
        raise UsageError(f"round {round_.number} made no model: it only measured one")
    if promote is not None and not anyway and not promote.when.holds(dict(round_.metrics)):
        told = metrics_text(round_) or "nothing was measured"
        raise UsageError(
            f"round {round_.number} of {found.key} does not hold {promote.when}: {told}",
            hint="train on, choose another --round, or say --anyway",
        )
    return fold.model


def _target(found: Found, asked: str | None) -> Key:
    if asked is None:
        if found.task.promote is None:
            raise UsageError(f"{found.key} does not say promote.to", hint="say --to Daemon/NAME")
        return found.task.promote.to
    kind, _, name = asked.partition("/")
    if kind not in KINDS or not name:
        raise UsageError(f"{asked!r} is no KIND/NAME", hint=f"KIND is {' or '.join(KINDS)}")
    return Key(kind, found.key.namespace, name)


# -- where it is written ----------------------------------------------------------------------


def _place(tree: Tree, path: Path, target: Key, model: str | None) -> Place:
    """The row of `run.models` that is meant. Raises UsageError, SpecError."""
    documents = list(_documents(tree, path, target))
    if not documents:
        raise UsageError(f"{path}: has no {target}", hint="name the spec tree that has it")
    if len(documents) > 1:
        files = ", ".join(sorted({file for file, *_ in documents}))
        raise UsageError(f"{target} is written more than once: {files}")
    ((file, text, number, spec),) = documents
    rows = (spec.get("run") or {}).get("models") or []
    fits = [
        (index, row) for index, row in enumerate(rows) if model is None or row.get("name") == model
    ]
    if len(fits) != 1:
        there = ", ".join(str(row.get("name")) for row in rows) or "none"
        raise UsageError(
            f"{path / file}: which of run.models of {target} is meant? There are: {there}",
            hint="write one with name, digest and size under spec.run, or name it with --model",
        )
    ((index, row),) = fits
    if "file" in row:
        raise UsageError(
            f"{path / file}: {row['name']} is a file of the tree",
            hint="write digest and size in place of file, or replace the file by `fl export`",
        )
    at = ("spec", "run", "models", index)
    return Place(file=file, text=text, document=number, path=at, row=dict(row))


def _documents(
    tree: Tree, path: Path, target: Key
) -> Iterator[tuple[str, MarkedText, int, dict[str, Any]]]:
    """(file, text, number, spec) of each document that writes the object."""
    from propeller.sources.markers import MarkedText
    from propeller.sources.select import IGNORE_FILE, Selection

    selection = Selection(tree.files.get(IGNORE_FILE, b""))
    for name in sorted(tree.files):
        if not selection.is_spec(name) or name.endswith(".json"):
            continue
        if target.name.encode() not in tree.files[name]:
            continue
        text = MarkedText(str(path / name), tree.files[name])
        for number, document in enumerate(text.documents):
            if isinstance(document, dict) and _is(document, target):
                if (path / name).resolve() != path.resolve() / name:
                    raise UsageError(f"{path / name}: is a link, or below one: not edited")
                yield name, text, number, document["spec"]


def _is(document: dict[str, Any], target: Key) -> bool:
    meta = document.get("metadata")
    return (
        document.get("kind") == target.kind
        and isinstance(meta, dict)
        and isinstance(document.get("spec"), dict)
        and meta.get("name") == target.name
        and meta.get("namespace") in (None, target.namespace)
    )


def _edited(place: Place, model: Blob) -> bytes:
    return place.text.replaced(
        {
            place.text.span(place.document, (*place.path, "digest")): str(model.digest),
            place.text.span(place.document, (*place.path, "size")): model.size,
        }
    )
