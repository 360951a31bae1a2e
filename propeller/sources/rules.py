"""What a schema cannot say about one document: fields that must agree with each other.

Called by `documents` on the canonical form, before files and other documents are looked at.
`finish` also gives the canonical form its last touches, where a default depends on another field.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeAlias

from propeller.sources.explain import did_you_mean
from propeller.sources.nodes import Path

Problem: TypeAlias = "tuple[Path, str]"


def problems(kind: str, spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Paths are relative to `spec`."""
    if kind == "App":
        yield from _folder(spec["source"]["path"])
    if kind == "Alert":
        yield from _sinks(spec["sinks"])
    if kind not in ("Task", "Daemon"):
        return
    yield from _module(spec["module"])
    yield from _placement(spec["placement"])
    yield from _unique(("run", "env"), spec["run"]["env"], "name", "the variable")
    yield from _unique(("run", "mounts"), spec["run"]["mounts"], "name", "the mount")
    yield from _unique(("run", "mounts"), spec["run"]["mounts"], "path", "the path")
    for index, mount in enumerate(spec["run"]["mounts"]):
        if {".", ".."} & set(mount.get("path", "").split("/")):
            yield ("run", "mounts", index, "path"), "must not contain . or .."
    holder = "retries" if kind == "Task" else "restart"
    backoff = spec[holder]["backoff"]
    if backoff["cap"] < backoff["base"]:
        yield (holder, "backoff", "cap"), "must not be below base"
    if "schedule" in spec:
        yield from _schedule(spec["schedule"])


def finish(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """One spelling for what can be written in several ways. Idempotent."""
    if kind == "App":
        path = posixpath.normpath(spec["source"]["path"])
        return {**spec, "source": {**spec["source"], "path": path}}
    if kind not in ("Task", "Daemon"):
        return spec
    out = dict(spec)
    out["placement"] = _one_way(spec["placement"])
    if "file" in spec["module"]:
        file = posixpath.normpath(spec["module"]["file"])
        out["module"] = {**spec["module"], "file": file}
    if spec["run"]["mounts"]:
        mounts = [{"path": f"/{mount['name']}", **mount} for mount in spec["run"]["mounts"]]
        out["run"] = {**spec["run"], "mounts": mounts}
    return out


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
    for index, name in enumerate(names):
        if name in names[:index]:
            yield ("placement", "proplets", index), f'"{name}" is named twice'
    for index, row in enumerate(placement.get("selector", {}).get("matchExpressions", [])):
        here: Path = ("placement", "selector", "matchExpressions", index, "values")
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


def _schedule(schedule: Mapping[str, Any]) -> Iterator[Problem]:
    wrong = cron_problem(schedule["cron"])
    if wrong:
        yield ("schedule", "cron"), wrong
    wrong = zone_problem(schedule["timeZone"])
    if wrong:
        yield ("schedule", "timeZone"), wrong


@lru_cache(maxsize=4096)
def cron_problem(expression: str) -> str:
    """What is wrong with a cron expression, "" when nothing is."""
    from cronsim import CronSim, CronSimError

    if len(expression.split()) != 5:
        return 'must be five cron fields such as "*/15 * * * *" (minute hour day month weekday)'
    try:
        next(CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        return f'must be five cron fields such as "*/15 * * * *": {str(error).lower()}'
    except StopIteration:
        return f'"{expression}" never comes: no date fits it'
    return ""


@lru_cache(maxsize=1024)
def zone_problem(name: str) -> str:
    """What is wrong with a time zone, "" when nothing is."""
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        near = did_you_mean(name, zoneinfo.available_timezones())
        hint = f', did you mean "{near}"?' if near else ""
        return f'must be an IANA time zone such as Europe/Belgrade, not "{name}"{hint}'
    return ""
