"""From a task of the first API to a spec of ours, and from how that is to a task. Pure.

What a task there asks for and no spec here can say is refused in words, and not ignored: who relied
on it would find out on the device.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from propeller.errors import WireError
from propeller.gateway.problem import Problem
from propeller.model.ids import Key
from propeller.registry.wasm import inspect
from propeller.state.records import RunRecord

NAMESPACE: Final = "upstream"
ZERO_TIME: Final = "0001-01-01T00:00:00Z"
MODULE: Final = "module.wasm"

PENDING, RUNNING, COMPLETED, FAILED, INTERRUPTED = 0, 2, 3, 4, 6

TEXTS: Final = ("name", "kind", "image_url", "proplet_id", "mode", "schedule", "timezone")
BOOLS: Final = ("daemon", "broadcast", "latent", "encrypted", "is_recurring")

Task = dict[str, Any]


def checked(task: Mapping[str, Any]) -> Task:
    """The task as it is kept. Raises Problem 400."""
    out = dict(task)
    for name in TEXTS:
        if not isinstance(out.get(name) or "", str):
            raise Problem(400, f"{name} must be text")
    for name in BOOLS:
        if not isinstance(out.get(name) or False, bool):
            raise Problem(400, f"{name} must be true or false")
    if not out.get("name"):
        raise Problem(400, "name is missing")
    if out.get("broadcast") and out.get("proplet_id"):
        raise Problem(400, "broadcast and proplet_id exclude each other")
    for name in ("inputs", "cli_args", "depends_on"):
        if not isinstance(out.get(name) or [], list):
            raise Problem(400, f"{name} must be a list")
    for name in ("env", "metadata"):
        if not isinstance(out.get(name) or {}, dict):
            raise Problem(400, f"{name} must be an object")
    if out.get("encrypted"):
        raise Problem(400, "encrypted tasks are not taken here: see spec.module of a Task")
    if out.get("run_if") not in (None, "", "success"):
        raise Problem(400, "run_if must be success")
    if out.get("schedule") and out.get("is_recurring") is False:
        raise Problem(400, "a schedule here is recurring: say is_recurring")
    if str(out.get("image_url") or "").startswith(("http://", "https://")):
        raise Problem(400, "image_url must be an image of a registry, not a web address")
    return out


def key_of(task: Mapping[str, Any]) -> Key:
    """The object that stands for a task."""
    kind = "Task"
    if task.get("kind") == "federated" and task.get("fl"):
        kind = "FederatedTask"
    elif task.get("daemon"):
        kind = "Daemon"
    return Key(kind, NAMESPACE, f"t-{task['id']}")


def has_module(task: Mapping[str, Any]) -> bool:
    """Whether there is something to run."""
    return bool(task.get("file") or task.get("image_url"))


def spec_of(
    task: Mapping[str, Any], kinds: Mapping[str, str]
) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """(document, files). kinds: the kind of each task by id, for `depends_on`. Raises Problem."""
    key = key_of(task)
    spec: dict[str, Any] = {"module": _module(task)}
    files = {MODULE: task["file"]} if task.get("file") else {}
    if key.kind == "FederatedTask":
        spec |= _federated(task)
    else:
        spec |= _plain(task)
    waits = task.get("depends_on") or []
    if waits:
        spec["dependsOn"] = [_link(str(one), kinds) for one in waits]
    if not task.get("started") or task.get("stopped"):
        why = "stopped" if task.get("stopped") else "not started"
        spec["suspend"] = {"reason": why, "by": str(task.get("by") or "upstream")}
    document = {
        "apiVersion": "propeller.dev/v1alpha1",
        "kind": key.kind,
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "annotations": {"upstream/name": str(task["name"])[:256]},
        },
        "spec": spec,
    }
    return document, files


def _module(task: Mapping[str, Any]) -> dict[str, str]:
    if task.get("file"):
        return {"file": MODULE}
    image = str(task["image_url"])
    tail = image.rpartition("/")[2]
    return {"image": image if ":" in tail or "@" in tail else f"{image}:latest"}


def _plain(task: Mapping[str, Any]) -> dict[str, Any]:
    run: dict[str, Any] = {"args": [_text(one) for one in task.get("inputs") or []]}
    entrypoint = _entrypoint(task)
    if entrypoint:
        run["entrypoint"] = entrypoint
    if task.get("env"):
        run["env"] = [{"name": name, "value": _text(value)} for name, value in task["env"].items()]
    spec: dict[str, Any] = {"run": run}
    if task.get("proplet_id"):
        spec["placement"] = {"proplets": [task["proplet_id"]]}
    elif task.get("broadcast"):
        spec["placement"] = {"perProplet": True}
    if not task.get("daemon"):
        spec["runKey"] = str(task.get("started") or 0)
        if task.get("schedule"):
            spec["schedule"] = {
                "cron": task["schedule"],
                "timeZone": task.get("timezone") or "UTC",
            }
    return spec


def _federated(task: Mapping[str, Any]) -> dict[str, Any]:
    told = task["fl"]
    if not isinstance(told, dict):
        raise Problem(400, "fl must be an object")
    cohort: dict[str, Any] = {"clientsPerRound": int(told.get("clients_per_round") or 1)}
    if told.get("min_clients"):
        cohort["minClients"] = int(told["min_clients"])
    spec: dict[str, Any] = {"rounds": int(told.get("rounds") or 1), "cohort": cohort}
    if told.get("update_format"):
        spec["updateFormat"] = told["update_format"]
    if told.get("timeout_s"):
        spec["roundDeadline"] = f"{int(told['timeout_s'])}s"
    if told.get("hyperparams"):
        spec["hyperparameters"] = told["hyperparams"]
    if told.get("model"):
        spec["model"] = told["model"]
    spec["runKey"] = str(task.get("started") or 0)
    return spec


def _entrypoint(task: Mapping[str, Any]) -> str:
    """The task's name is the function to call, where the module has one of that name."""
    name = str(task["name"])
    if not task.get("file"):
        return "" if name == "_start" else name
    try:
        exports = [one.name for one in inspect(base64.b64decode(task["file"])).exports]
    except (WireError, ValueError):
        return ""  # the loader says what is wrong with it
    if name in exports:
        return name
    return "" if "_start" in exports or len(exports) != 1 else exports[0]


def _link(ident: str, kinds: Mapping[str, str]) -> dict[str, str]:
    if ident not in kinds:
        raise Problem(400, f"depends_on: there is no task {ident[:64]}")
    return {"kind": kinds[ident], "name": f"t-{ident}"}


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Problem(400, "inputs and env are text or numbers")
    return json.dumps(value)


# -- and back ---------------------------------------------------------------------------------


def state_of(task: Mapping[str, Any], ready: str, runs: Sequence[RunRecord]) -> int:
    """Their number. ready: of the object. runs: newest first."""
    if not task.get("started"):
        return PENDING
    since = task.get("started_at", 0)
    mine = [one for one in runs if one.assigned_at >= since]
    if mine and not task.get("daemon"):
        if all(one.state == "Succeeded" for one in _newest(mine)) and ready == "True":
            return COMPLETED
        if any(one.state in ("Failed", "Refused") for one in _newest(mine)):
            return FAILED
    if task.get("stopped"):
        return INTERRUPTED
    return RUNNING


def _newest(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The newest of each proplet."""
    found: dict[str, RunRecord] = {}
    for one in runs:
        found.setdefault(one.proplet, one)
    return list(found.values())


def results_of(task: Mapping[str, Any], runs: Sequence[RunRecord]) -> object:
    """What its runs returned since it was started: of one proplet the text, else by proplet; None
    while there is nothing."""
    since = task.get("started_at", 0)
    found = {
        str(one.proplet): one.result
        for one in _newest([one for one in runs if one.assigned_at >= since])
        if one.state == "Succeeded" and one.result is not None
    }
    if not found:
        return None
    return found if task.get("broadcast") else next(iter(found.values()))


def shown(task: Mapping[str, Any], ready: str, runs: Sequence[RunRecord]) -> Task:
    """The task as they show it. The module is redacted as theirs is; so is the environment, which
    theirs is not."""
    own = ("started", "started_at", "stopped", "by", "created", "updated", "fl", "in_workflow")
    out = {name: value for name, value in task.items() if name not in own}
    if out.get("file"):
        text = str(out["file"])
        out["file"] = f"{text[:10]}<REDACTED>{text[-10:]}"
    if out.get("env"):
        out["env"] = dict.fromkeys(out["env"], "<REDACTED>")
    since = task.get("started_at", 0)
    mine = [one for one in runs if one.assigned_at >= since]
    state = state_of(task, ready, runs)
    ended = [one.ended for one in mine if one.ended]
    errors = [one.error for one in mine if one.error]
    out |= {
        "state": state,
        "kind": task.get("kind") or "standard",
        "cli_args": task.get("cli_args"),
        "daemon": bool(task.get("daemon")),
        "broadcast": bool(task.get("broadcast")),
        "priority": task.get("priority") or 50,
        "start_time": moment(since) if task.get("started") else ZERO_TIME,
        "finish_time": moment(max(ended)) if ended and state in (3, 4) else ZERO_TIME,
        "created_at": moment(task.get("created", 0)),
        "updated_at": moment(task.get("updated", 0)),
    }
    results = results_of(task, runs)
    if results is not None:
        out["results"] = results
    if errors and state == FAILED:
        out["error"] = errors[0]
    return out


def moment(at: int) -> str:
    """RFC 3339; their zero time for 0."""
    if not at:
        return ZERO_TIME
    return datetime.fromtimestamp(at / 1000, UTC).isoformat().replace("+00:00", "Z")
