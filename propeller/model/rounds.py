"""What is known of a federated job and of its newest round: rows that survive anything.

Written by the loop, read by the planner, which answers what they become. Times are Unix ms on the
reconciler's clock, deadlines absolute. Every proplet that was invited is one `Part` and ends in one
bucket; `Round.counts` is how the sums are checked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from propeller.model.federated import Pairs, Terms
from propeller.model.ids import Digest, PropletId, RunId, Uid, sha256_digest

NOTHING = Digest("")


class RoundState(StrEnum):
    """Where a round stands. The last two are final."""

    SELECTING = "Selecting"
    ADVERTISING = "Advertising"  # the first two and Opening only with secure aggregation
    SHARING = "Sharing"
    COLLECTING = "Collecting"
    OPENING = "Opening"
    AGGREGATING = "Aggregating"
    EVALUATING = "Evaluating"
    COMMITTED = "Committed"
    ABANDONED = "Abandoned"

    @property
    def over(self) -> bool:
        """Whether nothing of it will move again."""
        return self in (RoundState.COMMITTED, RoundState.ABANDONED)

    @property
    def talk(self) -> Step | None:
        """What devices are asked to tell each other in it, None in the others."""
        return _TALKS.get(self)


class Step(StrEnum):
    """What an invited proplet is asked to do; the words of the wire."""

    TRAIN = "train"
    EVALUATE = "evaluate"
    KEYS = "keys"
    SHARES = "shares"
    OPEN = "open"


_TALKS = {
    RoundState.ADVERTISING: Step.KEYS,
    RoundState.SHARING: Step.SHARES,
    RoundState.OPENING: Step.OPEN,
}


class Bucket(StrEnum):
    """What became of an invitation in one round. All but Open are final, and LATE may follow
    DROPPED; what was carried is a part of the next round too."""

    OPEN = "Open"
    ACCEPTED = "Accepted"
    LATE = "Late"  # good, but the round was closed
    REJECTED = "Rejected"  # what came cannot be used
    DROPPED = "Dropped"  # nothing came
    DECLINED = "Declined"  # the proplet would not
    CARRIED = "Carried"  # still under way, and the next round takes it (FedBuff)


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob and its bytes; no digest where there is none."""

    digest: Digest = NOTHING
    size: int = 0

    def __bool__(self) -> bool:
        return bool(self.digest)


NO_BLOB = Blob()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One proplet's part in one step of a round.

    tries: runs begun so far, the next one after an interruption; the seed stays the same.
    update: what it says it made. looked: whether a worker looked at that; `why` is then what is
    wrong with it, "" when it is good. body: digest of the update without its envelope. samples: as
    capped by the terms. metrics: decimal text by name. norm: of the update, as text.
    """

    proplet: PropletId
    run: RunId
    cause: str
    nonce: str
    tries: int = 1
    bucket: Bucket = Bucket.OPEN
    why: str = ""
    update: Blob = NO_BLOB
    looked: bool = False
    body: Digest = NOTHING
    samples: int = 0
    metrics: Pairs = ()
    norm: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """The round that a proplet was asked in, and the model it was given then."""

    proplet: PropletId
    number: int
    attempt: int
    base: Blob


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """What came of folding the accepted updates. why: what stood in the way, "" when it went.

    partial: the sums for the fleet above, none where there is none.
    refused: proplets whose update is not in it after all, which only the others could show, with
    the reason. bound: the clipping norm of the next round, "" where it does not move.
    """

    model: Blob = NO_BLOB
    layout: Blob = NO_BLOB
    state: Blob = NO_BLOB
    why: str = ""
    refused: Pairs = ()
    notes: Pairs = ()
    bound: str = ""
    partial: Blob = NO_BLOB


@dataclass(frozen=True, slots=True)
class Mail:
    """What a proplet is told with a step of secure aggregation; "" for all that have a part."""

    step: Step
    proplet: str
    blob: Blob


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A round of the fleet above, which this one takes part in as one member.

    job, round, attempt: of that fleet. step: Train or Evaluate. base, layout: what it starts from.
    """

    job: str
    round: int
    attempt: int
    step: Step
    base: Blob = NO_BLOB
    layout: Blob = NO_BLOB

    @property
    def name(self) -> str:
        """Tells it from every other; asked again, it is the same."""
        return f"{self.job}/{self.round}/{self.attempt}/{self.step}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One attempt at one round. number and attempt count from 1.

    generation: of the object when it was begun. terms: those of then. eligible: who could have
    been invited, sorted; the cohort is the keys of `parts`. origins: of those among them that an
    earlier round left under way (FedBuff). judges: who measures the new model.
    base, layout, state: what it starts from. fold: what came of the updates, None before.
    talks: what devices told each other by step, mail: what they were told for it; talk_by: until
    when. Of rounds whose updates are only seen as a sum.
    parent, record: a chain of digests over everything that was decided; see `plan.records`.
    failed: whether this attempt counts against `maxAttempts`. bound: the clipping norm where it
    follows updates. spent: what its noise has cost, with all before it; written before any noise.
    order: what the fleet above asked for, None where this fleet's own rounds are held.
    """

    uid: Uid
    job: str
    number: int
    attempt: int
    generation: int
    state: RoundState
    terms: Terms
    eligible: tuple[PropletId, ...]
    parts: Mapping[PropletId, Part] = field(default_factory=dict)
    origins: Mapping[PropletId, Origin] = field(default_factory=dict)
    judges: Mapping[PropletId, Part] = field(default_factory=dict)
    base: Blob = NO_BLOB
    layout: Blob = NO_BLOB
    state_before: Blob = NO_BLOB
    fold: Fold | None = None
    selected_at: int
    started_at: int = 0
    deadline: int = 0
    judged_by: int = 0
    closed_at: int = 0
    ended_at: int = 0
    metrics: Pairs = ()
    why: str = ""
    failed: bool = False
    bound: str = ""
    spent: Pairs = ()
    talks: Mapping[Step, Mapping[PropletId, Part]] = field(default_factory=dict)
    mail: tuple[Mail, ...] = ()
    talk_by: int = 0
    order: Order | None = None
    parent: Digest = NOTHING
    record: Digest = NOTHING

    @property
    def step(self) -> Step:
        """What proplets are asked to do now, or were last."""
        return self.state.talk or (Step.EVALUATE if self.judges else Step.TRAIN)

    @property
    def asked(self) -> Mapping[PropletId, Part]:
        """The parts of that step."""
        return self.asked_in(self.step)

    def asked_in(self, step: Step) -> Mapping[PropletId, Part]:
        """The parts of a step."""
        match step:
            case Step.TRAIN:
                return self.parts
            case Step.EVALUATE:
                return self.judges
            case _:
                return self.talks.get(step, {})

    def origin(self, proplet: PropletId) -> Origin:
        """Where a proplet of the cohort was asked: here, or in the round that left it under way."""
        found = self.origins.get(proplet)
        return found or Origin(proplet, self.number, self.attempt, self.base)

    def behind(self, proplet: PropletId) -> int:
        """How many models were made since the one that a proplet trained from."""
        return self.number - self.origin(proplet).number

    @property
    def older(self) -> tuple[Origin, ...]:
        """Where the accepted that an earlier round asked were asked, in order of proplet ids."""
        return tuple(
            self.origins[part.proplet] for part in self.accepted if part.proplet in self.origins
        )

    def posted(self, step: Step, proplet: str) -> Blob:
        """What a proplet is told with a step; NO_BLOB for nothing."""
        mine = (one for one in self.mail if one.step is step and one.proplet in ("", proplet))
        return next((one.blob for one in mine), NO_BLOB)

    def told_in(self, step: Step) -> tuple[Part, ...]:
        """The parts of a step of talk that answered well, in order of proplet ids."""
        parts = self.talks.get(step, {})
        return tuple(part for _, part in sorted(parts.items()) if part.bucket is Bucket.ACCEPTED)

    @property
    def name(self) -> tuple[Uid, str, int, int, Step]:
        """What the status must have told before anybody is invited."""
        step = Step.EVALUATE if self.judges else Step.TRAIN
        return self.uid, self.job, self.number, self.attempt, step

    def counts(self) -> Counter[Bucket]:
        """How many of the training cohort are in each bucket; they add up to all of it."""
        return Counter(part.bucket for part in self.parts.values())

    @property
    def accepted(self) -> tuple[Part, ...]:
        """The parts that are folded, in order of proplet ids."""
        return tuple(
            part for _, part in sorted(self.parts.items()) if part.bucket is Bucket.ACCEPTED
        )

    @property
    def contributors(self) -> Digest:
        """Over (proplet, body digest, samples) of what is folded, a line each (ruling 19); with
        FedBuff also how many rounds it is behind, because that weighs it.

        Nothing under noise: whoever guesses an update could see in it that the guess is right.
        """
        if self.terms.noise is not None:
            return NOTHING
        lines = [f"{part.proplet} {part.body} {part.samples}" for part in self.accepted]
        if self.terms.stale is not None:
            pairs = zip(lines, self.accepted, strict=True)
            lines = [f"{line} {self.behind(part.proplet)}" for line, part in pairs]
        return sha256_digest("".join(f"{line}\n" for line in lines).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run of a FederatedTask: what it is, and how far it is.

    job: UUIDv5 of the uid and what is trained (ruling 1). done: rounds committed. attempt: of the
    next round. failures: attempts of the next round that failed. prepared: the initial model was
    looked at; trouble: what is wrong with it, passing: which may pass. strategy: whose `state` it
    is. best_*: the best model so far by the metric of the terms, round 0 for none. since_best:
    measurements since. stopped:
    why it ended before all rounds were done, "" while it did not. failed: why it cannot go on, with
    the generation that could not. promoted: the round whose model was good enough first. candidate:
    the round of the best one that was, with its model; proposed: the newest of them whose promotion
    was opened, as that branch ("" where its user has it already). bound: the next clipping norm
    where it follows updates, which began at bound_of. spent: epsilon, delta and rounds of noise so
    far; broke: why it cannot pay for one more, "" while it can. order: what the fleet above asked
    for last; served: the name of the order that was answered last, by round served_round.
    """

    uid: Uid
    job: str
    run_digest: Digest
    begun_at: int
    prepared: bool = False
    trouble: str = ""
    passing: bool = False
    done: int = 0
    attempt: int = 1
    failures: int = 0
    model: Blob = NO_BLOB
    layout: Blob = NO_BLOB
    state: Blob = NO_BLOB
    strategy: str = ""
    metrics: Pairs = ()
    best_round: int = 0
    best_value: str = ""
    best_model: Blob = NO_BLOB
    since_best: int = 0
    stopped: str = ""
    failed: str = ""
    failed_generation: int = 0
    bound: str = ""
    bound_of: str = ""
    spent: Pairs = ()
    broke: str = ""
    promoted: int = 0
    candidate: int = 0
    candidate_model: Blob = NO_BLOB
    proposed: int = 0
    branch: str = ""
    order: Order | None = None
    served: str = ""
    served_round: int = 0
    record: Digest = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """All there is of one FederatedTask: its job and its newest round, over or not."""

    job: Job | None = None
    round: Round | None = None
