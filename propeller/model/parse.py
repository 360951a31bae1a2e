"""Canonical form to typed object and back: past this there are no dicts.

`sources` calls it with what it read, `state` with what it stored. Only canonical input is taken:
defaults filled, quantities as integers, `Unlimited` where there is no limit. Nothing is checked
here that the schema has already said; broken input is a broken invariant (KeyError, ValueError).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from propeller.model.canonical import Value, canonical_digest
from propeller.model.ceilings import ceilings_of
from propeller.model.drift import Drift
from propeller.model.federated import FederatedTask, Reveal, model_of, promotion_of, terms_of
from propeller.model.functions import calls_of, triggers_of
from propeller.model.ids import Digest, Key, Uid
from propeller.model.parse_parts import (
    Canonical,
    autoscale_of,
    backoff_of,
    depends_on_of,
    ignore_drift_of,
    limit_of,
    limits_of,
    module_of,
    placement_of,
    run_of,
    schedule_of,
    selector_of,
    suspend_of,
    windows_of,
)
from propeller.model.quantities import UNLIMITED
from propeller.model.rollout import Amount
from propeller.model.rollout_spec import rollout_of
from propeller.model.scoring import scorer_form, scorer_of
from propeller.model.specs import (
    Alert,
    App,
    Backoff,
    Daemon,
    Discovery,
    EventFilter,
    Function,
    Guards,
    Meta,
    MqttSink,
    Object,
    Origin,
    Proplet,
    Prune,
    ReadyWhen,
    RestartPolicy,
    Retries,
    Scheduling,
    Secret,
    Sink,
    SlackSink,
    SmtpSink,
    Task,
    Timed,
    Tls,
    WebhookSink,
    Workflow,
)
from propeller.model.steps import Step
from propeller.model.workflow import edges, flow_key, step_of


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
                windows=windows_of(spec),
                depends_on=depends_on_of(head, spec),
                suspend=suspend_of(spec),
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
    schedule, backoff = schedule_of(spec["schedule"]), backoff_of(spec["retries"]["backoff"])
    assert schedule is not None
    return Timed(
        meta=meta,
        module=module_of(spec["module"]),
        placement=placement_of(spec["placement"]),
        run=run_of(spec["run"]),
        limits=limits_of(spec["limits"]),
        restart=RestartPolicy.NEVER,
        backoff=backoff,
        ready_after=0,
        max_restarts=spec["retries"]["limit"],
        ready_when=ReadyWhen(),
        windows=windows_of(spec),
        prune=Prune(spec["prune"]),
        depends_on=depends_on_of(meta, spec),
        suspend=suspend_of(spec),
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
        module=module_of(spec["module"]),
        placement=placement_of(spec["placement"]),
        run=run_of(spec["run"], spec.get("runtime")),
        limits=limits_of(spec["limits"]),
        retries=Retries(limit=retries["limit"], backoff=backoff_of(retries["backoff"])),
        run_key=spec["runKey"],
        schedule=schedule_of(spec.get("schedule")),
        rollout=rollout_of(spec.get("rollout")),
        windows=windows_of(spec),
        prune=Prune(spec["prune"]),
        depends_on=depends_on_of(meta, spec),
        suspend=suspend_of(spec),
        step=step_of(spec["step"]) if "step" in spec else None,
    )


def _workflow(meta: Meta, spec: Canonical) -> Workflow:
    timeout = spec["timeout"]
    return Workflow(
        meta=meta,
        steps=tuple(_step(meta, row) for row in spec["steps"]),
        key=flow_key(spec),
        max_parallel=spec.get("maxParallel"),
        timeout=limit_of(timeout),
        schedule=schedule_of(spec.get("schedule")),
        prune=Prune(spec["prune"]),
        depends_on=depends_on_of(meta, spec),
        suspend=suspend_of(spec),
    )


def _step(meta: Meta, row: Canonical) -> Step:
    return step_of({"workflow": meta.uid, "of": str(meta.key), "name": row["name"], **edges(row)})


def _federated(meta: Meta, spec: Canonical) -> FederatedTask:
    return FederatedTask(
        meta=meta,
        module=module_of(spec["module"]),
        run=run_of(spec["run"]),
        limits=limits_of(spec["limits"]),
        selector=selector_of(spec["cohort"].get("selector")),
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
        depends_on=depends_on_of(meta, spec),
        suspend=suspend_of(spec),
    )


def _daemon(meta: Meta, spec: Canonical) -> Daemon:
    restart, health, ready = spec["restart"], spec["health"], spec["readyWhen"]
    return Daemon(
        meta=meta,
        module=module_of(spec["module"]),
        placement=placement_of(spec["placement"]),
        run=run_of(spec["run"], spec.get("runtime")),
        limits=limits_of(spec["limits"]),
        restart=RestartPolicy(restart["policy"]),
        backoff=backoff_of(restart["backoff"]),
        ready_after=health["readyAfter"],
        max_restarts=limit_of(health["maxRestarts"]),
        ready_when=ReadyWhen(min_percent=ready["min"], within=limit_of(ready["within"])),
        drift=Drift(spec.get("drift", Drift.CORRECT)),
        ignore_drift=tuple(ignore_drift_of(row) for row in spec.get("ignoreDrift", ())),
        rollout=rollout_of(spec.get("rollout")),
        autoscale=autoscale_of(spec.get("autoscale")),
        windows=windows_of(spec),
        prune=Prune(spec["prune"]),
        depends_on=depends_on_of(meta, spec),
        suspend=suspend_of(spec),
    )


def _function(meta: Meta, spec: Canonical) -> Function:
    ready = spec["readyWhen"]
    return Function(
        meta=meta,
        module=module_of(spec["module"]),
        placement=placement_of(spec["placement"]),
        run=run_of(spec["run"]),
        limits=limits_of(spec["limits"]),
        restart=RestartPolicy.ALWAYS,
        backoff=Backoff(base=1_000, cap=60_000),
        ready_after=0,
        max_restarts=None,
        ready_when=ReadyWhen(min_percent=ready["min"], within=limit_of(ready["within"])),
        drift=Drift(spec.get("drift", Drift.CORRECT)),
        ignore_drift=tuple(ignore_drift_of(row) for row in spec.get("ignoreDrift", ())),
        rollout=rollout_of(spec.get("rollout")),
        windows=windows_of(spec),
        prune=Prune(spec["prune"]),
        depends_on=depends_on_of(meta, spec),
        suspend=suspend_of(spec),
        autoscale=autoscale_of(spec.get("autoscale")),
        calls=calls_of(spec),
        triggers=triggers_of(spec),
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
        suspend=suspend_of(spec),
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
        suspend=suspend_of(spec),
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
