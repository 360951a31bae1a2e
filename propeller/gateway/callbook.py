"""The book of calls that were promised an answer: on disk before they are sent, and found again.

One that is asynchronous, or that its caller named by a key, outlives the process that took it. Any
thread may write in the book. It only remembers: `desk` decides, and `carrier` tells.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from propeller.errors import Unavailable
from propeller.gateway.calls import End, Outcome, Place, Request, Route
from propeller.state.calls import CallRow, CallStore

log = logging.getLogger("propeller.gateway")

MOST_TAKEN = 1_000
"""Asynchronous calls that have not ended."""


class CallBook:
    """See the module. clock: Unix ms."""

    def __init__(self, path: Path, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._calls = CallStore(path)
        self._rows: dict[str, CallRow] = {}

    def close(self) -> None:
        """Nothing is written from now on."""
        with self._lock:
            self._calls.close()

    def take(
        self, id_: str, name: str, route: Route | None, request: Request, key: str | None
    ) -> tuple[CallRow | None, CallRow | None]:
        """Promise an answer: the call that has this key already, else the new row.

        Neither where there is no Function (route: None) that could take it. Raises Unavailable.
        """
        with self._lock:
            known = self._calls.by_key(name, key) if key is not None else None
            if known is not None or route is None or route.shut:
                return known, None
            return None, self._note(id_, route, request, key)

    def _note(self, id_: str, route: Route, request: Request, key: str | None) -> CallRow:
        if len(self._rows) >= MOST_TAKEN:
            raise Unavailable(f"{MOST_TAKEN} calls that were promised an answer are under way")
        now = self._clock()
        row = CallRow(
            id=id_,
            function=route.name,
            key=key,
            digest=digest_of(request),
            at=now,
            expires=now + route.calls.keep,
            request=_plain(request),
        )
        self._calls.put(row)
        self._rows[id_] = row
        return row

    def placed(self, id_: str, place: Place) -> bool:
        """Write down where it goes before it goes there. False, and it waits, where that fails."""
        with self._lock:
            row = self._rows.get(id_)
            if row is None:
                return True
            row = self._rows[id_] = replace(row, state="sent", place=asdict(place))
            try:
                self._calls.put(row)
            except Unavailable as error:
                log.error("a call is not sent before this can be written: %s", error)
                return False
        return True

    def ended(self, id_: str, outcome: Outcome) -> None:
        """What became of it; nothing for a call that is not in the book."""
        with self._lock:
            row = self._rows.pop(id_, None)
            if row is not None:
                self._write_end(row, outcome)

    def _write_end(self, row: CallRow, outcome: Outcome) -> None:
        try:
            if outcome.end is End.REFUSED and row.key is not None:
                self._calls.drop(row.id)  # it never began: its key may be used again
                return
            now = self._clock()
            keep = row.expires - row.at
            self._calls.put(
                replace(row, state="ended", expires=now + keep, outcome=_plain(outcome))
            )
        except Unavailable as error:
            log.error("what became of a call cannot be written: %s", error)

    def find(self, id_: str) -> CallRow | None:
        """A call that was promised an answer."""
        with self._lock:
            return self._calls.find(id_)

    def left(self) -> list[CallRow]:
        """What an earlier process promised and did not end, oldest first: it is ours now."""
        with self._lock:
            rows = self._calls.open()
            self._rows.update({row.id: row for row in rows})
        return rows

    def prune(self, now: int) -> None:
        """Ended calls go when their time is over, or there are too many."""
        with self._lock:
            self._calls.prune(now)

    def slot(self, trigger: str) -> int | None:
        """The newest time of a schedule that was used up."""
        with self._lock:
            return self._calls.slot(trigger)

    def put_slot(self, trigger: str, at: int) -> None:
        """It is used up."""
        with self._lock:
            self._calls.put_slot(trigger, at)


def digest_of(request: Request) -> str:
    """Of what makes it another request: not of headers, which change on the way."""
    told = [request.method, request.path, request.query, request.body]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _plain(thing: Request | Outcome) -> dict[str, Any]:
    told = asdict(thing)
    if isinstance(thing, Outcome):
        told["end"] = thing.end.value
    return told


def place_of(told: Mapping[str, Any]) -> Place:
    """The inverse of how a place is written down."""
    return Place(**told)


def request_of(told: Mapping[str, Any]) -> Request:
    """The inverse of how a request is written down."""
    headers = tuple((name, value) for name, value in told["headers"])
    return Request(**{**told, "headers": headers})


def outcome_of(told: Mapping[str, Any]) -> Outcome:
    """The inverse of how an outcome is written down."""
    headers = tuple((name, value) for name, value in told["headers"])
    return Outcome(**{**told, "headers": headers, "end": End(told["end"])})
