"""What the objects of an App may ask for at most, and what of one is beyond that. Pure.

`sources` refuses a revision that goes beyond, with file and field. Ceilings bind the Apps inside an
App too: `within` gives the tighter of two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from propeller.model.parts import Access, Limits, RunSpec
from propeller.model.quantities import UNLIMITED, duration_text, size_text
from propeller.outgoing import Rule, both, covered, parse_rules

Beyond: TypeAlias = "tuple[tuple[str | int, ...], str]"
"""A field of a spec and what is to be said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """None: no ceiling. memory, output in bytes, timeout in ms, fuel in wasmtime's units.

    workloads: Tasks, Daemons and FederatedTasks of one App. mounts, capabilities, points: the names
    there may be. http: rules that each of `run.http.allow` must be within. writable: whether mounts
    may be written to. secrets: whether variables may come from Secrets. timeout does not bind a
    Daemon, which is there to stay.
    """

    memory: int | None = None
    fuel: int | None = None
    timeout: int | None = None
    output: int | None = None
    workloads: int | None = None
    mounts: tuple[str, ...] | None = None
    writable: bool = True
    capabilities: tuple[str, ...] | None = None
    secrets: bool = True
    points: tuple[str, ...] | None = None
    http: tuple[Rule, ...] | None = None

    def within(self, other: Ceilings) -> Ceilings:
        """The ceilings of who is under both."""
        return Ceilings(
            memory=_least(self.memory, other.memory),
            fuel=_least(self.fuel, other.fuel),
            timeout=_least(self.timeout, other.timeout),
            output=_least(self.output, other.output),
            workloads=_least(self.workloads, other.workloads),
            mounts=_both(self.mounts, other.mounts),
            writable=self.writable and other.writable,
            capabilities=_both(self.capabilities, other.capabilities),
            secrets=self.secrets and other.secrets,
            points=_both(self.points, other.points),
            http=_met(self.http, other.http),
        )


FREE = Ceilings()
"""No ceiling at all."""


def ceilings_of(given: Mapping[str, Any] | None) -> Ceilings:
    """From the canonical `spec.ceilings` of an App."""
    if given is None:
        return FREE
    mounts, words = given.get("mounts"), given.get("capabilities")
    points = given.get("points")
    return Ceilings(
        memory=given.get("memory"),
        fuel=given.get("fuel"),
        timeout=given.get("timeout"),
        output=given.get("output"),
        workloads=given.get("workloads"),
        mounts=None if mounts is None else tuple(sorted(mounts)),
        writable=given["mountAccess"] == Access.READ_WRITE.value,
        capabilities=None if words is None else tuple(sorted(words)),
        secrets=given["secrets"] == "Allowed",
        points=None if points is None else tuple(sorted(points)),
        http=None if given.get("http") is None else parse_rules(given["http"]),
    )


def ceilings_form(ceilings: Ceilings) -> dict[str, Any]:
    """The inverse of `ceilings_of`."""
    form: dict[str, Any] = {
        name: getattr(ceilings, name)
        for name in ("memory", "fuel", "timeout", "output", "workloads")
        if getattr(ceilings, name) is not None
    }
    if ceilings.mounts is not None:
        form["mounts"] = list(ceilings.mounts)
    form["mountAccess"] = (Access.READ_WRITE if ceilings.writable else Access.READ_ONLY).value
    if ceilings.capabilities is not None:
        form["capabilities"] = list(ceilings.capabilities)
    if ceilings.http is not None:
        form["http"] = [str(rule) for rule in ceilings.http]
    form["secrets"] = "Allowed" if ceilings.secrets else "Denied"
    if ceilings.points is not None:
        form["points"] = list(ceilings.points)
    return form


def beyond(kind: str, run: RunSpec, limits: Limits, ceilings: Ceilings) -> Iterator[Beyond]:
    """What an object asks for and may not, each field once."""
    for name, most, text in (
        ("memory", ceilings.memory, size_text),
        ("fuel", ceilings.fuel, str),
        ("timeout", ceilings.timeout if kind != "Daemon" else None, duration_text),
        ("output", ceilings.output, size_text),
    ):
        asked: int | None = getattr(limits, name)
        if most is not None and (asked is None or asked > most):
            said = UNLIMITED if asked is None else text(asked)
            yield ("limits", name), f"must be at most {text(most)}, not {said}"
    for index, mount in enumerate(run.mounts):
        at = ("run", "mounts", index)
        if ceilings.mounts is not None and mount.name not in ceilings.mounts:
            there = ", ".join(ceilings.mounts) or "none"
            yield (*at, "name"), f'must be one of the mounts allowed ({there}), not "{mount.name}"'
        if not ceilings.writable and mount.access is Access.READ_WRITE:
            yield (*at, "access"), "must be ReadOnly"
    for index, point in enumerate(run.points):
        named = point.read or point.write
        if ceilings.points is not None and named not in ceilings.points:
            there = ", ".join(ceilings.points) or "none"
            way = "write" if point.read is None else "read"
            words = f'must be one of the points allowed ({there}), not "{named}"'
            yield ("run", "points", index, way), words
    if run.secrets and not ceilings.secrets:
        yield ("run", "env"), "must not use Secrets"
    if run.http is not None and ceilings.http is not None:
        for index, rule in enumerate(run.http.allow):
            if not covered(rule, ceilings.http):
                there = ", ".join(str(one) for one in ceilings.http) or "none"
                yield ("run", "http", "allow", index), f"{rule} must be within: {there}"
    if ceilings.capabilities is not None:
        there = ", ".join(ceilings.capabilities) or "none"
        if run.capabilities is None:
            yield ("run", "capabilities"), f"required: at most {there}"
        elif set(run.capabilities) - set(ceilings.capabilities):
            yield ("run", "capabilities"), f"must be at most {there}"


def _least(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _both(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return other if one is None else one
    return tuple(sorted({*one} & {*other}))


def _met(one: tuple[Rule, ...] | None, other: tuple[Rule, ...] | None) -> tuple[Rule, ...] | None:
    if one is None or other is None:
        return other if one is None else one
    return both(one, other)
