"""The pages of the dashboard: a read-only store, what a caller may see of it, and a stream that
says "look again".

Actions are `actions`; who may look at all is the gate's. The whole picture of the fleet is worked
out once per change of the store and shared by everybody who looks.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response, StreamingResponse

from propeller.gateway.callcounts import Counts
from propeller.gateway.dashboard import facts
from propeller.gateway.dashboard.calls import LOOKED_AT, CallsShown, calls_of
from propeller.gateway.dashboard.convergence import convergence
from propeller.gateway.dashboard.graph import graph_of
from propeller.gateway.dashboard.learning import curves_of
from propeller.gateway.dashboard.logs import PRINTING
from propeller.gateway.dashboard.rendering import HERE, Renderer
from propeller.gateway.dashboard.showing import Showing, page_entry
from propeller.gateway.dashboard.usage import copies_of
from propeller.gateway.gallery import Gallery, Picture
from propeller.gateway.routing import Call, Entry, Face, Scope
from propeller.model.ids import Key
from propeller.state.records import StatusRow

SILENCE_S: Final = 15.0
"""A comment goes down an idle stream so often, so that a dead one is noticed."""

POLL_S: Final = 0.25
PAGE: Final = 100
MOST_TILES: Final = 200
MOST_WAVES: Final = 40
OBJECT: Final = "/objects/{kind}/{namespace}/{name}"
STATIC: Final = {
    "app.css": "text/css",
    "app.js": "text/javascript",
    "logs.js": "text/javascript",
}


def page_entries(
    gallery: Gallery,
    renderer: Renderer,
    counts: Counts | None = None,
    *,
    calling: bool = False,
) -> list[Entry]:
    """The part of the route table that shows pages. counts: of calls of Functions. calling: whether
    they can be called from here."""
    pages = _Pages(gallery, renderer, counts, calling=calling)
    return [
        page_entry("/", pages.overview, "the first page"),
        page_entry("/objects", pages.objects, "every object"),
        page_entry(OBJECT, pages.object, "one object", scope=Scope.PATH),
        page_entry("/proplets", pages.proplets, "the fleet by a label"),
        page_entry("/proplets/{name}", pages.proplet, "one proplet"),
        page_entry("/timeline", pages.timeline, "commits and what became of them"),
        page_entry("/changes", pages.changes, "says when something moved: server-sent events"),
        Entry(
            method="GET",
            path="/static/{name}",
            handler=pages.static,
            role=None,
            scope=Scope.OPEN,
            face=Face.PAGE,
            summary="style and script",
            media="text/css",
        ),
    ]


class _Pages(Showing):
    def __init__(
        self, gallery: Gallery, renderer: Renderer, counts: Counts | None, *, calling: bool
    ) -> None:
        super().__init__(gallery, renderer)
        self._counts = counts
        self._calling = calling

    # -- pages --------------------------------------------------------------------------------

    async def overview(self, call: Call) -> Response:
        """The first page: five questions answered."""

        def answer(picture: Picture) -> str:
            now = self._gallery.clock()
            counted = [one for one in picture.objects if one.app != "run"]
            silent = picture.silent[:30]
            return self._render(
                call,
                "overview.html",
                picture,
                live=facts.live(picture.revisions),
                ready=sum(one.ready == "True" for one in counted),
                total=len(counted),
                online=sum(one.state == "Online" for one in picture.proplets),
                fleet=len(picture.proplets),
                unready=picture.unready[:30],
                unready_count=len(picture.unready),
                silent=silent,
                runs=self._gallery.run_counts(one.name for one in silent),
                silent_count=len(picture.silent),
                needs=self._needs(picture),
                recent=facts.recent(picture.events, now)[:25],
            )

        return await self._page(answer, here="overview", call=call)

    async def objects(self, call: Call) -> Response:
        """Every object, filtered by kind, namespace, App and readiness, paged."""
        query = call.request.query_params
        names = ("kind", "namespace", "ready", "app")
        kind, namespace, ready, app = (query.get(name, "") for name in names)
        start = _number(query.get("from", "0"))

        def answer(picture: Picture) -> str:
            rows = [
                one
                for one in picture.objects
                if (not kind or one.key.kind == kind)
                and (not namespace or one.key.namespace == namespace)
                and (not ready or one.ready == ready)
                and (not app or one.app == app)
            ]
            return self._render(
                call,
                "objects.html",
                picture,
                rows=rows[start : start + PAGE],
                start=start,
                total=len(rows),
                size=PAGE,
                kind=kind,
                namespace=namespace,
                ready=ready,
                app=app,
                kinds=sorted({one.key.kind for one in picture.objects}),
                namespaces=sorted({one.key.namespace for one in picture.objects}),
                apps=sorted({one.app for one in picture.objects if one.app}),
            )

        return await self._page(answer, here="objects", call=call)

    async def object(self, call: Call) -> Response:
        """One object: conditions, copies, history, events; rounds where it learns."""
        path = call.path
        key = Key(path["kind"], path["namespace"], path["name"])

        def answer(picture: Picture) -> str | None:
            row = facts.find_status(picture.statuses, key)
            if row is None:
                return None
            with self._gallery.open() as store:
                events = store.events(key=key, limit=100)
                history = facts.history(store.history(row.uid))
                rounds = store.rounds(row.uid, 200) if key.kind == "FederatedTask" else []
            document = _document(row)
            copies = document["status"].get("copies", [])
            trends = self._gallery.trends((str(one["proplet"]) for one in copies), row.uid)
            return self._render(
                call,
                "object.html",
                picture,
                row=facts.object_row(row),
                document=document,
                copies=copies_of(copies, row.uid, picture, trends),
                calls=self._calls(key) if key.kind == "Function" else None,
                prints=key.kind in PRINTING,
                events=events,
                history=history,
                rounds=[(one, facts.buckets(one)) for one in rounds[:100]],
                curves=curves_of(rounds),
                waves=waves_of(document["status"].get("rollout")),
                calling=self._calling,
                graph=graph_of(document["status"].get("steps", ())),
            )

        return await self._page(answer, here="objects", call=call)

    async def proplets(self, call: Call) -> Response:
        """The fleet by a label: tiles of freshness and trouble; with `is`, one group, paged."""
        query = call.request.query_params
        by, value = query.get("by", ""), query.get("is")
        start = _number(query.get("from", "0"))

        def answer(picture: Picture) -> str:
            names = facts.label_names(picture.proplets)
            chosen = by or (names[0] if names else "zone")
            shown = {"labels": names, "by": chosen, "total": len(picture.proplets)}
            if value is None:
                tiles = facts.tiles(picture.proplets, chosen)
                more = max(0, len(tiles) - MOST_TILES)
                tiles = tiles[:MOST_TILES]
                return self._render(call, "proplets.html", picture, tiles=tiles, more=more, **shown)
            group = [row for row in picture.proplets if facts.value_of(row, chosen) == value]
            rows = facts.troubled_first(group)[start : start + PAGE]
            return self._render(
                call,
                "group.html",
                picture,
                value=value,
                rows=rows,
                start=start,
                size=PAGE,
                many=len(group),
                **shown,
            )

        return await self._page(answer, here="proplets", call=call)

    async def proplet(self, call: Call) -> Response:
        """One proplet: what it is, what it runs, what was said about it."""
        name = call.path["name"]

        def answer(picture: Picture) -> str | None:
            row = next((one for one in picture.proplets if one.name == name), None)
            if row is None:
                return None
            seen = self._gallery.member(name)
            if seen is None:
                return None
            with self._gallery.open() as store:
                events = [
                    one
                    for one in store.events(proplet=seen.id, limit=100)
                    if one.key is None or call.caller.sees(one.key.namespace)
                ]
            objects = {one.uid: one.key for one in picture.statuses}
            return self._render(
                call, "proplet.html", picture, row=row, seen=seen, events=events, objects=objects
            )

        return await self._page(answer, here="proplets", call=call)

    async def timeline(self, call: Call) -> Response:
        """Commits and what became of them, with what happened in between."""

        def answer(picture: Picture) -> str:
            entries: list[tuple[int, str, Any]] = [
                (one.at, "revision", one) for one in picture.revisions
            ]
            entries += [(one.at, "event", one) for one in picture.events[:300]]
            entries.sort(key=lambda one: -one[0])
            return self._render(
                call,
                "timeline.html",
                picture,
                entries=entries[:300],
                commits=convergence(picture.revisions, picture.objects, self._gallery.clock()),
            )

        return await self._page(answer, here="timeline", call=call)

    async def static(self, call: Call) -> Response:
        """The style and the script."""
        name = call.path["name"]
        if name not in STATIC:
            return Response("no such file", 404)
        headers = {"Cache-Control": "max-age=300"}
        return FileResponse(HERE / "static" / name, media_type=STATIC[name], headers=headers)

    async def changes(self, call: Call) -> Response:
        """Server-sent events: the serial whenever it moved. What moved is for the page to ask."""

        async def stream() -> AsyncIterator[str]:
            last, quiet = None, time.monotonic()
            yield "retry: 1000\n\n"
            while not await call.request.is_disconnected():
                serial = await run_in_threadpool(self._gallery.serial)
                if serial != last:
                    last, quiet = serial, time.monotonic()
                    yield f"data: {serial}\n\n"
                elif time.monotonic() - quiet > SILENCE_S:
                    quiet = time.monotonic()
                    yield ": still here\n\n"
                await asyncio.sleep(min(1.0, max(POLL_S, 5 * self._gallery.cost)))

        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)

    # -- parts --------------------------------------------------------------------------------

    def _calls(self, key: Key) -> CallsShown:
        function = f"{key.namespace}/{key.name}"
        return calls_of(self._gallery.calls(function, LOOKED_AT), function, self._counts)

    def _needs(self, picture: Picture) -> list[tuple[str, str, str, str]]:
        """What waits for a person: (what, why, where, the digest to confirm or "")."""
        needs = [
            (
                "App " + one.app,
                one.message + f"; propeller confirm {one.digest}",
                f"/apps/{one.app}",
                one.digest,
            )
            for one in picture.pauses
        ]
        refused = facts.live(picture.revisions).refused
        if refused is not None:
            first = refused.faults[0] if refused.faults else "it was refused"
            needs.append((facts.short(refused.name), first, "/timeline", ""))
        needs += [
            (str(one.key), one.message, one.path, "") for one in picture.unready if one.stalled
        ]
        needs += [
            (one.name, one.trouble, f"/proplets/{one.name}", "")
            for one in picture.proplets
            if one.state == "Quarantined"
        ]
        return needs[:30]


@dataclass(frozen=True, slots=True)
class Wave:
    """One step of a rollout. state: done, under way, to come."""

    number: int
    state: str


def waves_of(rollout: Mapping[str, Any] | None) -> list[Wave]:
    """The steps of a rollout that is under way or was taken back; none of one that is over."""
    if not rollout or "of" not in rollout:
        return []
    step, of = int(rollout["step"]), min(int(rollout["of"]), MOST_WAVES)
    return [
        Wave(n, "done" if n < step else "under way" if n == step else "to come")
        for n in range(1, of + 1)
    ]


def _document(row: StatusRow) -> Any:
    return json.loads(row.document)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 9 else 0
