"""Canonical form to typed object and back: past this there are no dicts.

`sources` calls it with what it read, `state` with what it stored. Only canonical input is taken:
defaults filled, quantities as integers, `Unlimited` where there is no limit. Nothing is checked
here that the schema has already said; broken input is a broken invariant (KeyError, ValueError).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeAlias
from urllib.parse import urlencode

from propeller.model.canonical import Value, canonical_digest
from propeller.model.ceilings import ceilings_of
from propeller.model.drift import Drift, DriftReason, IgnoreDrift
from propeller.model.federated import (
    FederatedTask,
    Reveal,
    model_of,
    promotion_of,
    terms_of,
)
from propeller.model.functions import calls_of, triggers_of
from propeller.model.ids import Digest, Key, PropletId, Uid
from propeller.model.quantities import UNLIMITED
from propeller.model.rollout import Amount
from propeller.model.rollout_spec import rollout_of
from propeller.model.scaling import Autoscale, Gauge
from propeller.model.scoring import scorer_form, scorer_of
from propeller.model.selector import Operator, Requirement, Selector
from propeller.model.specs import (
    Access,
    Alert,
    App,
    Backoff,
    Daemon,
    Discovery,
    EventFilter,
    Function,
    Guards,
    HttpGrant,
    Limits,
    Meta,
    Missed,
    ModelFile,
    ModuleRef,
    Mount,
    MqttSink,
    Object,
    OnOffline,
    Origin,
    Overlap,
    PlacementSpec,
    PointGrant,
    Proplet,
    Prune,
    ReadyWhen,
    RestartPolicy,
    Retries,
    RunSpec,
    Schedule,
    Scheduling,
    Secret,
    SecretVar,
    Sink,
    SlackSink,
    SmtpSink,
    Suspend,
    Task,
    Timed,
    Tls,
    TopicGrant,
    WebhookSink,
    Workflow,
)
from propeller.model.steps import Step
from propeller.model.windows import Window, WindowKind
from propeller.model.workflow import edges, flow_key, step_of
from propeller.outgoing import parse_rules

Canonical: TypeAlias = Mapping[str, Any]
"""A mapping of canonical values. `Any` because JSON has no static shape; the schema gave it one."""


def parse_object(kind: str, meta: Canonical, spec: Canonical) -> Object:
    """The object whose `stored_form` this is.

    meta: `namespace name uid app` and, where they are not empty, `labels annotations protect
    moved knownAs file line specDigest`. A missing `specDigest` is computed.
    """
    head = _meta(kind, meta, spec)
    match kind:
        case "Task":
            return _task(head, spec)
        case "Daemon":
            return _daemon(head, spec)
        case "Function":
            return _function(head, spec)
        case "Proplet":
            return _proplet(head, spec)
        case "Alert":
            return _alert(head, spec)
        case "FederatedTask":
            return _federated(head, spec)
        case "Workflow":
            return _workflow(head, spec)
        case "Secret":
            return Secret(
                meta=head,
                keys=tuple(sorted(spec["data"])),
                plaintext=spec["plaintext"] == "Allowed",
            )
        case "App":
            schedule = spec.get("schedule", {})
            return App(
                meta=head,
                path=spec["source"].get("path", ""),
                address=_address(spec["source"]),
                interval=spec.get("interval"),
                jitter=spec.get("jitter", 10),
                cron=schedule.get("cron", ""),
                time_zone=schedule.get("timeZone", "UTC"),
                namespace=spec["namespace"],
                prune=Prune(spec["prune"]),
                discovery=Discovery(spec["discovery"]),
                guards=_guards(spec.get("guards")),
                ceilings=ceilings_of(spec.get("ceilings")),
                windows=_windows(spec),
                depends_on=_depends_on(head, spec),
                suspend=_suspend(spec),
            )
        case _:
            raise ValueError(f"no kind {kind!r}")


def stored_form(obj: Object) -> dict[str, Any]:
    """`{"kind", "meta", "spec"}`: JSON-able, and `parse_object(**stored_form(obj)) == obj`."""
    head = obj.meta
    meta: dict[str, Any] = {
        "namespace": head.key.namespace,
        "name": head.key.name,
        "uid": head.uid,
        "app": head.app,
        "file": head.origin.file,
        "line": head.origin.line,
        "specDigest": head.spec_digest,
    }
    if head.labels:
        meta["labels"] = dict(head.labels)
    if head.annotations:
        meta["annotations"] = dict(head.annotations)
    if head.protect:
        meta["protect"] = True
    if head.known_as is not None:
        meta["knownAs"] = str(head.known_as)
    if head.scorers:
        meta["scorers"] = [scorer_form(one) for one in head.scorers]
    if head.moved:
        meta["moved"] = [{"namespace": key.namespace, "name": key.name} for key in head.moved]
    return {"kind": head.key.kind, "meta": meta, "spec": dict(head.spec)}


def _meta(kind: str, meta: Canonical, spec: Mapping[str, Value]) -> Meta:
    return Meta(
        key=Key(kind, meta["namespace"], meta["name"]),
        uid=Uid(meta["uid"]),
        app=meta["app"],
        labels=dict(meta.get("labels", {})),
        annotations=dict(meta.get("annotations", {})),
        protect=meta.get("protect", False),
        known_as=Key.parse(meta["knownAs"]) if "knownAs" in meta else None,
        scorers=tuple(scorer_of(row) for row in meta.get("scorers", ())),
        moved=tuple(
            Key(kind, row.get("namespace", meta["namespace"]), row["name"])
            for row in meta.get("moved", ())
        ),
        origin=Origin(meta.get("file", ""), meta.get("line", 0)),
        spec=spec,
        spec_digest=Digest(meta.get("specDigest") or canonical_digest(spec)),
    )


def _limit(value: int | str) -> int | None:
    return None if isinstance(value, str) and value == UNLIMITED else int(value)


def _suspend(spec: Canonical) -> Suspend | None:
    given = spec.get("suspend")
    if given is None:
        return None
    return Suspend(reason=given["reason"], by=given["by"], until=given.get("until"))


def _module(given: Canonical) -> ModuleRef:
    digest = given.get("digest")
    return ModuleRef(
        file=given.get("file"),
        image=given.get("image"),
        url=given.get("url"),
        digest=None if digest is None else Digest(digest),
        encrypted=given.get("encrypted") == "Required",
        aot=given.get("aot") == "Allowed",
    )


def _selector(given: Canonical | None) -> Selector:
    if given is None:
        return Selector()
    rows = [
        Requirement(key, Operator.IN, frozenset({value}))
        for key, value in sorted(given.get("matchLabels", {}).items())
    ]
    rows += [
        Requirement(row["key"], Operator(row["operator"]), frozenset(row.get("values", ())))
        for row in given.get("matchExpressions", ())
    ]
    return Selector(tuple(rows))


def _placement(given: Canonical) -> PlacementSpec:
    proplets = tuple(PropletId(name) for name in given.get("proplets", ()))
    return PlacementSpec(
        selector=_selector(given.get("selector")),
        replicas=len(proplets) if proplets else given.get("replicas", 1),
        per_proplet=given.get("perProplet", False),
        proplets=proplets,
        spread=given.get("spread"),
        offline_tolerance=given["tolerations"]["offline"],
        on_offline=OnOffline(given["onOffline"]),
        autonomy=_limit(given["autonomy"]) if "autonomy" in given else None,
        priority=given.get("priority", 0),
        preempts=given.get("preemption", "Never") == "LowerPriority",
    )


def _run(given: Canonical, runtime: Canonical | None = None) -> RunSpec:
    return RunSpec(
        external=(runtime or {}).get("external", ""),
        entrypoint=given["entrypoint"],
        args=tuple(given["args"]),
        env=tuple((row["name"], row["value"]) for row in given["env"] if "secretRef" not in row),
        stdin=given.get("stdin"),
        mounts=tuple(
            Mount(row["name"], row["path"], Access(row["access"])) for row in given["mounts"]
        ),
        secrets=tuple(
            SecretVar(
                name=row["name"], secret=row["secretRef"]["name"], key=row["secretRef"]["key"]
            )
            for row in given["env"]
            if "secretRef" in row
        ),
        capabilities=tuple(sorted(given["capabilities"])) if "capabilities" in given else None,
        models=tuple(
            ModelFile(
                name=row["name"],
                digest=row["digest"],
                size=row["size"],
                file=row.get("file"),
                image=row.get("image"),
            )
            for row in given.get("models", ())
        ),
        topics=tuple(
            TopicGrant(
                name=row["name"],
                publish=row.get("publish"),
                subscribe=row.get("subscribe"),
                size=row["maxSize"],
                rate=row["rate"],
                keep=row["keep"],
            )
            for row in given.get("topics", ())
        ),
        points=tuple(
            PointGrant(
                name=row["name"], read=row.get("read"), write=row.get("write"), rate=row["rate"]
            )
            for row in given.get("points", ())
        ),
        http=_http(given.get("http")),
    )


def _http(given: Canonical | None) -> HttpGrant | None:
    if given is None:
        return None
    return HttpGrant(
        allow=parse_rules(given["allow"]),
        requests=given["requests"],
        timeout=given["timeout"],
        body=given["maxBody"],
    )


def _limits(given: Canonical) -> Limits:
    return Limits(
        memory=_limit(given["memory"]),
        fuel=_limit(given["fuel"]),
        timeout=_limit(given["timeout"]),
        output=given["output"],
    )


def _backoff(given: Canonical) -> Backoff:
    return Backoff(base=given["base"], cap=given["cap"])


def _schedule(given: Canonical | None) -> Schedule | None:
    if given is None:
        return None
    return Schedule(
        cron=given["cron"],
        time_zone=given["timeZone"],
        missed=Missed(given["missed"]),
        overlap=Overlap(given["overlap"]),
        starting_deadline=given["startingDeadline"],
        jitter=given.get("jitter", 0),
    )


def _windows(spec: Canonical) -> tuple[Window, ...]:
    return tuple(
        Window(
            kind=WindowKind(row["kind"]),
            cron=row["cron"],
            duration=row["duration"],
            time_zone=row["timeZone"],
        )
        for row in spec.get("windows", ())
    )


def _address(given: Canonical) -> str:
    """The source as `sources.open` takes it, "" for a folder of the tree."""
    if "git" in given:
        git = given["git"]
        query = {name: git[name] for name in ("ref", "path") if name in git}
        url = git["url"] if git["url"].startswith("git+") else f"git+{git['url']}"
        return url + (f"{'&' if '?' in url else '?'}{urlencode(query)}" if query else "")
    if "oci" in given:
        return f"oci://{given['oci']['image'].removeprefix('oci://')}"
    return str(given["directory"]["path"]) if "directory" in given else ""


def _depends_on(meta: Meta, spec: Canonical) -> tuple[Key, ...]:
    return tuple(
        Key(row["kind"], row.get("namespace", meta.key.namespace), row["name"])
        for row in spec.get("dependsOn", ())
    )


def _guards(given: Canonical | None) -> Guards:
    if given is None:
        return Guards()
    return Guards(
        max_delete=_amount(given["maxDelete"]),
        max_restart=_amount(given["maxRestart"]),
        never_empty=given["neverEmpty"] == "Enabled",
    )


def _amount(text: str) -> Amount | None:
    return None if text == UNLIMITED else Amount.parse(text)


def _timed(meta: Meta, spec: Canonical) -> Timed:
    schedule, backoff = _schedule(spec["schedule"]), _backoff(spec["retries"]["backoff"])
    assert schedule is not None
    return Timed(
        meta=meta,
        module=_module(spec["module"]),
        placement=_placement(spec["placement"]),
        run=_run(spec["run"]),
        limits=_limits(spec["limits"]),
        restart=RestartPolicy.NEVER,
        backoff=backoff,
        ready_after=0,
        max_restarts=spec["retries"]["limit"],
        ready_when=ReadyWhen(),
        windows=_windows(spec),
        prune=Prune(spec["prune"]),
        depends_on=_depends_on(meta, spec),
        suspend=_suspend(spec),
        schedule=schedule,
        history=spec["schedule"].get("history", 16),
        retries=Retries(limit=spec["retries"]["limit"], backoff=backoff),
        run_key=spec["runKey"],
    )


def _task(meta: Meta, spec: Canonical) -> Task | Timed:
    retries = spec["retries"]
    if spec.get("schedule", {}).get("runOn") == "Proplet":
        return _timed(meta, spec)
    return Task(
        meta=meta,
        module=_module(spec["module"]),
        placement=_placement(spec["placement"]),
        run=_run(spec["run"], spec.get("runtime")),
        limits=_limits(spec["limits"]),
        retries=Retries(limit=retries["limit"], backoff=_backoff(retries["backoff"])),
        run_key=spec["runKey"],
        schedule=_schedule(spec.get("schedule")),
        rollout=rollout_of(spec.get("rollout")),
        windows=_windows(spec),
        prune=Prune(spec["prune"]),
        depends_on=_depends_on(meta, spec),
        suspend=_suspend(spec),
        step=step_of(spec["step"]) if "step" in spec else None,
    )


def _workflow(meta: Meta, spec: Canonical) -> Workflow:
    timeout = spec["timeout"]
    return Workflow(
        meta=meta,
        steps=tuple(_step(meta, row) for row in spec["steps"]),
        key=flow_key(spec),
        max_parallel=spec.get("maxParallel"),
        timeout=_limit(timeout),
        schedule=_schedule(spec.get("schedule")),
        prune=Prune(spec["prune"]),
        depends_on=_depends_on(meta, spec),
        suspend=_suspend(spec),
    )


def _step(meta: Meta, row: Canonical) -> Step:
    return step_of({"workflow": meta.uid, "of": str(meta.key), "name": row["name"], **edges(row)})


def _ignore_drift(given: Canonical) -> IgnoreDrift:
    reasons, proplets = given.get("reasons"), given.get("proplets")
    return IgnoreDrift(
        reasons=None if reasons is None else frozenset(DriftReason(one) for one in reasons),
        proplets=None if proplets is None else frozenset(PropletId(name) for name in proplets),
        selector=_selector(given.get("selector")),
    )


def _federated(meta: Meta, spec: Canonical) -> FederatedTask:
    return FederatedTask(
        meta=meta,
        module=_module(spec["module"]),
        run=_run(spec["run"]),
        limits=_limits(spec["limits"]),
        selector=_selector(spec["cohort"].get("selector")),
        model=model_of(spec.get("model")),
        rounds=spec["rounds"],
        attempts=spec["maxAttempts"],
        terms=terms_of(spec),
        reveal=Reveal(spec["reveal"]),
        retain=spec["retainUpdates"] == "Enabled",
        promote=promotion_of(spec.get("promote"), meta.key.namespace),
        upstream=spec.get("upstream") == "Enabled",
        run_key=spec["runKey"],
        prune=Prune(spec["prune"]),
        depends_on=_depends_on(meta, spec),
        suspend=_suspend(spec),
    )


def _daemon(meta: Meta, spec: Canonical) -> Daemon:
    restart, health, ready = spec["restart"], spec["health"], spec["readyWhen"]
    return Daemon(
        meta=meta,
        module=_module(spec["module"]),
        placement=_placement(spec["placement"]),
        run=_run(spec["run"], spec.get("runtime")),
        limits=_limits(spec["limits"]),
        restart=RestartPolicy(restart["policy"]),
        backoff=_backoff(restart["backoff"]),
        ready_after=health["readyAfter"],
        max_restarts=_limit(health["maxRestarts"]),
        ready_when=ReadyWhen(min_percent=ready["min"], within=_limit(ready["within"])),
        drift=Drift(spec.get("drift", Drift.CORRECT)),
        ignore_drift=tuple(_ignore_drift(row) for row in spec.get("ignoreDrift", ())),
        rollout=rollout_of(spec.get("rollout")),
        autoscale=_autoscale(spec.get("autoscale")),
        windows=_windows(spec),
        prune=Prune(spec["prune"]),
        depends_on=_depends_on(meta, spec),
        suspend=_suspend(spec),
    )


def _function(meta: Meta, spec: Canonical) -> Function:
    ready = spec["readyWhen"]
    return Function(
        meta=meta,
        module=_module(spec["module"]),
        placement=_placement(spec["placement"]),
        run=_run(spec["run"]),
        limits=_limits(spec["limits"]),
        restart=RestartPolicy.ALWAYS,
        backoff=Backoff(base=1_000, cap=60_000),
        ready_after=0,
        max_restarts=None,
        ready_when=ReadyWhen(min_percent=ready["min"], within=_limit(ready["within"])),
        drift=Drift(spec.get("drift", Drift.CORRECT)),
        ignore_drift=tuple(_ignore_drift(row) for row in spec.get("ignoreDrift", ())),
        rollout=rollout_of(spec.get("rollout")),
        windows=_windows(spec),
        prune=Prune(spec["prune"]),
        depends_on=_depends_on(meta, spec),
        suspend=_suspend(spec),
        autoscale=_autoscale(spec.get("autoscale")),
        calls=calls_of(spec),
        triggers=triggers_of(spec),
    )


def _autoscale(given: Canonical | None) -> Autoscale | None:
    if given is None:
        return None
    return Autoscale(
        least=given["min"],
        most=given["max"],
        gauge=Gauge(given["metric"]),
        target=int(Decimal(given["target"]) * 1000),
        patience=given["scaleDownAfter"],
        named=given.get("gauge", ""),
        hold=given.get("hold", 30_000),
    )


def _proplet(meta: Meta, spec: Canonical) -> Proplet:
    capacity = spec["capacity"]
    return Proplet(
        meta=meta,
        proplet_class=spec["class"],
        scheduling=Scheduling(spec["scheduling"]),
        memory=capacity.get("memory"),
        tasks=capacity.get("tasks"),
        heartbeat=spec["heartbeat"],
        wake=spec.get("wakeInterval") or 0,
        blob_chunk=spec.get("blobs", {}).get("chunk"),
        blob_rate=spec.get("blobs", {}).get("rate"),
        public_key=spec.get("publicKey"),
        encryption_key=spec.get("encryptionKey"),
        time_zone=spec.get("timeZone"),
        suspend=_suspend(spec),
    )


def _alert(meta: Meta, spec: Canonical) -> Alert:
    events = spec["events"]
    return Alert(
        meta=meta,
        sinks=tuple(_sink(row) for row in spec["sinks"]),
        events=EventFilter(
            warnings_only=events["severity"] == "Warning",
            kinds=tuple(events["kinds"]),
            namespaces=tuple(events["namespaces"]),
            names=tuple(events["names"]),
            reasons=tuple(events["reasons"]),
        ),
        dedup=spec["dedup"],
        recovery=spec["recovery"] == "Enabled",
        suspend=_suspend(spec),
    )


def _sink(row: Canonical) -> Sink:
    way: WebhookSink | SlackSink | MqttSink | SmtpSink
    if "webhook" in row:
        web = row["webhook"]
        way = WebhookSink(
            url=web.get("url"), url_ref=web.get("urlRef"), hmac_ref=web.get("hmacRef")
        )
    elif "slack" in row:
        way = SlackSink(url_ref=row["slack"]["urlRef"])
    elif "mqtt" in row:
        way = MqttSink(topic=row["mqtt"]["topic"])
    else:
        mail = row["smtp"]
        way = SmtpSink(
            server=mail["server"],
            tls=Tls(mail["tls"]),
            username=mail.get("username"),
            password_ref=mail.get("passwordRef"),
            sender=mail["from"],
            to=tuple(mail["to"]),
        )
    return Sink(name=row["name"], way=way)
