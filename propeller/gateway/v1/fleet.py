"""The looks of `/api/v1` at the whole: who asks, proplets, events, revisions, plans.

Of what is about an object in a namespace that the caller does not see, nothing is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from propeller.gateway.gallery import Gallery
from propeller.gateway.problem import Problem
from propeller.gateway.routing import Call, Entry, Param
from propeller.gateway.v1 import shapes
from propeller.gateway.v1.looking import (
    LARGEST_PAGE,
    MOST_EVENTS,
    NAMESPACE,
    PAGED,
    SINCE,
    look,
    named_page,
    timed_page,
)
from propeller.gateway.v1.schemas import BOOLEAN, NAMED, TEXT, page_of, ref
from propeller.model.ids import Key, PropletId
from propeller.model.samples import NAMED as NAMED_BY
from propeller.state.sqlite import SqliteStore


def fleet_entries(gallery: Gallery) -> list[Entry]:
    """The part of the route table that looks at the fleet and what drives it."""
    reads = Fleet(gallery)
    return [
        look("/api/v1/whoami", reads.whoami, "who the caller is, and may do", ref("Caller")),
        look(
            "/api/v1/proplets",
            reads.proplets,
            "every proplet as it was last heard",
            page_of("Proplet"),
            query=(
                *PAGED,
                Param(
                    name="state",
                    words="only in this one",
                    schema={
                        "type": "string",
                        "enum": list(NAMED["Proplet"]["properties"]["state"]["enum"]),
                    },
                ),
                Param(name="label", words="only with NAME=VALUE", schema=TEXT),
            ),
        ),
        look("/api/v1/proplets/{proplet}", reads.proplet, "one proplet", ref("Proplet")),
        look(
            "/api/v1/proplets/{proplet}/usage",
            reads.proplet_usage,
            "what it and its guests took, newest first: minutes of up to a day, else hours",
            page_of("Usage"),
            query=(*PAGED, SINCE),
        ),
        look(
            "/api/v1/events",
            reads.events,
            "what happened, newest first",
            page_of("Event"),
            query=(
                *PAGED,
                NAMESPACE,
                Param(
                    name="severity",
                    words="only of this one",
                    schema={"type": "string", "enum": ["Info", "Warning"]},
                ),
                Param(
                    name="since",
                    words="not before (Unix ms)",
                    schema={"type": "integer", "minimum": 0, "maximum": 2**53 - 1},
                ),
            ),
        ),
        look(
            "/api/v1/revisions",
            reads.revisions,
            "attempts to take a source, newest first",
            page_of("Revision"),
            query=PAGED,
        ),
        look(
            "/api/v1/plans",
            reads.plans,
            "what revisions meant, newest first",
            page_of("Plan"),
            query=(*PAGED, Param(name="waits", words="only those that wait", schema=BOOLEAN)),
        ),
    ]


class Fleet:
    """The handlers. Everything that reads the store runs in a worker thread."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery

    async def whoami(self, call: Call) -> Response:
        """Who asks."""
        principal = call.caller.principal
        return JSONResponse(
            {"name": principal.name, "via": principal.via, "grants": principal.roles}
        )

    async def proplets(self, call: Call) -> Response:
        """A page of proplets."""
        query = call.query
        name, equals, value = query.get("label", "").partition("=")
        if name and not equals:
            raise Problem(400, "label must be NAME=VALUE")

        def work() -> dict[str, Any]:
            picture = self._gallery.picture()
            found = [
                (row.name, seen)
                for seen, row in zip(picture.seen, picture.proplets, strict=True)
                if query.get("state", row.state) == row.state
                and (not name or row.labels.get(name) == value)
            ]
            page = named_page(found, call, _itself, picture)
            runs = self._gallery.run_counts(one.id for one in page["items"])
            page["items"] = [shapes.proplet_of(one, runs[one.id]) for one in page["items"]]
            return page

        return JSONResponse(await run_in_threadpool(work))

    async def proplet(self, call: Call) -> Response:
        """One proplet."""
        seen = await run_in_threadpool(self._gallery.member, call.path["proplet"])
        if seen is None:
            raise Problem(404, "there is no such proplet")
        return JSONResponse(shapes.proplet_of(seen, len(seen.runs)))

    async def proplet_usage(self, call: Call) -> Response:
        """What one proplet measured; of guests only those in namespaces that the caller sees."""
        name = PropletId(call.path["proplet"])

        def work() -> dict[str, Any]:
            picture = self._gallery.picture()
            if not any(seen.id == name for seen in picture.seen):
                raise Problem(404, "there is no such proplet")
            shown = {
                str(row.uid)[:NAMED_BY]
                for row in picture.statuses
                if call.caller.sees(row.key.namespace)
            }
            past = self._gallery.past(name, call.query.get("since"))
            found = [shapes.usage_of(one.only(shown)) for one in reversed(past)]
            return timed_page(found, call, picture.serial)

        return JSONResponse(await run_in_threadpool(work))

    async def events(self, call: Call) -> Response:
        """Events of the fleet."""
        query = call.query

        def work() -> dict[str, Any]:
            with self._gallery.open() as store, store.transaction():
                serial = store.serial()
                events = store.events(limit=MOST_EVENTS)
            found = [
                shapes.event_of(one)
                for one in events
                if (one.key is None or call.caller.sees(one.key.namespace))
                and ("namespace" not in query or _is_in(one.key, query["namespace"]))
                and query.get("severity", one.severity) == one.severity
                and one.at >= query.get("since", 0)
            ]
            return timed_page(found, call, serial)

        return JSONResponse(await run_in_threadpool(work))

    async def revisions(self, call: Call) -> Response:
        """Attempts to take a source."""
        return await self._of_fleet(
            call, lambda store: [shapes.revision_of(one) for one in store.revisions(LARGEST_PAGE)]
        )

    async def plans(self, call: Call) -> Response:
        """What revisions meant."""
        waits = call.query.get("waits")

        def work(store: SqliteStore) -> list[dict[str, Any]]:
            pauses = store.pauses()
            found = [shapes.plan_of(one, pauses) for one in store.plans(2_000)]
            return [one for one in found if waits is None or one["waits"] == waits]

        return await self._of_fleet(call, work)

    async def _of_fleet(
        self, call: Call, work: Callable[[SqliteStore], list[dict[str, Any]]]
    ) -> Response:
        def whole() -> dict[str, Any]:
            with self._gallery.open() as store, store.transaction():
                return timed_page(work(store), call, store.serial())

        return JSONResponse(await run_in_threadpool(whole))


def _is_in(key: Key | None, namespace: str) -> bool:
    return key is not None and key.namespace == namespace


def _itself(one: Any) -> Any:
    return one
