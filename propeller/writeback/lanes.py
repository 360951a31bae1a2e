"""One lane a sink: messages in order, one under way, tried again later, dropped when too many.

A sink that hangs holds up its own lane and nobody else's: deliveries run in a few worker threads,
lanes are looked after by the one thread that owns them.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from propeller.model.specs import Sink
from propeller.writeback.retry import backoff
from propeller.writeback.router import Message
from propeller.writeback.sinks import Later, Refused

log = logging.getLogger("propeller.writeback")

MAX_WAITING: Final = 200
"""Messages a lane holds; past that the oldest is dropped."""

ATTEMPTS: Final = 8
"""Deliveries of one message before it is given up: about an hour with the pauses between."""

TELL_AT: Final = 3
"""Attempts after which it is said that a sink does not answer: half a minute or so."""

MAX_TOLD: Final = 8
"""Different troubles of one sink that are said before a message goes through."""

MOST_AFTER: Final = 3_600
"""Seconds of a Retry-After that are honoured."""

THREADS: Final = 4

Deliver = Callable[[Sink, Message], None]
LaneId = tuple[str, str]
"""Alert (`namespace/name`) and sink."""


@dataclass(slots=True)
class _Lane:
    sink: Sink
    waiting: deque[Message] = field(default_factory=deque)
    under_way: Future[None] | None = None
    attempts: int = 0
    due: int = 0
    told: set[str] = field(default_factory=set)


class Lanes:
    """All lanes. Every method is called by one thread; `wake` from delivering ones.

    deliver: raises Later or Refused. failed: told (lane, what) when a message is given up.
    """

    def __init__(
        self,
        deliver: Deliver,
        *,
        wake: Callable[[], None],
        failed: Callable[[LaneId, str], None],
        rng: random.Random,
    ) -> None:
        self._deliver = deliver
        self._wake = wake
        self._failed = failed
        self._rng = rng
        self._lanes: dict[LaneId, _Lane] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="alerts")
        self.delivered = 0

    def put(self, lane_id: LaneId, sink: Sink, message: Message) -> None:
        """Line a message up."""
        lane = self._lanes.setdefault(lane_id, _Lane(sink))
        lane.sink = sink
        lane.waiting.append(message)
        if len(lane.waiting) > MAX_WAITING:
            # The first may be under way: it is the second that goes.
            del lane.waiting[1 if lane.under_way is not None else 0]
            self._tell(
                lane_id, lane, f"more than {MAX_WAITING} messages wait; the oldest is dropped"
            )

    def work(self, now: int) -> int | None:
        """Take results in and send what is due. Returns when the next is due (Unix ms)."""
        for lane_id, lane in self._lanes.items():
            if lane.under_way is not None and lane.under_way.done():
                self._result(lane_id, lane, lane.under_way, now)
            if lane.under_way is None and lane.waiting and lane.due <= now:
                lane.under_way = self._pool.submit(self._deliver, lane.sink, lane.waiting[0])
                lane.under_way.add_done_callback(lambda _: self._wake())
        for lane_id in [one for one, lane in self._lanes.items() if not lane.waiting]:
            if not self._lanes[lane_id].told:
                del self._lanes[lane_id]
        dues = [
            lane.due for lane in self._lanes.values() if lane.waiting and lane.under_way is None
        ]
        return min(dues, default=None)

    def under_way(self) -> list[Future[None]]:
        """Deliveries somebody may wait for at the end."""
        return [lane.under_way for lane in self._lanes.values() if lane.under_way is not None]

    def close(self) -> None:
        """No more deliveries; those under way are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _result(self, lane_id: LaneId, lane: _Lane, done: Future[None], now: int) -> None:
        lane.under_way = None
        try:
            done.result()
        except Later as error:
            lane.attempts += 1
            if lane.attempts < ATTEMPTS:
                asked = min(error.after or 0, MOST_AFTER) * 1000
                lane.due = now + max(asked, backoff(lane.attempts, self._rng))
                if lane.attempts == TELL_AT:
                    self._tell(lane_id, lane, f"{error.what}; it is tried again")
                return
            trouble = f"{error.what}; given up after {ATTEMPTS} attempts"
        except Refused as error:
            trouble = error.what
        except Exception:
            log.exception("delivery to %s of %s", lane_id[1], lane_id[0])
            trouble = "an error of ours; see the log"
        else:
            trouble = ""
            self.delivered += 1
            lane.told.clear()
        lane.waiting.popleft()
        lane.attempts, lane.due = 0, now
        if trouble:
            self._tell(lane_id, lane, trouble)

    def _tell(self, lane_id: LaneId, lane: _Lane, trouble: str) -> None:
        """Each trouble once, until a message goes through."""
        if trouble not in lane.told and len(lane.told) < MAX_TOLD:
            lane.told.add(trouble)
            self._failed(lane_id, trouble)
