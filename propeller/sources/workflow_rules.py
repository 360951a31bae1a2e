"""What a schema cannot say about a Workflow: names that must be those of steps, and no circle.

Called by `rules` on the canonical form. Whether a step itself is right is the business of the rules
of Tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from propeller.model.ids import is_dns_label
from propeller.model.steps import When
from propeller.sources.explain import did_you_mean
from propeller.sources.nodes import Path

Problem = tuple[Path, str]


def problems(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Paths are relative to `spec`."""
    rows = spec["steps"]
    names: dict[str, int] = {}
    for index, row in enumerate(rows):
        if row["name"] in names:
            yield ("steps", index, "name"), f"is that of step {names[row['name']] + 1} already"
        names.setdefault(row["name"], index)
    found = list(_unknown(rows, names))
    yield from found
    if found or len(names) < len(rows):
        return
    graph = {row["name"]: tuple(row.get("after", ())) for row in rows}
    try:
        order = tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        way = error.args[1][::-1]  # graphlib names what comes first before what waits for it
        yield ("steps", names[way[0]], "after"), f"goes in a circle: {' -> '.join(way)}"
        return
    yield from _before(rows, graph, order)


def name_problem(workflow: str, step: str) -> str:
    """Why that step's Task can have no name, "" when it can."""
    if is_dns_label(f"{workflow}-{step}"):
        return ""
    return f"is too long: {workflow}-{step} must have at most 63 letters"


def _unknown(rows: list[Mapping[str, Any]], names: Mapping[str, int]) -> Iterator[Problem]:
    for index, row in enumerate(rows):
        for place, name in enumerate(row.get("after", ())):
            if name not in names:
                yield ("steps", index, "after", place), _no_step(name, names)
            elif name == row["name"]:
                yield ("steps", index, "after", place), "must be another step"


def _no_step(name: str, names: Mapping[str, int]) -> str:
    near = did_you_mean(name, names)
    return f"no step is called {name}" + (f', did you mean "{near}"?' if near else "")


def _before(
    rows: list[Mapping[str, Any]], graph: Mapping[str, tuple[str, ...]], order: tuple[str, ...]
) -> Iterator[Problem]:
    """Results and conditions can only speak of steps that have ended by then."""
    earlier: dict[str, set[str]] = {}
    for name in order:
        earlier[name] = set(graph[name]).union(*(earlier[one] for one in graph[name]))
    for index, row in enumerate(rows):
        known = earlier[row["name"]]
        ways: dict[str, int] = {}
        for place, given in enumerate(row.get("inputs", ())):
            where: Path = ("steps", index, "inputs", place)
            if given["from"] not in known:
                yield (*where, "from"), _not_before(given["from"], row["name"], graph)
            if (given["as"] == "Env") != ("name" in given):
                word = "required with as: Env" if given["as"] == "Env" else "only with as: Env"
                yield (*where, "name"), word
            mark = given.get("name") if given["as"] == "Env" else given["as"]
            if given["as"] != "Arg" and ways.setdefault(str(mark), place) != place:
                yield (*where, "as"), f"{mark} is given by an earlier input already"
        if any(one["as"] == "Stdin" for one in row.get("inputs", ())) and "stdin" in row["run"]:
            yield ("steps", index, "run", "stdin"), "must not stand beside an input as Stdin"
        for place, text in enumerate(row.get("when", ())):
            one = When.parse(text)
            if one.step not in known:
                yield (
                    ("steps", index, "when", place),
                    _not_before(one.step, row["name"], graph),
                )


def _not_before(name: str, step: str, graph: Mapping[str, tuple[str, ...]]) -> str:
    if name not in graph:
        return _no_step(name, dict.fromkeys(graph, 0))
    return f"{name} does not come before {step}: name it in `after`"
