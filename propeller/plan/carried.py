"""What a round of FedBuff leaves under way, and what the next one makes of it.

Other strategies take only updates of the round's own model. FedBuff takes late ones too, for less
(Nguyen et al., AISTATS 2022): a round is its buffer, full at `clientsPerRound`; whoever was asked
and is not done keeps its run, and becomes a part of the next round together with the round it was
asked in (`Origin`). Called by `rounds` when a round closes and by `federated` when one begins.
Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from propeller.model.federated import Mode, Terms
from propeller.model.ids import PropletId
from propeller.model.inventory import Assignment
from propeller.model.rounds import Bucket, Origin, Part, Round, RoundState
from propeller.model.seen import Presence, Seen

OTHER_TERMS = "asked under other terms"
TAKEN_OFF = "taken off while no round went on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """Parts that a new round begins with, and where they come from.

    busy: those that count against how many are asked at a time. Who is offline does not: devices
    that sleep for days would leave nobody to ask. left: how many are not carried any further, and
    why, "" for none.
    """

    parts: Mapping[PropletId, Part] = field(default_factory=dict)
    origins: Mapping[PropletId, Origin] = field(default_factory=dict)
    busy: frozenset[PropletId] = frozenset()
    left: str = ""


def left_open(round_: Round, part: Part, *, commits: bool, silent: str) -> Part:
    """An open part of a round that closes: carried, unless it would be too far behind by then.

    commits: whether this round makes a model. silent: why nothing can be said of it, "" where its
    proplet is there.
    """
    most = round_.terms.stale
    assert most is not None
    behind = round_.behind(part.proplet) + commits
    if behind <= most:
        return replace(part, bucket=Bucket.CARRIED)
    if silent and not part.update:
        return replace(part, bucket=Bucket.DROPPED, why=silent)
    why = f"too-stale: it would be {behind} rounds behind, at most {most} are taken"
    return replace(part, bucket=Bucket.REJECTED, why=why)


def carry(
    before: Round | None,
    terms: Terms,
    copies: Mapping[PropletId, Assignment],
    proplets: Mapping[PropletId, Seen],
) -> Carried:
    """What the round before left under way, for the one that begins now.

    Who has no copy any more, or was asked for something else than these terms ask, is not: it may
    be asked anew.
    """
    if before is None or terms.mode is Mode.INFER:
        return Carried()
    parts: dict[PropletId, Part] = {}
    origins: dict[PropletId, Origin] = {}
    busy: set[PropletId] = set()
    left: Counter[str] = Counter()
    same = terms.stale is not None and terms.asked == before.terms.asked
    for name, part in outstanding(before).items():
        copy, seen = copies.get(name), proplets.get(name)
        if not same or copy is None or copy.releasing:
            left[TAKEN_OFF if same else OTHER_TERMS] += 1
            continue
        parts[name] = replace(part, bucket=Bucket.OPEN)
        origins[name] = before.origin(name)
        if seen is not None and seen.presence is Presence.ONLINE:
            busy.add(name)
    told = ", ".join(f"{count} {why}" for why, count in sorted(left.items()))
    return Carried(parts=parts, origins=origins, busy=frozenset(busy), left=told)


def outstanding(round_: Round) -> dict[PropletId, Part]:
    """Who goes on although the round is closed, or has not begun."""
    selecting = round_.state is RoundState.SELECTING
    return {
        name: part
        for name, part in sorted(round_.parts.items())
        if part.bucket is Bucket.CARRIED
        or (selecting and name in round_.origins and part.bucket is Bucket.OPEN)
    }
