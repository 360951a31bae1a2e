"""The tasks and jobs made through the first API: kept as files, each a spec once it has a module.

Used by `routes` only. Every change of a task puts its spec again; how it is comes from the store.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from starlette.concurrency import run_in_threadpool

from propeller.errors import Unavailable
from propeller.gateway.first.translate import (
    Task,
    checked,
    has_module,
    key_of,
    results_of,
    shown,
    spec_of,
    state_of,
)
from propeller.gateway.gallery import Gallery
from propeller.gateway.problem import Problem
from propeller.gateway.shelf import Shelf
from propeller.model.ids import Key
from propeller.state.files import make_directory, replace_file
from propeller.state.records import RunRecord

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")
MOST: Final = 10_000
LARGEST: Final = 64 << 20
PATIENCE_S: Final = 30.0
POLL_S: Final = 0.05

KEPT: Final = ("id", "started", "started_at", "stopped", "created", "updated", "by", "job_id")


class Desk:
    """See the module. clock: Unix ms."""

    def __init__(
        self, shelf: Shelf, gallery: Gallery, folder: Path, clock: Callable[[], int]
    ) -> None:
        self._shelf = shelf
        self._gallery = gallery
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()

    # -- tasks --------------------------------------------------------------------------------

    async def create(self, body: Mapping[str, Any], by: str, *, ident: str = "") -> Task:
        """A new task; its id is ours, or `ident`. Raises Problem."""
        (made,) = await self.create_all([body], by, idents=[ident])
        return made

    async def create_all(
        self,
        bodies: Sequence[Mapping[str, Any]],
        by: str,
        *,
        idents: Sequence[str],
        **more: str,
    ) -> list[Task]:
        """Several, all or none."""
        now, tasks = self._clock(), []
        for body, ident in zip(bodies, idents, strict=True):
            task = checked({name: value for name, value in body.items() if name not in KEPT})
            task |= {"id": ident or str(uuid.uuid4()), "by": by, "started": 0, **more}
            task |= {"created": now, "updated": now}
            if not _ID.fullmatch(task["id"]):
                raise Problem(400, "an id is 1 to 60 letters, digits, - and _")
            tasks.append(task)
        kinds = {task["id"]: key_of(task).kind for task in [*await self.all(), *tasks]}
        if len({task["id"] for task in tasks}) != len(tasks):
            raise Problem(400, "two tasks have one id")
        for task in tasks:
            for one in task.get("depends_on") or []:
                if str(one) not in kinds:
                    raise Problem(400, f"depends_on: there is no task {str(one)[:64]}")
        _check_order(tasks)
        done: list[Task] = []
        try:
            for task in _in_order(tasks):
                await self._put(task, kinds, new=True)
                done.append(task)
        except Problem:
            for task in reversed(done):
                await self._take_away(task)
            raise
        return tasks

    async def change(self, ident: str, body: Mapping[str, Any], by: str) -> Task:
        """Part of a task anew."""
        before = await self.get(ident)
        task = checked(
            {**before, **{name: value for name, value in body.items() if name not in KEPT}}
        )
        if key_of(task).kind != key_of(before).kind:
            raise Problem(400, "daemon and kind stay as they were: make another task")
        await self._put({**task, "updated": self._clock(), "by": by}, await self._kinds())
        return task

    async def start(self, ident: str, by: str, **run: Any) -> Task:
        """Run it, for the first time or again. run: inputs and env that replace its own."""
        task = await self.get(ident)
        if not has_module(task):
            raise Problem(400, "the task has neither image_url nor file")
        task = checked({**task, **{name: value for name, value in run.items() if value}})
        task |= {"started": int(task.get("started") or 0) + 1, "stopped": False, "by": by}
        task["started_at"] = self._clock()
        await self._put(task, await self._kinds())
        return task

    async def stop(self, ident: str, by: str) -> Task:
        """Take it off the proplets; its spec stays."""
        task = {**await self.get(ident), "stopped": True, "by": by}
        await self._put(task, await self._kinds())
        return task

    async def delete(self, ident: str) -> None:
        """The task and its spec."""
        await self._take_away(await self.get(ident))

    async def wait(self, task: Task) -> object:
        """What a started task returned. Raises Problem 500 when it failed or takes too long."""
        end = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            ready, runs = await run_in_threadpool(self._facts, key_of(task))
            found = results_of(task, runs)
            if found is not None:
                return found
            if state_of(task, ready, runs) == 4:
                raise Problem(500, next((one.error for one in runs if one.error), "it failed"))
            if asyncio.get_running_loop().time() > end:
                raise Problem(500, "no result in 30 s")
            await asyncio.sleep(POLL_S)

    async def show(self, task: Task) -> Task:
        """The task with how it is now."""
        ready, runs = await run_in_threadpool(self._facts, key_of(task))
        return shown(task, ready, runs)

    async def results(self, task: Task) -> object:
        """What it returned, None while it did not."""
        _, runs = await run_in_threadpool(self._facts, key_of(task))
        return results_of(task, runs)

    async def all(self) -> list[Task]:
        """Every task, the oldest first."""
        return await run_in_threadpool(self._read_all, "tasks")

    async def get(self, ident: str) -> Task:
        """One. Raises Problem 404."""
        return await run_in_threadpool(self._read, "tasks", ident)

    # -- jobs ---------------------------------------------------------------------------------

    async def put_job(self, job: Mapping[str, Any]) -> None:
        """Keep a job."""
        await run_in_threadpool(self._write, "jobs", str(job["job_id"]), job)

    async def jobs(self) -> list[Task]:
        """Every job, the oldest first."""
        return await run_in_threadpool(self._read_all, "jobs")

    async def job(self, ident: str) -> Task:
        """One. Raises Problem 404."""
        return await run_in_threadpool(self._read, "jobs", ident)

    # -- parts --------------------------------------------------------------------------------

    async def _kinds(self) -> dict[str, str]:
        return {task["id"]: key_of(task).kind for task in await self.all()}

    async def _put(self, task: Task, kinds: Mapping[str, str], *, new: bool = False) -> None:
        if new and await run_in_threadpool(self._path("tasks", task["id"]).exists):
            raise Problem(409, f"there is a task {task['id']} already")
        if has_module(task):
            document, files = spec_of(task, kinds)
            await self._shelf.put(key_of(task), document, files, by=str(task["by"]))
        await run_in_threadpool(self._write, "tasks", task["id"], task)

    async def _take_away(self, task: Task) -> None:
        if has_module(task):
            try:
                await self._shelf.drop(key_of(task), by=str(task["by"]))
            except Problem as problem:
                if problem.status != 404:
                    raise
        await run_in_threadpool(self._path("tasks", task["id"]).unlink, True)

    def _facts(self, key: Key) -> tuple[str, list[RunRecord]]:
        """Ready of the object, and its runs newest first."""
        for row in self._gallery.picture().statuses:
            if row.key == key:
                with self._gallery.open() as store:
                    return row.ready, store.runs(row.uid, 100)
        return "Unknown", []

    def _path(self, what: str, ident: str) -> Path:
        if not _ID.fullmatch(ident):
            raise Problem(400, "that is no id")
        return self._folder / what / f"{ident}.json"

    def _write(self, what: str, ident: str, words: Mapping[str, Any]) -> None:
        path = self._path(what, ident)
        with self._lock:
            make_directory(path.parent, mode=0o700)
            if not path.exists() and sum(1 for _ in path.parent.iterdir()) >= MOST:
                raise Problem(409, f"there are {MOST} {what} already")
            replace_file(path, json.dumps(words).encode(), mode=0o600)

    def _read(self, what: str, ident: str) -> Task:
        try:
            found: Task = json.loads(self._path(what, ident).read_bytes())
        except FileNotFoundError as error:
            raise Problem(404, "not found") from error
        except (OSError, ValueError) as error:
            raise Unavailable(f"{what}/{ident} cannot be read") from error
        return found

    def _read_all(self, what: str) -> list[Task]:
        folder = self._folder / what
        paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
        found = [self._read(what, path.stem) for path in paths]
        return sorted(found, key=lambda one: (one.get("created", 0), one.get("id", "")))


def _check_order(tasks: Iterable[Task]) -> None:
    """Raises Problem 400 for a circle among tasks that are made together."""
    _in_order(list(tasks))


def _in_order(tasks: Sequence[Task]) -> list[Task]:
    """Those that wait after those that are waited for."""
    left, out = {task["id"]: task for task in tasks}, []
    while left:
        free = [
            task
            for task in left.values()
            if not any(str(one) in left for one in task.get("depends_on") or [])
        ]
        if not free:
            raise Problem(400, "depends_on goes in a circle")
        out += [left.pop(task["id"]) for task in free]
    return out
