"""Where a job stands after a committed round: its model, its best one, and whether that was all.

Called by `federated`. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from propeller.model.federated import FederatedTask
from propeller.model.rounds import Bucket, Job, Round
from propeller.plan.notes import Note


def committed(job: Job, round_: Round, obj: FederatedTask, notes: list[Note]) -> Job:
    """The job once `round_` is committed; what is worth telling goes into `notes`."""
    fold = round_.fold
    if round_.order is not None:
        job = replace(job, served=round_.order.name, served_round=round_.number)
    job = replace(job, done=round_.number, attempt=1, failures=0, metrics=round_.metrics)
    if fold is not None:
        name = round_.terms.strategy
        job = replace(job, model=fold.model, layout=fold.layout, state=fold.state)
        job = replace(job, strategy=name, bound=fold.bound, bound_of=round_.terms.clip)
    counts = round_.counts()
    told = ", ".join(f"{name} {value[:8]}" for name, value in round_.metrics[:3])
    words = f"round {round_.number} of {obj.rounds}: {counts[Bucket.ACCEPTED]} updates"
    notes.append(Note("RoundCommitted", words + (f"; {told}" if told else "")))
    job = scored(job, round_)
    promote = obj.promote
    if promote is not None and not job.promoted and promote.when.holds(dict(round_.metrics)):
        job = replace(job, promoted=round_.number)
        words = f"round {round_.number} has {promote.when}: {job.model.digest} for {promote.to}"
        notes.append(Note("Promotable", words))
    job = nominated(job, round_, obj)
    if job.stopped or job.done >= obj.rounds:
        words = job.stopped or f"all {job.done} rounds are committed"
        notes.append(Note("FederatedTaskFinished", words))
    return job


def nominated(job: Job, round_: Round, obj: FederatedTask) -> Job:
    """The model that would be promoted now: where models are measured the best of those that are
    good enough, else the newest of them."""
    promote, fold = obj.promote, round_.fold
    if promote is None or fold is None or not fold.model:
        return job
    if not promote.when.holds(dict(round_.metrics)):
        return job
    measured = round_.terms.evaluation is not None
    if measured and (not round_.judges or (job.candidate and job.best_round != round_.number)):
        return job
    return replace(job, candidate=round_.number, candidate_model=fold.model)


def scored(job: Job, round_: Round) -> Job:
    """The best model so far, and whether that is the end."""
    evaluation = round_.terms.evaluation
    metrics = dict(round_.metrics)
    if evaluation is None or not round_.judges or not metrics:
        return job
    value = metrics.get(evaluation.metric)
    if value is not None:
        better = not job.best_round or (
            float(value) > float(job.best_value)
            if evaluation.maximise
            else float(value) < float(job.best_value)
        )
        job = replace(job, since_best=0 if better else job.since_best + 1)
        if better:
            number, model = round_.number, job.model
            job = replace(job, best_round=number, best_value=value, best_model=model)
    if evaluation.stop is not None and evaluation.stop.holds(metrics):
        return replace(job, stopped=f"{evaluation.stop} in round {round_.number}")
    if evaluation.patience is not None and job.since_best >= evaluation.patience:
        return replace(
            job, stopped=f"{job.since_best} measurements without a better {evaluation.metric}"
        )
    return job
