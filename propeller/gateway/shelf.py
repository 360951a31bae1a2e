"""Objects that no source holds but the API: the App `api`, and what the first API made.

The specs lie as files in the state directory, so they outlive the database as what comes from git
does: `restore` puts back what the inventory lacks. Each is loaded by the same loader as every other
spec, alone, and posted to the loop, which answers what it changes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from starlette.concurrency import run_in_threadpool

from propeller.errors import PropellerError, SpecError
from propeller.gateway.asking import Loop, ask
from propeller.gateway.problem import Problem
from propeller.model.ids import Key
from propeller.model.module import Module
from propeller.model.specs import ModuleRef, Object
from propeller.reconcile.deposits import API_APP, Deposit, Withdraw
from propeller.reconcile.events import ModuleResolved
from propeller.state.files import make_directory, replace_file

log = logging.getLogger("propeller.gateway")

KINDS: Final = frozenset({"Task", "Daemon", "FederatedTask", "Function", "Workflow"})
MOST: Final = 10_000
DOCUMENT: Final = "object.json"

Changed = dict[str, Any]


class Shelf:
    """The objects of one App. folder: where their specs are kept."""

    def __init__(self, loop: Loop, folder: Path, *, app: str = API_APP) -> None:
        self._loop = loop
        self._folder = folder
        self.app = app

    async def put(
        self,
        key: Key,
        document: Mapping[str, Any],
        files: Mapping[str, str],
        *,
        by: str,
        dry: bool = False,
    ) -> Changed:
        """Want it. files: base64 by path. Raises Problem: 422 for a spec that is wrong, 409 for
        one that a source has."""
        thing, modules = await run_in_threadpool(self._load, key, document, files)
        if not dry:
            await run_in_threadpool(self._keep, key, document, files)
            for ref, module in modules.items():
                self._loop.post(ModuleResolved(ref, module))
        try:
            words = await ask(
                self._loop, lambda reply: Deposit(object=thing, by=by, dry=dry, reply=reply)
            )
        except Problem:
            if not dry:
                await run_in_threadpool(self._forget, key)
            raise
        return _changed(words)

    async def drop(self, key: Key, *, by: str, dry: bool = False) -> Changed:
        """Want it no more. Raises Problem: 404, 409."""
        words = await ask(
            self._loop,
            lambda reply: Withdraw(key=key, app=self.app, by=by, dry=dry, reply=reply),
        )
        if not dry:
            await run_in_threadpool(self._forget, key)
        return _changed(words)

    def restore(self) -> None:
        """Post what is kept; what the inventory has already changes nothing."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                kept = json.loads(path.read_bytes())
                key = Key.parse(kept["key"])
                thing, modules = self._load(key, kept["document"], kept["files"])
            except (OSError, ValueError, KeyError, TypeError, Problem, PropellerError) as error:
                log.warning("%s is not put back: %s", path, error)
                continue
            for ref, module in modules.items():
                self._loop.post(ModuleResolved(ref, module))
            self._loop.post(Deposit(object=thing, by="", dry=False, reply=_nobody))

    # -- parts --------------------------------------------------------------------------------

    def _load(
        self, key: Key, document: Mapping[str, Any], files: Mapping[str, str]
    ) -> tuple[Object, Mapping[ModuleRef, Module]]:
        if key.kind not in KINDS:
            raise Problem(422, f"{key.kind} is not made here: say it in a source")
        tree = {DOCUMENT: json.dumps(document).encode()}
        for name, text in files.items():
            try:
                tree[name] = base64.b64decode(text, validate=True)
            except ValueError as error:
                raise Problem(422, "files: must be base64") from error
        if len(tree) != len(files) + 1:
            raise Problem(422, f"files: {DOCUMENT} is the document's own name")
        try:
            revision = self._loop.load(tree)
        except SpecError as error:
            raise Problem(422, str(error)) from error
        if list(revision.objects) != [key]:
            raise Problem(422, f"the document must be {key} and nothing else")
        thing = revision.objects[key]
        return replace(thing, meta=replace(thing.meta, app=self.app)), revision.modules

    def _path(self, key: Key) -> Path:
        return self._folder / f"{hashlib.sha256(str(key).encode()).hexdigest()[:32]}.json"

    def _keep(self, key: Key, document: Mapping[str, Any], files: Mapping[str, str]) -> None:
        make_directory(self._folder, mode=0o700)
        path = self._path(key)
        if not path.exists() and sum(1 for _ in self._folder.glob("*.json")) >= MOST:
            raise Problem(409, f"the API holds {MOST} objects already")
        kept = {"key": str(key), "document": document, "files": files}
        replace_file(path, json.dumps(kept).encode(), mode=0o600)

    def _forget(self, key: Key) -> None:
        self._path(key).unlink(missing_ok=True)


def _changed(words: Mapping[str, object]) -> Changed:
    return {name: words[name] for name in ("op", "reason", "fields", "dryRun")}


def _nobody(_: Mapping[str, object]) -> None:
    """Nobody waits for the answer."""
