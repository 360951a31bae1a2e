"""The looks of `/api/v1/objects`: objects, their past, events, runs, results, rounds, logs, usage.

What is in a namespace that the caller does not see is left out, and is not there when asked for by
name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from propeller.gateway.api import lines
from propeller.gateway.asking import PATIENCE, Answers, Loop, refusal
from propeller.gateway.gallery import Gallery, Picture
from propeller.gateway.problem import Problem
from propeller.gateway.routing import Call, Entry, Param, Scope
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
from propeller.gateway.v1.schemas import TEXT, page_of, ref
from propeller.model.ids import Digest, Key, PropletId, is_digest
from propeller.model.samples import HOUR
from propeller.reconcile.events import Operate
from propeller.registry.blobs import BlobStore
from propeller.state.records import StatusRow
from propeller.state.samples import past_of
from propeller.state.sqlite import SqliteStore

LONGEST_LOGS_MS: Final = 600_000
MOST_USAGE: Final = 20_000
THE_OBJECT: Final = "/api/v1/objects/{kind}/{namespace}/{name}"
_ATTACHED: Final = {"Content-Disposition": "attachment"}


def object_entries(gallery: Gallery, blobs: BlobStore, loop: Loop) -> list[Entry]:
    """The part of the route table that looks at objects."""
    reads = Objects(gallery, blobs, loop)
    in_path = Scope.PATH
    binary = "application/octet-stream"
    which = Param(name="proplet", words="only of this one", schema=TEXT)
    return [
        look(
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
        look(THE_OBJECT, reads.object, "one object", ref("Object"), scope=in_path),
        look(
            THE_OBJECT + "/history",
            reads.history,
            "its generations and what became of them, newest first",
            page_of("Past"),
            query=PAGED,
            scope=in_path,
        ),
        look(
            THE_OBJECT + "/events",
            reads.object_events,
            "what happened to it, newest first",
            page_of("Event"),
            query=PAGED,
            scope=in_path,
        ),
        look(
            THE_OBJECT + "/runs",
            reads.runs,
            "its runs, newest first",
            page_of("Run"),
            query=(*PAGED, which),
            scope=in_path,
        ),
        look(
            THE_OBJECT + "/runs/{run}/result",
            reads.result,
            "what a run returned, as bytes",
            None,
            scope=in_path,
            media=binary,
        ),
        look(
            THE_OBJECT + "/rounds",
            reads.rounds,
            "rounds of a FederatedTask, newest first",
            page_of("Round"),
            query=PAGED,
            scope=in_path,
        ),
        look(
            THE_OBJECT + "/rounds/{round}/model",
            reads.model,
            "the model of a round (a number, `latest` or `best`), as safetensors",
            None,
            scope=in_path,
            media=binary,
        ),
        look(
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
        look(
            THE_OBJECT + "/usage",
            reads.usage,
            "what its copies took, newest first: minutes of up to a day, else hours",
            page_of("Usage"),
            query=(*PAGED, which, SINCE),
            scope=in_path,
        ),
    ]


class Objects:
    """The handlers. Everything that reads the store runs in a worker thread."""

    def __init__(self, gallery: Gallery, blobs: BlobStore, loop: Loop) -> None:
        self._gallery = gallery
        self._blobs = blobs
        self._loop = loop

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
            return named_page(found, call, shapes.object_of, picture)

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

    async def logs(self, call: Call) -> Response:
        """Asked of the devices; a line of JSON for each piece."""
        key, query = key_of(call), call.query
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

    def _find(self, call: Call) -> tuple[Picture, StatusRow]:
        key, picture = key_of(call), self._gallery.picture()
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
                return timed_page(work(store, row), call, picture.serial)

        return JSONResponse(await run_in_threadpool(whole))


def key_of(call: Call) -> Key:
    """The object the path names. Raises Problem 404 for what is no name."""
    path = call.path
    try:
        return Key.parse(f"{path['kind']}/{path['namespace']}/{path['name']}")
    except ValueError as error:
        raise Problem(404, "no object has such a name") from error
