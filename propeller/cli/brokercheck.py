"""The broker as `doctor` sees it: does it take us in, may we write and read what a manager has to,
how fast, how much and how large does it echo, does it keep what is retained.

Publishes on a topic of the manager's own that no one else listens to, and on those of a proplet
that does not exist; what is retained for a moment is taken back.
"""

from __future__ import annotations

import queue
import random
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

from propeller.cli.checks import BAD, GOOD, WARN, Check
from propeller.transport.base import Connected, Event, Received

if TYPE_CHECKING:
    from propeller.cli.settings import Fleet
    from propeller.transport.endpoint import Endpoint
    from propeller.transport.mqtt import MqttTransport
    from propeller.wire.topics import Channel

ROUNDS = 9

SLOW_MS = 30.0
"""A round trip that takes longer on a quick network waits for a timer somewhere (Nagle: 40 ms)."""

WANTED = 1 << 20
"""Payload bytes a blob server would like to send at once."""

LEAST = 64 << 10

BURST = 1_500
"""Small messages sent at once: a fleet's reports after a restart. mosquitto drops what is beyond
1,000 for a subscriber unless it is told otherwise, and acknowledges it all the same."""

SILENCE = 1.0
"""Seconds without anything new after which nothing more is waited for."""


def check_broker(endpoint: Endpoint, fleet: Fleet, timeout: float) -> Iterator[Check]:
    """Connect, echo, measure."""
    from propeller.transport.mqtt import MqttTransport
    from propeller.wire.topics import Channel

    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    channel = Channel(fleet.domain, fleet.channel)
    topic = channel.manager_echo(endpoint.client_id)
    link = MqttTransport(endpoint, random.Random())  # noqa: S311 - only spreads reconnects
    link.start(heard.put)
    try:
        answers = yield from _talk(link, heard, topic, endpoint, timeout)
        if answers:
            yield _kept(link, heard, topic, timeout)
            yield _rights(link, heard, channel, endpoint.client_id, timeout)
            yield _burst(link, heard, topic, timeout)
            yield _largest(link, heard, topic, timeout)
    finally:
        link.close()


def _talk(
    link: MqttTransport,
    heard: queue.SimpleQueue[Event],
    topic: str,
    endpoint: Endpoint,
    timeout: float,
) -> Generator[Check, None, bool]:
    """Returns whether it answers at all."""
    if not _wait(heard, lambda event: isinstance(event, Connected), timeout):
        why = link.stats().last_error or "no answer"
        mend = "check address, user, password file and TLS; is the broker up?"
        yield Check("broker", BAD, f"{endpoint}: {why}", mend)
        return False
    link.subscribe([topic])
    times = [_echo(link, heard, topic, b"%d" % number, timeout) for number in range(ROUNDS)]
    good = sorted(one for one in times if one is not None)
    if not good:
        mend = f"let this user write and read {topic.rpartition('/')[0]}/#"
        yield Check("broker", BAD, f"{endpoint}: takes us in, but echoes nothing", mend)
        return False
    yield pace_of(str(endpoint), good[len(good) // 2])
    return True


def pace_of(where: str, round_trip: float) -> Check:
    """What a round trip of so many ms means."""
    words = f"{where}: round trip {round_trip:.1f} ms"
    if round_trip > SLOW_MS:
        mend = "in mosquitto: set_tcp_nodelay true; else it is far away"
        return Check("broker", WARN, words, mend)
    return Check("broker", GOOD, words)


def _kept(
    link: MqttTransport, heard: queue.SimpleQueue[Event], topic: str, timeout: float
) -> Check:
    """Documents wait at the broker for devices that are away: it has to keep what is retained."""
    mark = b"kept?"
    link.unsubscribe([topic])
    link.publish(topic, mark, retain=True)
    link.subscribe([topic])

    def ours(event: Event) -> bool:
        return isinstance(event, Received) and event.payload == mark

    kept = _wait(heard, ours, timeout)
    link.publish(topic, b"", retain=True)
    if kept:
        return Check("retained", GOOD, "retained messages are kept")
    mend = "switch retained messages on (mosquitto: retain_available true)"
    return Check("retained", BAD, "what is retained is not kept: devices would miss it", mend)


def _rights(
    link: MqttTransport,
    heard: queue.SimpleQueue[Event],
    channel: Channel,
    nobody: str,
    timeout: float,
) -> Check:
    """A manager writes what devices read and reads what they write. nobody: no proplet's name."""
    topics = {
        channel.desired(nobody): "documents",
        channel.op(nobody): "operations",
        channel.blob_data(nobody): "modules",
        channel.status(nobody): "presence",
        channel.hello(nobody): "hellos",
        channel.report(nobody): "reports",
        channel.op_answer(nobody, "x"): "answers",
        channel.blob_put(nobody): "uploads",
    }
    link.subscribe(list(topics))
    for topic in topics:
        link.publish(topic, b"doctor")
    missing = dict(topics)

    def all_there(event: Event) -> bool:
        if isinstance(event, Received):
            missing.pop(event.topic, None)
        return not missing

    _wait(heard, all_there, min(timeout, 2 * SILENCE))
    link.unsubscribe(list(topics))
    if not missing:
        return Check("rights", GOOD, f"may write and read all of {channel.base}/")
    words = f"what it writes does not come back: {', '.join(missing.values())}"
    mend = f"let this user write and read {channel.base}/# (propeller provision makes such rights)"
    return Check("rights", BAD, words, mend)


def _burst(
    link: MqttTransport, heard: queue.SimpleQueue[Event], topic: str, timeout: float
) -> Check:
    """Whether much at once comes through whole."""
    link.subscribe([topic])
    for number in range(BURST):
        link.publish(topic, b"burst %d" % number)
    end, back = time.monotonic() + timeout, 0
    while back < BURST and time.monotonic() < end:
        try:
            event = heard.get(timeout=SILENCE)
        except queue.Empty:
            break
        back += isinstance(event, Received) and event.payload.startswith(b"burst ")
    if back == BURST:
        return Check("queues", GOOD, f"{BURST} messages at once come through")
    words = f"of {BURST} messages sent at once {back} came back: the others are lost, or late"
    mend = "mosquitto: max_queued_messages 0 and max_inflight_messages 1000"
    return Check("queues", WARN, words, mend)


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
