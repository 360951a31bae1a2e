"""Rounds that the fleet above asks for: which one is due, what it starts from, when it is gone by.

A site holds such a round as one of its own, with its own cohort, deadline and attempts; only what
it starts from comes from above. Pure; called by `federated`.
"""

from __future__ import annotations

from dataclasses import replace

from propeller.model.federated import FederatedTask, Mode, Terms
from propeller.model.rounds import Blob, Job, Order, Round, RoundState, Step

UNASKED = "NoRoundAsked"
OTHER_ROUND = "the fleet above asked for another round"


def asked_for(job: Job) -> Order | None:
    """The order that is not answered yet, None for none."""
    order = job.order
    return None if order is None or order.name == job.served else order


def started_from(obj: FederatedTask, job: Job) -> tuple[Terms, Blob, Blob]:
    """Terms, model and layout of the next round."""
    order = asked_for(job) if obj.upstream else None
    if order is None:
        return obj.terms, job.model, job.layout
    terms = obj.terms
    if order.step is Step.EVALUATE:
        terms = replace(terms, mode=Mode.INFER)
    return terms, order.base, order.layout


def gone_by(round_: Round, order: Order | None) -> bool:
    """Whether nobody waits for a round any more, and it can still be given up."""
    if round_.order is None or order is None or round_.order.name == order.name:
        return False
    measures = round_.state is RoundState.EVALUATING and round_.terms.mode is Mode.INFER
    return measures or round_.state in (RoundState.SELECTING, RoundState.COLLECTING)
