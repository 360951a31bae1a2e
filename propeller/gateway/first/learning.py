"""Federated learning in the words of the first API: a round is a FederatedTask of one round.

Updates come signed from the devices, so what theirs posts here is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from propeller.gateway.first.desk import Desk
from propeller.gateway.first.translate import NAMESPACE, checked
from propeller.gateway.gallery import Gallery
from propeller.gateway.problem import Problem
from propeller.gateway.routing import Call


class Learning:
    """The handlers."""

    def __init__(self, desk: Desk, gallery: Gallery) -> None:
        self._desk = desk
        self._gallery = gallery

    async def experiment(self, call: Call) -> Response:
        """One round of a FederatedTask of its own, which is started at once."""
        body = call.body
        ident, image = str(body.get("round_id") or ""), str(body.get("task_wasm_image") or "")
        if not ident or not image:
            raise Problem(400, "round_id and task_wasm_image are missing")
        model = str(body.get("model_ref") or "")
        told = {
            "rounds": 1,
            "clients_per_round": body.get("k_of_n") or 1,
            "timeout_s": body.get("timeout_s"),
            "hyperparams": body.get("hyperparams"),
            "model": {"image": model} if model else None,
        }
        task = checked(
            {"name": ident, "kind": "federated", "mode": "train", "image_url": image, "fl": told}
        )
        task["experiment_id"] = str(body.get("experiment_id") or ident)
        made = await self._desk.create(task, call.by, ident=ident)
        await self._desk.start(made["id"], call.by)
        words = {"experiment_id": task["experiment_id"], "round_id": ident, "status": "configured"}
        return JSONResponse(words)

    async def fl_task(self, call: Call) -> Response:
        """What was asked for."""
        ident = call.request.query_params.get("round_id", "")
        if not ident:
            raise Problem(400, "round_id is missing")
        told = (await self._desk.get(ident)).get("fl") or {}
        model = (told.get("model") or {}).get("image", "")
        words = {"round_id": ident, "model_ref": model, "config": {}}
        return JSONResponse({"task": {**words, "hyperparams": told.get("hyperparams") or {}}})

    async def update(self, _: Call) -> Response:
        """Updates come from devices, signed: whoever reaches a port has none."""
        raise Problem(400, "updates come signed from the proplets of a round, not over HTTP")

    async def complete(self, call: Call) -> Response:
        """How far its FederatedTask is."""
        ident = call.path["round"]
        task = await self._desk.get(ident)
        wanted = int((task.get("fl") or {}).get("clients_per_round") or 1)
        rounds = await run_in_threadpool(self._rounds, f"t-{ident}")
        newest = rounds[0] if rounds else None
        parts = newest.parts.values() if newest is not None else ()
        status: dict[str, Any] = {
            "round_id": ident,
            "completed": newest is not None and str(newest.state) == "Committed",
            "num_updates": sum(str(part.bucket) == "Accepted" for part in parts),
            "k_of_n": wanted,
        }
        if newest is not None and newest.fold is not None and newest.fold.model:
            status["model_version"] = newest.number
        return JSONResponse({"status": status})

    def _rounds(self, name: str) -> Sequence[Any]:
        for row in self._gallery.picture().statuses:
            if (row.key.kind, row.key.namespace, row.key.name) == (
                "FederatedTask",
                NAMESPACE,
                name,
            ):
                with self._gallery.open() as store:
                    return store.rounds(row.uid, 1)
        return ()
