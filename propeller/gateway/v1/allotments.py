"""What namespaces have of what they may have: of those that the caller sees."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from propeller.gateway.access.roles import Role
from propeller.gateway.gallery import Gallery
from propeller.gateway.routing import Call, Entry, Scope
from propeller.gateway.v1.schemas import page_of
from propeller.reconcile.allotment import allotment, share_form


def allotment_entries(gallery: Gallery) -> list[Entry]:
    """The part of the route table about quotas."""
    known: dict[int, list[dict[str, Any]]] = {}

    async def quotas(call: Call) -> Response:
        def work() -> tuple[int, list[dict[str, Any]]]:
            with gallery.open() as store, store.transaction():
                serial = store.serial()
                found = known.get(serial)
                if found is None:
                    found = [share_form(one) for one in allotment(store)]
                    known.clear()  # a fleet of ten thousand is counted once a change at most
                    known[serial] = found
                return serial, found

        serial, found = await run_in_threadpool(work)
        seen = [one for one in found if call.caller.sees(str(one["namespace"]))]
        return JSONResponse({"items": seen, "next": None, "serial": serial})

    return [
        Entry(
            method="GET",
            path="/api/v1/quotas",
            handler=quotas,
            role=Role.VIEWER,
            scope=Scope.ANY,
            summary="what each namespace has of what it may have, by name",
            answer=page_of("Share"),
        )
    ]
