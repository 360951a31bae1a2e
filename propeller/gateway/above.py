"""What the gateway proplet of a site says to its reconciler, on the socket of the state directory.

`POST /api/v1/upstream` with an order is the question and its repetition; the answer is one of
`Working`, `WantsBlobs`, `Made` and `Failed` (`reconcile.upstream`). What an order starts from is
put with `upstream-blob` first. The body of `Made` is the sums of an `f64-partial`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from propeller.errors import UsageError
from propeller.gateway.asking import Loop, ask
from propeller.gateway.problem import Problem
from propeller.gateway.routing import Call
from propeller.model.ids import Digest, Key, is_digest
from propeller.model.rounds import NO_BLOB, Blob, Order, Step
from propeller.reconcile.asked import Asked
from propeller.reconcile.events import AskRound

_REF = re.compile(r"FederatedTask/([a-z0-9-]{1,63})/([a-z0-9.-]{1,253})")
_JOB = re.compile(r"[0-9a-f-]{36}")
MOST_ROUNDS = 1 << 31


async def ask_round(loop: Loop, call: Call) -> Response:
    """An order, and how far it is."""
    asked = _asked(call.body)
    words = dict(await ask(loop, lambda reply: AskRound(asked=asked, reply=reply)))
    partial = words.pop("partial", None)
    if isinstance(partial, Mapping):
        data = await run_in_threadpool(_kept, loop, str(partial["digest"]))
        words["sums"] = base64.b64encode(data).decode()
    return JSONResponse(words)


def _kept(loop: Loop, digest: str) -> bytes:
    try:
        return loop.kept(digest)
    except (UsageError, OSError) as error:
        raise Problem(500, f"the sums of that round are gone: {error}") from error


async def keep_blob(loop: Loop, call: Call) -> Response:
    """Bytes of a model or a layout."""
    body = _mapping(call.body)
    try:
        data = base64.b64decode(str(body.get("data", "")), validate=True)
    except ValueError as error:
        raise Problem(400, f"data: {error}") from error
    return JSONResponse({"done": True, "digest": await run_in_threadpool(loop.keep, data)})


def _asked(body: object) -> Asked:
    told = _mapping(body)
    found = _REF.fullmatch(str(told.get("ref", "")))
    job, module, step = (str(told.get(name, "")) for name in ("job", "module", "step"))
    if found is None:
        raise Problem(400, "ref must be FederatedTask/NAMESPACE/NAME")
    if _JOB.fullmatch(job) is None or not is_digest(module):
        raise Problem(400, "job must be a UUID and module a digest")
    if step not in (Step.TRAIN, Step.EVALUATE):
        raise Problem(400, "step must be train or evaluate")
    order = Order(
        job=job,
        round=_count(told, "round"),
        attempt=_count(told, "attempt"),
        step=Step(step),
        base=_blob(told, "base"),
        layout=_blob(told, "layout"),
    )
    return Asked(Key("FederatedTask", found[1], found[2]), order, module)


def _mapping(body: object) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        raise Problem(400, "the body must be an object")
    return body


def _count(told: Mapping[str, Any], name: str) -> int:
    value = told.get(name)
    if type(value) is not int or not 1 <= value < MOST_ROUNDS:
        raise Problem(400, f"{name} must count from 1")
    return value


def _blob(told: Mapping[str, Any], name: str) -> Blob:
    row = told.get(name)
    if row is None:
        return NO_BLOB
    digest, size = (row.get("digest"), row.get("size")) if isinstance(row, Mapping) else ("", 0)
    if not is_digest(str(digest)) or type(size) is not int or size < 1:
        raise Problem(400, f"{name} must have a digest and a size")
    return Blob(Digest(str(digest)), size)
