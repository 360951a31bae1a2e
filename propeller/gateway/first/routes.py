"""The routes of the first API, with its paths, fields and codes; `{"error": text}` when it says no.

Where theirs contradicts itself this one does what its own SDK expects (`GET /jobs/{id}` is 200). In
front stands our gate: reading asks for a viewer, changing for a deployer of the namespace
`upstream`.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from propeller import __version__
from propeller.gateway.access.roles import Role
from propeller.gateway.first.desk import LARGEST, Desk
from propeller.gateway.first.learning import Learning
from propeller.gateway.first.paging import page_of, window_of
from propeller.gateway.first.proplets import Proplets
from propeller.gateway.first.translate import NAMESPACE, Task, moment
from propeller.gateway.gallery import Gallery
from propeller.gateway.problem import Problem
from propeller.gateway.routing import Call, Entry, Face, Handler, Scope

ANYTHING: Final = {"type": "object"}
WASM: Final = b"\x00asm"
STATES: Final = ("pending", "running", "completed", "failed")


def first_entries(desk: Desk, gallery: Gallery) -> list[Entry]:
    """The part of the route table that the first CLI and SDK know."""
    first, proplets, learning = First(desk), Proplets(gallery), Learning(desk, gallery)

    def entry(
        method: str,
        path: str,
        handler: Handler,
        summary: str,
        *,
        body: bool = False,
        fleet: bool = False,
        role: Role | None = None,
        largest: int = 1 << 20,
    ) -> Entry:
        writes = method != "GET"
        return Entry(
            method=method,
            path=path,
            handler=handler,
            role=role or (Role.DEPLOYER if writes else Role.VIEWER),
            scope=(Scope.ALL if writes else Scope.ANY) if fleet else Scope.FIXED,
            namespace="" if fleet else NAMESPACE,
            face=Face.FIRST,
            summary=summary,
            body=ANYTHING if body else None,
            largest=largest,
        )

    return [
        Entry(
            method="GET",
            path="/health",
            handler=first.health,
            role=None,
            scope=Scope.OPEN,
            face=Face.FIRST,
            summary="that it runs",
        ),
        entry("GET", "/proplets", proplets.proplets, "the fleet", fleet=True),
        entry("GET", "/proplets/{name}", proplets.proplet, "one proplet", fleet=True),
        entry("DELETE", "/proplets/{name}", proplets.no_proplet, "never", fleet=True),
        entry("GET", "/proplets/{name}/sdf", proplets.sdf, "what it is, as SDF", fleet=True),
        entry("GET", "/proplets/{name}/metrics", proplets.metrics, "its numbers", fleet=True),
        entry("GET", "/proplets/{name}/alive-history", proplets.alive, "when heard", fleet=True),
        entry("POST", "/tasks", first.create, "make a task", body=True, largest=LARGEST),
        entry("GET", "/tasks", first.tasks, "every task"),
        entry("GET", "/tasks/{id}", first.task, "one task"),
        entry("PUT", "/tasks/{id}", first.change, "change it", body=True, largest=LARGEST),
        entry("PUT", "/tasks/{id}/upload", first.upload, "give it a module", largest=LARGEST),
        entry("DELETE", "/tasks/{id}", first.delete, "take it away"),
        entry("POST", "/tasks/{id}/start", first.start, "run it"),
        entry("POST", "/tasks/{id}/stop", first.stop, "stop it"),
        entry("POST", "/tasks/{id}/invoke", first.invoke, "run it and wait"),
        entry("GET", "/tasks/{id}/metrics", first.task_metrics, "its numbers"),
        entry("GET", "/tasks/{id}/results", first.results, "what it returned"),
        entry("POST", "/workflows", first.workflow, "tasks in order", body=True, largest=LARGEST),
        entry("POST", "/jobs", first.create_job, "tasks together", body=True, largest=LARGEST),
        entry("GET", "/jobs", first.jobs, "every job"),
        entry("GET", "/jobs/{id}", first.job, "one job"),
        entry("POST", "/jobs/{id}/start", first.start_job, "run all of it"),
        entry("POST", "/jobs/{id}/stop", first.stop_job, "stop all of it"),
        entry("POST", "/fl/experiments", learning.experiment, "a round of learning", body=True),
        entry("GET", "/fl/task", learning.fl_task, "what a round asks for"),
        entry("POST", "/fl/update", learning.update, "never", body=True),
        entry("POST", "/fl/update_cbor", learning.update, "never"),
        entry("GET", "/fl/rounds/{round}/complete", learning.complete, "how far a round is"),
    ]


class First:
    """The handlers of tasks, workflows and jobs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def health(self, _: Call) -> Response:
        """Always, while it runs."""
        words = {"status": "pass", "version": __version__, "commit": "", "build_time": ""}
        words |= {"description": "manager service", "instance_id": ""}
        return JSONResponse(words)

    # -- tasks --------------------------------------------------------------------------------

    async def create(self, call: Call) -> Response:
        """A task; it does not run before it is started."""
        task = await self._desk.create(call.body, call.by)
        headers = {"Location": f"/tasks/{task['id']}"}
        return JSONResponse(await self._desk.show(task), 201, headers=headers)

    async def tasks(self, call: Call) -> Response:
        """A page, filtered by equal metadata."""
        text = call.request.query_params.get("metadata", "")
        try:
            wanted = json.loads(text) if text else {}
        except ValueError as error:
            raise Problem(400, "metadata must be a JSON object") from error
        if not isinstance(wanted, dict):
            raise Problem(400, "metadata must be a JSON object")
        found = [
            task
            for task in await self._desk.all()
            if all((task.get("metadata") or {}).get(name) == one for name, one in wanted.items())
        ]
        start, limit = window_of(call)
        items = [await self._desk.show(task) for task in found[start : start + limit]]
        return JSONResponse({"offset": start, "limit": limit, "total": len(found), "tasks": items})

    async def task(self, call: Call) -> Response:
        """One."""
        return JSONResponse(await self._desk.show(await self._desk.get(call.path["id"])))

    async def change(self, call: Call) -> Response:
        """Some fields anew; all of them count, not only those that theirs takes."""
        task = await self._desk.change(call.path["id"], call.body, call.by)
        return JSONResponse(await self._desk.show(task))

    async def upload(self, call: Call) -> Response:
        """A module, as a form's file."""
        data = await _module(call.request, call.raw)
        body = {"file": base64.b64encode(data).decode()}
        task = await self._desk.change(call.path["id"], body, call.by)
        return JSONResponse(await self._desk.show(task))

    async def delete(self, call: Call) -> Response:
        """Stopped as well, which theirs forgets."""
        await self._desk.delete(call.path["id"])
        return Response(status_code=204)

    async def start(self, call: Call) -> Response:
        """With all that wait for it or that it waits for, where it is one of a workflow."""
        task = await self._desk.get(call.path["id"])
        for one in await self._together(task):
            await self._desk.start(one["id"], call.by)
        return JSONResponse({"started": True})

    async def stop(self, call: Call) -> Response:
        """Off the proplets."""
        await self._desk.stop(call.path["id"], call.by)
        return JSONResponse({"stopped": True})

    async def invoke(self, call: Call) -> Response:
        """Run once with other inputs, and wait for what it returns."""
        try:
            body = json.loads(call.raw) if call.raw.strip() else {}
        except ValueError as error:
            raise Problem(400, "the body is not JSON") from error
        if not isinstance(body, dict):
            raise Problem(400, "the body must be an object")
        run = {name: body.get(name) for name in ("inputs", "env")}
        task = await self._desk.start(call.path["id"], call.by, **run)
        found = await self._desk.wait(task)
        text = found if isinstance(found, str) else json.dumps(found)
        return JSONResponse({"invoked": True, "results": text})

    async def task_metrics(self, call: Call) -> Response:
        """Nothing is kept of the past here: an empty page of one that is there."""
        await self._desk.get(call.path["id"])
        return page_of(call, "metrics", [])

    async def results(self, call: Call) -> Response:
        """What it returned; an empty body while it did not, as theirs."""
        found = await self._desk.results(await self._desk.get(call.path["id"]))
        return Response() if found is None else JSONResponse({"results": found})

    async def _together(self, task: Task) -> Sequence[Task]:
        flow = task.get("workflow_id")
        if not flow or not (task.get("in_workflow")):
            return [task]
        return [one for one in await self._desk.all() if one.get("workflow_id") == flow]

    # -- workflows and jobs -------------------------------------------------------------------

    async def workflow(self, call: Call) -> Response:
        """Tasks that wait for each other; starting one of them starts it."""
        bodies = _bodies(call)
        named = next((str(one["workflow_id"]) for one in bodies if one.get("workflow_id")), "")
        more = {"workflow_id": named or str(uuid.uuid4()), "in_workflow": "yes"}
        tasks = await self._desk.create_all(
            bodies, call.by, idents=[str(one.get("id") or "") for one in bodies], **more
        )
        shown = [await self._desk.show(task) for task in tasks]
        return JSONResponse({"tasks": shown}, 201)

    async def create_job(self, call: Call) -> Response:
        """Tasks under one name."""
        mode = call.body.get("execution_mode") or "parallel"
        if mode not in ("parallel", "sequential", "configurable"):
            raise Problem(400, "execution_mode must be parallel, sequential or configurable")
        bodies, ident = _bodies(call), str(uuid.uuid4())
        idents = [str(one.get("id") or uuid.uuid4()) for one in bodies]
        if mode == "sequential":
            bodies = [
                {**one, "depends_on": [*(one.get("depends_on") or []), before]} if before else one
                for one, before in zip(bodies, ["", *idents], strict=False)
            ]
        tasks = await self._desk.create_all(bodies, call.by, idents=idents, job_id=ident)
        name = str(call.body.get("name") or "")
        job = {"job_id": ident, "name": name, "created": tasks[0]["created"], "mode": mode}
        await self._desk.put_job({**job, "tasks": idents})
        shown = [await self._desk.show(task) for task in tasks]
        headers = {"Location": f"/jobs/{ident}"}
        return JSONResponse({"job_id": ident, "tasks": shown}, 201, headers=headers)

    async def jobs(self, call: Call) -> Response:
        """A page, filtered by state."""
        status = call.request.query_params.get("status", "")
        if status and status not in STATES:
            raise Problem(400, f"status must be one of {', '.join(STATES)}")
        found = [await self._job(job) for job in await self._desk.jobs()]
        if status:
            wanted = {"pending": 0, "running": 2, "completed": 3, "failed": 4}[status]
            found = [one for one in found if one["state"] == wanted]
        return page_of(call, "jobs", found)

    async def job(self, call: Call) -> Response:
        """One, with its tasks."""
        job = await self._job(await self._desk.job(call.path["id"]))
        return JSONResponse({"job_id": job["job_id"], "tasks": job["tasks"]})

    async def start_job(self, call: Call) -> Response:
        """All its tasks; those that wait for others wait."""
        job = await self._desk.job(call.path["id"])
        for ident in job["tasks"]:
            await self._desk.start(ident, call.by)
        return JSONResponse({"message": "job started", "job_id": job["job_id"]})

    async def stop_job(self, call: Call) -> Response:
        """All its tasks."""
        job = await self._desk.job(call.path["id"])
        for ident in job["tasks"]:
            await self._desk.stop(ident, call.by)
        return JSONResponse({"message": "job stopped", "job_id": job["job_id"]})

    async def _job(self, job: Task) -> Task:
        tasks = []
        for ident in job["tasks"]:
            try:
                tasks.append(await self._desk.show(await self._desk.get(ident)))
            except Problem:
                continue  # deleted since
        states = [one["state"] for one in tasks]
        if any(state in (4, 6) for state in states):
            state = 4
        elif any(state == 2 for state in states):
            state = 2
        else:
            state = 3 if states and all(one == 3 for one in states) else 0
        return {
            "job_id": job["job_id"],
            "name": job["name"],
            "state": state,
            "tasks": tasks,
            "start_time": min((one["start_time"] for one in tasks), default=moment(0)),
            "finish_time": max((one["finish_time"] for one in tasks), default=moment(0)),
            "created_at": moment(job["created"]),
        }


def _bodies(call: Call) -> list[dict[str, Any]]:
    tasks = call.body.get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(one, dict) for one in tasks):
        raise Problem(400, "tasks must be a list of tasks")
    if not 0 < len(tasks) <= 200:
        raise Problem(400, "1 to 200 tasks")
    return tasks


async def _module(request: Request, raw: bytes) -> bytes:
    """The file of an upload. Raises Problem 400."""

    async def pieces() -> AsyncIterator[bytes]:
        yield raw

    try:
        # The generator is one of AsyncIterator; the parser says AsyncGenerator.
        form = await MultiPartParser(request.headers, pieces()).parse()  # type: ignore[arg-type]
    except (MultiPartException, KeyError, ValueError) as error:
        raise Problem(400, "the body is no form with a file") from error
    file = form.get("file")
    if file is None or isinstance(file, str):
        raise Problem(400, "the form has no file named `file`")
    data = await file.read()
    if not (file.filename or "").endswith(".wasm") or not data.startswith(WASM):
        raise Problem(400, "the file must be a .wasm module")
    return data
