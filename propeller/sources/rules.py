"""What a schema cannot say about one document: fields that must agree with each other.

Called by `documents` on the canonical form, before files and other documents are looked at.
`finish` also gives the canonical form its last touches, where a default depends on another field.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from propeller.errors import UsageError
from propeller.model.quantities import UNLIMITED
from propeller.model.windows import DEVICE
from propeller.sources import (
    federated_rules,
    function_rules,
    http_rules,
    native_rules,
    plugins,
    point_rules,
    runtime_rules,
    topic_rules,
    workflow_rules,
)
from propeller.sources.address import parse_address
from propeller.sources.nodes import Path
from propeller.sources.times import cron_problem, zone_problem

MAX_SECRETS = 64
"""Variables of one guest that come from Secrets."""

SHORTEST_IDLE = 10_000
"""ms without a call before a Function may have no copy: else each call would start one."""

Problem: TypeAlias = "tuple[Path, str]"


def problems(kind: str, spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Paths are relative to `spec`."""
    yield from _windows(kind, spec)
    if kind == "App":
        yield from _app(spec)
    if kind == "Plugin":
        yield from plugins.problems(spec)
    if kind == "Alert":
        yield from _sinks(spec["sinks"])
    if kind == "Workflow":
        yield from _workflow(spec)
    if kind not in ("Task", "Daemon", "Function", "FederatedTask"):
        return
    yield from _module(spec["module"])
    yield from native_rules.problems(spec)
    yield from _unique(("run", "env"), spec["run"]["env"], "name", "the variable")
    yield from _secrets(spec["run"]["env"])
    yield from _unique(("run", "mounts"), spec["run"]["mounts"], "name", "the mount")
    yield from _unique(("run", "mounts"), spec["run"]["mounts"], "path", "the path")
    for index, mount in enumerate(spec["run"]["mounts"]):
        if {".", ".."} & set(mount.get("path", "").split("/")):
            yield ("run", "mounts", index, "path"), "must not contain . or .."
        if spec["run"].get("models") and mount.get("path", f"/{mount['name']}") == "/models":
            yield ("run", "mounts", index, "path"), "must not be /models: models are there"
    yield from _models(spec["run"].get("models", ()))
    yield from topic_rules.problems(kind, spec["run"].get("topics", ()))
    yield from point_rules.problems(kind, spec["run"].get("points", ()))
    yield from http_rules.problems(kind, spec["run"].get("http"))
    if kind == "FederatedTask":
        yield from _selector(("cohort",), spec["cohort"])
        yield from federated_rules.problems(spec)
        return
    yield from _placement(spec["placement"])
    if kind == "Function":
        yield from function_rules.problems(spec)
    else:
        holder = "retries" if kind == "Task" else "restart"
        backoff = spec[holder]["backoff"]
        if backoff["cap"] < backoff["base"]:
            yield (holder, "backoff", "cap"), "must not be below base"
    yield from runtime_rules.problems(spec)
    if "schedule" in spec:
        yield from _schedule(spec["schedule"])
        yield from _run_on(spec)
    if "rollout" in spec:
        yield from _rollout(kind, spec)
    if "autoscale" in spec:
        yield from _autoscale(spec)


def _autoscale(spec: Mapping[str, Any]) -> Iterator[Problem]:
    given, placement = spec["autoscale"], spec["placement"]
    if given["max"] < given["min"]:
        yield ("autoscale", "max"), "must not be below min"
    for way in ("proplets", "perProplet"):
        if placement.get(way):
            yield ("autoscale",), f"only with placement.replicas, not with {way}"
    if Decimal(given["target"]) == 0:
        yield ("autoscale", "target"), "must be more than 0"
    if given["metric"] == "Memory" and spec["limits"]["memory"] == UNLIMITED:
        yield ("autoscale", "metric"), "Memory needs limits.memory: it is a share of that"
    if (given["metric"] == "Guest") != ("gauge" in given):
        yield ("autoscale", "gauge"), "goes with metric: Guest, which needs it"
    if given["min"] == 0 and given["scaleDownAfter"] < SHORTEST_IDLE:
        yield ("autoscale", "scaleDownAfter"), "must be at least 10s where min is 0"
    if "hold" in given and given["min"]:
        yield ("autoscale", "hold"), "goes with min: 0 only: else there is always a copy"


def _models(rows: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Files of guests: each by a file of the tree, or by what is known of its bytes."""
    yield from _unique(("run", "models"), rows, "name", "the model")
    for index, row in enumerate(rows):
        below = ("run", "models", index)
        if "file" in row:
            if "image" in row:
                yield (*below, "image"), "must not stand beside file"
            if row["file"].startswith("/"):
                yield (*below, "file"), "must be relative to the spec file"
            elif not row["file"].endswith(".safetensors"):
                words = "must end in .safetensors: others come from a registry, by digest and size"
                yield (*below, "file"), words
            continue
        for name in ("digest", "size"):
            if name not in row:
                yield (*below, name), "required without file"


def _workflow(spec: Mapping[str, Any]) -> Iterator[Problem]:
    for index, row in enumerate(spec["steps"]):
        for below, message in problems("Task", row):
            yield ("steps", index, *below), message
        for at, model in enumerate(row["run"].get("models", ())):
            if "file" in model:
                words = "is not taken in a step: say digest and size"
                yield ("steps", index, "run", "models", at, "file"), words
    yield from workflow_rules.problems(spec)
    if "schedule" in spec:
        yield from _schedule(spec["schedule"])


def finish(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """One spelling for what can be written in several ways. Idempotent."""
    if kind == "App":
        if "path" not in spec["source"]:
            return spec
        path = posixpath.normpath(spec["source"]["path"])
        return {**spec, "source": {**spec["source"], "path": path}}
    if kind == "Workflow":
        return {**spec, "steps": [finish("Task", row) for row in spec["steps"]]}
    if kind not in ("Task", "Daemon", "Function", "FederatedTask"):
        return spec
    if kind == "FederatedTask":
        out = federated_rules.finish(spec)
    else:
        out = {**spec, "placement": _one_way(spec["placement"])}
    if "file" in spec["module"]:
        file = posixpath.normpath(spec["module"]["file"])
        out["module"] = {**spec["module"], "file": file}
    run = spec["run"]
    if run["mounts"]:
        run = {**run, "mounts": [{"path": f"/{mount['name']}", **mount} for mount in run["mounts"]]}
    if run.get("points"):
        run = {**run, "points": [point_rules.named(row) for row in run["points"]]}
    if any("secretRef" in row for row in run["env"]):
        run = {**run, "env": [_one_value(row) for row in run["env"]]}
    out["run"] = run
    return out


def _one_value(row: Mapping[str, Any]) -> dict[str, Any]:
    """Either `value` or `secretRef`."""
    return {name: below for name, below in row.items() if "secretRef" not in row or name != "value"}


def _one_way(given: Mapping[str, Any]) -> dict[str, Any]:
    """Exactly one of `proplets`, `perProplet: true` and `replicas`."""
    ways = ("proplets", "perProplet", "replicas")
    out = {key: value for key, value in given.items() if key not in ways}
    if "proplets" in given:
        out["proplets"] = given["proplets"]
    elif given.get("perProplet"):
        out["perProplet"] = True
    else:
        out["replicas"] = given.get("replicas", 1)
    return out


def _app(spec: Mapping[str, Any]) -> Iterator[Problem]:
    source = spec["source"]
    if "path" in source:
        yield from _folder(source["path"])
        for name in ("interval", "schedule"):
            if name in spec:
                yield (name,), "goes with a source of its own; this folder is read with its tree"
    if "git" in source:
        git = source["git"]
        if re.search(r"://[^/@]*:[^/@]*@|^https?://[^/@]*@", git["url"]):
            yield ("source", "git", "url"), "must not contain a password; see `propeller config`"
        try:
            parse_address(git["url"], ref=git.get("ref"), git=True)
        except UsageError as error:
            yield ("source", "git", "url"), error.what
        if {"..", "."} & set(git.get("path", "").split("/")):
            yield ("source", "git", "path"), "must be inside the repository"
    ceilings = spec.get("ceilings") or {}
    yield from http_rules.rules(("ceilings", "http"), ceilings.get("http") or ())
    if "schedule" in spec:
        if "interval" in spec:
            yield ("schedule",), "must not stand beside interval"
        yield from _schedule(spec["schedule"])


def _folder(path: str) -> Iterator[Problem]:
    normal = posixpath.normpath(path)
    if normal.startswith(("/", "..")):
        yield ("source", "path"), "must be inside the spec tree, relative to its root"
    elif any(part.startswith(".") for part in normal.split("/") if part != "."):
        yield (
            ("source", "path"),
            "must not lie in a folder that begins with a dot: those are skipped",
        )


def _sinks(sinks: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    yield from _unique(("sinks",), sinks, "name", "the sink")
    for index, sink in enumerate(sinks):
        topic = sink.get("mqtt", {}).get("topic", "")
        if topic.startswith("m/"):
            yield (
                ("sinks", index, "mqtt", "topic"),
                "must not begin with m/: those topics tell devices what to do",
            )
        mail = sink.get("smtp")
        if mail is None:
            continue
        if ("username" in mail) != ("passwordRef" in mail):
            yield ("sinks", index, "smtp"), "username and passwordRef come together"
        elif "username" in mail and mail["tls"] == "None":
            yield (
                ("sinks", index, "smtp", "tls"),
                "must not be None with a password: it would be sent in plain text",
            )


def _module(module: Mapping[str, Any]) -> Iterator[Problem]:
    if "url" in module and "digest" not in module:
        yield ("module", "digest"), 'required with url: "sha256:" and 64 lowercase hex digits'
    if module.get("file", "").startswith("/"):
        yield ("module", "file"), "must be relative to the spec file"


def _placement(placement: Mapping[str, Any]) -> Iterator[Problem]:
    ways = [way for way in ("replicas", "perProplet", "proplets") if placement.get(way)]
    if len(ways) > 1:
        yield (
            ("placement", ways[1]),
            f"must not stand beside {ways[0]}: at most one of replicas, perProplet, proplets",
        )
    names = placement.get("proplets", [])
    if placement.get("preemption") == "LowerPriority":
        for way in ("proplets", "perProplet"):
            if placement.get(way):
                yield (
                    ("placement", "preemption"),
                    f"only with placement.replicas, not with {way}",
                )
    for index, name in enumerate(names):
        if name in names[:index]:
            yield ("placement", "proplets", index), f'"{name}" is named twice'
    yield from _selector(("placement",), placement)


def _selector(path: Path, holder: Mapping[str, Any]) -> Iterator[Problem]:
    for index, row in enumerate(holder.get("selector", {}).get("matchExpressions", [])):
        here: Path = (*path, "selector", "matchExpressions", index, "values")
        needs = row["operator"] in ("In", "NotIn")
        if needs and "values" not in row:
            yield here, f"required with {row['operator']}"
        if not needs and "values" in row:
            yield here, f"must not stand beside {row['operator']}, which takes none"


def _unique(
    path: Path, rows: Iterable[Mapping[str, Any]], field: str, what: str
) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, row in enumerate(rows):
        value = row.get(field)
        if value is not None and value in seen:
            yield (*path, index, field), f'{what} "{value}" is given twice'
        elif value is not None:
            seen.add(value)


def _secrets(env: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    named = [index for index, row in enumerate(env) if "secretRef" in row]
    for index in named:
        if env[index].get("value"):
            yield ("run", "env", index, "value"), "must not stand beside secretRef"
    if len(named) > MAX_SECRETS:
        message = f"takes at most {MAX_SECRETS} variables from Secrets"
        yield ("run", "env", named[MAX_SECRETS]), message


def _rollout(kind: str, spec: Mapping[str, Any]) -> Iterator[Problem]:
    placement = spec["placement"]
    if kind == "Task" and "schedule" in spec:
        yield ("rollout",), "must not stand beside schedule: an edit is run from its next time on"
    elif kind == "Task" and not (placement.get("perProplet") or placement.get("proplets")):
        yield ("rollout",), "needs placement.perProplet or placement.proplets on a Task"
    yield from _checks(spec["rollout"].get("checks", ()))
    if kind == "Task" and "update" in spec["rollout"]:
        yield ("rollout", "update"), "is for a Daemon: runs of a Task do not take over"
    before: dict[bool, int] = {}
    for index, step in enumerate(spec["rollout"]["steps"]):
        share = step.endswith("%")
        number = int(step.removesuffix("%"))
        if number == 0:
            yield ("rollout", "steps", index), "must be at least one copy"
        elif number <= before.get(share, 0):
            yield ("rollout", "steps", index), "must be more than the steps before it"
        before[share] = number


SOURCES = ("metric", "run", "prometheus", "http")


def _checks(checks: Iterable[Mapping[str, Any]]) -> Iterator[Problem]:
    names: set[str] = set()
    for index, check in enumerate(checks):
        at = ("rollout", "checks", index)
        given = [name for name in SOURCES if name in check]
        if len(given) != 1:
            yield at, f"needs exactly one of {', '.join(SOURCES)}"
        elif given[0] in ("prometheus", "http") and check["against"] == "Others":
            yield (*at, "against"), "Others is for metric and run: one number has no copies"
        if check["name"] in names:
            yield (*at, "name"), f"{check['name']} is the name of an earlier check"
        names.add(check["name"])
        for side in ("success", "failure"):
            bounds = check.get(side)
            if bounds is None:
                continue
            low, high = bounds.get("atLeast"), bounds.get("atMost")
            if low is None and high is None:
                yield (*at, side), "needs atLeast, atMost or both"
            elif low is not None and high is not None and Decimal(low) > Decimal(high):
                yield (*at, side, "atMost"), "must not be below atLeast"


def _windows(kind: str, spec: Mapping[str, Any]) -> Iterator[Problem]:
    if kind == "Proplet" and "timeZone" in spec:
        wrong = zone_problem(spec["timeZone"])
        if wrong:
            yield ("timeZone",), wrong
    placement = spec.get("placement", {})
    widely = placement.get("perProplet") or placement.get("proplets")
    for index, window in enumerate(spec.get("windows", ())):
        if window["timeZone"] == DEVICE:
            if not ("rollout" in spec and widely):
                needs = "needs a rollout, and placement.perProplet or placement.proplets"
                yield ("windows", index, "timeZone"), f"Device {needs}"
            window = {**window, "timeZone": "UTC"}  # noqa: PLW2901 - the rest is as ever
        for field, wrong in (
            ("cron", cron_problem(window["cron"])),
            ("timeZone", zone_problem(window["timeZone"])),
        ):
            if wrong:
                yield ("windows", index, field), wrong


def _run_on(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Whose clock a schedule is on."""
    if spec["schedule"].get("runOn") != "Proplet":
        if "history" in spec["schedule"]:
            yield ("schedule", "history"), "goes with runOn: Proplet"
        return
    for index, row in enumerate(spec["run"]["env"]):
        if "secretRef" in row:
            words = "does not go with runOn: Proplet: a secret is sealed for one run"
            yield ("run", "env", index, "secretRef"), words


def _schedule(schedule: Mapping[str, Any]) -> Iterator[Problem]:
    wrong = cron_problem(schedule["cron"])
    if wrong:
        yield ("schedule", "cron"), wrong
    wrong = zone_problem(schedule["timeZone"])
    if wrong:
        yield ("schedule", "timeZone"), wrong
