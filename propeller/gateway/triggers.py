"""What calls Functions by itself: messages on topics of the channel, and the clock.

Owned by `carrier`. A time of a schedule is a call with a key of its own, so that it is never made
twice, whatever is started anew; a message is a call like one over HTTP, its answer published where
the trigger says.
"""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Protocol

from propeller.errors import PropellerError
from propeller.gateway.calls import End, Outcome, Request, Route
from propeller.model.functions import CronTrigger, MqttTrigger, Trigger
from propeller.plan.schedule import slot_after, slot_before
from propeller.transport.filters import matches
from propeller.wire.call_messages import MAX_BODY
from propeller.wire.topics import Channel

log = logging.getLogger("propeller.gateway")

MOST_UNDER_WAY = 256
"""Calls by messages at one time; further messages are dropped and counted."""


class Calling(Protocol):
    """What triggers need of the Carrier."""

    def begin_for(self, name: str, request: Request, *, key: str | None) -> Future[Outcome]: ...
    def slot(self, trigger: str) -> int | None: ...
    def put_slot(self, trigger: str, at: int) -> None: ...
    def publish(self, topic: str, payload: bytes) -> None: ...
    def subscribe(self, filters: list[str]) -> None: ...
    def unsubscribe(self, filters: list[str]) -> None: ...


class Triggers:
    """See the module."""

    def __init__(self, calling: Calling, channel: Channel) -> None:
        self._calling = calling
        self._channel = channel
        self._lock = threading.Lock()
        self._topics: dict[str, list[tuple[str, str]]] = {}
        self._crons: dict[str, tuple[Route, CronTrigger]] = {}
        self._due: dict[str, int | None] = {}
        self._under_way = 0
        self.dropped = 0

    def learn(self, routes: Mapping[str, Route]) -> None:
        """Functions as they are now."""
        topics: dict[str, list[tuple[str, str]]] = {}
        crons: dict[str, tuple[Route, CronTrigger]] = {}
        for route in routes.values():
            for one in route.triggers if not route.shut else ():
                match one.by:
                    case MqttTrigger(topic=topic, answer=answer):
                        topics.setdefault(self._channel.data(topic), []).append(
                            (route.name, answer)
                        )
                    case CronTrigger() as cron:
                        crons[_name(route, one)] = (route, cron)
        with self._lock:
            gone = [one for one in self._topics if one not in topics]
            new = [one for one in topics if one not in self._topics]
            self._topics = topics
            kept = {
                name: self._due[name]
                for name, (_, cron) in crons.items()
                if name in self._due and self._crons.get(name, (None, None))[1] == cron
            }
            self._crons, self._due = crons, kept
        if gone:
            self._calling.unsubscribe(gone)
        if new:
            self._calling.subscribe(new)

    def connected(self) -> None:
        """Every subscription must be made again."""
        with self._lock:
            topics = list(self._topics)
        if topics:
            self._calling.subscribe(topics)

    # -- messages --------------------------------------------------------------------------------

    def hear(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """A message on a topic that is none of ours. A retained one is old: it calls nobody."""
        if retained:
            return
        with self._lock:
            meant = [
                one
                for pattern, names in self._topics.items()
                if matches(pattern, topic)
                for one in names
            ]
        for name, answer in meant:
            self._message(name, answer, topic, payload)

    def _message(self, name: str, answer: str, topic: str, payload: bytes) -> None:
        with self._lock:
            if self._under_way >= MOST_UNDER_WAY or len(payload) > MAX_BODY:
                self.dropped += 1
                return
            self._under_way += 1
        below = self._channel.below(topic)
        request = Request(
            method="PUBLISH",
            path=below,
            headers=(("propeller-trigger", "mqtt"), ("propeller-topic", below)),
            body=base64.b64encode(payload).decode("ascii"),
        )
        try:
            future = self._calling.begin_for(name, request, key=None)
        except PropellerError as error:
            log.warning("%s: not called by a message: %s", name, error)
            self._over()
            return
        future.add_done_callback(lambda done: self._answered(name, answer, done))

    def _answered(self, name: str, answer: str, done: Future[Outcome]) -> None:
        self._over()
        if done.cancelled():
            return
        outcome = done.result()
        if outcome.end is not End.DONE:
            log.warning("%s: a message was not answered: %s", name, outcome.error)
        elif answer:
            self._calling.publish(self._channel.data(answer), base64.b64decode(outcome.body))

    def _over(self) -> None:
        with self._lock:
            self._under_way -= 1

    # -- the clock -------------------------------------------------------------------------------

    def tick(self, now: int) -> None:
        """Make the calls whose time has come."""
        with self._lock:
            crons = list(self._crons.items())
        for name, (route, cron) in crons:
            due = self._due.get(name, 0)
            if due is None or now < due:
                continue
            self._fire(name, route, cron, now)

    def _fire(self, name: str, route: Route, cron: CronTrigger, now: int) -> None:
        since = max(self._calling.slot(name) or 0, route.since)
        slot = slot_after(cron.cron, cron.time_zone, since)
        if slot is not None and slot <= now:
            slot = max(slot, slot_before(cron.cron, cron.time_zone, now) or 0)
            late = now - slot > cron.deadline
            if not late or cron.catch_up:
                request = Request(
                    method="CRON",
                    headers=(("propeller-trigger", "cron"), ("propeller-slot", str(slot))),
                    body=base64.b64encode(cron.body.encode()).decode("ascii"),
                )
                key = f"cron/{name}/{slot}"
                self._calling.begin_for(route.name, request, key=key)
            self._calling.put_slot(name, slot)
            slot = slot_after(cron.cron, cron.time_zone, slot)
        self._due[name] = slot


def _name(route: Route, trigger: Trigger) -> str:
    return f"{route.uid}/{trigger.name}"
