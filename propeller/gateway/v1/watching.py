"""Watching by server-sent events: what is there, then what moves, as `put` and `gone`.

State, not deltas: whoever connects again is told everything there is, so nothing is missed however
long the line was cut. One look a quarter of a second and only when the store's serial moved.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from propeller.errors import PropellerError
from propeller.gateway.access.roles import Role
from propeller.gateway.gallery import Gallery, Picture
from propeller.gateway.problem import Problem
from propeller.gateway.routing import Call, Entry, Param, Scope
from propeller.gateway.v1 import shapes
from propeller.gateway.v1.schemas import TEXT
from propeller.model.seen import Seen as Sighting

POLL_S: Final = 0.25
SILENCE_S: Final = 15.0
MOST_STREAMS: Final = 64

Say = Callable[[Sighting], dict[str, Any]]
Seen = Mapping[str, tuple[object, Callable[[], dict[str, Any]]]]
"""By name: what tells whether it moved, and how to say it."""


def watch_entries(gallery: Gallery) -> list[Entry]:
    """The part of the route table that stays."""
    watching = Watching(gallery)
    return [
        Entry(
            method="GET",
            path="/api/v1/watch",
            handler=watching.watch,
            role=Role.VIEWER,
            scope=Scope.ANY,
            summary="what there is and then what moves: server-sent events put, gone and synced",
            query=(
                Param(
                    name="what",
                    words="which collection",
                    schema={
                        "type": "string",
                        "enum": ["objects", "proplets", "revisions"],
                        "default": "objects",
                    },
                ),
                Param(name="kind", words="objects: only of this one", schema=TEXT),
                Param(name="namespace", words="objects: only of this one", schema=TEXT),
                Param(name="name", words="only of this one", schema=TEXT),
            ),
            media="text/event-stream",
        )
    ]


class Watching:
    """Open streams, bounded in number."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._open = 0

    async def watch(self, call: Call) -> Response:
        """Stream."""
        if self._open >= MOST_STREAMS:
            raise Problem(503, f"{MOST_STREAMS} are watching already", retry=5)
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(
            self._stream(call), media_type="text/event-stream", headers=headers
        )

    async def _stream(self, call: Call) -> AsyncIterator[str]:
        self._open += 1
        try:
            last: Mapping[str, object] = {}
            serial, quiet, synced = None, time.monotonic(), False
            yield "retry: 1000\n\n"
            while not await call.request.is_disconnected():
                now = await run_in_threadpool(self._gallery.serial)
                if now != serial and now >= 0:
                    try:
                        found, last = await run_in_threadpool(self._moved, call, last)
                    except PropellerError:
                        found = []
                    else:
                        serial, quiet = now, time.monotonic()
                    for event, words in found:
                        yield f"event: {event}\nid: {now}\ndata: {json.dumps(words)}\n\n"
                    if not synced and serial is not None:
                        synced = True
                        yield f'event: synced\nid: {now}\ndata: {{"serial": {now}}}\n\n'
                elif time.monotonic() - quiet > SILENCE_S:
                    quiet = time.monotonic()
                    yield ": still here\n\n"
                await asyncio.sleep(min(1.0, max(POLL_S, 5 * self._gallery.cost)))
        finally:
            self._open -= 1

    def _proplet(self, one: Sighting) -> dict[str, Any]:
        return shapes.proplet_of(one, self._gallery.run_counts([one.id])[one.id])

    def _moved(
        self, call: Call, last: Mapping[str, object]
    ) -> tuple[list[tuple[str, dict[str, Any]]], Mapping[str, object]]:
        """What to say, and what there is now by name."""
        found = _seen(call, self._gallery.picture(), self._proplet)
        said = [
            ("put", say())
            for name, (mark, say) in found.items()
            if name not in last or last[name] != mark
        ]
        said += [("gone", {"name": name}) for name in last if name not in found]
        return said, {name: mark for name, (mark, _) in found.items()}


def _seen(call: Call, picture: Picture, proplet: Say) -> Seen:
    query = call.query
    name = query.get("name")
    match query["what"]:
        case "proplets":
            return {
                str(one.id): (one, partial(proplet, one))
                for one in picture.seen
                if name in (None, one.id)
            }
        case "revisions":
            return {
                f"{one.name} {one.at}": (one, partial(shapes.revision_of, one))
                for one in reversed(picture.revisions)
                if name in (None, one.name)
            }
        case _:
            return {
                str(one.key): (one.document, partial(shapes.object_of, one))
                for one in picture.statuses
                if call.caller.sees(one.key.namespace)
                and query.get("kind", one.key.kind) == one.key.kind
                and query.get("namespace", one.key.namespace) == one.key.namespace
                and name in (None, one.key.name)
            }
