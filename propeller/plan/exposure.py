"""Which edits of a FederatedTask make single updates, or the data behind them, tell more.

Called by `guards`: such an edit waits for a person whatever an App's guards say, for devices gave
their data under the terms that stood before. Only what is less is named; more privacy needs nobody.
"""

from __future__ import annotations

from collections.abc import Iterator

from propeller.model.federated import FederatedTask, Reveal, Terms


def exposes(before: FederatedTask, after: FederatedTask) -> tuple[str, ...]:
    """What the edit takes away, in words; empty where it takes nothing away."""
    return tuple(_less(before, after))


def _less(before: FederatedTask, after: FederatedTask) -> Iterator[str]:
    was, will = before.terms, after.terms
    yield from _noise(was, will)
    yield from _local(was, will)
    if was.secure and not will.secure:
        yield "no secure aggregation any more"
    if was.clip and not will.clip:
        yield "no clipping any more"
    elif was.clip and was.noise is None and float(will.clip) > float(was.clip):
        yield f"a clipping norm of {will.clip}, it was {was.clip}"
    if before.reveal is Reveal.AGGREGATES and after.reveal is Reveal.PROPLETS:
        yield "proplets are named in status files"
    if after.retain and not before.retain:
        yield "single updates are kept"


def _noise(was: Terms, will: Terms) -> Iterator[str]:
    if was.noise is None:
        return
    if will.noise is None:
        yield "no noise any more"
        return
    if float(will.noise.multiplier) < float(was.noise.multiplier):
        yield f"a noise multiplier of {will.noise.multiplier}, it was {was.noise.multiplier}"
    for name, new, old in (
        ("maxEpsilon", will.noise.most, was.noise.most),
        ("delta", will.noise.delta, was.noise.delta),
    ):
        if float(new) > float(old):
            yield f"{name} {new}, it was {old}"


def _local(was: Terms, will: Terms) -> Iterator[str]:
    if was.local is None:
        return
    if will.local is None:
        yield "no clipping on devices any more"
        return
    old, new = float(was.local.multiplier or 0), float(will.local.multiplier or 0)
    if new < old:
        yield f"device noise of {will.local.multiplier or 'none'}, it was {was.local.multiplier}"
    if not old and float(will.local.norm) > float(was.local.norm):
        yield f"a clipping norm on devices of {will.local.norm}, it was {was.local.norm}"
