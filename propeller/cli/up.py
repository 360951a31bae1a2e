"""`propeller up SPECS`: broker, reconciler and local proplets on this machine.

With `--until-ready` it ends as soon as everything is Ready (0), something failed for good (3) or
the time is over (4); without it follows changes until Ctrl-C. Bad specs at the start are 2.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from propeller.cli.context import add_state, state_dir
from propeller.cli.doors import start_with_doors
from propeller.cli.gateway import add_dashboard
from propeller.cli.local import LocalProplet, LocalProplets, names
from propeller.cli.outward import add_hooks
from propeller.cli.settings import Fleet, add_fleet, endpoint_of, fleet_of
from propeller.cli.signals import add_signals, open_traces, set_up_log
from propeller.cli.specsource import WHAT, add_overlay, open_specs
from propeller.model.ids import PropletId
from propeller.transport.endpoint import Endpoint, MqttVersion

if TYPE_CHECKING:
    from propeller.cli.running import Narrator
    from propeller.model.specs import Proplet
    from propeller.reconcile.reconciler import Reconciler
    from propeller.reconcile.service import Service
    from propeller.sources.open import Source
    from propeller.state.layout import StateDir

MOST_PROPLETS = 64

SETTLE_MS = 300
"""How long everything must have stood still before a failure is called final."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `up`."""
    parser.add_argument("source", metavar="SPECS", help=WHAT)
    add_state(parser)
    parser.add_argument("--proplets", type=int, default=2, metavar="N", help="local proplets (2)")
    parser.add_argument(
        "--devices",
        type=int,
        default=0,
        metavar="N",
        help="devices beside them: the firmware as Linux processes, built at the first use (0)",
    )
    parser.add_argument("--until-ready", action="store_true", help="end once everything is Ready")
    parser.add_argument("--timeout", default="5m", metavar="T", help="with --until-ready (5m)")
    parser.add_argument("--git", action="store_true", help="SPECS is a git repository")
    parser.add_argument("--ref", help="branch, tag or commit of a git SPECS")
    add_overlay(parser)
    parser.add_argument(
        "--data",
        metavar="DIR[:rw]",
        help="give each proplet DIR/<its id> as the mount `data`; with :rw, guests may write there",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing while it goes well")
    add_fleet(parser)
    add_hooks(parser)
    add_dashboard(parser)
    add_signals(parser)


def run(args: argparse.Namespace) -> int:
    """Bring it all up; returns the exit code."""
    from propeller.cli.running import Narrator, deadline_ms, make_service, stop_on_signals
    from propeller.errors import UsageError

    for flag, number in (("--proplets", args.proplets), ("--devices", args.devices)):
        if not 0 <= number <= MOST_PROPLETS:
            raise UsageError(f"{flag} must be from 0 to {MOST_PROPLETS}")
    timeout = deadline_ms(args.timeout)
    fleet = fleet_of(args, tree=Path(args.source))
    state = fleet.keyed(state_dir(args))
    state.create()
    source = open_specs(args.source, fleet, state, ref=args.ref, git=args.git, overlay=args.overlay)
    narrator = Narrator(quiet=args.quiet, structured=set_up_log(fleet))
    with contextlib.ExitStack() as stack:
        broker = _Broker(fleet, state, stack)
        outbox = open_traces(fleet)
        if outbox is not None:
            stack.callback(outbox.close)
        service = stack.enter_context(
            make_service(state, source, fleet, broker.endpoint, verb="up", trace=outbox)
        )
        declared = _declared(service, source, fleet)
        broker.open()
        start_with_doors(
            stack, service, state, fleet, way=broker.endpoint, trace=outbox, narrator=narrator
        )
        local = _local(args, service, state, fleet=fleet, broker=broker, declared=declared)
        proplets = LocalProplets(local, tell=narrator.say)
        stack.callback(proplets.stop)
        proplets.start()
        stop_on_signals(service)
        devices = f", {args.devices} devices" if args.devices else ""
        narrator.say(f"state in {state.path}, {args.proplets} proplets{devices}, {broker.words}")
        ours = frozenset(proplet.id for proplet in local)
        return _follow(service, narrator, ours, until_ready=args.until_ready, timeout=timeout)


class _Broker:
    """The broker `up` starts, or the one it was told of."""

    def __init__(self, fleet: Fleet, state: StateDir, stack: contextlib.ExitStack) -> None:
        from propeller.transport.broker import Address, choose

        self._fleet = fleet
        self._state = state
        self._address: Address | None = None
        name = fleet.text("broker.address") or "embedded"
        self.ours = ":" not in name
        self.words = f"broker {name}"
        self._broker = None
        if self.ours:
            self._broker = choose(name, state.path)
            stack.callback(self._broker.stop)
            if name == "embedded":
                self.words = "embedded broker (no access control: this machine only)"

    def open(self) -> None:
        """Start ours, and say in `run/ports.json` where it is."""
        if self._broker is not None:
            self._address = self._broker.start()
            self._state.write_ports({"broker": self._address.port})

    def endpoint(self, client_id: str) -> Endpoint:
        """The way there for one client."""
        if self._address is None:
            if self.ours:
                # Asked before `open`: the lease is taken first, so that a held one costs nothing.
                self.open()
                assert self._address is not None
            else:
                return endpoint_of(self._fleet, client_id)
        protocol = cast(MqttVersion, self._fleet.text("broker.protocol"))
        return self._address.endpoint(client_id, protocol=protocol)


def _declared(service: Service, source: Source, fleet: Fleet) -> list[Proplet]:
    """The Proplets the specs declare; specs that are wrong at the start end the command."""
    from propeller.errors import SpecError, UsageError
    from propeller.model.specs import Proplet
    from propeller.reconcile.events import SourceSilent, SpecsRefused
    from propeller.reconcile.sourcing import read_once

    outcome = read_once(
        source, domain=fleet.domain, keep=service.blobs.put, images=service.plugin_images
    )
    if isinstance(outcome, SpecsRefused):
        raise SpecError(outcome.faults)
    if isinstance(outcome, SourceSilent):
        raise UsageError(outcome.reason)
    service.inbox.put(outcome)
    return [thing for thing in outcome.revision.objects.values() if isinstance(thing, Proplet)]


def _local(
    args: argparse.Namespace,
    service: Service,
    state: StateDir,
    *,
    fleet: Fleet,
    broker: _Broker,
    declared: list[Proplet],
) -> list[LocalProplet]:
    """Of declared Proplets, those of class linux are played by proplets once there are devices,
    and the others by these."""
    device, linux = _split(declared, devices=args.devices)
    program: tuple[str, ...] = ()
    engine: tuple[str, ...] = ()
    if args.devices:
        from propeller.cli import devices

        program = (str(devices.build(state.path / "firmware")),)
        engine = ("--engine", str(devices.engine()))
    proplets = []
    wanted: list[tuple[PropletId, tuple[str, ...]]] = [
        (name, ()) for name in names(args.proplets, linux)
    ]
    wanted += [(name, program) for name in names(args.devices, device, word="device")]
    for proplet, command in wanted:
        service.keys.device(proplet)  # made now, so that its first hello is already known
        service.keys.device_box(proplet)
        endpoint = broker.endpoint(proplet)
        arguments = [
            *("--id", proplet),
            *("--broker", f"{endpoint.host}:{endpoint.port}"),
            *("--mqtt", endpoint.protocol),
            *("--domain", fleet.domain, "--channel", fleet.channel),
            *("--data", str(state.proplet(proplet).absolute())),
            *("--trust", str((state.keys / "root.pub").absolute())),
            *("--key", str((state.keys / "devices" / f"{proplet}.pem").absolute())),
            *("--box-key", str((state.keys / "devices" / f"{proplet}.box.pem").absolute())),
            *("--heartbeat", "5s"),
        ]
        log = state.logs / f"{proplet}.log"
        if command:
            arguments += engine
            one = LocalProplet(id=proplet, arguments=arguments, log=log, command=command)
        else:
            if fleet.text("traces.endpoint"):
                arguments += ["--traces", fleet.text("traces.endpoint")]
            if args.data:
                arguments += ["--mount", _mount(args.data, proplet)]
            one = LocalProplet(id=proplet, arguments=arguments, log=log)
        proplets.append(one)
    return proplets


def _split(declared: list[Proplet], *, devices: int) -> tuple[list[PropletId], list[PropletId]]:
    """Names for devices, and names for proplets."""
    linux = [one for one in declared if not devices or one.proplet_class == "linux"]
    rest = [one for one in declared if one not in linux]
    return (
        [PropletId(one.meta.key.name) for one in rest],
        [PropletId(one.meta.key.name) for one in linux],
    )


def _mount(data: str, proplet: PropletId) -> str:
    """`--data DIR[:rw]` as the mount of one proplet. Raises UsageError when it has no folder."""
    from propeller.errors import UsageError

    folder = (Path(data.removesuffix(":rw")) / proplet).absolute()
    if not folder.is_dir():
        raise UsageError(
            f"--data: no directory {folder} for proplet {proplet}",
            hint="each proplet is given the folder of its own name",
        )
    return f"data={folder}{':rw' if data.endswith(':rw') else ''}"


def _follow(
    service: Service,
    narrator: Narrator,
    ours: frozenset[PropletId],
    *,
    until_ready: bool,
    timeout: int,
) -> int:
    """Run the loop. Ready and failed count only once every proplet of ours has spoken: until then
    the store tells how things were when the last `up` ended."""
    from propeller.cli.running import clock
    from propeller.reconcile.standing import Standing, of_reconciler

    end = clock() + timeout
    failed_since: int | None = None
    standing: Standing | None = None

    def over(reconciler: Reconciler) -> bool:
        nonlocal failed_since, standing
        standing = narrator.look(reconciler)
        if not until_ready:
            return False
        now = clock()
        spoken = reconciler.ready_to_plan and ours <= reconciler.fleet.hearing.heard_live
        settled = spoken and standing.settled
        if settled and standing.failed and now < end:
            failed_since = failed_since or now
            return now >= failed_since + SETTLE_MS
        failed_since = None
        return now >= end or settled

    service.run(until=over)
    standing = of_reconciler(service.reconciler)
    if not until_ready:
        return 0
    for line in standing.lines():
        print(line, file=sys.stderr)
    return min(standing.exit_code, 4)  # what waits for a person is on its way
