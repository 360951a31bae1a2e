"""What the verbs that run a reconciler share: building it, telling what happens, ending.

Used by `up`, `serve`, `reconcile` and `apply`.
"""

from __future__ import annotations

import argparse
import logging
import random
import secrets
import signal
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from propeller.cli.modulepolicies import signing_of
from propeller.cli.outward import outlets_of
from propeller.cli.quotas import quotas_of
from propeller.cli.settings import Fleet, identities_of, registries_of
from propeller.cli.specsource import open_specs
from propeller.gateway.access.audit import Audit
from propeller.gateway.api import make_app
from propeller.gateway.bridge import Bridge
from propeller.gateway.carrier import Carrier, Ground
from propeller.gateway.server import ApiServer
from propeller.model.ids import Key, PropletId, Uid
from propeller.reconcile.events import Wanted
from propeller.reconcile.reconciler import Reconciler
from propeller.reconcile.service import Service, Settings
from propeller.reconcile.standing import Standing, of_reconciler
from propeller.sources.open import Source
from propeller.state.layout import StateDir
from propeller.telemetry.loglines import fields
from propeller.telemetry.spans import Send
from propeller.transport.endpoint import Endpoint
from propeller.transport.mqtt import MqttTransport
from propeller.wire.signing import VerifyKey

log = logging.getLogger("propeller.cli")


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
    trace: Send | None = None,
) -> Service:
    """A reconciler process around `state` and `source`. trace: takes spans."""
    rules, keys = signing_of(fleet)
    return Service(
        Settings(
            state=state,
            source=source,
            endpoint=endpoint,
            domain=fleet.domain,
            channel=fleet.channel,
            verb=verb,
            registries=registries_of(fleet, state),
            open_source=lambda address: open_specs(address, fleet, state),
            outlets=outlets_of(fleet, source),
            identities=identities_of(fleet),
            signing=rules,
            signing_keys=keys,
            quotas=quotas_of(fleet),
            trace=trace,
        ),
        clock=clock,
        new_id=lambda: uuid.uuid4().hex,
        rng=random.Random(),  # noqa: S311 - jitter of reconnects, no secret
    )


def open_carrier(
    service: Service,
    state: StateDir,
    fleet: Fleet,
    endpoint: Callable[[str], Endpoint],
    *,
    trace: Send | None = None,
) -> Carrier:
    """What carries calls of Functions, on a connection of its own; `.start()` and `.stop()` it."""
    src = f"gateway-{secrets.token_hex(4)}"

    def key_of(proplet: str) -> VerifyKey | None:
        return service.devices.key_of(PropletId(proplet), service.reconciler.world)

    return Carrier(
        Ground(
            channel=service.channel,
            key=service.keys.gateway,
            key_of=key_of,
            transport=MqttTransport(
                endpoint(f"{fleet.domain}-{fleet.channel}-{src}"),
                random.Random(),  # noqa: S311 - jitter of reconnects, no secret
            ),
            database=state.database,
            calls=state.calls,
            src=src,
            clock=clock,
            new_id=lambda: uuid.uuid4().hex,
            trace=trace,
            micros=lambda: time.time_ns() // 1_000,
            want=lambda uid, calls: service.inbox.put(Wanted(Uid(uid), calls)),
        )
    )


def serve_api(
    service: Service, state: StateDir, fleet: Fleet, functions: Carrier | None = None
) -> ApiServer:
    """Start the API on the state directory's socket; stop it with `.stop()`."""
    app = make_app(
        Bridge(service, domain=fleet.domain, cache=state.git),
        clock=clock,
        audit=Audit(state.audit),
        functions=functions,
    )
    server = ApiServer(app, state.socket)
    server.start()
    return server


_News = tuple[Reconciler, str, str, str, tuple[str, ...]]
"""Who tells it, and what does not belong to one object: revision, trouble, hold,
and what waits for a person."""


@dataclass(slots=True)
class Narrator:
    """Tells on stderr what changed, one line an object, and once why nothing can.

    structured: as records of the log, which is set up already.
    """

    quiet: bool = False
    structured: bool = False
    _told: dict[Key, str] = field(default_factory=dict)
    _news: _News | None = None
    _standing: Standing | None = None
    _silent: bool = False
    _early: bool = False

    def look(self, reconciler: Reconciler) -> Standing:
        """The standing now; says what is new about it."""
        waiting = reconciler.projection.waiting
        # What was still to be looked at counted as on its way: once it was, it may not have moved.
        if self.tell(reconciler) or self._standing is None or (self._early and not waiting):
            self._standing = of_reconciler(reconciler)
            self._early = waiting
        return self._standing

    def tell(self, reconciler: Reconciler) -> bool:
        """Say what is new, and whether anything is: costs what moved, not the fleet's size."""
        news = (
            reconciler,
            reconciler.specs.revision_name,
            reconciler.specs.trouble,
            reconciler.fleet.hold,
            reconciler.specs.approvals.lines(),
        )
        moved = reconciler.projection.moved
        if not moved and news == self._news:
            return False
        before, self._news = self._news, news
        if not self.quiet:
            self._tell_news(before, news)
            # Another reconciler (after a failed turn), or what was said while we were quiet.
            every = self._silent or before is None or before[0] is not reconciler
            self._tell_objects(reconciler, None if every else moved)
        self._silent = self.quiet
        moved.clear()
        return True

    def _tell_news(self, before: _News | None, now: _News) -> None:
        reconciler, revision, trouble, hold, paused = now
        _, old_revision, old_trouble, old_hold, old_paused = before or (None, "", "", "", ())
        if revision != old_revision:
            total = of_reconciler(reconciler).total
            self.say(f"revision {short(revision)}: {total} objects", revision=revision)
        if trouble and trouble != old_trouble:
            self.say(f"the last good revision stands:\n{trouble}")
        if hold and hold != old_hold:
            self.say(f"nothing starts or moves: {hold}")
        for line in paused:
            if line not in old_paused:
                self.say(line)

    def _tell_objects(self, reconciler: Reconciler, moved: set[Uid] | None) -> None:
        objects = reconciler.world.objects
        for uid in list(objects) if moved is None else moved:
            held = objects.get(uid)
            if held is None:
                continue
            key = held.object.meta.key
            conditions = {one.type: one for one in reconciler.projection.conditions(uid)}
            ready = conditions.get("Ready")
            if ready is None:
                continue
            mark = "ready" if ready.status == "True" else "waits"
            mark = "failed" if "Stalled" in conditions else mark
            if self._told.get(key) != (news := f"{mark} {ready.reason}"):
                self._told[key] = news
                words = {"object": str(key), "ready": str(ready.status), "reason": ready.reason}
                self.say(f"{mark:<7}{key}  {ready.message or ready.reason}", **words)

    def say(self, text: str, **words: str) -> None:
        """One line (or more) for the person at the terminal. words: for a program that reads it."""
        if self.quiet:
            return
        if self.structured:
            log.info("%s", text, extra=fields(**words))
        else:
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
