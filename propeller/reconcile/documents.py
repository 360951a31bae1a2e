"""From the inventory to what a device is told: the one place that turns plans into wire entries.

Pure. Called by `world` when the copies of a proplet changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import assert_never

from propeller.deviceslots import device_slots
from propeller.model.inventory import Assignment, Held
from propeller.model.module import Module
from propeller.model.rollout import Update
from propeller.model.specs import (
    Alert,
    App,
    Daemon,
    FederatedTask,
    Function,
    HttpGrant,
    Proplet,
    RestartPolicy,
    Secret,
    Task,
    Timed,
    Workflow,
)
from propeller.plan.fit import instance_need
from propeller.plan.training import trainer
from propeller.wire.call_messages import WireServe
from propeller.wire.codec import decode, decode_tasks, entry_digest
from propeller.wire.http_messages import WireHttp
from propeller.wire.messages import (
    BlobRef,
    Desired,
    Entry,
    WireAot,
    WireModel,
    WireModule,
    WireMount,
    WireTraining,
)
from propeller.wire.point_messages import WirePoint
from propeller.wire.timed_messages import WireSchedule
from propeller.wire.topic_messages import WireTopic


def template(held: Held, module: Module) -> Entry:
    """The entry of `held` with run, cause and digest left open; shared by all its copies."""
    thing = held.object
    spec = trainer(thing) if isinstance(thing, FederatedTask) else thing
    match spec:
        case Alert() | App() | Proplet() | Secret() | Workflow():
            raise AssertionError(f"{spec.meta.key} is not a workload")
        case Task():
            mode, restart = "once", RestartPolicy.NEVER
            update = None
            backoff = spec.retries.backoff
            max_restarts, ready_after = None, 0
        case Daemon():
            mode = _mode(spec)
            restart = spec.restart
            backoff = spec.backoff
            max_restarts, ready_after = spec.max_restarts, spec.ready_after
            update = _update(spec)
        case _:
            assert_never(spec)
    run = spec.run
    return Entry(
        uid=held.uid,
        ref=str(spec.meta.known_as or spec.meta.key),
        run="",
        cause="",
        mode=mode,
        digest="",
        module=WireModule(
            digest=module.digest,
            size=module.size,
            image=module.image,
            plain=module.plain,
            key=module.key,
        ),
        entrypoint=run.entrypoint,
        args=run.args,
        env=run.env,
        stdin=run.stdin,
        mounts=tuple(
            WireMount(name=mount.name, path=mount.path, access=mount.access) for mount in run.mounts
        ),
        models=tuple(
            WireModel(name=model.name, blob=BlobRef(digest=model.digest, size=model.size))
            for model in run.models
        ),
        topics=tuple(
            WireTopic(
                name=topic.name,
                publish=topic.publish,
                subscribe=topic.subscribe,
                size=topic.size,
                rate=topic.rate,
                keep=topic.keep,
            )
            for topic in run.topics
        ),
        points=tuple(
            WirePoint(name=point.name, read=point.read, write=point.write, rate=point.rate)
            for point in run.points
        ),
        http=_http(run.http),
        # What planning sets aside, so that a device never lacks room that planning saw.
        memory=None if spec.limits.memory is None else instance_need(spec, module),
        fuel=spec.limits.fuel,
        timeout=spec.limits.timeout,
        output=spec.limits.output,
        restart=restart,
        backoff_base=backoff.base,
        backoff_cap=backoff.cap,
        max_restarts=max_restarts,
        ready_after=ready_after,
        update=update,
        autonomy=spec.placement.autonomy,
        external=run.external or None,
        schedule=_schedule(spec) if isinstance(spec, Timed) else None,
        serve=_serving(spec) if isinstance(spec, Function) else None,
    )


def _http(grant: HttpGrant | None) -> WireHttp | None:
    if grant is None:
        return None
    return WireHttp(
        allow=tuple(str(rule) for rule in grant.allow),
        requests=grant.requests,
        timeout=grant.timeout,
        body=grant.body,
    )


def _mode(daemon: Daemon) -> str:
    match daemon:
        case Function():
            return "serve"
        case Timed():
            return "timed"
        case _:
            return "daemon"


def _schedule(timed: Timed) -> WireSchedule:
    schedule = timed.schedule
    slots = device_slots(schedule.cron, schedule.time_zone)
    return WireSchedule(
        cron=schedule.cron,
        zone=schedule.time_zone,
        missed=str(schedule.missed),
        overlap=str(schedule.overlap),
        deadline=schedule.starting_deadline,
        jitter=schedule.jitter,
        keep=timed.history,
        slots=None if isinstance(slots, str) else slots,
    )


def _serving(function: Function) -> WireServe:
    calls = function.calls
    return WireServe(
        interface=str(calls.interface),
        concurrency=calls.concurrency,
        queue=calls.queue,
        ready=calls.ready,
        invocations=calls.max_invocations,
    )


def _update(daemon: Daemon) -> str | None:
    """How its next copy takes over on a device; None for what agents do by themselves."""
    update = Update.DOWNLOAD_THEN_KILL if daemon.rollout is None else daemon.rollout.update
    return None if update is Update.DOWNLOAD_THEN_KILL else update.value


def fill(
    shared: Entry,
    assignment: Assignment,
    sealed: tuple[tuple[str, str], ...] = (),
    training: WireTraining | None = None,
    aot: WireAot | None = None,
) -> Entry:
    """The entry of one copy. sealed: its variables that come from Secrets, sealed to its device.

    training: its part in a round of federated learning. aot: native code that its device runs
    instead of the Wasm.
    """
    entry = replace(shared, run=assignment.run, cause=assignment.cause, sealed=sealed, fl=training)
    if aot is not None:
        entry = replace(entry, module=replace(entry.module, aot=aot))
    return replace(entry, digest=entry_digest(entry))


def entries_of(body: bytes, read_blob: Callable[[str], bytes | None]) -> tuple[Entry, ...]:
    """The entries of a document of ours; none where its blob is gone."""
    document = decode(Desired, body)
    if document.tasks is not None:
        return document.tasks
    assert document.body is not None
    data = read_blob(document.body.digest)
    return decode_tasks(data) if data is not None else ()


def in_order(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The one order of a document: by uid, so that equal content has equal bytes."""
    return tuple(sorted(entries, key=lambda entry: entry.uid))
