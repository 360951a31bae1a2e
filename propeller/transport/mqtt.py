"""The Transport over a real broker: MQTT 3.1.1 or 5, by paho.

Keeps one connection alive on one thread of its own and tells the owner's listener what happens.
How one connection runs is `link`'s business; here are the attempts, the waits between them and the
counts. Leaves out what to subscribe and what to publish again after a reconnect: the owner knows.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence

from propeller.transport.backoff import Backoff
from propeller.transport.base import (
    Connected,
    Disconnected,
    Event,
    Listener,
    Received,
    Stats,
    Will,
)
from propeller.transport.endpoint import Endpoint, Tls
from propeller.transport.filters import check_filter, check_topic
from propeller.transport.link import Link

__all__ = ["Endpoint", "MqttTransport", "Tls"]

_log = logging.getLogger(__name__)

_STEADY_S = 5.0
"""A connection that lasted this long resets the backoff; one that flaps does not."""
_WINDOW = 200
_WINDOW_V5 = 20
"""Unacknowledged messages in flight. MQTT 5 brokers set their own bound (mosquitto: 20) and hang
up on who exceeds it; it is known only after the first connection."""
_JOIN_S = 5.0


class MqttTransport:
    """A Transport. `rng` serves the reconnect jitter only."""

    def __init__(self, endpoint: Endpoint, rng: random.Random) -> None:
        self._endpoint = endpoint
        self._backoff = Backoff(rng)
        self._window = _WINDOW_V5 if endpoint.protocol == "5" else _WINDOW
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._last_error = ""
        self._link: Link | None = None
        self._will: Will | None = None
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    @property
    def endpoint(self) -> Endpoint:
        """Where this transport connects to."""
        return self._endpoint

    def start(self, listener: Listener, will: Will | None = None) -> None:
        """Begin to connect; a broker that is away is tried again and again."""
        if self._thread is not None:
            raise AssertionError("a transport is started once")
        self.set_will(will)
        self._listener = listener
        name = f"mqtt-{self._endpoint.client_id}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def set_will(self, will: Will | None) -> None:
        """The will of the next connection."""
        if will is not None:
            check_topic(will.topic)
        self._will = will

    def subscribe(self, filters: Sequence[str]) -> None:
        """SUBSCRIBE at QoS 1, in slices."""
        for text in filters:
            check_filter(text)
        if (link := self._link) is not None:
            link.subscribe(filters)

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """UNSUBSCRIBE, in slices."""
        for text in filters:
            check_filter(text)
        if (link := self._link) is not None:
            link.unsubscribe(filters)

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bool:
        """Hand over for sending; see Transport."""
        check_topic(topic)
        if qos not in (0, 1):
            raise ValueError(f"QoS is 0 or 1 here, not {qos}")
        if len(payload) > self._endpoint.max_payload:
            # The broker would answer by hanging up, again and again.
            self._count(publish_refused=1, oversize=1)
            _log.warning(
                "%s: %d bytes are above the bound of %d: not sent",
                topic,
                len(payload),
                self._endpoint.max_payload,
            )
            return False
        link = self._link
        taken = link is not None and link.publish(topic, payload, qos=qos, retain=retain)
        if taken:
            self._count(published=1)
        else:
            self._count(publish_refused=1)
        return taken

    def flush(self, timeout: float) -> bool:
        """Wait until all that was taken is acknowledged."""
        deadline = time.monotonic() + timeout
        link = self._link
        if link is None or not link.is_open():
            return False
        while link.queued():
            if not link.is_open() or time.monotonic() >= deadline:
                return False
            time.sleep(0.002)
        return True

    def close(self) -> None:
        """Disconnect in good order, within seconds whatever the broker does."""
        self._end(gracefully=True)

    def abort(self) -> None:
        """Drop the connection as a crash would."""
        self._end(gracefully=False)

    def stats(self) -> Stats:
        """The counts so far."""
        link = self._link
        queued = link.queued() if link is not None else 0
        with self._lock:
            return Stats(queued=queued, last_error=self._last_error, **self._counts)

    # What the link tells, on our thread.

    def on_open(self) -> None:
        """Part of `link.Ears`."""
        self._count(connects=1)
        self._tell(Connected(self._counts["connects"]))

    def on_message(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Part of `link.Ears`."""
        if len(payload) > self._endpoint.max_payload:
            self._count(oversize=1)
            return
        self._count(received=1, received_bytes=len(payload))
        self._tell(Received(topic, payload, retained))

    def on_malformed(self) -> None:
        """Part of `link.Ears`."""
        self._count(malformed=1)

    def on_acknowledged(self) -> None:
        """Part of `link.Ears`."""
        self._count(acknowledged=1)

    def on_denied(self, what: str) -> None:
        """Part of `link.Ears`."""
        self._count(denied=1)
        _log.warning("%s: the broker denied %s", self._endpoint, what)

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            connects = self._counts["connects"]
            reason = self._connect_once()
            if self._stop.is_set():
                return
            known, self._last_error = self._last_error, reason
            if self._counts["connects"] > connects:
                if time.monotonic() - began >= _STEADY_S:
                    self._backoff.reset()
                self._count(disconnects=1)
                self._tell(Disconnected(reason))
            else:
                self._count(failed_connects=1)
                if reason != known:  # once, not at every attempt
                    _log.warning("%s is not connected: %s", self._endpoint.client_id, reason)
            self._stop.wait(self._backoff.next())

    def _connect_once(self) -> str:
        try:
            link = Link(self._endpoint, self._will, self._window, self)
        except (OSError, ValueError) as error:  # a TLS file that is missing or no PEM
            return f"{self._endpoint}: {error}"
        self._link = link
        if self._stop.is_set():  # `close` came before it could see this link
            link.end(gracefully=False)
        reason = link.run()
        if link.receive_maximum is not None and self._endpoint.protocol == "5":
            self._window = min(_WINDOW, link.receive_maximum)
        return reason

    def _end(self, *, gracefully: bool) -> None:
        self._stop.set()
        if (link := self._link) is not None:
            link.end(gracefully=gracefully)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)

    def _tell(self, event: Event) -> None:
        if self._stop.is_set() or self._listener is None:
            return
        try:
            self._listener(event)
        except Exception:
            # The owner's mistake must not cost it the connection; it is loud and counted instead.
            self._count(listener_errors=1)
            _log.exception("the listener of %s failed", self._endpoint.client_id)

    def _count(self, **more: int) -> None:
        with self._lock:
            self._counts.update(more)
