"""The broker as `doctor` sees it: does it take us in, how fast and how large does it echo.

Publishes nothing retained, on a topic of the manager's own that no one else listens to.
"""

from __future__ import annotations

import queue
import random
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from propeller.cli.checks import BAD, GOOD, WARN, Check
from propeller.transport.base import Connected, Event, Received

if TYPE_CHECKING:
    from propeller.cli.settings import Fleet
    from propeller.transport.endpoint import Endpoint
    from propeller.transport.mqtt import MqttTransport

ROUNDS = 9

SLOW_MS = 30.0
"""A round trip that takes longer on a quick network waits for a timer somewhere (Nagle: 40 ms)."""

WANTED = 1 << 20
"""Payload bytes a blob server would like to send at once."""

LEAST = 64 << 10


def check_broker(endpoint: Endpoint, fleet: Fleet, timeout: float) -> Iterator[Check]:
    """Connect, echo, measure."""
    from propeller.transport.mqtt import MqttTransport
    from propeller.wire.topics import Channel

    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    topic = Channel(fleet.domain, fleet.channel).manager_echo(endpoint.client_id)
    link = MqttTransport(endpoint, random.Random())  # noqa: S311 - only spreads reconnects
    link.start(heard.put)
    try:
        yield from _talk(link, heard, topic, endpoint, timeout)
    finally:
        link.close()


def _talk(
    link: MqttTransport,
    heard: queue.SimpleQueue[Event],
    topic: str,
    endpoint: Endpoint,
    timeout: float,
) -> Iterator[Check]:
    if not _wait(heard, lambda event: isinstance(event, Connected), timeout):
        why = link.stats().last_error or "no answer"
        mend = "check address, user, password file and TLS; is the broker up?"
        yield Check("broker", BAD, f"{endpoint}: {why}", mend)
        return
    link.subscribe([topic])
    times = [_echo(link, heard, topic, b"%d" % number, timeout) for number in range(ROUNDS)]
    good = sorted(one for one in times if one is not None)
    if not good:
        mend = f"let this user write and read {topic.rpartition('/')[0]}/#"
        yield Check("broker", BAD, f"{endpoint}: takes us in, but echoes nothing", mend)
        return
    middle = good[len(good) // 2]
    words = f"{endpoint}: round trip {middle:.1f} ms"
    if middle > SLOW_MS:
        mend = "in mosquitto: set_tcp_nodelay true; else it is far away"
        yield Check("broker", WARN, words, mend)
    else:
        yield Check("broker", GOOD, words)
    yield _largest(link, heard, topic, timeout)


def _largest(
    link: MqttTransport, heard: queue.SimpleQueue[Event], topic: str, timeout: float
) -> Check:
    """The largest payload of a few that comes back."""
    size = WANTED
    while size >= LEAST:
        if _echo(link, heard, topic, bytes(size), min(timeout, 2.0)) is not None:
            state = GOOD if size == WANTED else WARN
            mend = "" if size == WANTED else "raise its limit (mosquitto: max_packet_size)"
            return Check("max packet", state, f"at least {size >> 10} KiB come through", mend)
        if not _wait(heard, lambda event: isinstance(event, Connected), 0.5):
            pass  # still connected: it dropped the message and said nothing
        link.subscribe([topic])
        size //= 4
    mend = "raise its limit (mosquitto: max_packet_size)"
    return Check("max packet", WARN, f"not even {LEAST >> 10} KiB come through", mend)


def _echo(
    link: MqttTransport,
    heard: queue.SimpleQueue[Event],
    topic: str,
    payload: bytes,
    timeout: float,
) -> float | None:
    """Milliseconds until `payload` came back, None when it did not."""
    start = time.perf_counter()
    if not link.publish(topic, payload):
        return None

    def ours(event: Event) -> bool:
        return isinstance(event, Received) and event.payload == payload

    return (time.perf_counter() - start) * 1000 if _wait(heard, ours, timeout) else None


def _wait(heard: queue.SimpleQueue[Event], wanted: Callable[[Event], bool], timeout: float) -> bool:
    """Whether an event that `wanted` says yes to came in time; others are passed over."""
    end = time.monotonic() + timeout
    while (left := end - time.monotonic()) > 0:
        try:
            event = heard.get(timeout=left)
        except queue.Empty:
            return False
        if wanted(event):
            return True
    return False
