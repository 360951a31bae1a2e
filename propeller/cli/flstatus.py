"""`propeller fl status NAME`: how far a FederatedTask is, with a plot of its metric.

On a terminal it stays and is drawn anew until the task is done; elsewhere it is printed once, or
with `--watch` a line for each round that changed. It reads the store and changes nothing.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from propeller.cli import statuses
from propeller.cli.clock import ago, now_ms
from propeller.cli.context import Client, open_store, state_dir
from propeller.cli.flfind import (
    Found,
    add_name,
    blob_row,
    metric_of,
    metrics_text,
    named,
    numbered,
    points,
)
from propeller.cli.flplot import plot
from propeller.cli.names import short_digest
from propeller.cli.output import add_data, colour_on, print_data
from propeller.cli.table import Cell, printable, render
from propeller.errors import PropellerError, UsageError

if TYPE_CHECKING:
    from propeller.model.rounds import Round
    from propeller.state.layout import StateDir
    from propeller.state.sqlite import SqliteStore

POLL = 0.25
SHOWN = 8
"""Rounds in the table, the newest."""
PLOTTED = 400
"""Attempts that are looked at for the plot."""
PATIENCE = 3.0
"""Seconds a running reconciler is given to read what was written a moment ago."""
OVER = ("Finished", "Failed")
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fl status`."""
    add_name(parser)
    parser.add_argument("--metric", metavar="M", help="the metric to plot (default: the spec's)")
    parser.add_argument("--once", action="store_true", help="print it once, also on a terminal")
    parser.add_argument("--watch", action="store_true", help="follow it, also elsewhere")
    parser.set_defaults(specs=None)
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Print or follow; returns the exit code."""
    if args.watch and (args.once or args.output != "text"):
        raise UsageError("--watch goes with neither --once nor -o")
    state = state_dir(args)
    if not state.database.is_file():
        return _written(args, UsageError(f"no state in {state.path}"))
    store = open_store(state)
    try:
        try:
            found = _patiently(store, state, args)
        except UsageError as unknown:
            return _written(args, unknown)
        if args.output != "text":
            print_data(args.output, document(found, args.metric))
        elif args.once or not (args.watch or sys.stdout.isatty()):
            print("\n".join(lines(found, args.metric, tall=False)))
        elif sys.stdout.isatty():
            _live(store, state, args)
        else:
            _plainly(store, state, args)
    except KeyboardInterrupt:
        return 0  # that is how one leaves a view
    finally:
        store.close()
    return 0


def _patiently(store: SqliteStore, state: StateDir, args: argparse.Namespace) -> Found:
    """The task; one that was written a moment ago is waited for where a reconciler reads it."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return named(store, state, args)
        except UsageError:
            if time.monotonic() > until or not Client(state).running():
                raise
        time.sleep(POLL)


def _written(args: argparse.Namespace, unknown: UsageError) -> int:
    """A task that is in the spec tree and that nobody has read yet. Raises `unknown` otherwise."""
    from propeller.cli.spectree import written_in

    try:
        root, thing = written_in(args, args.name, "FederatedTask")
    except PropellerError:
        raise unknown from None
    file = root / thing.meta.origin.file
    message = f"{file} is written, and no reconciler has read it yet"
    if args.output == "text":
        print(f"{thing.meta.key}: Pending: {message}")
    else:
        ready = {"status": "Unknown", "reason": "Pending", "message": message}
        told = {"kind": "FederatedTaskStatus", "object": str(thing.meta.key), "ready": ready}
        print_data(args.output, told)
    return 0


# -- one view -------------------------------------------------------------------------------------


def lines(found: Found, metric: str | None, *, tall: bool, width: int = 80) -> list[str]:
    """The view as text; `tall` with the plot that a terminal has room for."""
    return list(_lines(found, metric, tall=tall, width=width))


def _lines(found: Found, metric: str | None, *, tall: bool, width: int) -> Iterator[str]:
    attempts, job = found.attempts(PLOTTED), found.job
    ready = _ready(found)
    yield f"{found.key}: {ready['reason']}: {printable(ready['message'])}"
    yield f"  rounds  {job.done if job else 0} of {found.task.rounds} committed"
    if job is not None and job.model:
        size = f"{job.model.size} bytes"
        yield f"  model   {short_digest(job.model.digest)} ({size}, round {job.done})"
    if job is not None and job.best_round:
        yield (
            f"  best    {_watched(found)} {job.best_value[:8]}, "
            f"{short_digest(job.best_model.digest)} (round {job.best_round})"
        )
    if job is not None and job.spent:
        yield f"  privacy {spent_text(found, dict(job.spent))}"
    yield from _beyond(found)
    name = metric_of(found, attempts, metric)
    drawn = points([one for one in attempts if one.state.over], name)
    if drawn:
        yield f"  {printable(name)}  {drawn[-1][1]:.6g} (round {drawn[-1][0]})"
    if tall:
        for line in plot(drawn, width=max(10, min(60, width - 16))):
            yield f"    {line}"
    if attempts:
        yield ""
        yield from (f"  {line}".rstrip() for line in _table(attempts[-SHOWN:]).split("\n"))


def _beyond(found: Found) -> Iterator[str]:
    """What became of a promotion, and which round of the fleet above is held."""
    job, promote = found.job, found.task.promote
    if job is None:
        return
    if promote is not None and job.proposed:
        where = job.branch or "its spec has the model already"
        yield f"  promote round {job.proposed} for {promote.to}: {where}"
    elif promote is not None and job.promoted:
        yield f"  promote round {job.promoted} is good enough for {promote.to}"
    order = job.order
    if order is not None:
        how = f"answered by round {job.served_round}" if job.served == order.name else "under way"
        yield f"  above   round {order.round} of job {order.job[:8]}: {how}"


def spent_text(found: Found, spent: dict[str, str]) -> str:
    """`epsilon 4.73 of 8 spent at delta 1e-05, 3 noised rounds`."""
    noise = found.task.terms.noise
    most = f" of {noise.most}" if noise is not None else ""
    rounds = int(spent["rounds"])
    plural = "" if rounds == 1 else "s"
    epsilon = f"epsilon {float(spent['epsilon']):.4g}{most}"
    return f"{epsilon} spent at delta {spent['delta']}, {rounds} noised round{plural}"


def _watched(found: Found) -> str:
    evaluation = found.task.terms.evaluation
    return evaluation.metric if evaluation is not None else "metric"


def _ready(found: Found) -> dict[str, Any]:
    for one in statuses.documents(found.store):
        if one["metadata"]["uid"] == found.uid:
            for condition in one["status"]["conditions"]:
                if condition["type"] == "Ready":
                    return dict(condition)
    return {"status": "Unknown", "reason": "Pending", "message": "nothing is known yet"}


def _table(attempts: list[Round]) -> str:
    now = now_ms()
    tones = {"Committed": "good", "Abandoned": "bad"}
    rows = [
        (
            numbered(one),
            Cell(str(one.state), tones.get(str(one.state), "odd")),
            ago(one.ended_at or one.selected_at, now),
            buckets_text(one),
            one.why or metrics_text(one),
        )
        for one in attempts
    ]
    heads = ("ROUND", "STATE", "LAST", "UPDATES", "METRICS OR WHY")
    return render(heads, rows, colour=colour_on())


def buckets_text(round_: Round) -> str:
    """`2 accepted, 1 late`."""
    counts = sorted(round_.counts().items())
    return ", ".join(f"{count} {bucket.lower()}" for bucket, count in counts)


def document(found: Found, metric: str | None) -> dict[str, Any]:
    """The view as data."""
    from propeller.model.rounds import Learning
    from propeller.reconcile.roundfiles import learning_detail, round_document

    attempts, job = found.attempts(PLOTTED), found.job
    told = learning_detail(found.task, Learning(job=job))
    name = metric_of(found, attempts, metric)
    over = [one for one in attempts if one.state.over]
    newest = attempts[-1] if attempts else None
    best = None
    if job is not None and job.best_round:
        best = {"round": job.best_round, "value": job.best_value, **_blob(job.best_model)}
    return {
        "kind": "FederatedTaskStatus",
        "object": str(found.key),
        "ready": _ready(found),
        "job": job.job if job is not None else None,
        "rounds": {"wanted": found.task.rounds, "committed": job.done if job is not None else 0},
        "model": blob_row(job.model) if job is not None else None,
        "best": best,
        "privacy": dict(job.spent) if job is not None and job.spent else None,
        "promote": told.get("promote"),
        "upstream": told.get("upstream"),
        "metric": {"name": name, "points": [list(point) for point in points(over, name)]},
        "round": None if newest is None else round_document(found.task, newest),
    }


def _blob(blob: Any) -> dict[str, object]:
    return blob_row(blob) or {}


# -- following ------------------------------------------------------------------------------------


def _live(store: SqliteStore, state: StateDir, args: argparse.Namespace) -> None:
    """Draw it over and over where it stands, until it is over."""
    drawn = 0
    while True:
        serial = store.serial()
        found = named(store, state, args)
        size = shutil.get_terminal_size()
        text = [
            cropped(line, size.columns - 1)
            for line in lines(found, args.metric, tall=size.lines >= 24, width=size.columns)
        ]
        screen = getattr(sys.stdout, "untamed", sys.stdout)
        screen.write(f"\x1b[{drawn}A\x1b[J" if drawn else "")
        sys.stdout.write("\n".join(text) + "\n")
        sys.stdout.flush()
        drawn = len(text)
        if _ready(found)["reason"] in OVER:
            return
        _wait(store, serial)


def cropped(line: str, width: int) -> str:
    """The first `width` characters that are seen; colours do not count. A line that wrapped would
    be drawn over wrongly."""
    left, out = width, ""
    for piece in _COLOUR.split(line):
        if piece.startswith("\x1b"):
            out += piece
        else:
            out += piece[:left]
            left -= min(left, len(piece))
    return out


def _plainly(store: SqliteStore, state: StateDir, args: argparse.Namespace) -> None:
    """A line for each round that changed, until it is over."""
    known: dict[tuple[int, int], str] = {}
    while True:
        serial = store.serial()
        found = named(store, state, args)
        for one in found.attempts(PLOTTED):
            said = f"round {numbered(one)} {one.state}"
            if known.get((one.number, one.attempt)) != said:
                known[one.number, one.attempt] = said
                more = ", ".join(part for part in (buckets_text(one), metrics_text(one)) if part)
                print(printable(f"{said}: {one.why or more}"), flush=True)
        ready = _ready(found)
        if ready["reason"] in OVER:
            print(printable(f"{found.key}: {ready['reason']}: {ready['message']}"), flush=True)
            return
        _wait(store, serial)


def _wait(store: SqliteStore, serial: int) -> None:
    """Until the store changed, or a second went by (what is said of ages changes too)."""
    until = time.monotonic() + 1
    while store.serial() == serial and time.monotonic() < until:
        time.sleep(POLL)
