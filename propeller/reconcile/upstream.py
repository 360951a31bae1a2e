"""What a gateway asks of its site: a round of the fleet above, and what became of it.

The question is its own repetition: a gateway asks until there is an answer, and asks again after a
restart. The order is kept in the job's row, so a reconciler that was killed goes on with the same
round; an order that was answered is answered from the round that it made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from propeller.model.federated import FederatedTask
from propeller.model.inventory import Held
from propeller.model.rounds import Job, Round, RoundState, Step
from propeller.reconcile.asked import Asked
from propeller.reconcile.world import World
from propeller.registry.blobs import BlobStore
from propeller.state.failpoints import fail_point

WORKING, MADE, FAILED, WANTS = "Working", "Made", "Failed", "WantsBlobs"
Words = Mapping[str, object]


def answer(asked: Asked, world: World, blobs: BlobStore, *, knows: bool) -> Words:
    """How far it is. Inside a transaction. knows: whether the specs of this site were read."""
    if not knows:
        return {"state": WORKING}
    held = world.find(asked.key)
    thing = held.object if held is not None else None
    if held is None or not isinstance(thing, FederatedTask) or held.deleted_at is not None:
        return _failed(f"this site has no {asked.key}")
    if not thing.upstream:
        return _failed(f"{asked.key} of this site holds rounds of its own: it has no upstream")
    module = str(getattr(world.modules.get(thing.module), "digest", ""))
    if module and module != asked.module:
        return _failed(f"this site trains with {module}, the fleet above with {asked.module}")
    learning = world.learning.known.get(held.uid)
    job = learning.job if learning is not None else None
    if learning is None or job is None or not module:
        return {"state": WORKING}
    if job.served == asked.order.name:
        return _made(world, held, job)
    if job.order is None or job.order.name != asked.order.name:
        if job.done >= thing.rounds:
            return _failed(f"all {thing.rounds} rounds of this site are committed")
        order = asked.order
        missing = [one.digest for one in (order.base, order.layout)
                   if one and not blobs.has(one.digest)]  # fmt: skip
        if missing:
            return {"state": WANTS, "blobs": missing}
        fail_point("upstream.asked")
        job = replace(job, order=order, failed="", failures=0)
        world.put_learning(held.uid, replace(learning, job=job))
        world.touched.objects.add(held.uid)
        return {"state": WORKING}
    if job.failed:
        return _failed(job.failed)
    return {"state": WORKING}


def _failed(why: str) -> Words:
    return {"state": FAILED, "why": why}


def _made(world: World, held: Held, job: Job) -> Words:
    found = [
        one
        for one in world.store.rounds(held.uid, 10_000)
        if one.job == job.job and one.number == job.served_round
        and one.state is RoundState.COMMITTED
    ]  # fmt: skip
    if not found or found[0].order is None:
        return _failed(f"round {job.served_round} of this site is not in its store any more")
    return told(found[0])


def told(round_: Round) -> Words:
    """What the gateway makes an update or a measurement of."""
    order, fold = round_.order, round_.fold
    assert order is not None
    measured = order.step is Step.EVALUATE
    parts = round_.judges.values() if measured else round_.accepted
    good = [part for part in parts if part.samples and part.body]
    words: dict[str, object] = {
        "state": MADE,
        "round": round_.number,
        "record": round_.record,
        "members": len(good),
        "samples": sum(part.samples for part in good),
        "metrics": dict(round_.metrics),
    }
    if measured:
        return words
    assert fold is not None
    return {
        **words,
        "contributors": round_.contributors,
        "partial": {"digest": fold.partial.digest, "size": fold.partial.size},
        "layout": fold.layout.digest,
    }
