"""Operations: one question to one connection of one device, and its answers.

An operation names `inst, boot, conn`, a source and a counter, so that a queued or replayed one is
dropped by the device; it is never resent over another connection. One whose answer does not come
is `Unknown`, and said so (docs/reference/protocol.md, Operations).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from propeller.model.ids import PropletId
from propeller.model.seen import Seen
from propeller.reconcile.events import Reply
from propeller.state.base import Store
from propeller.state.records import OpRow
from propeller.wire.messages import Op, OpAnswer

ANSWER_TIMEOUT = 15_000
"""ms after which an operation without any answer is Unknown."""

KEEP_ENDED = 256


@dataclass(slots=True)
class _Open:
    row: OpRow
    reply: Reply | None
    last_n: int = -1


class Operations:
    """Operations under way. Owned by the loop."""

    def __init__(self, store: Store, *, source: str, new_id: Callable[[], str]) -> None:
        self._store = store
        self._source = source
        self._new_id = new_id
        self._counter = int(store.meta("op-counter") or 0)
        self._open: dict[str, _Open] = {}

    def forget_old(self, now: int) -> None:
        """At start: what an earlier process had under way has an unknown outcome."""
        for row in self._store.ops():
            if row.state in ("sent", "accepted"):
                self._store.put_op(replace(row, state="Unknown", due=now))

    def begin(
        self,
        verb: str,
        seen: Seen,
        *,
        uid: str = "",
        run: str = "",
        stream: str = "both",
        tail: int = 65536,
        follow: int = 0,
        reply: Reply | None = None,
        now: int,
    ) -> Op:
        """Write the operation down and give it its number. The caller signs and publishes it."""
        self._counter += 1
        self._store.set_meta("op-counter", str(self._counter))
        op = Op(
            id=self._new_id(),
            verb=verb,
            to=seen.id,
            inst=seen.inst,
            boot=seen.boot,
            conn=seen.conn,
            src=self._source,
            n=self._counter,
            uid=uid,
            run=run,
            stream=stream,
            tail=tail,
            follow=follow,
        )
        row = OpRow(
            id=op.id,
            proplet=seen.id,
            verb=verb,
            uid=uid,
            run=run,
            boot=seen.boot,
            conn=seen.conn,
            n=self._counter,
            state="sent",
            at=now,
            due=now + ANSWER_TIMEOUT + follow,
        )
        self._store.put_op(row)
        self._open[op.id] = _Open(row, reply)
        return op

    def answered(self, proplet: PropletId, answer: OpAnswer, now: int) -> bool:
        """An answer came. False when it belongs to nothing open (late, repeated or foreign)."""
        opened = self._open.get(answer.op)
        if opened is None or opened.row.proplet != proplet or answer.n <= opened.last_n:
            return False
        opened.last_n = answer.n
        ended = answer.state in ("done", "refused")
        opened.row = replace(
            opened.row,
            state=answer.state if ended else "accepted",
            due=max(opened.row.due, now + ANSWER_TIMEOUT),
        )
        if ended or opened.row.state != "accepted":
            self._store.put_op(opened.row)
        if opened.reply is not None:
            opened.reply(
                {
                    "proplet": str(proplet),
                    "state": answer.state,
                    "stream": answer.stream,
                    "text": answer.text,
                    "dropped": answer.dropped,
                    "done": ended,
                }
            )
        if ended:
            del self._open[answer.op]
        return True

    def expire(self, now: int) -> None:
        """Give up on what was not answered in time."""
        for name, opened in list(self._open.items()):
            if now >= opened.row.due:
                self._end_unknown(name, "the device did not answer in time")

    def left(self, proplet: PropletId, conn: int) -> None:
        """The device is on another connection: what was sent on the old one stays unanswered."""
        for name, opened in list(self._open.items()):
            if opened.row.proplet == proplet and opened.row.conn != conn:
                self._end_unknown(name, "the device reconnected before it answered")

    def due(self) -> int | None:
        """When `expire` has something to do (Unix ms)."""
        return min((opened.row.due for opened in self._open.values()), default=None)

    def _end_unknown(self, name: str, why: str) -> None:
        opened = self._open.pop(name)
        self._store.put_op(replace(opened.row, state="Unknown"))
        if opened.reply is not None:
            opened.reply(
                {
                    "proplet": str(opened.row.proplet),
                    "state": "Unknown",
                    "stream": "",
                    "text": why,
                    "dropped": 0,
                    "done": True,
                }
            )


def holders_of(
    fleet: Iterable[Seen], uid: str, proplet: PropletId | None
) -> list[tuple[Seen, str]]:
    """Which online proplets hold a run of `uid`: (proplet, newest run), sorted by id."""
    found = []
    for seen in fleet:
        if proplet is not None and seen.id != proplet:
            continue
        runs = [run for (owner, _), run in seen.runs.items() if owner == uid]
        if runs:
            newest = max(runs, key=lambda run: (run.started, run.run))
            found.append((seen, str(newest.run)))
    return sorted(found, key=lambda pair: pair[0].id)
