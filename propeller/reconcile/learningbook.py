"""The jobs and rounds in memory, written through to the store; and what a round asks of a device.

Owned by `World`. Decides nothing: `plan.federated` does, `Rounds` carries it out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from propeller.model.federated import Mode, Terms
from propeller.model.ids import RunId, Uid
from propeller.model.inventory import Assignment
from propeller.model.rounds import Blob, Learning, Part, Round, Step
from propeller.plan.training import seed_of
from propeller.reconcile.purses import Purses
from propeller.reconcile.securework import range_of
from propeller.state.base import Store
from propeller.wire.messages import BlobRef, WireSecure, WireTraining

LARGE = 1 << 20
"""Bytes of a model from which on devices that can are told to pull it from its registry: a smaller
one is there by MQTT before a registry has it."""


class LearningBook:
    """See the module."""

    def __init__(
        self, store: Store, models_at: Callable[[Uid], str | None] = lambda _: None
    ) -> None:
        """models_at: the repository that the models of an object are in."""
        self._store = store
        self._models_at = models_at
        self.purses = Purses(store, self._noised)
        self.known: dict[Uid, Learning] = store.learnings()
        self.told: set[tuple[Uid, str, int, int, Step]] = set()
        """Rounds whose cohort is in the status (`Round.name`)."""
        self.dirty: set[Uid] = set(self.known)
        """Objects for which workers may have something to do."""
        self.untold: set[Uid] = set(self.known)
        """Objects whose round file may have to be written."""
        self._lessons: dict[RunId, WireTraining] = {}
        """What runs of newest rounds are told: said once a round, asked for in every turn."""

    def _noised(self, uid: Uid) -> int:
        job = self.known.get(uid, Learning()).job
        return 0 if job is None else int(dict(job.spent).get("rounds", 0))

    def put(self, uid: Uid, after: Learning) -> None:
        """What becomes of a job and its newest round. Inside a transaction."""
        before = self.known.get(uid, Learning())
        if after.job is not None and after.job != before.job:
            self._store.put_job(after.job)
        if after.round is not None and after.round != before.round:
            self._store.put_round(after.round, before.round)
        name = before.round.name if before.round is not None else None
        if name is not None and (after.round is None or after.round.name != name):
            self.told.discard(name)
            self._lessons.clear()  # of other jobs too: they are made again when next asked for
        self.known[uid] = after
        self.dirty.add(uid)
        self.untold.add(uid)

    def forget(self, uid: Uid) -> None:
        """The object left the inventory. Inside a transaction."""
        known = self.known.pop(uid, None)
        if known is not None:
            self._store.drop_learning(uid)
            if known.round is not None:
                self.told.discard(known.round.name)
        self.dirty.discard(uid)
        self.untold.discard(uid)

    def training(self, copy: Assignment) -> WireTraining | None:
        """What the newest round asks of that copy; None where the copy is of an older one."""
        round_ = self.known.get(copy.uid, Learning()).round
        if round_ is None:
            return None
        for step in (Step.TRAIN, Step.EVALUATE, *round_.talks):
            part = round_.asked_in(step).get(copy.proplet)
            if part is not None and part.run == copy.run:
                known = self._lessons.get(part.run)
                if known is None:
                    image = self._models_at(copy.uid)
                    known = self._lessons[part.run] = _training(round_, part, step, image)
                return known
        return None


def _training(round_: Round, part: Part, step: Step, image: str | None) -> WireTraining:
    terms, fold = round_.terms, round_.fold
    asked = round_.origin(part.proplet) if step is Step.TRAIN else round_
    # A device of a site trains as it would in one large fleet, from the same seed.
    above = round_.order
    job, number = (round_.job, asked.number) if above is None else (above.job, above.round)
    model, layout = asked.base, round_.layout
    local = terms.local if step is Step.TRAIN else None
    if step is Step.EVALUATE and terms.mode is Mode.TRAIN and fold is not None:
        model, layout = fold.model, fold.layout
    return WireTraining(
        job=round_.job,
        round=asked.number,
        attempt=asked.attempt,
        step=step.value,
        format=terms.format,
        nonce=part.nonce,
        seed=seed_of(job, step, number, part.proplet),
        model=_ref(model),
        layout=_ref(layout),
        params=_parameters(terms),
        guest=terms.guest,
        samples=terms.samples,
        clip=local.norm if local is not None else None,
        noise=local.multiplier or None if local is not None else None,
        secure=_secure(round_, part, step) if terms.secure else None,
        image=image if model.size >= LARGE and _reachable(image) else None,
        control=_ref(round_.state_before) if step is Step.TRAIN and _controlled(terms) else None,
    )


def _reachable(image: str | None) -> bool:
    """Whether it is in a registry, and not in the layout of this state directory."""
    return image is not None and not image.removeprefix("oci://").startswith("local/")


def _secure(round_: Round, part: Part, step: Step) -> WireSecure | None:
    """How updates are hidden, and what the device is told for this step."""
    from propeller.fl.secagg.messages import bits_of

    if step is Step.EVALUATE:
        return None
    return WireSecure(
        range=range_of(round_.terms),
        bits=bits_of(len(round_.parts)),
        most=round_.terms.samples or 1,
        members=len(round_.parts),
        blob=_ref(round_.posted(step, part.proplet)),
    )


@lru_cache(maxsize=64)
def _parameters(terms: Terms) -> tuple[tuple[str, str], ...]:
    """What a trainer is told: the spec's hyperparameters, and what the strategy wants."""
    told = dict(terms.hyperparameters)
    if terms.mode is Mode.TRAIN:
        from propeller.fl.strategies.registry import strategy

        told |= strategy(terms.strategy, dict(terms.parameters)).trainer()
    return tuple(sorted(told.items()))


def _controlled(terms: Terms) -> bool:
    """Whether trainers need what the strategy left (SCAFFOLD's c)."""
    from propeller.fl.strategies.stateful import CONTROLLED

    return terms.mode is Mode.TRAIN and CONTROLLED in dict(_parameters(terms))


def _ref(blob: Blob) -> BlobRef | None:
    return BlobRef(digest=blob.digest, size=blob.size) if blob else None
