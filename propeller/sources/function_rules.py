"""What the schema of a Function cannot say: fields that must agree with each other and its module.

Called by `rules` on the canonical form, and by `load` with what was found in the module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from propeller.model.functions import Interface
from propeller.model.module import Module
from propeller.model.specs import FederatedTask, Function, Modular
from propeller.sources.modules import call_problem
from propeller.sources.nodes import Path
from propeller.sources.times import cron_problem, zone_problem


def problems(spec: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Paths are relative to `spec`."""
    command = spec["interface"] == "Command"
    entrypoint, run = spec["run"]["entrypoint"], spec["run"]
    if command and entrypoint != "_start":
        yield (
            ("interface",),
            f"must be Values or Bytes to call {entrypoint}: a Command is called by _start",
        )
    if not command and entrypoint == "_start":
        yield ("run", "entrypoint"), f"required with interface {spec['interface']}: the export"
    if not command and run["args"]:
        yield ("run", "args"), f"is for a Command: arguments of {spec['interface']} come by call"
    if "stdin" in run:
        yield ("run", "stdin"), "does not go with a Function: each call brings its own"
    if command and spec["instances"]["maxInvocations"] > 1:
        yield (
            ("instances", "maxInvocations"),
            "must be 1 for a Command: _start runs once in an instance",
        )
    if spec["instances"]["ready"] > spec["calls"]["concurrency"]:
        yield ("instances", "ready"), "must not be above calls.concurrency"
    yield from _triggers(spec["triggers"])


def calling_problem(made: Modular, module: Module) -> tuple[Path, str] | None:
    """Why the module cannot be called as `made` says; None when it can."""
    if isinstance(made, Function):
        return _function_problem(made, module)
    if isinstance(made, FederatedTask) and module.component:
        return ("module",), "is a component: a trainer is a core module"
    return call_problem(made.run, module)


def _function_problem(made: Function, module: Module) -> tuple[Path, str] | None:
    interface, run = made.calls.interface, made.run
    if module.component:
        if interface is Interface.BYTES:
            return ("interface",), "must be Command or Values: Bytes is for core modules"
        return call_problem(run, module, called=interface is Interface.COMMAND)
    if interface is Interface.COMMAND:
        return call_problem(run, module)
    found = next((one for one in module.exports if one.name == run.entrypoint), None)
    if found is None:
        return call_problem(run, module)  # it says which there are
    here: Path = ("run", "entrypoint")
    if interface is Interface.BYTES:
        if found.params or found.results not in ((), ("i32",)):
            return here, (
                f"{run.entrypoint} must take nothing and return nothing or an i32 (0: it went"
                " well) for interface Bytes"
            )
        return None
    strange = {*found.params, *found.results} - {"i32", "i64", "f32", "f64"}
    if strange:
        return (
            here,
            f"{run.entrypoint} has values that are no numbers: {', '.join(sorted(strange))}",
        )
    return None


def _triggers(triggers: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Path, str]]:
    names: set[str] = set()
    for index, row in enumerate(triggers):
        at: Path = ("triggers", index)
        if row["name"] in names:
            yield (*at, "name"), f'the trigger "{row["name"]}" is given twice'
        names.add(row["name"])
        if ("mqtt" in row) == ("cron" in row):
            yield at, "needs exactly one of mqtt and cron"
            continue
        if "cron" in row:
            wrong = cron_problem(row["cron"]["cron"])
            if wrong:
                yield (*at, "cron", "cron"), wrong
            wrong = zone_problem(row["cron"]["timeZone"])
            if wrong:
                yield (*at, "cron", "timeZone"), wrong
            continue
        if "body" in row:
            yield (*at, "body"), "goes with cron: a message brings its own"
        yield from _topics(at, row["mqtt"])


def _topics(at: Path, mqtt: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    for name in ("topic", "answer"):
        topic = mqtt.get(name)
        if topic is None:
            continue
        wrong = topic_problem(topic)
        if wrong:
            yield (*at, "mqtt", name), wrong
    if "answer" in mqtt and matches(mqtt["topic"], mqtt["answer"]):
        yield (*at, "mqtt", "answer"), "must not match topic: it would call itself for ever"


def topic_problem(topic: str) -> str:
    """What is wrong with a topic or filter below the channel, "" when nothing is."""
    levels = topic.split("/")
    if not all(levels):
        return "must not begin or end with / nor have an empty level"
    if levels[0] in ("control", "+", "#"):
        return "must begin with a level of its own, and never with control/"
    for index, level in enumerate(levels):
        if level == "#" and index != len(levels) - 1:
            return "# stands at the end only"
        if level not in ("+", "#") and ("+" in level or "#" in level):
            return "+ and # are whole levels"
    return ""


def matches(pattern: str, topic: str) -> bool:
    """Whether an MQTT filter matches a topic."""
    wanted, levels = pattern.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)
