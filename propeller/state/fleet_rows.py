"""Proplets, their runs, documents asked and holds as rows of the fleet's tables, and back.

Imported by `fleet` when the first such row is read or written: commands that only show statuses
start without the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from propeller.model.ids import Digest, PropletId, RunId, Uid
from propeller.model.seen import Box, Facts, Presence, RunState, Seen, SeenRun
from propeller.state.columns import Memo, from_json, shared, to_json
from propeller.state.database import Row
from propeller.state.quotas import Quotas, clip
from propeller.state.records import Asked, PropletHold

_STATES = {state.value: state for state in RunState}
_PRESENCES = {presence.value: presence for presence in Presence}
ENDED = tuple(state.value for state in RunState if state.ended)


def seen_row(seen: Seen) -> Row:
    facts = seen.facts
    return (
        seen.id,
        int(seen.declared),
        seen.presence.value,
        seen.last_heard,
        seen.offline_since,
        seen.will_at,
        seen.inst,
        seen.boot,
        seen.seq,
        seen.conn,
        to_json(dict(seen.labels)),
        seen.observed_fence,
        seen.observed_gen,
        seen.observed_digest,
        int(seen.reported),
        seen.quarantine,
        int(seen.cordoned),
        int(seen.draining),
        seen.memory,
        seen.tasks,
        seen.heartbeat,
        # The key is the one fact that no two proplets share; apart, the rest is read once.
        "" if facts is None else facts.public_key,
        None if facts is None else facts_text(facts),
        box_text(seen.box),
        to_json(dict(seen.metrics)) if seen.metrics else "",
        seen.metrics_at,
    )


def seen_of(
    row: Row,
    labels: Memo[Mapping[str, str]],
    facts: Memo[dict[str, Any]],
    runs: Mapping[tuple[Uid, RunId], SeenRun],
) -> Seen:
    (
        proplet, declared, presence, last_heard, offline_since, will_at, inst, boot, seq, conn,
        label_text, fence, gen, digest, reported, quarantine, cordoned, draining, memory, tasks,
        heartbeat, public_key, facts_text, box, metrics, metrics_at,
    ) = row  # fmt: skip
    return Seen(
        id=PropletId(shared(proplet)),
        declared=declared == 1,
        presence=_PRESENCES[presence],
        last_heard=last_heard,
        offline_since=offline_since,
        will_at=will_at,
        inst=inst,
        boot=boot,
        seq=seq,
        conn=conn,
        facts=None if facts_text is None else Facts(**facts(facts_text), public_key=public_key),
        labels=labels(label_text),
        observed_fence=fence,
        observed_gen=gen,
        observed_digest=shared(digest),
        runs=runs,
        reported=reported == 1,
        quarantine=shared(quarantine),
        cordoned=cordoned == 1,
        draining=draining == 1,
        memory=memory,
        tasks=tasks,
        heartbeat=heartbeat,
        box=box_of(box),
        metrics=from_json(metrics) if metrics else {},
        metrics_at=metrics_at,
    )


_NO_BOX = Box()


def box_text(box: Box) -> str:
    if box == _NO_BOX:
        return ""
    return to_json([box.announced, box.pinned, box.believed, box.trouble])


def box_of(text: str) -> Box:
    if not text:
        return _NO_BOX
    announced, pinned, believed, trouble = from_json(text)
    return Box(announced=announced, pinned=pinned, believed=believed, trouble=shared(trouble))


def facts_text(facts: Facts) -> str:
    return to_json(
        {
            "arch": facts.arch,
            "os": facts.os,
            "runtime": facts.runtime,
            "runtime_version": facts.runtime_version,
            "agent_version": facts.agent_version,
            "memory": facts.memory,
            "tasks": facts.tasks,
            "max_module": facts.max_module,
            "max_payload": facts.max_payload,
            "imports": sorted(facts.imports),
            "components": facts.components,
            "mounts": sorted(facts.mounts),
            "encodings": facts.encodings,
            "fetch": facts.fetch,
            "labels": dict(facts.labels),
            **({"points": sorted(facts.points)} if facts.points else {}),
            **({} if facts.algs == ("ed25519",) else {"algs": facts.algs}),
        }
    )


def facts_fields(text: str) -> dict[str, Any]:
    found: dict[str, Any] = from_json(text)
    for name in ("imports", "mounts", "points"):
        found[name] = frozenset(found.get(name, ()))
    for name in ("encodings", "fetch", "algs"):
        if name in found:
            found[name] = tuple(found[name])
    return found


def seen_run_row(proplet: PropletId, run: SeenRun, quotas: Quotas) -> Row:
    return (
        proplet,
        run.uid,
        run.run,
        run.digest,
        run.cause,
        run.state.value,
        run.exit,
        None if run.result is None else clip(run.result, quotas.result_text),
        run.result_digest,
        run.result_size,
        clip(run.error, quotas.error_text),
        run.restarts,
        int(run.ready),
        run.started,
        run.ended,
        run.spent,
    )


def seen_run_of(row: Row) -> SeenRun:
    (
        _, uid, run, digest, cause, state, code, result, result_digest, result_size, error,
        restarts, ready, started, ended, spent,
    ) = row  # fmt: skip
    return SeenRun(
        uid=Uid(shared(uid)),
        run=RunId(run),
        digest=Digest(digest),  # no two runs share one
        cause=shared(cause),
        state=_STATES[state],
        exit=code,
        result=None if result is None else shared(result),
        result_digest=None if result_digest is None else Digest(result_digest),
        result_size=result_size,
        error=shared(error),
        restarts=restarts,
        ready=ready == 1,
        started=started,
        ended=ended,
        spent=spent,
    )


def asked_row(asked: Asked) -> Row:
    return (
        asked.proplet,
        asked.inst,
        asked.fence,
        asked.gen,
        asked.digest,
        asked.asked_at,
        asked.due,
        asked.attempts,
    )


def asked_of(row: Row) -> Asked:
    proplet, inst, fence, gen, digest, asked_at, due, attempts = row
    return Asked(
        proplet=PropletId(shared(proplet)),
        inst=inst,
        fence=fence,
        gen=gen,
        digest=shared(digest),
        asked_at=asked_at,
        due=due,
        attempts=attempts,
    )


def hold_row(hold: PropletHold) -> Row:
    return (hold.proplet, hold.scheduling, to_json(hold.labels), hold.by, hold.reason)


def hold_of(row: Row) -> PropletHold:
    proplet, scheduling, labels, by, reason = row
    return PropletHold(
        proplet=PropletId(proplet),
        scheduling=scheduling,
        labels=tuple((name, value) for name, value in from_json(labels)),
        by=by,
        reason=reason,
    )
