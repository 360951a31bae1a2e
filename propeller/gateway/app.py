"""The gateway on a TCP port: pages, `/api/v1`, the first Propeller's routes, behind one gate.

`entries` is the whole route table; the application, the OpenAPI document and the test that tries
every route in every role are made from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from propeller.gateway.access.gate import Gate
from propeller.gateway.asking import Loop
from propeller.gateway.callcounts import Counts
from propeller.gateway.dashboard.actions import action_entries
from propeller.gateway.dashboard.apps import app_entries
from propeller.gateway.dashboard.invoking import invoke_entries
from propeller.gateway.dashboard.learning import learning_entries
from propeller.gateway.dashboard.logs import log_entries
from propeller.gateway.dashboard.pages import page_entries
from propeller.gateway.dashboard.rendering import Renderer
from propeller.gateway.first.desk import Desk
from propeller.gateway.first.routes import first_entries
from propeller.gateway.functions import Calling, function_routes
from propeller.gateway.gallery import Clock, Gallery
from propeller.gateway.metrics import metrics_entries
from propeller.gateway.routing import Entry, Routes, application
from propeller.gateway.shelf import Shelf
from propeller.gateway.v1.allotments import allotment_entries
from propeller.gateway.v1.fleet import fleet_entries
from propeller.gateway.v1.objects import object_entries
from propeller.gateway.v1.openapi import openapi_entry
from propeller.gateway.v1.oversight import oversight_entries
from propeller.gateway.v1.watching import watch_entries
from propeller.gateway.v1.writes import write_entries
from propeller.reconcile.deposits import FIRST_APP
from propeller.reconcile.signals import Signals
from propeller.registry.blobs import BlobStore


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What the gateway stands on. shelves: where objects of the API are kept.

    functions: what carries calls of Functions; without it there are none. signals: of the loop.
    calls: the file of calls that were promised an answer. counts: of calls since this began.
    """

    database: Path
    blobs: BlobStore
    shelves: Path
    loop: Loop
    clock: Clock
    functions: Calling | None = None
    signals: Signals | None = None
    calls: Path | None = None
    counts: Counts | None = None


def entries(
    house: House, gate: Gate, renderer: Renderer, gallery: Gallery | None = None
) -> list[Entry]:
    """The route table. gallery: one that is there already."""
    gallery = gallery or gallery_of(house)
    return [
        *page_entries(gallery, renderer, house.counts, calling=house.functions is not None),
        *learning_entries(gallery, renderer),
        *app_entries(gallery, renderer),
        *log_entries(gallery, renderer, house.loop),
        *action_entries(house.loop, gate, renderer),
        *(invoke_entries(house.functions, renderer) if house.functions is not None else ()),
        *api_entries(house, gate, gallery),
        *first_entries(desk_of(house, gallery), gallery),
        *metrics_entries(gallery, house.signals, house.counts),
    ]


def gallery_of(house: House) -> Gallery:
    """Pictures of its store."""
    return Gallery(house.database, house.clock, house.calls)


def desk_of(house: House, gallery: Gallery) -> Desk:
    """Where tasks of the first API are kept."""
    folder = house.shelves / "upstream"
    shelf = Shelf(house.loop, folder / "objects", app=FIRST_APP)
    return Desk(shelf, gallery, folder, house.clock)


def api_entries(house: House, gate: Gate, gallery: Gallery) -> list[Entry]:
    """The part of it that the OpenAPI document describes."""
    shelf = Shelf(house.loop, house.shelves / "objects")
    api = [
        *object_entries(gallery, house.blobs, house.loop),
        *fleet_entries(gallery),
        *watch_entries(gallery),
        *write_entries(house.loop, shelf),
        *allotment_entries(gallery),
        *oversight_entries(gate),
    ]
    return [*api, openapi_entry(api)]


def make_gateway(
    house: House, gate: Gate, *, hosts: Sequence[str], gallery: Gallery | None = None
) -> Starlette:
    """The application. hosts: names it answers to. gallery: one that is there already."""
    renderer = Renderer(house.clock)
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    routes = Routes(gate, renderer.refusal).routes(entries(house, gate, renderer, gallery))
    if house.functions is not None:
        routes += function_routes(house.functions, gate)
    return application(routes, [guard], renderer.refusal)


def put_back(house: House) -> None:
    """What the API was given before this process began."""
    Shelf(house.loop, house.shelves / "objects").restore()
    Shelf(house.loop, house.shelves / "upstream" / "objects", app=FIRST_APP).restore()
