"""What the verbs that run a reconciler share: building it, telling what happens, ending.

Used by `up`, `serve`, `reconcile` and `apply`.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from propeller.cli.settings import Fleet, registries_of
from propeller.gateway.api import make_app
from propeller.gateway.bridge import Bridge
from propeller.gateway.server import ApiServer
from propeller.model.ids import Key
from propeller.reconcile.reconciler import Reconciler
from propeller.reconcile.service import Service, Settings
from propeller.reconcile.standing import Standing, of_reconciler
from propeller.sources.open import Source
from propeller.state.layout import StateDir
from propeller.transport.endpoint import Endpoint


def clock() -> int:
    """Now, as Unix milliseconds."""
    return time.time_ns() // 1_000_000


def make_service(
    state: StateDir,
    source: Source,
    fleet: Fleet,
    endpoint: Callable[[str], Endpoint],
    *,
    verb: str,
) -> Service:
    """A reconciler process around `state` and `source`."""
    return Service(
        Settings(
            state=state,
            source=source,
            endpoint=endpoint,
            domain=fleet.domain,
            channel=fleet.channel,
            verb=verb,
            registries=registries_of(fleet, state),
        ),
        clock=clock,
        new_id=lambda: uuid.uuid4().hex,
        rng=random.Random(),  # noqa: S311 - jitter of reconnects, no secret
    )


def serve_api(service: Service, state: StateDir, fleet: Fleet) -> ApiServer:
    """Start the API on the state directory's socket; stop it with `.stop()`."""
    server = ApiServer(
        make_app(Bridge(service, domain=fleet.domain, cache=state.git)), state.socket
    )
    server.start()
    return server


@dataclass(slots=True)
class Narrator:
    """Tells on stderr what changed, one line an object, and once why nothing can."""

    quiet: bool = False
    _told: dict[Key, str] = field(default_factory=dict)
    _trouble: str = ""
    _hold: str = ""
    _revision: str = ""

    def look(self, reconciler: Reconciler) -> Standing:
        """The standing now; says what is new about it."""
        standing = of_reconciler(reconciler)
        if self.quiet:
            return standing
        if reconciler.specs.revision_name != self._revision:
            self._revision = reconciler.specs.revision_name
            self.say(f"revision {short(self._revision)}: {standing.total} objects")
        if reconciler.specs.trouble != self._trouble:
            self._trouble = reconciler.specs.trouble
            if self._trouble:
                self.say(f"the last good revision stands:\n{self._trouble}")
        if reconciler.fleet.hold != self._hold:
            self._hold = reconciler.fleet.hold
            if self._hold:
                self.say(f"nothing starts or moves: {self._hold}")
        for held in list(reconciler.world.objects.values()):
            key = held.object.meta.key
            conditions = {one.type: one for one in reconciler.projection.conditions(held.uid)}
            ready = conditions.get("Ready")
            if ready is None:
                continue
            mark = "ready" if ready.status == "True" else "waits"
            mark = "failed" if "Stalled" in conditions else mark
            if self._told.get(key) != (news := f"{mark} {ready.reason}"):
                self._told[key] = news
                self.say(f"{mark:<7}{key}  {ready.message or ready.reason}")
        return standing

    def say(self, text: str) -> None:
        """One line (or more) for the person at the terminal."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)


def short(revision: str) -> str:
    """A revision as people say it: the ref and twelve hex digits."""
    name, colon, digest = revision.rpartition(":")
    return f"{name}{colon}{digest[:12]}"


def stop_on_signals(service: Service) -> None:
    """SIGINT and SIGTERM end the loop after the turn it is in."""

    def leave(_signal: int, _frame: object) -> None:
        service.stop.set()
        service.wake()

    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)


def add_timeout(parser: argparse.ArgumentParser, default: str) -> None:
    """`--timeout T` with a duration as specs write them."""
    parser.add_argument(
        "--timeout", default=default, metavar="T", help=f"give up after T (default {default})"
    )


def deadline_ms(text: str) -> int:
    """A duration of the command line in ms. Raises UsageError."""
    from propeller.errors import UsageError
    from propeller.model.quantities import duration_ms

    try:
        return duration_ms(text)
    except ValueError as error:
        raise UsageError(f"{text!r}: {error}") from error
