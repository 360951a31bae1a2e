"""The chain over what was decided about a job: each record names the one before it.

A record is a canonical document over a finished round; its digest goes into the job, the status
and the journal, so that nobody can change a past round without changing every later one.
"""

from __future__ import annotations

from dataclasses import replace

from propeller.model.canonical import canonical_digest
from propeller.model.federated import Terms
from propeller.model.ids import Digest
from propeller.model.rounds import Bucket, Round


def record_of(round_: Round) -> dict[str, object]:
    """What is sealed of a round: how it was held, who counted, what came of it.

    Times are left out, and so is who was dropped or late: those depend on the day, and a round that
    is recomputed somewhere else must get the same digest.
    """
    fold = round_.fold
    private: dict[str, object] = {"bound": round_.bound} if round_.bound else {}
    if round_.order is not None:
        private["order"] = round_.order.name
    if round_.spent:
        private["spent"] = [list(pair) for pair in round_.spent]
    return {
        **private,
        "job": round_.job,
        "round": round_.number,
        "attempt": round_.attempt,
        "outcome": str(round_.state),
        "terms": terms_digest(round_.terms),
        "base": round_.base.digest,
        "state": round_.state_before.digest,
        "contributors": round_.contributors,
        "accepted": round_.counts()[Bucket.ACCEPTED],
        "model": fold.model.digest if fold is not None else "",
        "stateAfter": fold.state.digest if fold is not None else "",
        "metrics": [list(pair) for pair in round_.metrics],
        "parent": round_.parent,
    }


def sealed(round_: Round) -> Round:
    """The finished round with the digest of its record."""
    return replace(round_, record=Digest(canonical_digest(record_of(round_))))


def terms_digest(terms: Terms) -> str:
    """Of everything a round was held under."""
    evaluation = terms.evaluation
    return canonical_digest(
        {
            "mode": str(terms.mode),
            "target": terms.target,
            "least": terms.least,
            "over": terms.over,
            "close": str(terms.close),
            "samples": terms.samples,
            "deadline": terms.deadline,
            "strategy": terms.strategy,
            "parameters": [list(pair) for pair in terms.parameters],
            "format": terms.format,
            "guest": terms.guest,
            "hyperparameters": [list(pair) for pair in terms.hyperparameters],
            "clip": terms.clip,
            "evaluation": None
            if evaluation is None
            else [evaluation.every, evaluation.fraction, evaluation.metric, evaluation.maximise],
            **_private(terms),
        }
    )


def _private(terms: Terms) -> dict[str, object]:
    """What is asked for beyond clipping, and a module that folds; terms without keep the digest
    they always had."""
    adapt, noise, local = terms.adapt, terms.noise, terms.local
    told: dict[str, object] = {}
    if adapt is not None:
        told["adapt"] = [adapt.rate, adapt.quantile]
    if noise is not None:
        told["noise"] = [noise.multiplier, noise.delta, noise.most]
    if local is not None:
        told["local"] = [local.norm, local.multiplier]
    if terms.secure:
        told["secure"] = True
    if terms.aggregator:
        told["aggregator"] = terms.aggregator
    return told
