"""The messages of a call: a Function is asked, and answers. Pure data, as `messages` has it.

A call does not pass through the reconciler: a gateway signs it with a key that may do nothing else,
and has a topic of its own for the answers. docs/reference/functions.md tells the whole story.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_BODY = 128 * 1024
"""Bytes of a request or an answer. With headers and base64 they fit a payload of 256 KiB."""

MAX_FOLLOW = 256 * 1024
"""Bytes of a call's log that are told while it runs."""

MAX_PIECE = 4 * 1024
"""Bytes of one piece of it."""

MAX_HEADERS = 16 * 1024
"""Bytes of all names and values of headers together."""

MAX_MESSAGE = 256 * 1024
"""Bytes of a call or its answer as they are encoded: more than other messages may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireServe:
    """How an entry of mode `serve` takes calls. interface: Command | Values | Bytes.

    concurrency: calls at a time, queue: calls that wait, ready: processes kept waiting,
    invocations: calls of one instance.
    """

    interface: str
    concurrency: int = 1
    queue: int = 0
    ready: int = 0
    invocations: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of one Function on one connection of one device.

    verb: `run`; `recall` (answer it if it is known, begin nothing); `cancel`. A device begins a
    call `id` at most once. inst, boot, conn, src and n are as in `Op`. timeout: ms from when it
    comes, its wait included. body: base64. Header names are in lower case.
    trace: W3C's traceparent, "" where nobody traces. follow: bytes of what the guest logs that are
    told while it runs; 0: none.
    """

    id: str
    verb: str
    to: str
    inst: str
    boot: int
    conn: int
    src: str
    n: int
    uid: str
    run: str
    timeout: int = 30_000
    method: str = "POST"
    path: str = ""
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    trace: str = ""
    follow: int = 0
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswer:
    """What became of a call.

    state: `done` (it returned), `failed` (it began and did not return: `cause` says why),
    `refused` (it never began, so another device may be asked), `unknown` (to a recall: nothing is
    known of it here). cause: exit, trap, timeout, fuel, output, cancelled, interrupted, invalid
    (the answer); refused: busy, absent, stopping, request. status: of HTTP. body: base64.
    wait, took: microseconds it waited and ran.
    `running` is no end: it carries what the guest logged since, to who asked for that. n counts
    those from 1; lost: bytes that were logged before it and are in none.
    """

    id: str
    call: str
    inst: str
    boot: int
    state: str
    cause: str = ""
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    error: str = ""
    wait: int = 0
    took: int = 0
    log: str = ""
    lost: int = 0
    n: int = 0
    v: int = 1
