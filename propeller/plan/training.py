"""Names of a federated job and of its runs, and who is invited: all derived, so all recomputable.

A reconciler that lost its store names the same job and runs again and invites the same proplets out
of the same eligible ones (rulings 1 and 19, federated.md 2.13). No chance is involved anywhere: the
order of invitation is a hash that nobody can choose and everybody can check.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Iterable
from functools import lru_cache

from propeller.model.canonical import canonical_bytes, canonical_digest
from propeller.model.federated import FederatedTask, ModelSpec
from propeller.model.ids import Digest, PropletId, RunId, Uid, run_id
from propeller.model.module import Module
from propeller.model.parts import OnOffline, PlacementSpec
from propeller.model.rounds import Part, Step
from propeller.model.specs import Backoff, Retries, Task
from propeller.plan.runs import Cause

WORDS = {
    Step.TRAIN: "round",
    Step.EVALUATE: "evaluate",
    Step.KEYS: "keys",
    Step.SHARES: "shares",
    Step.OPEN: "open",
}

_SELECT = b"propeller-fl-select-v1"
_NONCE = b"propeller-fl-nonce-v1"
_SEED = b"propeller-fl-seed-v1"


def trainer(obj: FederatedTask) -> Task:
    """What a FederatedTask asks of one proplet, as the Task that fit and capacity look at."""
    return Task(
        meta=obj.meta,
        module=obj.module,
        placement=PlacementSpec(
            selector=obj.selector,
            replicas=1,
            per_proplet=True,
            proplets=(),
            spread=None,
            offline_tolerance=0,
            on_offline=OnOffline.KEEP,
        ),
        run=obj.run,
        limits=obj.limits,
        retries=Retries(limit=0, backoff=Backoff(base=1000, cap=1000)),
        run_key=obj.run_key,
    )


def job_digest(obj: FederatedTask, module: Module) -> Digest:
    """What decides whether a job is the same one: module, model and layout (ruling 1)."""
    return _job_digest(module.identity, obj.model)


@lru_cache(maxsize=256)
def _job_digest(identity: str, model: ModelSpec | None) -> Digest:
    told: dict[str, object] = {"module": identity}
    if model is not None:
        told["model"] = model.initial or "zeros"
        told["layout"] = [[tensor.name, list(tensor.shape)] for tensor in model.layout]
    return Digest(canonical_digest(told))


@lru_cache(maxsize=256)
def job_id(uid: Uid, digest: Digest, run_key: str) -> str:
    """UUIDv5 of the uid and what is trained: what PFU1 and FL_JOB_ID name (ruling 1)."""
    return str(uuid.uuid5(uuid.UUID(uid), f"{digest}|{run_key}"))


def cause_of(step: Step, number: int, attempt: int, tries: int = 1) -> str:
    """`round:7` or `round:7.2` of its second attempt; `#2` where the proplet tries once more."""
    base = f"{WORDS[step]}:{number}" + (f".{attempt}" if attempt > 1 else "")
    return str(Cause(base, tries))


def invitation(
    uid: Uid,
    digest: Digest,
    run_key: str,
    proplet: PropletId,
    *,
    step: Step,
    number: int,
    attempt: int,
    tries: int = 1,
) -> Part:
    """The part of one proplet, before it said anything."""
    cause = cause_of(step, number, attempt, tries)
    job = job_id(uid, digest, run_key)
    return Part(
        proplet=proplet,
        run=RunId(run_id(uid, digest, run_key, cause, proplet)),
        cause=cause,
        nonce=_keyed(_NONCE, job, step, number, attempt, proplet).hex()[:32],
        tries=tries,
    )


def seed_of(job: str, step: Step, number: int, proplet: PropletId) -> str:
    """16 hex digits: where a guest's randomness starts, in every attempt and try alike."""
    return _keyed(_SEED, job, step, number, proplet).hex()[:16]


def cohort(
    eligible: Iterable[PropletId],
    count: int,
    *,
    job: str,
    step: Step,
    number: int,
    attempt: int,
) -> tuple[PropletId, ...]:
    """The `count` of `eligible` with the smallest keys, sorted by id (federated.md 2.13).

    key = HMAC-SHA256(SHA-256("propeller-fl-select-v1" 00 job), "job|round|attempt|proplet"), with
    an `e` before the number where it is about measuring.

    Who joins or leaves changes nobody else's key, so a cohort changes by those alone.
    """
    seed = hashlib.sha256(_SELECT + b"\0" + job.encode()).digest()
    start = f"{job}|{number}|{attempt}|" if step is Step.TRAIN else f"{job}|e{number}|{attempt}|"
    keyed = sorted(
        (hmac.digest(seed, f"{start}{proplet}".encode(), "sha256"), proplet) for proplet in eligible
    )
    return tuple(sorted(proplet for _, proplet in keyed[:count]))


def _keyed(purpose: bytes, job: str, *parts: object) -> bytes:
    key = hashlib.sha256(purpose + b"\0" + job.encode()).digest()
    return hmac.digest(key, canonical_bytes([str(part) for part in parts]), "sha256")
