"""The desk of alerts: news in, messages out through their lanes, memory kept across restarts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from typing import Final

from propeller.model.ids import Uid
from propeller.writeback.lanes import Deliver, LaneId, Lanes
from propeller.writeback.news import Batch, Note
from propeller.writeback.router import Router, Told

SAVE_EVERY: Final = 10_000
"""ms between two writes of the memory, at least."""

MAX_MEMORY: Final = 32 << 20
FINISH_SECONDS: Final = 5.0

Remark = Callable[[str, str, str, str], None]
"""Tells the fleet's people something: severity, reason, message, `namespace/name` of the Alert."""


class AlertDesk:
    """What the alert worker does. memory: the file that outlives the process."""

    def __init__(
        self,
        deliver: Deliver,
        *,
        wake: Callable[[], None],
        remark: Remark,
        memory: Path,
        rng: random.Random,
    ) -> None:
        self._router = Router()
        self._remark = remark
        self._memory = memory
        self._lanes = Lanes(deliver, wake=wake, failed=self._failed, rng=rng)
        self._told: list[Told] = []
        self._unsaved_since: int | None = None
        self._recall()

    @property
    def delivered(self) -> int:
        """Messages that a sink has taken."""
        return self._lanes.delivered

    def take(self, batch: Batch, now: int) -> None:
        """Alerts first: they govern the events they came with. Events before how things stand."""
        for uid, alert in batch.alerts.items():
            self._router.define(uid, alert)
        for note in batch.notes:
            self._told += self._router.note(note, now)
        if batch.dropped:
            self._told += self._router.note(_dropped(batch.dropped, now), now)
        for key, standing in batch.stand().items():
            self._router.standing(key, standing)

    def work(self, now: int) -> int | None:
        """Line up, deliver, remember."""
        self._told += self._router.due_messages(now)
        if self._told and self._unsaved_since is None:
            self._unsaved_since = now
        self._line_up()
        dues = [self._lanes.work(now), self._router.due(now), self._save(now)]
        return min((due for due in dues if due is not None), default=None)

    def finish(self, now: int) -> None:
        """Deliver what is lined up, for a few seconds, and remember the rest of what was told."""
        self._told += self._router.due_messages(now)
        self._line_up()
        self._lanes.work(now)
        wait(self._lanes.under_way(), timeout=FINISH_SECONDS)
        self._lanes.work(now)
        self._lanes.close()
        self._write()

    def _line_up(self) -> None:
        told, self._told = self._told, []
        for uid, message in told:
            alert = self._router.alert(Uid(uid))
            for sink in alert.sinks if alert is not None else ():
                self._lanes.put((message.alert, sink.name), sink, message)

    def _failed(self, lane: LaneId, what: str) -> None:
        alert, sink = lane
        self._remark("Warning", "AlertFailed", f"sink {sink}: {what}", alert)

    # -- memory -------------------------------------------------------------------------------

    def _save(self, now: int) -> int | None:
        if self._unsaved_since is None:
            return None
        if now < self._unsaved_since + SAVE_EVERY:
            return self._unsaved_since + SAVE_EVERY
        self._write()
        self._unsaved_since = None
        return None

    def _write(self) -> None:
        draft = self._memory.with_suffix(".new")
        try:
            draft.write_text(json.dumps(self._router.memory()), encoding="utf-8")
            draft.replace(self._memory)
        except OSError as error:
            self._remark("Warning", "AlertMemoryLost", f"{self._memory}: {error.strerror}", "")

    def _recall(self) -> None:
        """A file that is gone or broken costs a repeated message, nothing else."""
        try:
            with self._memory.open("rb") as file:
                rows = json.loads(file.read(MAX_MEMORY))
        except (OSError, ValueError):
            return
        if isinstance(rows, list):
            self._router.remember(row for row in rows if isinstance(row, dict))


def _dropped(count: int, now: int) -> Note:
    return Note(
        at=now,
        severity="Warning",
        reason="EventsDropped",
        message=f"{count} events came faster than alerts could be looked at",
    )
