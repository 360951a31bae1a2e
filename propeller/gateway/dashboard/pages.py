"""The routes of the dashboard: a read-only store, pages of it, a stream that says "look again".

The whole picture of the fleet is worked out once per change of the store and shared by everybody
who looks. On loopback unless told otherwise; requests that name another host are refused, so that
no web page elsewhere can read a fleet through somebody's browser. There are no actions here.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from propeller.errors import PropellerError
from propeller.gateway.dashboard import facts
from propeller.gateway.dashboard.facts import ObjectRow, PropletRow
from propeller.model.ids import Key
from propeller.state.base import Event, Pause, RevisionRecord, StatusRow
from propeller.state.sqlite import SqliteStore

HERE = Path(__file__).parent
SILENCE_S: Final = 15.0
"""A comment goes down an idle stream so often, so that a dead one is noticed."""

POLL_S: Final = 0.25
PAGE: Final = 100
MOST_EVENTS: Final = 500

SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The fleet at one serial of the store. at: when it was taken (Unix ms)."""

    serial: int
    at: int
    statuses: tuple[StatusRow, ...]
    objects: tuple[ObjectRow, ...]
    proplets: tuple[PropletRow, ...]
    revisions: tuple[RevisionRecord, ...]
    events: tuple[Event, ...]
    pauses: tuple[Pause, ...]

    @property
    def unready(self) -> list[ObjectRow]:
        """What is not Ready, what needs a person first."""
        waiting = [one for one in self.objects if one.ready != "True" and one.app != "run"]
        return sorted(waiting, key=lambda one: (not one.stalled, one.key))

    @property
    def silent(self) -> list[PropletRow]:
        """Proplets that are not online, longest silence first."""
        out = [one for one in self.proplets if one.state != "Online"]
        return sorted(out, key=lambda one: (one.since or 0, one.name))


class Gallery:
    """Takes pictures of one store; the newest is kept until the store moved."""

    def __init__(self, database: Path, clock: Clock) -> None:
        self._database = database
        self.clock = clock
        self._lock = threading.Lock()
        self._last: Picture | None = None

    def open(self) -> SqliteStore:
        """The store, read-only."""
        return SqliteStore.open(self._database, readonly=True)

    def serial(self) -> int:
        """The store's serial, -1 while it cannot be read."""
        try:
            store = self.open()
        except PropellerError:
            return -1
        try:
            return store.serial()
        finally:
            store.close()

    def picture(self) -> Picture:
        """The fleet now. Raises Unavailable."""
        with self._lock:
            store = self.open()
            try:
                with store.transaction():
                    serial = store.serial()
                    if self._last is not None and self._last.serial == serial:
                        return self._last
                    statuses = tuple(store.statuses())
                    fleet = store.fleet()
                    revisions = tuple(store.revisions(50))
                    events = tuple(store.events(limit=MOST_EVENTS))
                    pauses = tuple(store.pauses())
            finally:
                store.close()
            self._last = Picture(
                serial=serial,
                at=self.clock(),
                statuses=statuses,
                objects=tuple(map(facts.object_row, statuses)),
                proplets=tuple(sorted(map(facts.proplet_row, fleet), key=lambda one: one.name)),
                revisions=revisions,
                events=events,
                pauses=pauses,
            )
            return self._last


def make_dashboard(database: Path, *, clock: Clock, hosts: Sequence[str]) -> Starlette:
    """The application. hosts: names it answers to."""
    pages = _Pages(Gallery(database, clock))
    routes = [
        Route("/", pages.overview),
        Route("/objects", pages.objects),
        Route("/objects/{kind}/{namespace}/{name}", pages.object),
        Route("/proplets", pages.proplets),
        Route("/proplets/{name}", pages.proplet),
        Route("/timeline", pages.timeline),
        Route("/changes", pages.changes),
        Route("/static/{name}", pages.static),
    ]
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    return Starlette(routes=routes, middleware=[guard])


class _Pages:
    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            clean=facts.clean, short=facts.short, moment=_moment, iso=_iso
        )

    # -- pages --------------------------------------------------------------------------------

    async def overview(self, request: Request) -> Response:
        """The first page: five questions answered."""

        def answer(picture: Picture) -> str:
            now = self._gallery.clock()
            counted = [one for one in picture.objects if one.app != "run"]
            return self._render(
                "overview.html",
                picture,
                live=facts.live(picture.revisions),
                ready=sum(one.ready == "True" for one in counted),
                total=len(counted),
                online=sum(one.state == "Online" for one in picture.proplets),
                fleet=len(picture.proplets),
                unready=picture.unready[:30],
                unready_count=len(picture.unready),
                silent=picture.silent[:30],
                silent_count=len(picture.silent),
                needs=self._needs(picture),
                recent=facts.recent(picture.events, now)[:25],
            )

        return await self._page(answer, here="overview", request=request)

    async def objects(self, request: Request) -> Response:
        """Every object, filtered by kind, namespace and readiness, paged."""
        query = request.query_params
        kind, namespace, ready = (query.get(name, "") for name in ("kind", "namespace", "ready"))
        start = _number(query.get("from", "0"))

        def answer(picture: Picture) -> str:
            rows = [
                one
                for one in picture.objects
                if (not kind or one.key.kind == kind)
                and (not namespace or one.key.namespace == namespace)
                and (not ready or one.ready == ready)
            ]
            return self._render(
                "objects.html",
                picture,
                rows=rows[start : start + PAGE],
                start=start,
                total=len(rows),
                size=PAGE,
                kind=kind,
                namespace=namespace,
                ready=ready,
                kinds=sorted({one.key.kind for one in picture.objects}),
                namespaces=sorted({one.key.namespace for one in picture.objects}),
            )

        return await self._page(answer, here="objects", request=request)

    async def object(self, request: Request) -> Response:
        """One object: conditions, copies, history, events; rounds where it learns."""
        path = request.path_params
        key = Key(path["kind"], path["namespace"], path["name"])
        metric = request.query_params.get("metric", "")

        def answer(picture: Picture) -> str | None:
            row = facts.find_status(picture.statuses, key)
            if row is None:
                return None
            store = self._gallery.open()
            try:
                events = store.events(key=key, limit=100)
                history = facts.history(store.history(row.uid))
                rounds = store.rounds(row.uid, 200) if key.kind == "FederatedTask" else []
            finally:
                store.close()
            names = facts.metric_names(rounds)
            chosen = metric if metric in names else (names[0] if names else "")
            return self._render(
                "object.html",
                picture,
                row=facts.object_row(row),
                document=_document(row),
                events=events,
                history=history,
                rounds=[(one, facts.buckets(one)) for one in rounds[:100]],
                metrics=names,
                metric=chosen,
                curve=facts.curve(rounds, chosen, width=640, height=160) if chosen else "",
            )

        return await self._page(answer, here="objects", request=request)

    async def proplets(self, request: Request) -> Response:
        """The fleet by a label: tiles of freshness and trouble."""
        by = request.query_params.get("by", "")

        def answer(picture: Picture) -> str:
            names = facts.label_names(picture.proplets)
            chosen = by or (names[0] if names else "zone")
            return self._render(
                "proplets.html",
                picture,
                tiles=facts.tiles(picture.proplets, chosen),
                labels=names,
                by=chosen,
                total=len(picture.proplets),
            )

        return await self._page(answer, here="proplets", request=request)

    async def proplet(self, request: Request) -> Response:
        """One proplet: what it is, what it runs, what was said about it."""
        name = request.path_params["name"]

        def answer(picture: Picture) -> str | None:
            row = next((one for one in picture.proplets if one.name == name), None)
            if row is None:
                return None
            store = self._gallery.open()
            try:
                seen = next(one for one in store.fleet() if str(one.id) == name)
                events = store.events(proplet=seen.id, limit=100)
                objects = {held.uid: held.object.meta.key for held in store.inventory()}
            finally:
                store.close()
            return self._render(
                "proplet.html", picture, row=row, seen=seen, events=events, objects=objects
            )

        return await self._page(answer, here="proplets", request=request)

    async def timeline(self, request: Request) -> Response:
        """Commits and what became of them, with what happened in between."""

        def answer(picture: Picture) -> str:
            entries: list[tuple[int, str, Any]] = [
                (one.at, "revision", one) for one in picture.revisions
            ]
            entries += [(one.at, "event", one) for one in picture.events[:300]]
            entries.sort(key=lambda one: -one[0])
            return self._render("timeline.html", picture, entries=entries[:300])

        return await self._page(answer, here="timeline", request=request)

    async def static(self, request: Request) -> Response:
        """The style and the script."""
        kinds = {"app.css": "text/css", "app.js": "text/javascript"}
        name = request.path_params["name"]
        if name not in kinds:
            return Response("no such file", 404)
        headers = {**SECURITY, "Cache-Control": "max-age=300"}
        return FileResponse(HERE / "static" / name, media_type=kinds[name], headers=headers)

    async def changes(self, request: Request) -> Response:
        """Server-sent events: the serial whenever it moved. What moved is for the page to ask."""

        async def stream() -> AsyncIterator[str]:
            last, quiet = None, time.monotonic()
            yield "retry: 1000\n\n"
            while not await request.is_disconnected():
                serial = await run_in_threadpool(self._gallery.serial)
                if serial != last:
                    last, quiet = serial, time.monotonic()
                    yield f"data: {serial}\n\n"
                elif time.monotonic() - quiet > SILENCE_S:
                    quiet = time.monotonic()
                    yield ": still here\n\n"
                await asyncio.sleep(POLL_S)

        headers = {**SECURITY, "X-Accel-Buffering": "no"}
        return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)

    # -- parts --------------------------------------------------------------------------------

    async def _page(
        self, answer: Callable[[Picture], str | None], *, here: str, request: Request
    ) -> Response:
        try:
            text = await run_in_threadpool(lambda: answer(self._gallery.picture()))
        except PropellerError as error:
            body = self._plain("Nothing to show yet", str(error))
            return HTMLResponse(body, 503, headers=SECURITY)
        if text is None:
            body = self._plain("Not here", f"there is no {request.url.path}; it may have gone")
            return HTMLResponse(body, 404, headers=SECURITY)
        return HTMLResponse(
            text.replace(f'data-nav="{here}"', 'aria-current="page"'), headers=SECURITY
        )

    def _needs(self, picture: Picture) -> list[tuple[str, str, str]]:
        """What waits for a person: (what, why, where)."""
        needs = [
            ("App " + one.app, one.message + f"; propeller confirm {one.digest}", "/objects")
            for one in picture.pauses
        ]
        refused = facts.live(picture.revisions).refused
        if refused is not None:
            first = refused.faults[0] if refused.faults else "it was refused"
            needs.append((facts.short(refused.name), first, "/timeline"))
        needs += [(str(one.key), one.message, one.path) for one in picture.unready if one.stalled]
        needs += [
            (one.name, one.trouble, f"/proplets/{one.name}")
            for one in picture.proplets
            if one.state == "Quarantined"
        ]
        return needs[:30]

    def _render(self, name: str, picture: Picture, **values: Any) -> str:
        return self._environment.get_template(name).render(
            now=self._gallery.clock(), serial=picture.serial, **values
        )

    def _plain(self, title: str, text: str) -> str:
        return self._environment.get_template("plain.html").render(
            now=self._gallery.clock(), serial=-1, title=title, text=text
        )


def _document(row: StatusRow) -> Any:
    import json

    return json.loads(row.document)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 9 else 0


def _moment(at: int) -> str:
    """`2026-11-24 12:31:05Z`; "never" for 0."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else "never"


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
