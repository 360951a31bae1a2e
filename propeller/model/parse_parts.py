"""Parts that several kinds have in common, from their canonical form: modules, runs, places, times.

Used by `parse`. As there, only canonical input is taken, and nothing is checked that the schema has
already said.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from propeller.model.drift import DriftReason, IgnoreDrift
from propeller.model.ids import Digest, Key, PropletId
from propeller.model.quantities import UNLIMITED
from propeller.model.scaling import Autoscale, Gauge
from propeller.model.selector import Operator, Requirement, Selector
from propeller.model.specs import (
    Access,
    Backoff,
    HttpGrant,
    Limits,
    Meta,
    Missed,
    ModelFile,
    ModuleRef,
    Mount,
    OnOffline,
    Overlap,
    PlacementSpec,
    PointGrant,
    RunSpec,
    Schedule,
    SecretVar,
    Suspend,
    TopicGrant,
)
from propeller.model.windows import Window, WindowKind
from propeller.outgoing import parse_rules

Canonical: TypeAlias = Mapping[str, Any]
"""A mapping of canonical values. `Any` because JSON has no static shape; the schema gave it one."""


def limit_of(value: int | str) -> int | None:
    """A bound; None where there is none."""
    return None if isinstance(value, str) and value == UNLIMITED else int(value)


def suspend_of(spec: Canonical) -> Suspend | None:
    """Why, by whom and until when it does not run; None where it may."""
    given = spec.get("suspend")
    if given is None:
        return None
    return Suspend(reason=given["reason"], by=given["by"], until=given.get("until"))


def module_of(given: Canonical) -> ModuleRef:
    """Where its code is from."""
    digest = given.get("digest")
    return ModuleRef(
        file=given.get("file"),
        image=given.get("image"),
        url=given.get("url"),
        digest=None if digest is None else Digest(digest),
        encrypted=given.get("encrypted") == "Required",
        aot=given.get("aot") == "Allowed",
    )


def selector_of(given: Canonical | None) -> Selector:
    """Which proplets; of nothing, all of them."""
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


def placement_of(given: Canonical) -> PlacementSpec:
    """Where its copies may go, and how many there are."""
    proplets = tuple(PropletId(name) for name in given.get("proplets", ()))
    return PlacementSpec(
        selector=selector_of(given.get("selector")),
        replicas=len(proplets) if proplets else given.get("replicas", 1),
        per_proplet=given.get("perProplet", False),
        proplets=proplets,
        spread=given.get("spread"),
        offline_tolerance=given["tolerations"]["offline"],
        on_offline=OnOffline(given["onOffline"]),
        autonomy=limit_of(given["autonomy"]) if "autonomy" in given else None,
        priority=given.get("priority", 0),
        preempts=given.get("preemption", "Never") == "LowerPriority",
    )


def run_of(given: Canonical, runtime: Canonical | None = None) -> RunSpec:
    """How a guest is started. runtime: which engine runs it."""
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


def limits_of(given: Canonical) -> Limits:
    """What a guest may take."""
    return Limits(
        memory=limit_of(given["memory"]),
        fuel=limit_of(given["fuel"]),
        timeout=limit_of(given["timeout"]),
        output=given["output"],
    )


def backoff_of(given: Canonical) -> Backoff:
    """How long between attempts."""
    return Backoff(base=given["base"], cap=given["cap"])


def schedule_of(given: Canonical | None) -> Schedule | None:
    """When it runs; None where no clock says so."""
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


def windows_of(spec: Canonical) -> tuple[Window, ...]:
    """When it may change."""
    return tuple(
        Window(
            kind=WindowKind(row["kind"]),
            cron=row["cron"],
            duration=row["duration"],
            time_zone=row["timeZone"],
        )
        for row in spec.get("windows", ())
    )


def depends_on_of(meta: Meta, spec: Canonical) -> tuple[Key, ...]:
    """What has to be Ready before; names without a namespace are of its own."""
    return tuple(
        Key(row["kind"], row.get("namespace", meta.key.namespace), row["name"])
        for row in spec.get("dependsOn", ())
    )


def ignore_drift_of(given: Canonical) -> IgnoreDrift:
    """Drift that is not corrected."""
    reasons, proplets = given.get("reasons"), given.get("proplets")
    return IgnoreDrift(
        reasons=None if reasons is None else frozenset(DriftReason(one) for one in reasons),
        proplets=None if proplets is None else frozenset(PropletId(name) for name in proplets),
        selector=selector_of(given.get("selector")),
    )


def autoscale_of(given: Canonical | None) -> Autoscale | None:
    """By what its copies are counted; None where the spec counts them."""
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
