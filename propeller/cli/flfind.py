"""What the store has of one FederatedTask, for verbs that only read."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from propeller.cli.context import add_state, existing_state, open_store
from propeller.cli.find import find
from propeller.errors import UsageError
from propeller.model.federated import FederatedTask
from propeller.model.ids import Key, Uid
from propeller.model.rounds import Job, Round, RoundState

if TYPE_CHECKING:
    from propeller.state.layout import StateDir
    from propeller.state.sqlite import SqliteStore

EVERYTHING = 10_000
"""Rounds of one object that a store keeps."""


def add_name(parser: argparse.ArgumentParser) -> None:
    """The task a verb is about, and the state it is in."""
    parser.add_argument("name", metavar="NAME", help="NAME, KIND/NAME or KIND/NAMESPACE/NAME")
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    add_state(parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A FederatedTask as the store has it now. job: None before the first round."""

    store: SqliteStore
    state: StateDir
    uid: Uid
    key: Key
    task: FederatedTask
    job: Job | None

    def attempts(self, limit: int) -> list[Round]:
        """The newest attempts at rounds of the job there is now, oldest first."""
        if self.job is None:
            return []
        rows = self.store.rounds(self.uid, limit)
        return [one for one in reversed(rows) if one.job == self.job.job]

    def committed(self, limit: int = EVERYTHING) -> list[Round]:
        """Those of them that were committed, oldest first."""
        return [one for one in self.attempts(limit) if one.state is RoundState.COMMITTED]

    def round(self, number: int) -> Round:
        """The committed round of that number. Raises UsageError where there is none."""
        for one in self.committed():
            if one.number == number:
                return one
        done = self.job.done if self.job is not None else 0
        raise UsageError(
            f"{self.key} has no committed round {number} in the store",
            hint=f"{done} rounds are committed; `propeller fl rounds {self.key.name}` lists them",
        )


@contextlib.contextmanager
def opened(args: argparse.Namespace) -> Iterator[Found]:
    """The task that was named. Raises UsageError."""
    state = existing_state(args)
    store = open_store(state)
    try:
        yield named(store, state, args)
    finally:
        store.close()


def named(store: SqliteStore, state: StateDir, args: argparse.Namespace) -> Found:
    """As `opened`, in a store that is open."""
    uid, key = find(store, args.name, namespace=args.namespace, kind="FederatedTask")
    held = next((one for one in store.inventory() if one.uid == uid), None)
    if held is None or not isinstance(held.object, FederatedTask):
        raise UsageError(f"{key} is not a FederatedTask")
    learning = store.learnings().get(uid)
    return Found(
        store=store,
        state=state,
        uid=uid,
        key=key,
        task=held.object,
        job=None if learning is None else learning.job,
    )


def metric_of(found: Found, rounds: list[Round], wanted: str | None) -> str:
    """The metric that is meant: what was asked for, what the spec watches, else the first, "" for
    none."""
    if wanted is not None:
        return wanted
    evaluation = found.task.terms.evaluation
    if evaluation is not None:
        return evaluation.metric
    return next((name for one in reversed(rounds) for name, _ in one.metrics), "")


def points(rounds: list[Round], metric: str) -> list[tuple[int, float]]:
    """(round, value) where the metric was measured; evaluated rounds alone where there are any,
    since what trainers say of themselves is another measurement."""
    if any(one.judges for one in rounds):
        rounds = [one for one in rounds if one.judges]
    found = []
    for one in rounds:
        text = dict(one.metrics).get(metric)
        if text is not None and math.isfinite(float(text)):
            found.append((one.number, float(text)))
    return found


def metrics_text(round_: Round) -> str:
    """The first metrics of a round, for a table."""
    return ", ".join(f"{name} {value[:8]}" for name, value in round_.metrics[:3])


def numbered(round_: Round) -> str:
    """`7`, or `7.2` for the second attempt at it."""
    return str(round_.number) + (f".{round_.attempt}" if round_.attempt > 1 else "")


def blob_row(blob: Any) -> dict[str, object] | None:
    """A blob as data."""
    return {"digest": str(blob.digest), "size": blob.size} if blob else None
