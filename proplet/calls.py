"""Calls as they come over the wire: which are begun, and what is remembered of them.

Owned by the shell, beside the pure agent: a call is none of the inventory's business and shall not
wait for it. A call is begun at most once here: one for another installation, boot or connection, or
whose counter is not above the last of its source, is dropped, and a call that is known is answered
from memory. What is known goes with the process; a later boot says so.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from propeller.errors import WireError
from propeller.wire.call_messages import MAX_FOLLOW, Call, CallAnswer
from propeller.wire.messages import Hello
from proplet.pending import Pending, Result, refused
from proplet.pool import Pool
from proplet.records import Key

SOURCES = 64
MOST_KNOWN = 1024
"""Calls remembered, and of how many bytes in all."""
MOST_BYTES = 8 << 20


def _untraced(_call: Call, _result: Result) -> None:
    return


@dataclass(slots=True)
class _Known:
    """A call that was begun. result: None while it runs. src: who is told."""

    key: Key
    src: str
    result: Result | None = None
    pieces: int = 0
    told: int = 0
    """Pieces of its log that were told, and bytes in them."""

    @property
    def size(self) -> int:
        """Bytes it holds, about."""
        return 512 + (len(self.result.body) if self.result is not None else 0)


class Calls:
    """See the module. send: signs and publishes an answer to a source. traced: told each end."""

    def __init__(
        self,
        hello: Hello,
        *,
        open_call: Callable[[bytes], Call],
        find: Callable[[Key], Pool | None],
        clock: Callable[[], int],
        send: Callable[[str, CallAnswer], None],
        traced: Callable[[Call, Result], None] = _untraced,
    ) -> None:
        self._hello = hello
        self._open_call = open_call
        self._find = find
        self._clock = clock
        self._send = send
        self._traced = traced
        self._conn = 0
        self._last: dict[str, int] = {}
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._bytes = 0
        self.dropped: Counter[str] = Counter()

    def connected(self, conn: int) -> None:
        """A new connection: no call of the old one is heard again, so its counters may go."""
        self._conn = conn
        self._last.clear()

    def hear(self, payload: bytes) -> str:
        """Carry out what it says. Returns why it was dropped, or ""."""
        try:
            call = self._open_call(payload)
        except WireError as error:
            self.dropped[error.reject] += 1
            return error.reject
        why = self._why_not(call)
        if why:
            self.dropped[why] += 1
            return why
        self._last.pop(call.src, None)
        self._last[call.src] = call.n
        if len(self._last) > SOURCES:  # gateways come and go; a call is known by its id as well
            del self._last[next(iter(self._last))]
        known = self._known.get(call.id)
        match call.verb:
            case "run" if known is None:
                self._begin(call)
            case "cancel":
                self._cancel(call, known)
            case _:
                self._recall(call, known)
        return ""

    def _why_not(self, call: Call) -> str:
        hello = self._hello
        if call.to != hello.id:
            return "foreign"
        if (call.inst, call.boot, call.conn) != (hello.inst, hello.boot, self._conn):
            return "other_connection"
        if call.n <= self._last.get(call.src, -1):
            return "repeated"
        return ""

    def _begin(self, call: Call) -> None:
        key = (call.uid, call.run)
        pool = self._find(key)
        if pool is None:
            words = "this proplet does not hold that version of the function"
            self._tell(call.src, call.id, refused("absent", words))
            return
        now = self._clock()
        known = _Known(key, call.src)
        self._known[call.id] = known
        self._bytes += known.size

        def answered(result: Result) -> None:
            self._traced(call, result)
            self._answered(call.id, known, result)

        pool.submit(
            Pending(
                id=call.id,
                request={
                    "method": call.method,
                    "path": call.path,
                    "query": call.query,
                    "headers": call.headers,
                    "body": call.body,
                    "follow": call.follow,
                },
                heard=lambda text, lost: self._heard(call, known, text, lost),
                came=now,
                ends=now + min(call.timeout, pool.entry.timeout or call.timeout),
                answer=answered,
            )
        )

    def _heard(self, call: Call, known: _Known, text: str, lost: int) -> None:
        """What a guest logged, to whoever asked for it."""
        known.told += len(text.encode()) if text else 0
        if call.follow and known.result is None and known.told <= 4 * MAX_FOLLOW:
            known.pieces += 1
            piece = Result(state="running", log=text, lost=lost, n=known.pieces)
            self._tell(known.src, call.id, piece)

    def _answered(self, id_: str, known: _Known, result: Result) -> None:
        self._bytes -= known.size
        known.result = result
        self._bytes += known.size
        if result.state == "refused":  # it never began: it may come again
            self._drop(id_)
        self._forget_old()
        self._tell(known.src, id_, result)

    def _recall(self, call: Call, known: _Known | None) -> None:
        if known is None:
            self._tell(call.src, call.id, Result(state="unknown"))
            return
        known.src = call.src
        if known.result is not None:
            self._tell(call.src, call.id, known.result)

    def _cancel(self, call: Call, known: _Known | None) -> None:
        if known is None or known.result is not None:
            self._recall(call, known)
            return
        known.src = call.src
        pool = self._find(known.key)
        if pool is not None:
            pool.cancel(call.id)

    def _drop(self, id_: str) -> None:
        known = self._known.pop(id_, None)
        if known is not None:
            self._bytes -= known.size

    def _forget_old(self) -> None:
        """Keep what is remembered within its bounds, what runs left out."""
        many, size, gone = len(self._known), self._bytes, []
        for id_, known in self._known.items():
            if many <= MOST_KNOWN and size <= MOST_BYTES:
                break
            if known.result is not None:
                gone.append(id_)
                many, size = many - 1, size - known.size
        for id_ in gone:
            self._drop(id_)

    def _tell(self, src: str, id_: str, result: Result) -> None:
        hello = self._hello
        self._send(
            src,
            CallAnswer(
                id=hello.id,
                call=id_,
                inst=hello.inst,
                boot=hello.boot,
                state=result.state,
                cause=result.cause,
                status=result.status,
                headers=result.headers,
                body=result.body,
                error=result.error[:256],
                wait=max(0, result.wait),
                took=max(0, result.took),
                log=result.log,
                lost=max(0, result.lost),
                n=result.n,
            ),
        )
