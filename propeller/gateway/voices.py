"""Whose word a message about a call is: opened with the key its proplet is known by, or not heard.

Used by `carrier` only. Any thread may ask.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from propeller.errors import WireError
from propeller.wire import codec
from propeller.wire.call_messages import MAX_MESSAGE, CallAnswer
from propeller.wire.frame import is_framed, open_frame
from propeller.wire.keyring import Keyring
from propeller.wire.messages import Status
from propeller.wire.signing import VerifyKey

MOST_EARLY, MOST_EARLY_BYTES = 4_096, 4_096
"""Statuses kept that cannot be believed yet, and how long one may be."""


class Voices:
    """See the module. key_of: the key a proplet is known by, None while there is none.

    The newest status of a proplet whose key is not known yet is kept. A new device says it is
    online before the reconciler has taken its hello, and says it once: the broker keeps it, and
    tells nobody again who heard it.
    """

    def __init__(self, key_of: Callable[[str], VerifyKey | None]) -> None:
        self._key_of = key_of
        self._lock = threading.Lock()
        self._rings: dict[str, Keyring] = {}
        self._early: dict[str, bytes] = {}

    def answer(self, proplet: str, payload: bytes) -> CallAnswer:
        """What a proplet says of a call. Raises WireError."""
        body = open_frame("return", payload, self._ring(proplet)).body
        answer = codec.decode(CallAnswer, body, limit=MAX_MESSAGE)
        if answer.id != proplet:
            raise WireError("bad_id", "an answer in another's name")
        return answer

    def status(self, proplet: str, payload: bytes) -> Status:
        """What is said of its connection. Raises WireError; an early word is kept all the same."""
        with self._lock:
            self._early.pop(proplet, None)
        try:
            return self._status(proplet, payload)
        except WireError as error:
            if error.reject == "unknown_kid" and len(payload) <= MOST_EARLY_BYTES:
                with self._lock:
                    if len(self._early) < MOST_EARLY:
                        self._early[proplet] = payload
            raise

    def _status(self, proplet: str, payload: bytes) -> Status:
        if is_framed(payload):
            body = open_frame("status", payload, self._ring(proplet)).body
            status = codec.decode(Status, body)
        else:
            status = codec.decode(Status, payload)
            if status.state != "offline":
                raise WireError("not_framed", "an unsigned online")
        if status.id != proplet:
            raise WireError("bad_id", "a status in another's name")
        return status

    def _ring(self, proplet: str) -> Keyring:
        ring = self._rings.get(proplet)
        if ring is None:
            key = self._key_of(proplet)
            if key is None:
                raise WireError("unknown_kid", f"no key is known for {proplet}")
            ring = self._rings[proplet] = Keyring.of_device(key)
        return ring

    def forget_keys(self) -> None:
        """Ask for them anew: they may have changed."""
        self._rings.clear()

    def early(self) -> Iterator[tuple[str, bytes]]:
        """Proplets and their words that could not be believed, save where a newer one came."""
        with self._lock:
            early = dict(self._early)
        for proplet, payload in early.items():
            with self._lock:
                if self._early.get(proplet) is not payload:
                    continue
            yield proplet, payload
