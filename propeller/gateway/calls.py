"""A call in words: the Function that is called, the request, a copy to ask, and how it ended.

Values only, and the sentences of a device read as one. `desk` decides with them, `carrier` writes
them down, and whoever faces a caller makes an answer of an Outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from propeller.model.functions import Calls, Trigger
from propeller.wire.call_messages import CallAnswer


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that is up: the run of it on a proplet, and bytes of a message that one takes."""

    proplet: str
    run: str
    max_payload: int = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A Function as it is called. name: namespace/name. timeout: ms. shut: why it takes none.

    since: when it came into being (Unix ms). hold: where it may have no copy at all, ms that a call
    waits for the first one; 0 where it may not. most: calls that wait so at one time.
    """

    uid: str
    name: str
    timeout: int
    calls: Calls
    copies: tuple[Copy, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    since: int = 0
    shut: str = ""
    hold: int = 0
    most: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, as it came. body: base64. timeout: ms, None for the Function's own.

    follow: bytes of its log that somebody wants to hear while it runs.
    """

    method: str = "POST"
    path: str = ""
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    timeout: int | None = None
    follow: int = 0


class End(Enum):
    """What became of a call."""

    DONE = "Done"
    FAILED = "Failed"  # it began and did not return
    REFUSED = "Refused"  # it never began
    UNKNOWN = "Unknown"  # it may have begun, and nobody can say more


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of a call. cause: a word; error: in words. retry_after: seconds, 0: no use.

    held: ms that it waited for the first copy to come, None where one was there.
    """

    end: End
    cause: str = ""
    error: str = ""
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    proplet: str = ""
    wait: int = 0
    took: int = 0
    retry_after: int = 0
    held: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call was sent, and under which name there."""

    proplet: str
    run: str
    inst: str
    boot: int
    wire: str


def come_again(words: str) -> Outcome:
    """It never began, for want of a copy: another time it may."""
    return Outcome(end=End.REFUSED, cause="absent", error=words, retry_after=5)


def size_of(request: Request) -> int:
    """Bytes of a message with it, about."""
    headers = sum(len(name) + len(value) + 8 for name, value in request.headers)
    return len(request.body) + headers + len(request.path) + len(request.query) + 1024


def done_of(answer: CallAnswer) -> Outcome:
    """A guest returned."""
    return Outcome(
        end=End.DONE,
        status=answer.status or 200,
        headers=answer.headers,
        body=answer.body,
        proplet=answer.id,
        wait=answer.wait,
        took=answer.took,
    )


def failed_of(answer: CallAnswer) -> Outcome:
    """A guest began and did not return."""
    return Outcome(
        end=End.FAILED,
        cause=answer.cause,
        error=answer.error,
        proplet=answer.id,
        wait=answer.wait,
        took=answer.took,
    )


def refusal_of(answer: CallAnswer) -> Outcome:
    """A proplet did not begin it. What is wrong with the request stays wrong: no use to retry."""
    return Outcome(
        end=End.REFUSED,
        cause=answer.cause,
        error=answer.error,
        proplet=answer.id,
        retry_after=0 if answer.cause in ("request", "cancelled") else 1,
    )
