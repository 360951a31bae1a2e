"""What people and others come in by, of `up` and `serve`: calls, API, webhooks and dashboard."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from propeller.cli.gateway import open_gateway
from propeller.cli.outward import open_hooks

if TYPE_CHECKING:
    from propeller.cli.running import Narrator
    from propeller.cli.settings import Fleet
    from propeller.reconcile.service import Service
    from propeller.state.layout import StateDir
    from propeller.telemetry.spans import Send
    from propeller.transport.endpoint import Endpoint


def start_with_doors(
    stack: ExitStack,
    service: Service,
    state: StateDir,
    fleet: Fleet,
    *,
    way: Callable[[str], Endpoint],
    trace: Send | None,
    narrator: Narrator,
) -> None:
    """Open every door and start the service behind them; `stack` closes them again.

    way: to the broker, for a client id. trace: takes spans, None where nobody wants them.
    """
    from propeller.cli.running import open_carrier, serve_api

    carrier = open_carrier(service, state, fleet, way, trace=trace)
    stack.callback(carrier.stop)
    server = serve_api(service, state, fleet, carrier)
    stack.callback(server.stop)
    hooks = open_hooks(service, state, fleet)
    if hooks is not None:
        stack.callback(hooks.stop)
        narrator.say(f"webhooks on port {hooks.port}")
    pages = open_gateway(service, state, fleet, carrier)
    if pages is not None:
        stack.callback(pages.stop)
        narrator.say(f"dashboard on {pages.url}")
    service.start()
    carrier.start()
