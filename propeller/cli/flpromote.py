"""`propeller fl promote NAME [PATH]`: a model that is good enough into the spec of who uses it.

Writes digest and size of the model into `run.models` of the Daemon or Task that `promote.to` names,
and changes nothing else of the file: an edit to look at, a commit, or a branch to be reviewed. The
rollout that follows is that of any other edit. Nothing is written where the round does not hold
what `promote.when` says.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

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
    from propeller.sources.modelrows import ModelRow
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
        promote = found.task.promote
        row = promote.row or None if promote is not None and target == promote.to else None
        name = found.key.name
    tree = DirectorySource(path, exclude=(state_dir(args).path,)).read()
    place = _row(tree, path, target, args.model or row)
    where = f"{target}, models/{place.row['name']}"
    if place.holds(model):
        say(f"{where} is {short_digest(model.digest)} of round {round_.number} already")
        return 0
    files = {place.file: place.edited(model)}
    fleet = fleet_of(args, tree=path)
    validate_tree(with_files(tree, files), fleet, state_dir(args), path=path)
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


def _row(tree: Tree, path: Path, target: Key, model: str | None) -> ModelRow:
    """The row of `run.models` that is meant. Raises UsageError, SpecError."""
    from propeller.sources.modelrows import model_row, spec_files
    from propeller.sources.select import IGNORE_FILE

    names = spec_files(tree.files, tree.files.get(IGNORE_FILE, b""))
    found = model_row({name: tree.files[name] for name in names}, target, model, where=str(path))
    if (path / found.file).resolve() != path.resolve() / found.file:
        raise UsageError(f"{path / found.file}: is a link, or below one: not edited")
    return found
