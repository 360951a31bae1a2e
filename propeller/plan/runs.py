"""How a run is named: from what it runs and why, never from a counter of ours.

Called by the planner, and by whoever must know whether an assignment is the run that today's spec
means (`run_for(...) == assignment.run`) or an older one. A reconciler that lost its store names
the same runs again (protocol rule e). Knows nothing of proplets but their ids.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from propeller.model.canonical import canonical_bytes, canonical_digest
from propeller.model.ids import Digest, PropletId, RunId, Uid, run_id
from propeller.model.inventory import Held
from propeller.model.module import Module
from propeller.model.specs import Daemon, Task, Timed, Workload

ONCE = "once"
DAEMON = "daemon"
CRON = "cron"

NO_SECRETS: Mapping[str, str] = {}

_CAUSE = re.compile(r"(once|daemon|cron:(0|[1-9][0-9]{0,15}))(?:#([1-9][0-9]{0,5}))?\Z")


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a run exists. base: `once`, `daemon` or `cron:<slot, Unix ms>`; attempt counts from 1."""

    base: str
    attempt: int = 1

    def __str__(self) -> str:
        return self.base if self.attempt == 1 else f"{self.base}#{self.attempt}"

    @property
    def slot(self) -> int | None:
        """The cron slot (Unix ms), None for the others."""
        kind, _, slot = self.base.partition(":")
        return int(slot) if kind == CRON else None


def cron_base(slot: int) -> str:
    """The base of every attempt of one cron slot."""
    return f"{CRON}:{slot}"


def parse_cause(text: str) -> Cause | None:
    """The inverse of `str(Cause)`; None for anything `str(Cause)` cannot give."""
    match = _CAUSE.match(text)
    if match is None or match[3] == "1":
        return None
    return Cause(match[1], int(match[3] or 1))


def run_digest(obj: Workload, module: Module, secrets: Mapping[str, str] = NO_SECRETS) -> Digest:
    """What decides whether a run is the same one: the module, how it is run, mounts and env.

    secrets: of the variables that come from Secrets, a keyed digest of each value. Limits,
    placement, retries, restarts and labels are left out on purpose: editing them reruns nothing.
    """
    run = obj.run
    told: dict[str, object] = {
        "module": module.identity,
        "run": {"entrypoint": run.entrypoint, "args": run.args, "stdin": run.stdin},
        "mounts": [[mount.name, mount.path, str(mount.access)] for mount in run.mounts],
        "env": [[name, value] for name, value in run.env],
    }
    if run.models:
        told["models"] = [[model.name, model.digest] for model in run.models]
    if run.external:
        told["external"] = run.external
    if run.topics:
        told["topics"] = [
            [one.name, one.publish or "", one.subscribe or "", one.size, one.rate, one.keep]
            for one in run.topics
        ]
    if run.points:
        told["points"] = [
            [one.name, one.read or "", one.write or "", one.rate] for one in run.points
        ]
    if run.http is not None:
        told["http"] = [
            [str(rule) for rule in run.http.allow],
            *(run.http.requests, run.http.timeout, run.http.body),
        ]
    if secrets:
        told["secrets"] = [[name, secrets[name]] for name in sorted(secrets)]
    return Digest(canonical_digest(told))


def run_key(obj: Workload) -> str:
    """What a person changes to run a finished Task again; a Daemon has none."""
    match obj:
        case Task() | Timed():
            return obj.run_key
        case Daemon():
            return ""


def run_for(
    held: Held,
    module: Module,
    cause: str,
    proplet: PropletId,
    secrets: Mapping[str, str] = NO_SECRETS,
) -> RunId:
    """The run that `held` as it stands means on `proplet` for `cause` (`once`, `cron:1#2`, ...)."""
    obj = held.object
    assert isinstance(obj, Task | Daemon), f"{obj.meta.key} is never run"
    return run_id(held.uid, run_digest(obj, module, secrets), run_key(obj), cause, proplet)


def namer(uid: Uid, digest: Digest, key: str, cause: str) -> Callable[[PropletId], RunId]:
    """`run_id` for one object and cause, for many proplets: the same ids at a tenth of the cost."""
    shared = hashlib.sha256(canonical_bytes([uid, digest, key, cause])[:-1])

    def name(proplet: PropletId) -> RunId:
        # Proplet ids are [A-Za-z0-9_-], so their canonical form is themselves between quotes.
        state = shared.copy()
        state.update(b',"%b"]' % proplet.encode())
        return RunId(state.hexdigest()[:32])

    return name
