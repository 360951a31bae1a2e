"""The looks of `/api/v1`: objects, proplets, events, revisions, plans, rounds, results, logs.

Lists are paged (`limit`, `after`) in the order of names, or newest first where time counts. What is
in a namespace that the caller does not see is left out, and is not there when asked for by name.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from propeller.gateway.access.gate import Caller
from propeller.gateway.access.roles import Role
from propeller.gateway.api import lines
from propeller.gateway.asking import PATIENCE, Answers, Loop, refusal
from propeller.gateway.gallery import Gallery, Picture
from propeller.gateway.problem import Problem
from propeller.gateway.routing import Call, Entry, Handler, Param, Scope
from propeller.gateway.v1 import shapes
from propeller.gateway.v1.schemas import BOOLEAN, NAMED, TEXT, page_of, ref
from propeller.model.ids import Digest, Key, PropletId, is_digest
from propeller.model.samples import HOUR
from propeller.model.samples import NAMED as NAMED_BY
from propeller.reconcile.events import Operate
from propeller.registry.blobs import BlobStore
from propeller.state.base import StatusRow
from propeller.state.samples import past_of
from propeller.state.sqlite import SqliteStore

LARGEST_PAGE: Final = 1_000
LONGEST_LOGS_MS: Final = 600_000
MOST_EVENTS: Final = 5_000

PAGED: Final = (
    Param(
        name="limit",
        words="how many at most",
        schema={"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": 100},
    ),
    Param(
        name="after",
        words="`next` of the page before",
        schema={"type": "string", "maxLength": 512},
    ),
)
NAMESPACE: Final = Param(name="namespace", words="only of this one", schema=TEXT)
SINCE: Final = Param(
    name="since",
    words="not before (Unix ms); an hour ago unless given",
    schema={"type": "integer", "minimum": 0, "maximum": 2**53 - 1},
)
MOST_USAGE: Final = 20_000
THE_OBJECT: Final = "/api/v1/objects/{kind}/{namespace}/{name}"


def _get(
    path: str,
    handler: Handler,
    summary: str,
    answer: dict[str, Any] | None,
    *,
    query: tuple[Param, ...] = (),
    scope: Scope = Scope.ANY,
    role: Role = Role.VIEWER,
    media: str = "application/json",
) -> Entry:
    return Entry(
        method="GET",
        path=path,
        handler=handler,
        role=role,
        scope=scope,
        summary=summary,
        query=query,
        answer=answer,
        media=media,
    )


def read_entries(gallery: Gallery, blobs: BlobStore, loop: Loop) -> list[Entry]:
    """The part of the route table that only looks."""
    reads = Reads(gallery, blobs, loop)
    in_path = Scope.PATH
    binary = "application/octet-stream"
    which = Param(name="proplet", words="only of this one", schema=TEXT)
    return [
        _get("/api/v1/whoami", reads.whoami, "who the caller is, and may do", ref("Caller")),
        _get(
            "/api/v1/objects",
            reads.objects,
            "every object with its status",
            page_of("Object"),
            query=(
                *PAGED,
                Param(name="kind", words="only of this one", schema=TEXT),
                NAMESPACE,
                Param(name="app", words="only of this App", schema=TEXT),
                Param(
                    name="ready",
                    words="only with this Ready condition",
                    schema={"type": "string", "enum": ["True", "False", "Unknown"]},
                ),
            ),
        ),
        _get(THE_OBJECT, reads.object, "one object", ref("Object"), scope=in_path),
        _get(
            THE_OBJECT + "/history",
            reads.history,
            "its generations and what became of them, newest first",
            page_of("Past"),
            query=PAGED,
            scope=in_path,
        ),
        _get(
            THE_OBJECT + "/events",
            reads.object_events,
            "what happened to it, newest first",
            page_of("Event"),
            query=PAGED,
            scope=in_path,
        ),
        _get(
            THE_OBJECT + "/runs",
            reads.runs,
            "its runs, newest first",
            page_of("Run"),
            query=(*PAGED, which),
            scope=in_path,
        ),
        _get(
            THE_OBJECT + "/runs/{run}/result",
            reads.result,
            "what a run returned, as bytes",
            None,
            scope=in_path,
            media=binary,
        ),
        _get(
            THE_OBJECT + "/rounds",
            reads.rounds,
            "rounds of a FederatedTask, newest first",
            page_of("Round"),
            query=PAGED,
            scope=in_path,
        ),
        _get(
            THE_OBJECT + "/rounds/{round}/model",
            reads.model,
            "the model of a round (a number, `latest` or `best`), as safetensors",
            None,
            scope=in_path,
            media=binary,
        ),
        _get(
            THE_OBJECT + "/logs",
            reads.logs,
            "what its copies printed, asked of the devices: NDJSON",
            None,
            query=(
                which,
                Param(
                    name="stream",
                    words="which of them",
                    schema={
                        "type": "string",
                        "enum": ["both", "stdout", "stderr"],
                        "default": "both",
                    },
                ),
                Param(
                    name="tail",
                    words="bytes of what was printed before",
                    schema={
                        "type": "integer",
                        "minimum": 0,
                        "maximum": 1 << 20,
                        "default": 65_536,
                    },
                ),
                Param(
                    name="follow",
                    words="ms to go on with what is printed from now on",
                    schema={
                        "type": "integer",
                        "minimum": 0,
                        "maximum": LONGEST_LOGS_MS,
                        "default": 0,
                    },
                ),
            ),
            scope=in_path,
            media="application/x-ndjson",
        ),
        _get(
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
        _get("/api/v1/proplets/{proplet}", reads.proplet, "one proplet", ref("Proplet")),
        _get(
            "/api/v1/proplets/{proplet}/usage",
            reads.proplet_usage,
            "what it and its guests took, newest first: minutes of up to a day, else hours",
            page_of("Usage"),
            query=(*PAGED, SINCE),
        ),
        _get(
            THE_OBJECT + "/usage",
            reads.usage,
            "what its copies took, newest first: minutes of up to a day, else hours",
            page_of("Usage"),
            query=(*PAGED, which, SINCE),
            scope=in_path,
        ),
        _get(
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
        _get(
            "/api/v1/revisions",
            reads.revisions,
            "attempts to take a source, newest first",
            page_of("Revision"),
            query=PAGED,
        ),
        _get(
            "/api/v1/plans",
            reads.plans,
            "what revisions meant, newest first",
            page_of("Plan"),
            query=(*PAGED, Param(name="waits", words="only those that wait", schema=BOOLEAN)),
        ),
    ]


class Reads:
    """The handlers. Everything that reads the store runs in a worker thread."""

    def __init__(self, gallery: Gallery, blobs: BlobStore, loop: Loop) -> None:
        self._gallery = gallery
        self._blobs = blobs
        self._loop = loop

    async def whoami(self, call: Call) -> Response:
        """Who asks."""
        principal = call.caller.principal
        return JSONResponse(
            {"name": principal.name, "via": principal.via, "grants": principal.roles}
        )

    # -- objects ------------------------------------------------------------------------------

    async def objects(self, call: Call) -> Response:
        """A page of status documents."""
        query = call.query

        def work() -> dict[str, Any]:
            picture = self._gallery.picture()
            found = [
                (str(row.key), status)
                for status, row in zip(picture.statuses, picture.objects, strict=True)
                if call.caller.sees(row.key.namespace)
                and query.get("kind", row.key.kind) == row.key.kind
                and query.get("namespace", row.key.namespace) == row.key.namespace
                and query.get("app", row.app) == row.app
                and query.get("ready", row.ready) == row.ready
            ]
            return _named_page(found, call, shapes.object_of, picture)

        return JSONResponse(await run_in_threadpool(work))

    async def object(self, call: Call) -> Response:
        """One status document."""
        _, row = await run_in_threadpool(self._find, call)
        return JSONResponse(shapes.object_of(row))

    async def history(self, call: Call) -> Response:
        """Generations."""

        def work(store: SqliteStore, row: StatusRow) -> list[dict[str, Any]]:
            return [shapes.past_of(one) for one in store.history(row.uid)]

        return await self._of_object(call, work)

    async def object_events(self, call: Call) -> Response:
        """Events of one object."""

        def work(store: SqliteStore, row: StatusRow) -> list[dict[str, Any]]:
            return [shapes.event_of(one) for one in store.events(key=row.key, limit=MOST_EVENTS)]

        return await self._of_object(call, work)

    async def runs(self, call: Call) -> Response:
        """Runs of one object."""
        proplet = call.query.get("proplet")

        def work(store: SqliteStore, row: StatusRow) -> list[dict[str, Any]]:
            return [
                shapes.run_of(one)
                for one in store.runs(row.uid, 1_000)
                if proplet is None or one.proplet == proplet
            ]

        return await self._of_object(call, work)

    async def result(self, call: Call) -> Response:
        """The bytes of a result."""

        def work() -> bytes:
            _, row = self._find(call)
            with self._gallery.open() as store:
                runs = store.runs(row.uid, 1_000)
            one = next((one for one in runs if one.run == call.path["run"]), None)
            if one is None or (one.result is None and not one.result_digest):
                raise Problem(404, "no such run, or it has no result")
            if one.result is not None:
                return one.result.encode()
            return self._blob(str(one.result_digest))

        return Response(
            await run_in_threadpool(work), media_type="application/octet-stream", headers=_ATTACHED
        )

    # -- federated learning -------------------------------------------------------------------

    async def rounds(self, call: Call) -> Response:
        """Rounds of one object."""

        def work(store: SqliteStore, row: StatusRow) -> list[dict[str, Any]]:
            return [shapes.round_of(one) for one in store.rounds(row.uid, LARGEST_PAGE)]

        return await self._of_object(call, work)

    async def model(self, call: Call) -> Response:
        """The bytes of a model."""
        which = call.path["round"]

        def work() -> bytes:
            _, row = self._find(call)
            with self._gallery.open() as store:
                rounds = store.rounds(row.uid, LARGEST_PAGE)
                learning = store.learnings().get(row.uid)
            digest = ""
            job = learning.job if learning is not None else None
            if which == "best" and job is not None:
                digest = job.best_model.digest
            elif which == "latest" and job is not None and job.done:
                digest = job.model.digest
            elif which.isdecimal():
                made = [one for one in rounds if str(one.number) == which and one.fold is not None]
                digest = next((one.fold.model.digest for one in made if one.fold), "")
            if not digest:
                raise Problem(404, "no such round, or it made no model")
            return self._blob(digest)

        return Response(
            await run_in_threadpool(work), media_type="application/octet-stream", headers=_ATTACHED
        )

    # -- logs ---------------------------------------------------------------------------------

    async def logs(self, call: Call) -> Response:
        """Asked of the devices; a line of JSON for each piece."""
        key, query = _key(call), call.query
        answers = Answers()
        self._loop.post(
            Operate(
                verb="logs",
                key=key,
                proplet=PropletId(query["proplet"]) if "proplet" in query else None,
                stream=query["stream"],
                tail=query["tail"],
                follow=query["follow"],
                reply=answers.reply,
            )
        )
        first = await answers.next(PATIENCE)
        if "error" in first:
            raise refusal(first)
        stream: AsyncIterator[bytes] = lines(answers, first, PATIENCE + query["follow"] / 1000)
        return StreamingResponse(stream, media_type="application/x-ndjson")

    # -- the fleet ----------------------------------------------------------------------------

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
            page = _named_page(found, call, _itself, picture)
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
            return _timed_page(found, call, picture.serial)

        return JSONResponse(await run_in_threadpool(work))

    async def usage(self, call: Call) -> Response:
        """What the copies of one object took, those that were there before among them."""
        which = call.query.get("proplet")

        def work(store: SqliteStore, row: StatusRow) -> list[dict[str, Any]]:
            names = {one.proplet for one in store.runs(row.uid, 1_000)}
            now = self._gallery.clock()
            since = min(now, call.query.get("since", now - HOUR))
            found = []
            for name in sorted(one for one in names if which in (None, one)):
                past = past_of(store, name, since=since, now=now)
                mine = (one.of_guest(row.uid) for one in past)
                found += [one for one in mine if one is not None]
                if len(found) > MOST_USAGE:
                    break
            found.sort(key=lambda one: (-one.at, one.proplet))
            return [shapes.usage_of(one) for one in found[:MOST_USAGE]]

        return await self._of_object(call, work)

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
            return _timed_page(found, call, serial)

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

    # -- parts --------------------------------------------------------------------------------

    def _find(self, call: Call) -> tuple[Picture, StatusRow]:
        key, picture = _key(call), self._gallery.picture()
        for row in picture.statuses:
            if row.key == key:
                return picture, row
        raise Problem(404, f"{key} is not in the inventory")

    def _blob(self, digest: str) -> bytes:
        if not is_digest(digest):
            raise Problem(404, "it is not kept any more")
        try:
            return self._blobs.read(Digest(digest))
        except FileNotFoundError as error:
            raise Problem(404, "it is not kept any more") from error

    async def _of_object(
        self, call: Call, work: Callable[[SqliteStore, StatusRow], list[dict[str, Any]]]
    ) -> Response:
        def whole() -> dict[str, Any]:
            picture, row = self._find(call)
            with self._gallery.open() as store:
                return _timed_page(work(store, row), call, picture.serial)

        return JSONResponse(await run_in_threadpool(whole))

    async def _of_fleet(
        self, call: Call, work: Callable[[SqliteStore], list[dict[str, Any]]]
    ) -> Response:
        def whole() -> dict[str, Any]:
            with self._gallery.open() as store, store.transaction():
                return _timed_page(work(store), call, store.serial())

        return JSONResponse(await run_in_threadpool(whole))


_ATTACHED: Final = {"Content-Disposition": "attachment"}


def key_of(call: Call) -> Key:
    """The object the path names. Raises Problem 404 for what is no name."""
    return _key(call)


def _key(call: Call) -> Key:
    path = call.path
    try:
        return Key.parse(f"{path['kind']}/{path['namespace']}/{path['name']}")
    except ValueError as error:
        raise Problem(404, "no object has such a name") from error


def _is_in(key: Key | None, namespace: str) -> bool:
    return key is not None and key.namespace == namespace


def seen_by(caller: Caller, key: Key | None) -> bool:
    """Whether something about `key` may be shown; what is about no object is about the fleet."""
    return key is None or caller.sees(key.namespace)


def _named_page(
    found: Iterable[tuple[str, Any]],
    call: Call,
    shape: Callable[[Any], Any],
    picture: Picture,
) -> dict[str, Any]:
    """In the order of names, which are the cursor: a page is right although the list moved."""
    after, limit = _cursor(call), call.query["limit"]
    rest = sorted((one for one in found if one[0] > after), key=lambda one: one[0])
    page = rest[:limit]
    more = _opaque(page[-1][0]) if len(rest) > limit else None
    return {
        "items": [shape(one) for _, one in page],
        "next": more,
        "serial": picture.serial,
    }


def _itself(one: Any) -> Any:
    return one


def _timed_page(found: Sequence[dict[str, Any]], call: Call, serial: int) -> dict[str, Any]:
    """Newest first; the cursor counts from the oldest, so that what is new moves no page."""
    limit, after = call.query["limit"], _cursor(call)
    if after and not (after.isascii() and after.isdecimal()):
        raise Problem(400, "after is no cursor of ours")
    start = len(found) - int(after) if after else 0
    start = min(max(start, 0), len(found))
    page = list(found[start : start + limit])
    left = len(found) - start - len(page)
    return {"items": page, "next": _opaque(str(left)) if left else None, "serial": serial}


def _cursor(call: Call) -> str:
    text = call.query.get("after", "")
    try:
        return base64.b64decode(
            text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
        ).decode()
    except ValueError as error:
        raise Problem(400, "after is no cursor of ours") from error


def _opaque(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
