"""What an object's copies printed: a page whose script follows it, or what was printed last.

The script asks the API for it (`/api/v1/objects/.../logs`), as everybody does; without one,
`?show=1` asks the devices once and waits a little. Devices say what they like: it is text, and cut.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from propeller.gateway.asking import Answers, Loop
from propeller.gateway.dashboard import facts
from propeller.gateway.dashboard.rendering import Renderer
from propeller.gateway.dashboard.showing import Showing, page_entry
from propeller.gateway.gallery import Gallery
from propeller.gateway.problem import Problem
from propeller.gateway.routing import Call, Entry, Scope
from propeller.model.ids import Key, PropletId
from propeller.reconcile.events import Operate

PRINTING: Final = frozenset({"Task", "Daemon", "Function", "FederatedTask"})
"""Kinds that have copies which print."""

TAIL: Final = 16_384
"""Bytes asked of each copy."""

MOST: Final = 65_536
"""Characters of a page's log, of all copies together."""

PATIENCE_S: Final = 6.0
MOST_ASKED: Final = 8
"""Pages that wait for devices at once."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one copy printed on one stream, or why nothing came (`stream` is "")."""

    proplet: str
    stream: str
    text: str


def log_entries(gallery: Gallery, renderer: Renderer, loop: Loop) -> list[Entry]:
    """The part of the route table that shows logs."""
    pages = _LogPages(gallery, renderer, loop)
    return [
        page_entry(
            "/objects/{kind}/{namespace}/{name}/logs",
            pages.logs,
            "what its copies print",
            scope=Scope.PATH,
        )
    ]


class _LogPages(Showing):
    def __init__(self, gallery: Gallery, renderer: Renderer, loop: Loop) -> None:
        super().__init__(gallery, renderer)
        self._loop = loop
        self._asking = 0

    async def logs(self, call: Call) -> Response:
        """The page. `?show=1` asks the devices; `?proplet=` names one of them."""
        path, query = call.path, call.request.query_params
        key = Key(path["kind"], path["namespace"], path["name"])
        only = query.get("proplet", "")

        def known() -> list[str] | None:
            row = facts.find_status(self._gallery.picture().statuses, key)
            return None if row is None or key.kind not in PRINTING else facts.copies_on(row)

        proplets = await run_in_threadpool(known)
        if proplets is None:
            words = f"there is no {call.request.url.path}; it may have gone"
            return HTMLResponse(self._plain(call, "Not here", words), 404)
        only = only if only in proplets else ""
        pieces: list[Piece] | None = None
        if query.get("show") == "1":
            pieces = await self._ask(key, only)
        values = {
            "key": key,
            "path": call.request.url.path.removesuffix("/logs"),
            "proplets": proplets,
            "only": only,
            "pieces": pieces,
            "tail": TAIL,
            "most": MOST,
        }
        # Nothing here is drawn anew when the store moves: what was printed would be gone.
        text = self._renderer.page("logs.html", call.caller, serial=-1, here="objects", **values)
        return HTMLResponse(text)

    async def _ask(self, key: Key, only: str) -> list[Piece]:
        """What devices answer within our patience. Raises Problem where they cannot be asked."""
        if self._asking >= MOST_ASKED:
            raise Problem(503, "many ask for logs right now", retry=5)
        self._asking += 1
        try:
            return await self._collect(key, only)
        finally:
            self._asking -= 1

    async def _collect(self, key: Key, only: str) -> list[Piece]:
        answers = Answers()
        proplet = PropletId(only) if only else None
        self._loop.post(
            Operate(verb="logs", key=key, proplet=proplet, tail=TAIL, reply=answers.reply)
        )
        ends = time.monotonic() + PATIENCE_S
        first = await answers.next(PATIENCE_S)
        if "error" in first:
            return [Piece("", "", facts.clean(first["error"]))]
        named = first.get("proplets")
        waiting = {str(one) for one in named} if isinstance(named, list) else set()
        pieces: list[Piece] = []
        room = MOST
        while waiting and room > 0:
            left = ends - time.monotonic()
            words = await answers.next(left) if left > 0 else {"late": True}
            if words.get("late"):
                pieces += [Piece(one, "", "did not answer in time") for one in sorted(waiting)]
                break
            piece = _piece(words, room)
            if piece.text:
                pieces.append(piece)
                room -= len(piece.text)
            if words.get("done"):
                waiting.discard(piece.proplet)
        return _joined(pieces)


def _piece(words: Mapping[str, object], room: int) -> Piece:
    stream = str(words.get("stream") or "")
    text = str(words.get("text") or "")[:room]
    return Piece(
        str(words.get("proplet", "")), stream if stream in ("stdout", "stderr") else "", text
    )


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Pieces of one copy and stream that follow each other as one, without control characters."""
    out: list[Piece] = []
    for one in pieces:
        text = "".join(c for c in one.text if c.isprintable() or c in "\n\t")
        if out and (out[-1].proplet, out[-1].stream) == (one.proplet, one.stream):
            out[-1] = Piece(one.proplet, one.stream, out[-1].text + text)
        else:
            out.append(Piece(one.proplet, one.stream, text))
    return out
