"""The files of rounds: `status/<namespace>/FederatedTask/<name>/rounds/0007.yaml`.

Written when a cohort was chosen, before anybody is invited, and again when the round is over; a
round that is over is never touched again. What they say of single proplets is the spec's `reveal`:
by default counts and digests, so that a folder of them can be committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from propeller.errors import Unavailable
from propeller.model.canonical import canonical_digest
from propeller.model.conditions import moment
from propeller.model.federated import FederatedTask, Reveal
from propeller.model.ids import Key, PropletId, Uid
from propeller.model.inventory import Held
from propeller.model.rounds import Bucket, Learning, Order, Part, Round, RoundState
from propeller.plan.records import terms_digest
from propeller.reconcile.world import World

if TYPE_CHECKING:
    from propeller.reconcile.surroundings import Surroundings

LATER = 5_000
"""ms until a file that the disk refused is tried again."""

MENDED = 200
"""Rounds whose files are written again after a start, where somebody removed them."""


class RoundFiles:
    """See the module. Owned by the loop."""

    def __init__(self, world: World, around: Surroundings) -> None:
        self._world = world
        self._around = around
        self._over: dict[tuple[Key, int], Mapping[str, object]] = {}
        self._mended: set[Uid] = set()
        self._again_at: int | None = None

    def over(self, held: Held, round_: Round) -> None:
        """A round is over: its file is written with the next `tell`."""
        key = held.object.meta.key
        self._over[key, round_.number] = self._document(held, round_)

    def remove(self, key: Key) -> None:
        """The object left the inventory."""
        self._over = {name: row for name, row in self._over.items() if name[0] != key}
        self._around.status.remove_rounds(key)

    def tell(self) -> None:
        """Write what is due. A disk that refuses makes it late, and nobody is invited meanwhile."""
        book = self._world.learning
        if not book.untold and not self._over:
            return
        self._again_at = None
        try:
            for (key, number), document in sorted(self._over.items()):
                self._around.status.write_round(key, number, document)
                del self._over[key, number]
            for uid in sorted(book.untold):
                self._tell(uid)
                book.untold.discard(uid)
        except Unavailable:
            self._again_at = self._around.clock() + LATER

    def _tell(self, uid: Uid) -> None:
        held, learning = self._world.objects.get(uid), self._world.learning.known.get(uid)
        if held is None or learning is None:
            return
        self._mend(held)
        round_ = learning.round
        if round_ is None or not _is_new(round_) or round_.name in self._world.learning.told:
            return
        self._around.status.write_round(
            held.object.meta.key, round_.number, self._document(held, round_)
        )
        self._world.learning.told.add(round_.name)
        self._world.touched.objects.add(uid)

    def _mend(self, held: Held) -> None:
        """Once after a start: files are a projection, and somebody may have removed them."""
        if held.uid in self._mended:
            return
        self._mended.add(held.uid)
        key = held.object.meta.key
        newest: dict[int, Round] = {}
        for round_ in self._world.store.rounds(held.uid, MENDED):
            newest.setdefault(round_.number, round_)
        for number, round_ in sorted(newest.items()):
            if round_.state.over and not self._around.status.has_round(key, number):
                self._around.status.write_round(key, number, self._document(held, round_))

    def due(self) -> int | None:
        """When `tell` has something to do (Unix ms)."""
        return self._again_at

    def _document(self, held: Held, round_: Round) -> dict[str, object]:
        thing = held.object
        assert isinstance(thing, FederatedTask)
        return round_document(thing, round_)


def _is_new(round_: Round) -> bool:
    """Whether somebody is about to be invited."""
    if round_.state is RoundState.SELECTING:
        return True
    return round_.state is RoundState.EVALUATING and bool(round_.judges) and not round_.judged_by


def round_document(thing: FederatedTask, round_: Round) -> dict[str, object]:
    """What is told of a round, the names of proplets only where the spec reveals them."""
    told: dict[str, object] = {
        "job": round_.job,
        "round": round_.number,
        "attempt": round_.attempt,
        "state": str(round_.state),
        "generation": round_.generation,
    }
    told |= _above(round_)
    if round_.why:
        told["why"] = round_.why
    told |= _times(round_)
    names = thing.reveal is Reveal.PROPLETS
    told["eligible"] = _who(round_.eligible, names=False)
    if round_.parts:
        told["cohort"] = _who(sorted(round_.parts), names=names)
        told["minClients"] = round_.terms.least
        told["received"] = _received(round_)
    if round_.judges:
        told["evaluation"] = {
            "cohort": _who(sorted(round_.judges), names=names),
            "received": _buckets(round_.judges),
        }
    told["strategy"] = {
        "name": round_.terms.strategy,
        "parameters": dict(round_.terms.parameters),
        "terms": terms_digest(round_.terms),
        **({"module": str(round_.terms.aggregator)} if round_.terms.aggregator else {}),
    }
    private = _privacy(round_)
    if private:
        told["privacy"] = private
    told["parent"] = {"model": str(round_.base.digest), "record": str(round_.parent)}
    if round_.state.over:
        told |= _outcome(round_)
    if names and round_.state.over:
        told["contributors"] = [_contributor(round_, part) for part in round_.accepted]
        told["others"] = [
            {"proplet": str(part.proplet), "bucket": str(part.bucket), "why": part.why}
            for part in sorted(round_.parts.values(), key=lambda one: one.proplet)
            if part.bucket is not Bucket.ACCEPTED
        ]
    return told


def _above(round_: Round) -> dict[str, object]:
    """For which round of the fleet above it was held; nothing where there is none."""
    return {} if round_.order is None else {"upstream": _order(round_.order)}


def _privacy(round_: Round) -> dict[str, object]:
    """What was done so that single updates tell less; "" and nothing where nothing was asked."""
    terms = round_.terms
    told: dict[str, object] = {}
    if terms.clip:
        told["clipping"] = round_.bound or terms.clip
    if terms.noise is not None:
        told["noise"] = terms.noise.multiplier
    if round_.spent:
        told["spent"] = dict(round_.spent)
    if terms.local is not None:
        told["local"] = {"norm": terms.local.norm, "multiplier": terms.local.multiplier or "0"}
    if terms.secure:
        told["secureAggregation"] = True
    return told


def _times(round_: Round) -> dict[str, object]:
    rows = (
        ("selected", round_.selected_at),
        ("started", round_.started_at),
        ("deadline", round_.deadline),
        ("closed", round_.closed_at),
        ("finished", round_.ended_at),
    )
    return {name: moment(at) for name, at in rows if at}


def _who(names_: tuple[PropletId, ...] | list[PropletId], *, names: bool) -> dict[str, object]:
    """A set of proplets: how many, and a digest that anybody who knows them can check."""
    listed = [str(name) for name in names_]
    row: dict[str, object] = {"count": len(listed), "digest": canonical_digest(listed)}
    if names:
        row["proplets"] = listed
    return row


def _buckets(parts: Mapping[PropletId, Part]) -> dict[str, object]:
    counts: dict[str, object] = {}
    for bucket in Bucket:
        number = sum(part.bucket is bucket for part in parts.values())
        if number:
            counts[bucket.lower()] = number
    return counts


def _received(round_: Round) -> dict[str, object]:
    """How many ended in each bucket, and why, without names."""
    told = _buckets(round_.parts)
    whys: dict[str, int] = {}
    for part in round_.parts.values():
        if part.why:
            why = f"{part.bucket.lower()}: {part.why}"
            whys[why] = whys.get(why, 0) + 1
    if whys:
        told["reasons"] = dict(sorted(whys.items()))
    return told


def _samples(round_: Round) -> int:
    """Of all that is folded; of a sum that hides its summands only the fold knows."""
    if not round_.terms.secure:
        return sum(part.samples for part in round_.accepted)
    return int(dict(round_.fold.notes).get("samples", 0)) if round_.fold is not None else 0


def _outcome(round_: Round) -> dict[str, object]:
    told: dict[str, object] = {"outcome": str(round_.state), "record": str(round_.record)}
    if round_.parts and round_.terms.noise is None:
        told["samples"] = _samples(round_)
        told["contributorsDigest"] = round_.contributors
        told |= _staleness(round_)
    fold = round_.fold
    if fold is not None and round_.state is RoundState.COMMITTED:
        told["model"] = {"digest": str(fold.model.digest), "size": fold.model.size}
        if fold.state:
            told["strategyState"] = str(fold.state.digest)
    if round_.metrics:
        told["metrics"] = dict(round_.metrics)
    return told


def _staleness(round_: Round) -> dict[str, object]:
    """How many of the accepted are how many rounds behind; nothing where none may be."""
    if round_.terms.stale is None:
        return {}
    counts: dict[int, int] = {}
    for part in round_.accepted:
        behind = round_.behind(part.proplet)
        counts[behind] = counts.get(behind, 0) + 1
    return {"staleness": {str(behind): count for behind, count in sorted(counts.items())}}


def _contributor(round_: Round, part: Part) -> dict[str, object]:
    behind = {} if round_.terms.stale is None else {"staleness": round_.behind(part.proplet)}
    return {
        **behind,
        "proplet": str(part.proplet),
        "update": str(part.update.digest),
        "body": str(part.body),
        "samples": part.samples,
        "norm": part.norm,
        "metrics": dict(part.metrics),
    }


def _order(order: Order) -> dict[str, object]:
    """What the fleet above asked for."""
    named = {"job": order.job, "round": order.round, "attempt": order.attempt}
    return {**named, "step": str(order.step)}


def learning_detail(thing: FederatedTask, learning: Learning) -> dict[str, object]:
    """What the status of the object says of its job and newest round."""
    job, round_ = learning.job, learning.round
    if job is None:
        return {"rounds": {"wanted": thing.rounds, "committed": 0}}
    told: dict[str, object] = {
        "job": job.job,
        "rounds": {"wanted": thing.rounds, "committed": job.done},
    }
    if round_ is not None:
        told["round"] = {
            "number": round_.number,
            "attempt": round_.attempt,
            "state": str(round_.state),
            **_times(round_),
            "received": _buckets(round_.parts or round_.judges),
        }
    if job.model:
        told["model"] = {"digest": str(job.model.digest), "size": job.model.size}
    if job.metrics:
        told["metrics"] = dict(job.metrics)
    if job.spent and thing.terms.noise is not None:
        told["privacy"] = {**dict(job.spent), "maxEpsilon": thing.terms.noise.most}
    if job.best_round:
        told["best"] = {
            "round": job.best_round,
            "value": job.best_value,
            "model": str(job.best_model.digest),
        }
    if job.promoted and thing.promote is not None:
        opened = {"opened": job.proposed, "branch": job.branch} if job.proposed else {}
        told["promote"] = {"round": job.promoted, "to": str(thing.promote.to), **opened}
    if job.order is not None:
        told["upstream"] = {**_order(job.order), "served": job.served == job.order.name}
    if job.record:
        told["record"] = str(job.record)
    return told
