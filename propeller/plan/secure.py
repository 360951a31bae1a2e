"""How devices come to a sum that hides its summands: the transitions of the states of talk.

    Selecting -> Advertising -> Sharing -> Collecting -> Opening -> Aggregating

`federated` calls these for rounds with secure aggregation (Bonawitz et al., CCS 2017). In each
state of talk every device that is still there is asked once; what one says to others goes through
us, as a letter that a worker makes (`wanted_letter`). Whoever falls silent falls out, and with
fewer than the threshold the attempt is given up: nothing of it can be opened, by us either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from propeller.model.ids import PropletId
from propeller.model.rounds import Bucket, Part, Round, RoundState, Step
from propeller.plan.rounds import Again, Listen, abandon, filed

Invite = Callable[[Step, PropletId], Part]

SHARE = 4
"""A step of talk is given this part of the round's deadline."""

WHAT = {
    Step.KEYS: "advertised keys",
    Step.SHARES: "shared their keys",
    Step.TRAIN: "sent an update",
    Step.OPEN: "helped to open the sum",
}


def threshold(members: int) -> int:
    """How many of those who advertised keys must be there to the end (`fl.secagg.messages`)."""
    return max(3, 2 * members // 3 + 1)


def advertise(round_: Round, invite: Invite, *, now: int) -> Round:
    """The cohort was told: everybody is asked for keys."""
    return _ask(
        replace(round_, state=RoundState.ADVERTISING), Step.KEYS, round_.parts, invite, now=now
    )


def converse(round_: Round, listen: Listen, again: Again, invite: Invite, *, now: int) -> Round:
    """A round in a state of talk: file what was heard; go on when all ended or it is late."""
    step = round_.state.talk
    assert step is not None
    if round_.fold is not None and round_.fold.why:
        return abandon(round_, round_.fold.why, now=now, failed=True)
    if step not in round_.talks:  # Opening begins with a letter
        if not _posted(round_, step):
            return round_
        names = [part.proplet for part in round_.accepted]
        return _ask(round_, step, names, invite, now=now)
    known = round_.talks[step]
    late = now >= round_.talk_by
    told = filed(known, listen, again, room=len(known), late=late)
    round_ = replace(round_, talks={**round_.talks, step: told})
    if any(part.bucket is Bucket.OPEN for part in told.values()):
        return round_
    good = [part.proplet for part in round_.told_in(step)]
    if step is not Step.OPEN:
        round_ = _without(round_, step)
    why = short(round_, step, len(good))
    if why:
        return abandon(round_, why, now=now, failed=True)
    return _on(round_, step, good, invite, now=now)


def _on(round_: Round, step: Step, good: list[PropletId], invite: Invite, *, now: int) -> Round:
    """The next state, once what devices are told for it is there."""
    if step is Step.OPEN:
        return replace(round_, state=RoundState.AGGREGATING)
    following = Step.SHARES if step is Step.KEYS else Step.TRAIN
    if not _posted(round_, following):
        return round_
    if following is Step.SHARES:
        return _ask(replace(round_, state=RoundState.SHARING), following, good, invite, now=now)
    return replace(
        round_,
        state=RoundState.COLLECTING,
        started_at=now,
        deadline=now + round_.terms.deadline,
    )


def closed(round_: Round, *, now: int) -> Round:
    """A round whose updates are all in: their sum is opened, if enough are left for that."""
    if not round_.terms.secure or round_.state is not RoundState.AGGREGATING:
        return round_
    why = short(round_, Step.TRAIN, len(round_.accepted))
    if why:
        return abandon(round_, why, now=now, failed=True)
    return replace(round_, state=RoundState.OPENING, talk_by=0)


def taking_part(round_: Round) -> Mapping[PropletId, Part]:
    """Who is asked for an update: all, but for those who fell out while keys were told."""
    if not round_.terms.secure:
        return round_.parts
    there = {part.proplet for part in round_.told_in(Step.SHARES)}
    return {name: part for name, part in round_.parts.items() if name in there}


def short(round_: Round, step: Step, good: int) -> str:
    """Why there are too few to go on, "" where there are enough."""
    members = good if step is Step.KEYS else len(round_.told_in(Step.KEYS))
    least = max(threshold(members), 0 if step is Step.OPEN else round_.terms.least)
    if good >= least:
        return ""
    return f"{good} of {members} proplets {WHAT[step]}, needs {least} to open a sum"


def wanted_letter(round_: Round) -> Step | None:
    """The step for which a worker is to make what devices are told, None for none."""
    step = round_.state.talk
    if step is None or (round_.fold is not None and round_.fold.why):
        return None
    if step is Step.OPEN:
        return None if step in round_.talks or _posted(round_, step) else step
    if any(part.bucket is Bucket.OPEN for part in round_.talks[step].values()):
        return None
    following = Step.SHARES if step is Step.KEYS else Step.TRAIN
    return None if _posted(round_, following) else following


def _posted(round_: Round, step: Step) -> bool:
    return any(one.step is step for one in round_.mail)


def _ask(
    round_: Round, step: Step, names: Iterable[PropletId], invite: Invite, *, now: int
) -> Round:
    asked = {name: invite(step, name) for name in names}
    return replace(
        round_,
        talks={**round_.talks, step: asked},
        talk_by=now + max(1, round_.terms.deadline // SHARE),
    )


def _without(round_: Round, step: Step) -> Round:
    """Who has fallen out in a step of talk has fallen out of the round, for that reason."""
    parts = dict(round_.parts)
    for name, part in round_.talks[step].items():
        if part.bucket is not Bucket.ACCEPTED and parts[name].bucket is Bucket.OPEN:
            bucket = Bucket.DROPPED if part.bucket is Bucket.LATE else part.bucket
            parts[name] = replace(parts[name], bucket=bucket, why=f"{step}: {part.why}")
    return replace(round_, parts=parts)
