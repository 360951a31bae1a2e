"""Operations: which are heard, and what becomes of their answers. Pure.

Called by `agent` with an op whose signature was verified. An op for another installation, boot or
connection, or whose counter is not above the last of its source, is dropped without an answer: it
was meant for somebody else, or it came twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from propeller.wire.messages import Hello, Op, OpAnswer
from proplet.effects import Effect, Now, Publish, TailLog
from proplet.live import Phase, Why, cut
from proplet.records import Key
from proplet.runs import Runs

SOURCES = 64
OPEN = 32
FOLLOWS = 4
MOST_TAIL = 256 * 1024
MOST_FOLLOW = 600_000
PIECE = 4096


@dataclass(slots=True)
class _Open:
    """An op that is not finished. `key`: the run it waits for, None for a log."""

    op: Op
    answered: int = 0
    key: Key | None = None


class Operations:
    """Counters per source and the ops under way; both live in memory, as their connection does."""

    def __init__(self, hello: Hello, *, ship_training: bool = False) -> None:
        self._hello = hello
        self._ship_training = ship_training
        self._last: dict[str, int] = {}
        self._open: dict[str, _Open] = {}
        self.collect = False

    def forget_connection(self) -> None:
        """A new connection: no op of the old one is heard again, so its counters may go."""
        self._last.clear()

    def hear(self, op: Op, *, conn: int, now: Now, runs: Runs, out: list[Effect]) -> str:
        """Carry out an op. Returns why it was dropped, or ""."""
        hello = self._hello
        if op.to != hello.id:
            return "foreign"
        if (op.inst, op.boot, op.conn) != (hello.inst, hello.boot, conn):
            return "other_connection"
        if op.n <= self._last.get(op.src, -1):
            return "repeated"
        if op.src not in self._last and len(self._last) >= SOURCES:
            return "too_many_sources"
        self._last[op.src] = op.n
        if op.not_after is not None and now.synced and now.wall > op.not_after:
            return "expired"
        if op.id in self._open:
            return "repeated"
        self._act(op, runs, out)
        return ""

    def _act(self, op: Op, runs: Runs, out: list[Effect]) -> None:
        opened = _Open(op)
        key = (op.uid, op.run)
        steps: list[Effect] = []
        match op.verb:
            case "collect":
                self.collect = True
                self._answer(opened, "done", out)
                return
            case "logs":
                refused = self._refuse_log(key, runs)
            case "cancel":
                refused = runs.cancel(key, steps.append)
            case "restart":
                refused = runs.restart(key, steps.append)
            case _:
                refused = f"verb {cut(op.verb, 64)!r} is not known here"
        if not refused and len(self._open) >= OPEN:
            refused = "too many operations under way"
        if refused:
            self._answer(opened, "refused", out, text=refused)
            return
        self._open[op.id] = opened
        self._answer(opened, "accepted", out)
        out.extend(steps)
        if op.verb == "logs":
            tail, follow = min(op.tail, MOST_TAIL), min(op.follow, MOST_FOLLOW)
            out.append(TailLog(op.id, runs.held.log_key(key), op.stream, tail, follow))
        else:
            opened.key = key
            self.settle(runs, out)

    def _refuse_log(self, key: Key, runs: Runs) -> str:
        live = runs.held.find(key)
        if live is None:
            return "no such run"
        if live.entry.fl is not None and not self._ship_training:
            return "it trains on this device's data: its owner keeps its logs (flLogs: Ship)"
        reading = sum(1 for opened in self._open.values() if opened.key is None)
        return "too many logs are being read" if reading >= FOLLOWS else ""

    def settle(self, runs: Runs, out: list[Effect]) -> None:
        """Answer `done` where the run is where the op wanted it."""
        for opened in list(self._open.values()):
            if opened.key is None:
                continue
            live = runs.held.find(opened.key)
            if opened.op.verb == "cancel":
                over = live is None or live.phase is Phase.ENDED
            else:
                over = live is None or not (
                    live.phase is Phase.STOPPING and live.why is Why.RESTARTED
                )
            if over:
                del self._open[opened.op.id]
                self._answer(opened, "done", out)

    def log_piece(
        self, op: str, *, stream: str, text: str, dropped: int, last: bool, out: list[Effect]
    ) -> None:
        """Send a piece of log on; the last one closes the op. Unknown ops are ignored."""
        opened = self._open.get(op)
        if opened is None:
            return
        if text or dropped:
            self._answer(opened, "progress", out, text=text, stream=stream, dropped=dropped)
        if last:
            del self._open[op]
            self._answer(opened, "done", out)

    def _answer(
        self,
        opened: _Open,
        state: str,
        out: list[Effect],
        *,
        text: str = "",
        stream: str = "",
        dropped: int = 0,
    ) -> None:
        hello = self._hello
        answer = OpAnswer(
            id=hello.id,
            op=opened.op.id,
            inst=hello.inst,
            boot=hello.boot,
            n=opened.answered,
            state=state,
            stream=stream,
            text=cut(text, PIECE),
            dropped=dropped,
        )
        opened.answered += 1
        out.append(Publish(answer))
