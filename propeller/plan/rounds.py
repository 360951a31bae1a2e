"""How a round goes: the transitions of one round, each a pure function of what was heard.

`federated` calls these and decides when a round begins. Policy (federated.md 2.13, ruling 19):
`invite = min(eligible, ceil(target * over))`; full at `target` good updates (`close: Target`) or
when all who were invited have ended (`Cohort`); at the deadline `good >= least` commits, else the
attempt is abandoned and the model stays as it was. Whoever was invited ends in exactly one bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import isfinite

from propeller.model.federated import Close, Mode, Pairs
from propeller.model.ids import PropletId, RunId, sha256_digest
from propeller.model.rounds import Blob, Bucket, Part, Round, RoundState, Step
from propeller.model.seen import Presence, RunState, Seen, SeenRun
from propeller.plan.carried import left_open
from propeller.plan.training import WORDS

MOST_TRIES = 20
"""Runs of one part: an interrupted one is begun again until the deadline, but not for ever."""

EX_TEMPFAIL = 75
"""The exit status of a guest that has no data (sysexits)."""

CLOSED = "the round was closed without it"
LATE = "it came after the round was closed"
NOT_IN_TIME = "nothing came before the deadline"
SILENT = "it was silent until the deadline"


@dataclass(frozen=True, slots=True)
class Hearing:
    """What is known of one invited proplet. seen: None where it was forgotten."""

    seen: Seen | None
    run: SeenRun | None


Listen = Callable[[PropletId, RunId], Hearing]
Again = Callable[[Part], Part]
"""The next try of a part."""


def collect(round_: Round, listen: Listen, again: Again, *, now: int, last: bool = False) -> Round:
    """A round that collects: file what was heard, and close it when it is full or late.

    last: no round follows once it is committed, so nobody is carried over to it.
    """
    target = round_.terms.target if round_.terms.close is Close.TARGET else len(round_.parts)
    carries, late = round_.terms.stale is not None, now >= round_.deadline
    order = sorted(round_.parts, key=lambda name: (-round_.behind(name), name))
    parts = filed(
        {name: round_.parts[name] for name in order},
        listen,
        again,
        room=target,
        late=late and not carries,
        keep=carries,
    )
    round_ = replace(round_, parts=parts)
    counts = round_.counts()
    good, left = counts[Bucket.ACCEPTED], counts[Bucket.OPEN]
    if left and good < target and now < round_.deadline and good + left >= round_.terms.least:
        return round_
    ends = last and good >= round_.terms.least
    round_ = _close(round_, listen, now, carries=carries and not ends)
    if good < round_.terms.least:
        return abandon(round_, short_words(round_), now=now, failed=True)
    return replace(round_, state=RoundState.AGGREGATING)


def short_words(round_: Round) -> str:
    """Why there were not enough updates."""
    counts = round_.counts()
    told = ", ".join(f"{counts[bucket]} {bucket.lower()}" for bucket in Bucket if counts[bucket])
    return f"{counts[Bucket.ACCEPTED]} good updates, needs {round_.terms.least} ({told})"


def measure(round_: Round, listen: Listen, again: Again, *, now: int) -> Round:
    """A round that measures its new model: file what was heard; done when all ended or it is late.

    Nothing depends on a measurement but the figures: one that nobody made commits all the same.
    """
    late = now >= round_.judged_by
    judges = filed(round_.judges, listen, again, room=len(round_.judges), late=late)
    round_ = replace(round_, judges=judges)
    if any(part.bucket is Bucket.OPEN for part in judges.values()):
        return round_
    return commit(replace(round_, metrics=mean(judges.values())), now=now)


def folded(round_: Round, *, now: int, measured: bool) -> Round:
    """A round whose updates a worker has folded, well or not."""
    fold = round_.fold
    assert fold is not None
    refused = dict(fold.refused)
    parts = {
        name: replace(part, bucket=Bucket.REJECTED, why=refused[name]) if name in refused else part
        for name, part in round_.parts.items()
    }
    round_ = replace(round_, parts=parts)
    if fold.why:
        return abandon(round_, fold.why, now=now, failed=True)
    # What trainers measured has no noise on it, so it is not told beside a model that has.
    metrics = mean(round_.accepted) if round_.terms.noise is None else ()
    round_ = replace(round_, metrics=metrics)
    return replace(round_, state=RoundState.EVALUATING) if measured else commit(round_, now=now)


def commit(round_: Round, *, now: int) -> Round:
    """Its model is the model now; an Infer round that nobody measured is none."""
    if round_.terms.mode is Mode.INFER:
        good = sum(part.bucket is Bucket.ACCEPTED for part in round_.judges.values())
        if good < round_.terms.least:
            why = f"{good} measurements, needs {round_.terms.least}"
            return abandon(round_, why, now=now, failed=True)
    return replace(round_, state=RoundState.COMMITTED, ended_at=now)


def abandon(round_: Round, why: str, *, now: int, failed: bool) -> Round:
    """Nothing of it counts. failed: whether the attempt is one of `maxAttempts`."""
    shut = {
        name: replace(part, bucket=Bucket.DROPPED, why=why) if part.bucket is Bucket.OPEN else part
        for name, part in round_.parts.items()
    }
    return replace(
        round_, state=RoundState.ABANDONED, parts=shut, why=why, failed=failed, ended_at=now
    )


def _close(round_: Round, listen: Listen, now: int, *, carries: bool) -> Round:
    late = now >= round_.deadline
    commits = round_.counts()[Bucket.ACCEPTED] >= round_.terms.least
    shut: dict[PropletId, Part] = {}
    for name, part in round_.parts.items():
        if part.bucket is Bucket.OPEN and carries:
            seen = listen(name, part.run).seen
            away = seen is None or seen.presence is Presence.OFFLINE
            silent = SILENT if away else ""
            part = left_open(round_, part, commits=commits, silent=silent)  # noqa: PLW2901 - filed
        elif part.bucket is Bucket.OPEN:
            why = _not_in_time(listen(name, part.run)) if late else CLOSED
            part = replace(part, bucket=Bucket.DROPPED, why=why)  # noqa: PLW2901 - now filed
        shut[name] = part
    return replace(round_, parts=shut, closed_at=now)


def stragglers(round_: Round, listen: Listen) -> Round:
    """After it was closed and before it is over: what came late is late, and no longer dropped."""
    moved = {
        name: replace(part, bucket=Bucket.LATE, why=LATE)
        for name, part in round_.parts.items()
        if part.bucket is Bucket.DROPPED and _has_made_one(part, listen(name, part.run).run)
    }
    return replace(round_, parts={**round_.parts, **moved}) if moved else round_


def _has_made_one(part: Part, run: SeenRun | None) -> bool:
    if part.looked and not part.why:
        return True
    return run is not None and run.state is RunState.SUCCEEDED and run.result_digest is not None


def filed(
    parts: Mapping[PropletId, Part],
    listen: Listen,
    again: Again,
    *,
    room: int,
    late: bool,
    keep: bool = False,
) -> dict[PropletId, Part]:
    """Every open part to the bucket it belongs in, in the order given.

    room: how many may be accepted in all. keep: whether good ones beyond stay open.
    """
    filed = dict(parts)
    taken = sum(part.bucket is Bucket.ACCEPTED for part in parts.values())
    for name, part in parts.items():
        if part.bucket is not Bucket.OPEN:
            continue
        heard = listen(name, part.run)
        if part.looked and part.why:
            filed[name] = replace(part, bucket=Bucket.REJECTED)
        elif part.looked and taken < room:
            filed[name] = replace(part, bucket=Bucket.ACCEPTED)
            taken += 1
        elif part.looked and keep:
            continue
        elif part.looked:
            filed[name] = replace(part, bucket=Bucket.LATE, why=LATE)
        else:
            filed[name] = _open(part, heard, again, late=late)
    return filed


def _open(part: Part, heard: Hearing, again: Again, *, late: bool) -> Part:
    """A part whose update nobody has looked at yet."""
    seen, run = heard.seen, heard.run
    if seen is None:
        return replace(part, bucket=Bucket.DROPPED, why="it left the fleet")
    if seen.quarantine:
        return replace(part, bucket=Bucket.DROPPED, why=f"it is quarantined ({seen.quarantine})")
    state = run.state if run is not None else None
    if run is not None and state is RunState.SUCCEEDED:
        return _made(part, run)
    if run is not None and state is RunState.REFUSED:
        return replace(part, bucket=Bucket.DECLINED, why=run.error or "it refused")
    if run is not None and state is RunState.FAILED:
        if run.exit == EX_TEMPFAIL:
            return replace(part, bucket=Bucket.DECLINED, why="it has no data")
        return replace(part, bucket=Bucket.DROPPED, why=f"it failed: {run.error or run.exit}")
    if run is not None and state is RunState.INTERRUPTED and not late:
        if part.tries < MOST_TRIES:
            return again(part)
        return replace(part, bucket=Bucket.DROPPED, why=f"interrupted {part.tries} times")
    return replace(part, bucket=Bucket.DROPPED, why=_not_in_time(heard)) if late else part


def _made(part: Part, run: SeenRun) -> Part:
    """It says that it made something: a worker will look at it once it is here."""
    if run.result_digest is not None:
        return replace(part, update=Blob(run.result_digest, run.result_size))
    if run.result is not None and part.cause.startswith(WORDS[Step.EVALUATE]):
        text = run.result.encode()
        return replace(part, update=Blob(sha256_digest(text), len(text)))
    return replace(part, bucket=Bucket.REJECTED, why="it ended without an update")


def _not_in_time(heard: Hearing) -> str:
    seen, run = heard.seen, heard.run
    if seen is None or seen.presence is Presence.OFFLINE:
        return SILENT
    if run is None:
        return NOT_IN_TIME
    if run.state is RunState.SUCCEEDED:
        return "its update was not here before the deadline"
    return f"{NOT_IN_TIME}: {run.state}"


def mean(parts: Iterable[Part]) -> Pairs:
    """Each metric as the mean over those who said it, weighted by samples, in order of ids.

    Plain f64 sums in one order, so that anybody gets the same digits.
    """
    sums: dict[str, float] = {}
    weights: dict[str, int] = {}
    for part in sorted(parts, key=lambda one: one.proplet):
        if part.bucket is not Bucket.ACCEPTED or part.samples <= 0:
            continue
        for name, text in part.metrics:
            sums[name] = sums.get(name, 0.0) + part.samples * float(text)
            weights[name] = weights.get(name, 0) + part.samples
    means = {name: total / weights[name] for name, total in sums.items()}
    return tuple(sorted((name, repr(value)) for name, value in means.items() if isfinite(value)))
