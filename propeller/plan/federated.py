"""What a FederatedTask wants now: which round, who is in it, when it is over, what follows.

Called by `planner` for every live FederatedTask. Pure: it answers what the rows of job and round
become (`Conduct`) and which copies are put on proplets or taken off; whether blobs are folded or
written is `reconcile.federated`'s. A round that was chosen is told before anybody is invited, so
there is a plan in between. docs/explanation/federated.md tells the whole story.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from propeller.model.federated import FederatedTask, Mode
from propeller.model.ids import Key, PropletId, RunId
from propeller.model.inventory import Assignment, Held
from propeller.model.module import Module
from propeller.model.rounds import (
    NO_BLOB,
    Job,
    Learning,
    Part,
    Round,
    RoundState,
    Step,
)
from propeller.model.seen import Presence
from propeller.plan.admission import admitted
from propeller.plan.carried import carry, outstanding
from propeller.plan.cases import NO_COPIES, Grounds
from propeller.plan.commits import committed
from propeller.plan.lifecycle import module_trouble, suspension
from propeller.plan.notes import Note
from propeller.plan.placement import Standing
from propeller.plan.records import sealed
from propeller.plan.rounds import Hearing, abandon, collect, commit, folded, measure, stragglers
from propeller.plan.seats import Seats, place, tidy
from propeller.plan.secure import advertise, closed, converse, taking_part
from propeller.plan.training import cohort, invitation, job_digest, job_id, trainer
from propeller.plan.types import Action, Blocked, Conduct, Wakeup
from propeller.plan.upstream import OTHER_ROUND, asked_for, gone_by, started_from

STEPS = 12
"""Transitions in one plan at most; each is a row of its own all the same when it is asked again."""

GRACE = 5_000
"""ms after we were away or cut off in which a deadline is not held against anybody."""

ANOTHER_JOB = "another job took its place"
TOO_FEW = "TooFewProplets"
SPENT = "BudgetSpent"


@dataclass(slots=True)
class Conducted:
    """What one FederatedTask gives to a plan."""

    actions: list[Action] = field(default_factory=list)
    wakeups: list[Wakeup] = field(default_factory=list)
    block: Blocked | None = None


def conduct(held: Held, grounds: Grounds, *, waits: str = "") -> Conducted:
    """See the module. waits: what it depends on and cannot begin without, "" when it may."""
    return _Conductor(held, grounds, waits).run()


class _Conductor:
    def __init__(self, held: Held, grounds: Grounds, waits: str) -> None:
        obj = held.object
        assert isinstance(obj, FederatedTask)
        self.held, self.obj, self.grounds, self.waits = held, obj, grounds, waits
        self.snapshot, self.now = grounds.snapshot, grounds.now
        self.copies: Mapping[PropletId, Assignment] = self.snapshot.assignments.get(
            held.uid, NO_COPIES
        )
        before = self.snapshot.learning.get(held.uid, Learning())
        self.before, self.job, self.round = before, before.job, before.round
        self.ended: list[Round] = []
        self.notes: list[Note] = []
        self.out = Conducted()
        resolved = admitted(held, self.snapshot.modules.get(obj.module), self.snapshot.policy)
        self.module = resolved if isinstance(resolved, Module) else None
        if self.module is None:
            self._block(*module_trouble(obj, resolved))
        self.suspended = suspension(held, self.now)

    def run(self) -> Conducted:
        gone = tidy(self.held, self.snapshot, self.out.actions)
        if self.snapshot.policy.hold:
            return self.out  # nothing begins or ends before the fleet was heard again
        if self.module is not None:
            self._same_job(self.module)
        for _ in range(STEPS):
            if not self._step():
                break
        if self.suspended is not None:
            self._block("Suspended", f"suspended by {self.suspended.by}: {self.suspended.reason}")
            if self.suspended.until is not None:
                self._wake(self.suspended.until)
        if (self.job, self.round) != (self.before.job, self.before.round):
            assert self.job is not None
            self.out.actions.append(
                Conduct(
                    uid=self.held.uid,
                    key=self.obj.meta.key,
                    learning=Learning(job=self.job, round=self.round),
                    ended=tuple(self.ended),
                    notes=tuple(self.notes),
                )
            )
        place(self.held, self.snapshot, self._seats(), gone, self.out.actions)
        return self.out

    # -- the job ------------------------------------------------------------------------------

    def _same_job(self, module: Module) -> None:
        """Another module, model, layout or runKey is another job, from its first round."""
        digest = job_digest(self.obj, module)
        name = job_id(self.held.uid, digest, self.obj.run_key)
        if self.job is not None and self.job.job == name:
            return
        if self.round is not None and not self.round.state.over:
            self._end(abandon(self.round, ANOTHER_JOB, now=self.now, failed=False))
        spent = self.job.spent if self.job is not None else ()  # of the same data
        self.job = Job(
            uid=self.held.uid, job=name, run_digest=digest, begun_at=self.now, spent=spent
        )
        self.round = None
        self.notes.append(Note("JobBegun", f"job {name}: {self.obj.rounds} rounds"))

    # -- transitions --------------------------------------------------------------------------

    def _step(self) -> bool:
        """One transition; whether there may be another."""
        round_ = self.round
        if self.job is None:
            return False
        if round_ is None or round_.state.over:
            return self._begin()
        if gone_by(round_, self.job.order):
            self._end(abandon(round_, OTHER_ROUND, now=self.now, failed=False))
            return True
        early = (RoundState.SELECTING, RoundState.COLLECTING)
        if self.suspended is not None and (round_.state in early or round_.state.talk):
            self._end(abandon(round_, "suspended", now=self.now, failed=False))
            return False
        match round_.state:
            case RoundState.SELECTING:
                return self._invite(round_)
            case RoundState.COLLECTING:
                now = self._fair(round_.deadline)
                last = round_.number >= self.obj.rounds
                after = collect(round_, self._listen, self._again, now=now, last=last)
                return self._becomes(closed(after, now=now))
            case RoundState.ADVERTISING | RoundState.SHARING | RoundState.OPENING:
                return self._converse(round_)
            case RoundState.AGGREGATING:
                return self._aggregated(stragglers(round_, self._listen))
            case RoundState.EVALUATING:
                return self._evaluate(stragglers(round_, self._listen))
            case _:
                return False

    def _converse(self, round_: Round) -> bool:
        """One look at what devices tell each other."""
        now = self._fair(round_.talk_by) if round_.talk_by else self.now
        if round_.closed_at:
            round_ = stragglers(round_, self._listen)
        after = converse(round_, self._listen, self._again, self._asks, now=now)
        if after.state.talk and after.talk_by > self.now:
            self._wake(after.talk_by)
        return self._becomes(after)

    def _asks(self, step: Step, proplet: PropletId) -> Part:
        round_ = self.round
        assert round_ is not None
        return self._invitation(proplet, step, round_.number, round_.attempt)

    def _fair(self, deadline: int) -> int:
        """Now, or just before the deadline where it passed while we heard nobody.

        What was made meanwhile is on its way: it gets a moment to arrive, and nobody new does.
        """
        heard = self.snapshot.policy.echo_since + GRACE
        if self.now < deadline or self.now >= heard:
            return self.now
        self._wake(heard)
        return deadline - 1

    def _becomes(self, after: Round) -> bool:
        """The round goes on as `after`; whether that is another state."""
        before, self.round = self.round, after
        if after.state.over:
            self._end(after)
            return True
        if after.state is RoundState.COLLECTING and after.deadline:
            self._wake(after.deadline)
        return before is None or before.state is not after.state

    def _begin(self) -> bool:
        """The next round, or the next attempt at it, where there is one."""
        job, obj, terms = self.job, self.obj, self.obj.terms
        assert job is not None
        if job.failed and job.failed_generation != self.held.generation:
            self.job = job = replace(job, failed="", failures=0)
        if job.stopped or job.failed or job.done >= obj.rounds or self.suspended is not None:
            return False
        if job.trouble:
            self._block("ModelUnavailable" if job.passing else "ModelInvalid", job.trouble)
            return False
        if not job.prepared or self.module is None:
            return False
        if obj.upstream and asked_for(job) is None:
            return False  # which is how it should be: see `learning`
        if self.waits:
            self._block("DependencyNotReady", f"waits for what it depends on: {self.waits}")
            return False
        eligible = self._eligible()
        carried = carry(self.round, terms, self.copies, self.snapshot.proplets)
        there = len(carried.busy.union(eligible))
        if there < terms.least:
            words = f"{there} proplets may take part now, needs {terms.least}"
            self._block(TOO_FEW, words)
            return False
        if not self._can_pay(job):
            return False
        number = job.done + 1
        terms, base, layout = started_from(obj, job)
        infer = terms.mode is Mode.INFER
        step = Step.EVALUATE if infer else Step.TRAIN
        if carried.left:
            words = f"under way, and not for round {number}: {carried.left}"
            self.notes.append(Note("UpdatesLeft", words))
        free = [name for name in eligible if name not in carried.parts]
        count = max(0, terms.invited(there) - len(carried.busy))
        invited = self._cohort(free, count, step, number, job.attempt)
        self.round = Round(
            uid=self.held.uid,
            job=job.job,
            number=number,
            attempt=job.attempt,
            generation=self.held.generation,
            state=RoundState.SELECTING,
            terms=terms,
            eligible=eligible,
            parts={} if infer else {**invited, **carried.parts},
            origins=carried.origins,
            judges=invited if infer else {},
            base=base,
            layout=layout,
            # Another strategy begins with nothing: it could not read what this one left.
            state_before=job.state if job.strategy == terms.strategy else NO_BLOB,
            selected_at=self.now,
            bound=self._bound(job),
            order=asked_for(job) if obj.upstream else None,
            parent=job.record,
        )
        return True

    def _can_pay(self, job: Job) -> bool:
        """Whether the privacy budget has one more round; a person is told once when it has not."""
        noise = self.obj.terms.noise
        why = "" if noise is None else self.snapshot.purse(self.held.uid, noise).why
        if why:
            self._block(SPENT, why)
        if why != job.broke:
            self.job = replace(job, broke=why)
            if why:
                self.notes.append(Note(SPENT, why, warning=True))
        return not why

    def _bound(self, job: Job) -> str:
        """The clipping norm, where it follows updates: as the last round left it."""
        terms = self.obj.terms
        if terms.adapt is None:
            return ""
        return job.bound if job.bound and job.bound_of == terms.clip else terms.clip

    def _invite(self, round_: Round) -> bool:
        """Once the cohort was told, it is invited."""
        if round_.name not in self.snapshot.told:
            return False
        deadline = self.now + round_.terms.deadline
        if round_.terms.mode is Mode.INFER:
            state, judged_by = RoundState.EVALUATING, deadline
        elif round_.terms.secure:
            after = replace(round_, started_at=self.now)
            return self._becomes(advertise(after, self._asks, now=self.now))
        else:
            state, judged_by = RoundState.COLLECTING, 0
        return self._becomes(
            replace(
                round_,
                state=state,
                started_at=self.now,
                deadline=deadline,
                judged_by=judged_by,
            )
        )

    def _aggregated(self, round_: Round) -> bool:
        self.round = round_
        if round_.fold is None:
            return False
        return self._becomes(folded(round_, now=self.now, measured=self._is_measured(round_)))

    def _is_measured(self, round_: Round) -> bool:
        evaluation = round_.terms.evaluation
        if evaluation is None or self.suspended is not None:
            return False
        return round_.number % evaluation.every == 0 or round_.number >= self.obj.rounds

    def _evaluate(self, round_: Round) -> bool:
        if not round_.judges:
            at_work = outstanding(round_)
            eligible = tuple(name for name in self._eligible() if name not in at_work)
            count = round_.terms.judges(len(eligible))
            if not count:
                return self._becomes(commit(round_, now=self.now))
            judges = self._cohort(eligible, count, Step.EVALUATE, round_.number, round_.attempt)
            self.round = replace(round_, judges=judges)
            return False  # told first
        if not round_.judged_by:
            if round_.name not in self.snapshot.told:
                self.round = round_
                return False
            round_ = replace(round_, judged_by=self.now + round_.terms.deadline)
        self._wake(round_.judged_by)
        if self.suspended is not None:
            round_ = replace(round_, judged_by=min(round_.judged_by, self.now))
        now = self._fair(round_.judged_by)
        return self._becomes(measure(round_, self._listen, self._again, now=now))

    # -- the end of a round ---------------------------------------------------------------------

    def _end(self, round_: Round) -> None:
        """It is over: seal it, and the job is where it left it."""
        self.round = round_ = sealed(round_)
        self.ended.append(round_)
        job = self.job
        assert job is not None
        job = replace(job, record=round_.record)
        if round_.state is RoundState.COMMITTED:
            self.job = committed(job, round_, self.obj, self.notes)
            return
        job = replace(job, attempt=job.attempt + 1)
        words = f"round {round_.number}, attempt {round_.attempt}: {round_.why}"
        self.notes.append(Note("RoundAbandoned", words, warning=round_.failed))
        if round_.failed:
            job = replace(job, failures=job.failures + 1)
            if job.failures >= self.obj.attempts:
                why = f"round {round_.number} failed {job.failures} times: {round_.why}"
                job = replace(job, failed=why, failed_generation=self.held.generation)
                self.notes.append(Note("FederatedTaskFailed", why, warning=True))
        self.job = job

    # -- who ------------------------------------------------------------------------------------

    def _eligible(self) -> tuple[PropletId, ...]:
        """Who could be invited now: there, allowed, and able to run the module."""
        standing = Standing(
            trainer(self.obj),
            self.module,
            self.grounds.looks,
            self.snapshot.policy.discovery_apps,
        )
        return tuple(
            proplet
            for proplet, seen, look in self.grounds.everywhere
            if seen.presence is Presence.ONLINE and seen.inst and standing.to(look).open
        )

    def _cohort(
        self,
        eligible: Iterable[PropletId],
        count: int,
        step: Step,
        number: int,
        attempt: int,
    ) -> dict[PropletId, Part]:
        job = self.job
        assert job is not None
        names = cohort(eligible, count, job=job.job, step=step, number=number, attempt=attempt)
        return {name: self._invitation(name, step, number, attempt) for name in names}

    def _invitation(
        self, proplet: PropletId, step: Step, number: int, attempt: int, tries: int = 1
    ) -> Part:
        job = self.job
        assert job is not None
        return invitation(
            self.held.uid,
            job.run_digest,
            self.obj.run_key,
            proplet,
            step=step,
            number=number,
            attempt=attempt,
            tries=tries,
        )

    def _again(self, part: Part) -> Part:
        round_ = self.round
        assert round_ is not None
        asked = round_.origin(part.proplet) if round_.step is Step.TRAIN else round_
        return self._invitation(
            part.proplet, round_.step, asked.number, asked.attempt, part.tries + 1
        )

    def _listen(self, proplet: PropletId, run: RunId) -> Hearing:
        seen = self.snapshot.proplets.get(proplet)
        return Hearing(seen, None if seen is None else seen.runs.get((self.held.uid, run)))

    # -- what becomes of it -----------------------------------------------------------------------

    def _seats(self) -> Seats:
        """Who is wanted by the round now, and whether what has ended may stay."""
        round_ = self.round
        job = self.job
        if round_ is None or self.module is None or job is None:
            return Seats()
        over = job.stopped or job.failed or job.done >= self.obj.rounds
        at_work = {} if over or self.suspended is not None else outstanding(round_)
        if round_.state.over:
            return Seats(wanted=at_work)
        if round_.state is RoundState.COLLECTING:
            return Seats(wanted=taking_part(round_), open=True)
        if round_.state.talk in round_.talks:
            return Seats(wanted=round_.asked, open=True)
        if round_.state is RoundState.EVALUATING and round_.judged_by:
            return Seats(wanted={**at_work, **round_.judges}, open=True)
        return Seats(wanted=at_work, open=True, patient=True)

    @property
    def _key(self) -> Key:
        return self.obj.meta.key

    def _block(self, reason: str, message: str) -> None:
        if self.out.block is None:
            self.out.block = Blocked(
                uid=self.held.uid, key=self.obj.meta.key, reason=reason, message=message
            )

    def _wake(self, due: int) -> None:
        self.out.wakeups.append(Wakeup(due=due, uid=self.held.uid))
