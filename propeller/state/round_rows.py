"""Jobs, rounds and parts as rows, and back. Imported when the first such row is read or written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from propeller.model.federated import Close, Comparison, Evaluation, Mode, Pairs, Terms
from propeller.model.ids import Digest, PropletId, RunId, Uid
from propeller.model.privacy import Adapt, Local, Noise
from propeller.model.rounds import (
    Blob,
    Bucket,
    Fold,
    Job,
    Mail,
    Order,
    Origin,
    Part,
    Round,
    RoundState,
    Step,
)
from propeller.state.columns import from_json, shared, to_json
from propeller.state.database import Row

_APART = frozenset({"uid", "job", "number", "attempt", "state", "parts", "judges", "talks"})
"""Fields of a round that are columns or rows of their own."""


def job_text(job: Job) -> str:
    return to_json(asdict(job))


def job_of(text: str) -> Job:
    found: dict[str, Any] = from_json(text)
    for name in ("model", "layout", "state", "best_model"):
        found[name] = _blob(found[name])
    if "candidate_model" in found:
        found["candidate_model"] = _blob(found["candidate_model"])
    found["order"] = _order(found.get("order"))
    told = {"metrics": _pairs(found["metrics"]), "spent": _pairs(found.get("spent", ()))}
    return Job(**{**found, **told})


def job_blobs(job: Job) -> set[Digest]:
    blobs = [job.model, job.layout, job.state, job.best_model, job.candidate_model]
    if job.order is not None:
        blobs += [job.order.base, job.order.layout]
    return {blob.digest for blob in blobs if blob}


def moved(after: Round, before: Round) -> bool:
    """Whether the row of a round says something else now; its parts have rows of their own."""
    return any(
        getattr(after, field.name) != getattr(before, field.name)
        for field in fields(after)
        if field.name not in ("parts", "judges", "talks")
    )


def round_text(round_: Round) -> str:
    rest = {
        field.name: getattr(round_, field.name)
        for field in fields(round_)
        if field.name not in _APART
    }
    for name in ("base", "layout", "state_before", "terms"):
        rest[name] = asdict(rest[name])
    rest["mail"] = [asdict(one) for one in round_.mail]
    rest["origins"] = [asdict(one) for _, one in sorted(round_.origins.items())]
    if round_.fold is not None:
        rest["fold"] = asdict(round_.fold)
    rest["order"] = None if round_.order is None else asdict(round_.order)
    return to_json(rest)


def round_of(uid: Uid, row: Row, parts: Iterable[tuple[str, Part]]) -> Round:
    job, number, attempt, state, body = row
    found: dict[str, Any] = from_json(body)
    for name in ("base", "layout", "state_before"):
        found[name] = _blob(found[name])
    fold = found["fold"]
    if fold is not None:
        found["fold"] = Fold(
            model=_blob(fold["model"]),
            layout=_blob(fold["layout"]),
            state=_blob(fold["state"]),
            why=fold["why"],
            refused=_pairs(fold["refused"]),
            notes=_pairs(fold["notes"]),
            bound=fold.get("bound", ""),
            partial=_blob(fold.get("partial", {"digest": "", "size": 0})),
        )
    asked: dict[str, dict[PropletId, Part]] = {"train": {}, "evaluate": {}}
    for step, part in parts:
        asked.setdefault(step, {})[part.proplet] = part
    train, evaluate = asked.pop("train"), asked.pop("evaluate")
    return Round(
        **{
            **found,
            "uid": Uid(shared(uid)),
            "job": job,
            "number": number,
            "attempt": attempt,
            "state": RoundState(state),
            "terms": _terms(found["terms"]),
            "eligible": tuple(PropletId(name) for name in found["eligible"]),
            "metrics": _pairs(found["metrics"]),
            "spent": _pairs(found.get("spent", ())),
            "parts": train,
            "order": _order(found.get("order")),
            "origins": {one.proplet: one for one in map(_origin, found.get("origins", ()))},
            "judges": evaluate,
            "talks": {Step(step): told for step, told in asked.items()},
            "mail": tuple(
                Mail(Step(one["step"]), one["proplet"], _blob(one["blob"]))
                for one in found.get("mail", ())
            ),
        }
    )


def round_blobs(round_: Round) -> set[Digest]:
    blobs = [round_.base, round_.layout, round_.state_before, Blob(round_.terms.aggregator, 0)]
    blobs += [one.base for one in round_.origins.values()]
    if round_.fold is not None:
        blobs += [round_.fold.model, round_.fold.layout, round_.fold.state, round_.fold.partial]
    if not round_.state.over:
        blobs += [one.blob for one in round_.mail]
    return {blob.digest for blob in blobs if blob}


def _order(found: dict[str, Any] | None) -> Order | None:
    if found is None:
        return None
    told = {"step": Step(found["step"]), "base": _blob(found["base"])}
    return Order(**{**found, **told, "layout": _blob(found["layout"])})


def part_row(step: str, part: Part) -> Row:
    return (
        part.proplet,
        step,
        part.run,
        part.cause,
        part.nonce,
        part.tries,
        str(part.bucket),
        part.why,
        part.update.digest,
        part.update.size,
        int(part.looked),
        part.body,
        part.samples,
        to_json(part.metrics),
        part.norm,
    )


def part_of(row: Row) -> tuple[str, Part]:
    proplet, step, run, cause, nonce, tries, bucket, why, upload, size, looked, *rest = row
    body, samples, metrics, norm = rest
    return step, Part(
        proplet=PropletId(shared(proplet)),
        run=RunId(run),
        cause=cause,
        nonce=nonce,
        tries=tries,
        bucket=Bucket(bucket),
        why=why,
        update=Blob(Digest(upload), size),
        looked=bool(looked),
        body=Digest(body),
        samples=samples,
        metrics=_pairs(from_json(metrics)),
        norm=norm,
    )


def _terms(found: Mapping[str, Any]) -> Terms:
    evaluation = found["evaluation"]
    if evaluation is not None:
        stop = evaluation["stop"]
        evaluation = Evaluation(
            **{**evaluation, "stop": None if stop is None else Comparison(**stop)}
        )
    return Terms(
        **{
            **found,
            "mode": Mode(found["mode"]),
            "close": Close(found["close"]),
            "parameters": _pairs(found["parameters"]),
            "hyperparameters": _pairs(found["hyperparameters"]),
            "evaluation": evaluation,
            **{
                name: make(**found[name])
                for name, make in (("adapt", Adapt), ("noise", Noise), ("local", Local))
                if found.get(name) is not None
            },
        }
    )


def _blob(found: Mapping[str, Any]) -> Blob:
    return Blob(Digest(found["digest"]), found["size"])


def _origin(found: Mapping[str, Any]) -> Origin:
    name = PropletId(shared(found["proplet"]))
    return Origin(name, found["number"], found["attempt"], _blob(found["base"]))


def _pairs(found: Iterable[Iterable[str]]) -> Pairs:
    return tuple((name, value) for name, value in found)
