"""The fleet in the words of the first API. Nothing is changed here: specs say who is in it."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from propeller.gateway.first.paging import page_of, window_of
from propeller.gateway.first.translate import moment
from propeller.gateway.gallery import Gallery
from propeller.gateway.problem import Problem
from propeller.gateway.routing import Call
from propeller.model.seen import Presence, Seen


class Proplets:
    """The handlers."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery

    async def proplets(self, call: Call) -> Response:
        """A page of the fleet."""
        status = call.request.query_params.get("status", "")
        if status not in ("", "active", "inactive"):
            raise Problem(400, "status must be active or inactive")
        picture = await run_in_threadpool(self._gallery.picture)
        found = [
            seen
            for seen in picture.seen
            if not status or (status == "active") == (seen.presence is Presence.ONLINE)
        ]
        start, limit = window_of(call)
        shown = found[start : start + limit]
        runs = await run_in_threadpool(self._gallery.run_counts, [one.id for one in shown])
        words: dict[str, Any] = {"offset": start, "limit": limit, "total": len(found)}
        words["proplets"] = [_view(one, runs[one.id]) for one in shown]
        return JSONResponse(words)

    async def proplet(self, call: Call) -> Response:
        """One."""
        seen = await self._seen(call)
        return JSONResponse(_view(seen, len(seen.runs)))

    async def no_proplet(self, call: Call) -> Response:
        """Which proplets there are is said by specs, or by themselves."""
        seen = await self._seen(call)
        where = "its spec" if seen.declared else "`propeller proplets`"
        raise Problem(409, f"{seen.id} is in the fleet; {where} decides about that")

    async def sdf(self, call: Call) -> Response:
        """A Semantic Definition Format document of what it can do."""
        seen = await self._seen(call)
        labels = {name: {"type": "string", "const": text} for name, text in seen.labels.items()}
        return JSONResponse(
            {
                "info": {"title": str(seen.id), "version": "1", "license": "Apache-2.0"},
                "namespace": {"propeller": "https://propeller.dev/sdf"},
                "defaultNamespace": "propeller",
                "sdfThing": {
                    str(seen.id): {
                        "sdfProperty": {"alive": {"type": "boolean"}, **labels},
                        "sdfAction": {"start": {}, "stop": {}},
                    }
                },
            }
        )

    async def metrics(self, call: Call) -> Response:
        """Nothing is kept of the past here: an empty page of one that is there."""
        await self._seen(call)
        return page_of(call, "metrics", [])

    async def alive(self, call: Call) -> Response:
        """When it was heard last."""
        seen = await self._seen(call)
        return page_of(call, "history", [moment(seen.last_heard)] if seen.last_heard else [])

    async def _seen(self, call: Call) -> Seen:
        seen = await run_in_threadpool(self._gallery.member, call.path["name"])
        if seen is None:
            raise Problem(404, "not found")
        return seen


def _view(seen: Seen, runs: int) -> dict[str, Any]:
    """A proplet as they show it."""
    view: dict[str, Any] = {
        "id": str(seen.id),
        "name": str(seen.id),
        "task_count": runs,
        "alive": seen.presence is Presence.ONLINE,
        "metadata": dict(seen.labels),
    }
    if seen.last_heard:
        view["last_alive_at"] = moment(seen.last_heard)
    return view
