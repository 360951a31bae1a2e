"""The results of a Task, read from the store; long ones from the blob store.

Bare by default, so that `$(propeller tasks results add)` is the value. Where the Task is on several
proplets there is one result a proplet, sorted by its name.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from propeller.cli.clock import age, now_ms
from propeller.cli.context import existing_state, open_store
from propeller.cli.find import find
from propeller.cli.names import short_digest
from propeller.cli.output import print_list, say
from propeller.cli.table import Cell
from propeller.errors import UsageError
from propeller.model.conditions import moment
from propeller.model.ids import Key, Uid
from propeller.model.seen import RunState
from propeller.plan.runs import CRON, DAEMON

if TYPE_CHECKING:
    from propeller.state.layout import StateDir
    from propeller.state.records import RunRecord
    from propeller.state.sqlite import SqliteStore

MOST_RUNS = 10_000

NOTHING = 2


def show(args: argparse.Namespace) -> int:
    """Print; returns the exit code: 0, or 2 when there is no result to print."""
    state = existing_state(args)
    store = open_store(state)
    try:
        with store.transaction():
            uid, key = _find(store, args)
            runs = _chosen(store, uid, args)
    finally:
        store.close()
    if args.output != "bare":
        _print_runs(args.output, runs)
        return 0
    return _print_bare(state, key, runs)


def _find(store: SqliteStore, args: argparse.Namespace) -> tuple[Uid, Key]:
    try:
        return find(store, args.name, namespace=args.namespace, kind="Task")
    except UsageError:
        return find(store, args.name, namespace=args.namespace)


def _chosen(store: SqliteStore, uid: Uid, args: argparse.Namespace) -> list[RunRecord]:
    """The run each proplet has now; where none has one, the newest of all. With --all every one."""
    runs = store.runs(uid, MOST_RUNS)
    if args.proplet is not None:
        runs = [one for one in runs if one.proplet == args.proplet]
    if args.all:
        return runs
    held = {one.run for one in store.assignments() if one.uid == uid and not one.releasing}
    current = [one for one in runs if one.run in held] or runs[:1]
    # Of a schedule that devices keep, what stands is the schedule; its newest runs are meant.
    timed = {one.proplet: one for one in reversed(runs) if one.cause.startswith(CRON)}
    current = [timed.get(one.proplet, one) if one.cause == DAEMON else one for one in current]
    return sorted(current, key=lambda one: one.proplet)


def _print_bare(state: StateDir, key: Key, runs: Sequence[RunRecord]) -> int:
    printed = 0
    for one in runs:
        if one.result is not None and one.state == RunState.SUCCEEDED:
            sys.stdout.write(one.result if one.result.endswith("\n") else f"{one.result}\n")
            printed += 1
        elif one.result_digest is not None and one.state == RunState.SUCCEEDED:
            printed += _print_blob(state, one.result_digest)
        elif RunState(one.state).ended:
            status = f", exit {one.exit}" if one.exit is not None else ""
            say(f"{one.proplet}: {one.state}{status}{': ' + one.error if one.error else ''}")
        else:
            say(f"{one.proplet}: {one.state}, no result yet")
    if not runs:
        say(f"{key} has not run yet")
    return 0 if printed else NOTHING


def _print_blob(state: StateDir, digest: str) -> int:
    from propeller.registry.blobs import BlobStore

    sys.stdout.flush()
    try:
        with BlobStore(state.blobs).open(digest) as stream:
            while piece := stream.read(1 << 20):
                sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except FileNotFoundError:
        say(f"the result {short_digest(digest)} is still on its way up")
        return 0
    return 1


def _print_runs(form: str, runs: Sequence[RunRecord]) -> None:
    now = now_ms()
    items = [
        {
            "object": str(one.key),
            "proplet": one.proplet,
            "run": one.run,
            "cause": one.cause,
            "attempt": one.attempt,
            "state": one.state,
            "exit": one.exit,
            "result": one.result,
            "resultDigest": one.result_digest,
            "error": one.error,
            "started": moment(one.started) if one.started else None,
            "ended": moment(one.ended) if one.ended else None,
            "endedMs": one.ended,
        }
        for one in runs
    ]

    def row(item: Mapping[str, Any]) -> Sequence[str | Cell]:
        good = item["state"] == RunState.SUCCEEDED
        tone = "good" if good else "bad" if RunState(item["state"]).ended else "odd"
        result = item["result"]
        if result is None:
            result = short_digest(item["resultDigest"]) if item["resultDigest"] else item["error"]
        status = "-" if item["exit"] is None else str(item["exit"])
        return (
            item["proplet"],
            Cell(item["state"], tone),
            status,
            age(item["endedMs"], now),
            result,
        )

    if not items and form in ("table", "wide"):
        say("it has not run yet")
        return
    print_list(
        form,
        items,
        heads=("PROPLET", "STATE", "EXIT", "ENDED", "RESULT"),
        row=row,
        name=lambda item: f"{item['proplet']}/{item['run']}",
        wide_heads=("RUN", "CAUSE", "ATTEMPT"),
        wide_row=lambda item: (item["run"][:12], item["cause"], str(item["attempt"])),
    )
