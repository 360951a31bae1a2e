"""`proplet`: reads settings, puts the agent together, runs it until it is told to leave.

Exit codes: 0 left in good order, 2 settings or storage that cannot be used.
"""

from __future__ import annotations

import os
import platform
import random
import secrets
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from propeller import __version__
from propeller.errors import PropellerError, UsageError
from propeller.transport.endpoint import Endpoint, Tls
from propeller.wire.boxes import BoxKey
from propeller.wire.messages import Hello
from propeller.wire.signing import SigningKey, VerifyKey
from propeller.wire.topics import Channel
from proplet import chatter, config, externals
from proplet.agent import Agent
from proplet.blobs import Blobs
from proplet.ceilings import Ceilings
from proplet.metrics import Server
from proplet.opening import KeySource, Openings, OwnKeys
from proplet.orphans import kill_orphans
from proplet.outlets import Outlets
from proplet.points import Points, together
from proplet.points import there as points_there
from proplet.pulls import Pull
from proplet.records import AgentConfig
from proplet.runtime.fit import offered
from proplet.runtime.native import runtime_version
from proplet.seals import Seals, unsealed
from proplet.site import Gateway
from proplet.store import Store
from proplet.supervisor import Supervisor
from proplet.switchboard import Switchboard
from proplet.timing import micros, mono
from proplet.tracing import Tracing
from proplet.training import Trainer
from proplet.witness import Signs, Witness

if TYPE_CHECKING:
    from propeller.telemetry.otlp import Outbox


def main(argv: Sequence[str] | None = None) -> int:
    """The console script."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] and words[0] in ("enroll", "renew"):
        return _certificate(words)
    flags = config.parser().parse_args(words)
    if flags.version:
        print(f"proplet {__version__}")  # noqa: T201  the answer belongs on stdout
        return 0
    try:
        settings = config.load(flags, os.environ)
        if flags.check_config:
            print("\n".join(config.shown(settings)))  # noqa: T201  the answer belongs on stdout
            return 0
        return serve(settings)
    except PropellerError as error:
        print(f"proplet: {error}", file=sys.stderr)  # noqa: T201  before there is a log
        return 2


def _certificate(words: Sequence[str]) -> int:
    """Fetch a certificate and leave."""
    from proplet import enroll

    try:
        print(enroll.run(words, os.environ))  # noqa: T201  the answer belongs on stdout
    except PropellerError as error:
        print(f"proplet: {error}", file=sys.stderr)  # noqa: T201  there is no log yet
        return 2
    return 0


def serve(settings: config.Settings) -> int:
    """Run the agent. Raises PropellerError for what cannot be used at start."""
    from propeller.transport.mqtt import MqttTransport
    from proplet.shell import Shell

    chatter.set_up(settings.id, settings.log_level, settings.log_format)
    seals = Seals(VerifyKey.parse(settings.trust.read_text("ascii", "replace").strip()))
    data = settings.data.absolute()
    store = Store(data, new_inst=lambda: secrets.token_hex(16))
    key, box = store.key(settings.key), store.box_key(settings.box_key)
    keys = key_source(settings, box, key)
    kill_orphans(store.inst)
    pull: Pull | None = None
    if settings.oci_layout is not None or settings.fetch == "Direct":
        pull = make_pull(settings)
    points = points_there(together(settings.sensors, settings.outputs))
    hello = make_hello(
        settings,
        store.inst,
        store.boot,
        key.public.text,
        box=box.public.text,
        direct=pull is not None,
        points=tuple(sorted(point.offered for point in points.values())),
    )
    outputs = Points(points)
    outputs.rest()
    outlets = Outlets(settings.http_allow, settings.http_networks, settings.http_ca)
    chunk = max(512, min(65536, settings.max_payload - 1024))
    agent_config = AgentConfig(
        hello=hello,
        chunk=chunk,
        grace=settings.grace,
        ship_training=settings.fl_logs == "Ship",
        disown=True,
        ceilings=Ceilings(
            memory=settings.guest_memory,
            fuel=settings.guest_fuel,
            timeout=settings.guest_timeout,
            output=settings.guest_output,
            encrypted=settings.encrypted == "Required",
            outlets=outlets,
        ),
    )
    rng = random.Random(secrets.randbits(64))  # noqa: S311  jitter, nothing secret
    agent = Agent(agent_config, store.load(), seals=seals, rng=rng)
    blobs = Blobs(data, quota=settings.storage)
    tls = None
    if settings.broker.tls or settings.tls_ca:
        tls = Tls(ca=settings.tls_ca, cert=settings.tls_cert, key=settings.tls_key)
    endpoint = Endpoint(
        host=settings.broker.host,
        port=settings.broker.port,
        client_id=settings.id,
        protocol="5" if settings.mqtt == "5" else "3.1.1",
        username=settings.username,
        password=settings.password,
        tls=tls,
        keepalive=settings.keepalive,
        max_payload=settings.max_payload + 4096,
    )
    outbox = _outbox(settings)
    signs = Signs(agent.counts)
    server = None
    if settings.metrics is not None:
        server = Server(settings.metrics.host, settings.metrics.port, signs)
    shell = Shell(
        agent,
        hello=hello,
        store=store,
        blobs=blobs,
        key=key,
        channel=Channel(settings.domain, settings.channel),
        transport=MqttTransport(endpoint, rng),
        board=Switchboard(settings.id, most=settings.max_payload, stored=store.outgoing()),
        pull=pull,
        open_call=seals.call,
        witness=Witness(signs, Tracing(settings.id, micros, outbox)),
        make_supervisor=lambda answers, selector: Supervisor(
            data,
            mark=store.inst,
            mounts=settings.mounts,
            blobs=blobs,
            answers=answers,
            selector=selector,
            clock=mono,
            talk=answers.talk,
            max_message=settings.max_payload,
            memory=min(hello.memory, settings.guest_memory or hello.memory),
            deny=settings.deny,
            externals=settings.externals,
            points=outputs,
            openings=Openings(keys, blobs, mono, answers.post),
            unseal=lambda entry: unsealed(entry, box, device=settings.id, inst=store.inst),
            trainer=Trainer(
                settings.id,
                key,
                blobs,
                state=data / "leftovers",
                samples=settings.fl_samples,
                ship=settings.fl_logs == "Ship",
            ),
            outlets=outlets,
            site=None if settings.site is None else Gateway(settings.site, answers.post),
        ),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: shell.drain())
    try:
        shell.run()
    finally:
        if outbox is not None:
            outbox.close()
        if server is not None:
            server.close()
    return 0


def _outbox(settings: config.Settings) -> Outbox | None:
    if settings.traces is None:
        return None
    from propeller.telemetry.otlp import open_outbox

    return open_outbox(
        settings.traces, service="proplet", instance=settings.id, origin="traces of this proplet"
    )


def key_source(settings: config.Settings, box: BoxKey, key: SigningKey) -> KeySource:
    """What opens encrypted modules here. Raises PropellerError for a group's key that is none."""
    from propeller.registry.encrypted import identity

    keys = [box]
    for name in settings.group_keys:
        try:
            keys.append(BoxKey.from_pem(Path(name).read_bytes()))
        except OSError as error:
            raise UsageError(f"{name}: {error.strerror}") from error
    own = tuple(identity(each.seed()) for each in keys)
    if settings.key_service is None:
        return OwnKeys(*own)
    from proplet.keyservice import Attester, CommandAttester, KeyService, SoftwareAttester

    attester: Attester = SoftwareAttester(key)
    if settings.attester is not None:
        attester = CommandAttester(*settings.attester)
    return KeyService(settings.key_service, settings.id, attester, own, ca=settings.key_service_ca)


def make_pull(settings: config.Settings) -> Pull:
    """How modules are pulled without the manager: the layout directory first, then registries."""

    def pull(image: str, digest: str, destination: Path) -> None:
        from propeller.errors import WireError
        from propeller.registry.layout import Layout
        from propeller.registry.oci import OciClient

        if settings.oci_layout is not None:
            try:
                Layout(settings.oci_layout).pull_blob(image, digest, destination)
                return
            except (PropellerError, OSError):
                if settings.fetch != "Direct":
                    raise
        client = OciClient(plain_http=settings.plain_http)
        try:
            client.pull_blob(image, digest, destination, limit=settings.max_module)
        except WireError as error:
            raise PropellerError(f"{image}: {error.what}") from error
        finally:
            client.close()

    return pull


def make_hello(
    settings: config.Settings,
    inst: str,
    boot: int,
    key: str,
    *,
    box: str,
    direct: bool,
    points: tuple[str, ...] = (),
) -> Hello:
    """What this device says it is."""
    return Hello(
        id=settings.id,
        inst=inst,
        boot=boot,
        arch=platform.machine(),
        os="linux",
        runtime="wasmtime",
        runtime_version=runtime_version(),
        agent=__version__,
        memory=min(settings.memory, config.total_memory()),
        storage=settings.storage,
        tasks=settings.tasks,
        max_module=settings.max_module,
        max_payload=settings.max_payload,
        min_run_interval=0,
        heartbeat=settings.heartbeat,
        imports=(
            *offered(settings.deny, settings.http_allow),
            *externals.offered(settings.externals),
        ),
        components=True,
        mounts=tuple(
            f"{name}:rw" if writable else name
            for name, (_, writable) in sorted(settings.mounts.items())
        ),
        encodings=("json", "cbor", "age"),
        algs=("ed25519",),
        fetch=("direct", "mqtt") if direct else ("mqtt",),
        labels=tuple(sorted(settings.labels.items())),
        key=key,
        box=box,
        points=points,
    )


if __name__ == "__main__":
    sys.exit(main())
