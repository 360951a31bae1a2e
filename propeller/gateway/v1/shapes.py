"""From rows to the documents of `/api/v1`. No clock, no I/O; control characters go out as they are
in JSON: escaped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from propeller.model.rounds import Round
from propeller.model.samples import Sample
from propeller.model.seen import Presence, Seen
from propeller.state.records import (
    Event,
    HistoryRow,
    Pause,
    PlanRecord,
    RevisionRecord,
    RunRecord,
    StatusRow,
)

Document = dict[str, Any]


def object_of(row: StatusRow) -> Document:
    """The status document."""
    found: Document = json.loads(row.document)
    return found


def proplet_of(seen: Seen, runs: int) -> Document:
    """One proplet as it was last heard. runs: how many it holds."""
    state = {Presence.ONLINE: "Online", Presence.OFFLINE: "Silent", Presence.UNKNOWN: "Unknown"}
    silent = seen.presence is not Presence.ONLINE
    facts = seen.facts
    return {
        "name": str(seen.id),
        "state": "Quarantined" if seen.quarantine else state[seen.presence],
        "heard": seen.last_heard,
        "since": (seen.offline_since or seen.last_heard) if silent else 0,
        "declared": seen.declared,
        "scheduling": "Draining" if seen.draining else "Cordoned" if seen.cordoned else "Enabled",
        "labels": dict(sorted(seen.labels.items())),
        "runs": runs,
        "trouble": seen.quarantine,
        "arch": facts.arch if facts else "",
        "os": facts.os if facts else "",
        "runtime": f"{facts.runtime} {facts.runtime_version}".strip() if facts else "",
        "memory": facts.memory if facts else 0,
    }


def usage_of(one: Sample) -> Document:
    """What was measured in one minute or hour."""
    return {
        "proplet": str(one.proplet),
        "at": one.at,
        "span": one.span,
        "mean": dict(sorted(one.mean.items())),
        "most": dict(sorted({**one.mean, **one.most}.items())),
    }


def run_of(one: RunRecord) -> Document:
    """One run of an object."""
    return {
        "run": one.run,
        "proplet": one.proplet,
        "cause": one.cause,
        "attempt": one.attempt,
        "state": one.state,
        "exit": one.exit,
        "result": one.result,
        "resultDigest": one.result_digest,
        "error": one.error,
        "restarts": one.restarts,
        "assigned": one.assigned_at,
        "started": one.started,
        "ended": one.ended,
    }


def event_of(one: Event) -> Document:
    """Something that happened."""
    return {
        "at": one.at,
        "firstAt": one.first_at or one.at,
        "severity": one.severity,
        "reason": one.reason,
        "message": one.message,
        "object": str(one.key) if one.key is not None else None,
        "proplet": str(one.proplet) if one.proplet is not None else None,
        "revision": one.revision,
        "count": one.count,
    }


def revision_of(one: RevisionRecord) -> Document:
    """One attempt to take the source."""
    return {
        "name": one.name,
        "digest": one.digest,
        "source": one.source,
        "at": one.at,
        "outcome": one.outcome,
        "author": one.author,
        "message": one.message,
        "signedBy": one.signed_by,
        "faults": list(one.faults),
    }


def plan_of(one: PlanRecord, pauses: Sequence[Pause]) -> Document:
    """What a revision meant."""
    waits = {digest for pause in pauses for digest in (pause.digest, pause.whole)}
    guards = [
        {
            "app": each.app,
            "guard": each.guard,
            "message": each.message,
            "digest": each.digest,
            "by": each.by,
        }
        for each in one.guards
    ]
    return {
        "digest": one.digest,
        "source": one.source,
        "revision": one.revision,
        "at": one.at,
        "done": one.done,
        "created": one.created,
        "changed": one.changed,
        "deleted": one.deleted,
        "waits": one.digest in waits or any(each["digest"] in waits for each in guards),
        "guards": guards,
    }


def past_of(one: HistoryRow) -> Document:
    """A generation and what became of it."""
    return {
        "generation": one.generation,
        "outcome": one.outcome,
        "digest": one.digest,
        "revision": one.revision,
        "first": one.first,
        "last": one.last,
        "count": one.count,
    }


def round_of(one: Round) -> Document:
    """One attempt at one round."""
    model = one.fold.model if one.fold is not None else None
    ended: Mapping[str, int] = Counter(str(part.bucket) for part in one.parts.values())
    return {
        "number": one.number,
        "attempt": one.attempt,
        "state": str(one.state),
        "cohort": [str(proplet) for proplet in one.parts],
        "ended": dict(sorted(ended.items())),
        "metrics": {name: str(value) for name, value in one.metrics},
        "model": str(model.digest) if model else "",
        "size": model.size if model else 0,
        "startedAt": one.started_at,
        "endedAt": one.ended_at,
        "why": one.why,
    }
