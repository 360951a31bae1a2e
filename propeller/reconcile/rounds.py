"""Federated jobs in the loop: rows from plans, work for workers, their answers, the round files.

Order of a commit (federated.md 4.9, ruling 3): the worker writes the blobs; the journal gets the
round; one transaction writes the rows; the round file is written; only then the next round begins.
Whatever dies in between is asked again: work is a pure function of rows and blobs, so the digests
are those of a run in which nothing died.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from propeller.errors import Unavailable, WireError
from propeller.model.federated import FederatedTask
from propeller.model.ids import Digest, PropletId, Uid
from propeller.model.inventory import Held
from propeller.model.rounds import Bucket, Fold, Job, Learning, Part, Round, RoundState, Step
from propeller.model.seen import RunState
from propeller.plan.records import record_of
from propeller.plan.secure import wanted_letter
from propeller.plan.types import Conduct
from propeller.reconcile.learning import (
    Answer,
    Exchange,
    Gather,
    Gathered,
    Look,
    Looked,
    Prepare,
    Prepared,
    Relay,
    Relayed,
    Work,
)
from propeller.reconcile.modelshelf import AGAIN, due, left_over
from propeller.reconcile.purses import facts
from propeller.reconcile.roundfiles import RoundFiles
from propeller.reconcile.sitework import told_above
from propeller.reconcile.world import World
from propeller.state.failpoints import fail_point
from propeller.state.records import Event

if TYPE_CHECKING:
    from propeller.reconcile.surroundings import Surroundings

log = logging.getLogger("propeller.reconcile")

RETRY = 15_000
"""ms until a model that could not be had is tried again."""


class Rounds:
    """See the module. Owned by the loop."""

    def __init__(self, world: World, around: Surroundings) -> None:
        self._world = world
        self._around = around
        self._files = RoundFiles(world, around)
        self._under_way: set[Work] = set()
        self._awaited: dict[Digest, Uid] = {}
        self._again_at: dict[Uid, int] = {}
        self._try_again = set(world.learning.known)
        """Jobs whose model is asked for although it could not be had before."""
        self._spent: list[tuple[PropletId, Digest]] = []
        self._due = left_over(
            world.objects.values(), lambda held: world.store.rounds(held.uid, AGAIN), self._module
        )
        """Models that go to a registry with the next `tell`."""

    # -- what the planner decided ---------------------------------------------------------------

    def conducted(self, action: Conduct, now: int) -> None:
        """Write down how far a job is. Inside the plan's transaction; the journal comes first."""
        held = self._world.objects[action.uid]
        learning = action.learning
        assert learning.job is not None
        known = self._world.learning.known.get(action.uid, Learning())
        for round_ in action.ended:
            fail_point(f"learning.{round_.state.lower()}")
            self._journal(learning.job, round_)
            if round_ != learning.round:
                self._world.store.put_round(round_, known.round)
        fail_point("learning.row")
        self._world.put_learning(action.uid, learning)
        for round_ in action.ended:
            self._files.over(held, round_)
            self._spend(held.object, round_)
            one = due(held, round_, self._module(held))
            if one is not None:
                self._due.append(one)
        for note in action.notes:
            severity = "Warning" if note.warning else "Info"
            self._event(action.uid, severity, note.reason, note.message, now)

    def _module(self, held: Held) -> str:
        """The digest of the training module, "" while nobody knows it."""
        thing = held.object
        assert isinstance(thing, FederatedTask)
        module = self._world.modules.get(thing.module)
        return str(getattr(module, "digest", ""))

    def _journal(self, job: Job, round_: Round) -> None:
        from propeller.state.round_rows import job_text

        self._around.journal.append(
            "round", {"uid": round_.uid, "job": job_text(job), "record": record_of(round_)}
        )

    def _spend(self, thing: object, round_: Round) -> None:
        """Single updates are not kept once their round is over, unless somebody asked for that.

        Only what was found to be that proplet's update of this round: a device may name any blob
        as its own, the model or a module for one. Whatever else it sent is the clean-up's.
        """
        assert isinstance(thing, FederatedTask)
        for part in (*round_.parts.values(), *round_.judges.values()):
            self._awaited.pop(part.update.digest, None)
        if not thing.retain:
            self._spent += [
                (part.proplet, part.update.digest)
                for parts in (round_.parts, *round_.talks.values())
                for part in parts.values()
                if part.body and part.bucket is not Bucket.CARRIED
            ]

    def forget(self, uid: Uid) -> None:
        """The object left the inventory. Inside the plan's transaction."""
        if uid in self._world.learning.known:
            self._around.journal.append("round", {"uid": uid, "job": "", "record": {}})
            held = self._world.objects[uid]
            self._files.remove(held.object.meta.key)
        self._world.learning.forget(uid)
        self._again_at.pop(uid, None)

    def _event(self, uid: Uid, severity: str, reason: str, message: str, now: int) -> None:
        held = self._world.objects[uid]
        self._world.store.add_event(
            Event(
                at=now,
                severity=severity,
                reason=reason,
                message=message,
                key=held.object.meta.key,
                revision=held.revision,
            )
        )

    # -- what workers answer ----------------------------------------------------------------------

    def take(self, answer: Answer, now: int) -> None:
        """Write an answer down, if it still answers anything. Inside a transaction."""
        work = answer.work
        self._under_way.discard(work)
        learning = self._world.learning.known.get(work.uid)
        job = learning.job if learning is not None else None
        if learning is None or job is None or job.job != work.job:
            return
        match answer:
            case Prepared():
                self._prepared(learning, job, answer, now)
            case Looked():
                self._looked(learning, answer)
            case Relayed():
                self._relayed(learning, answer)
            case Gathered():
                self._gathered(learning, answer)
            case _:
                assert_never(answer)

    def _prepared(self, learning: Learning, job: Job, answer: Prepared, now: int) -> None:
        if job.prepared:
            return
        if answer.trouble and answer.again:
            self._again_at[job.uid] = now + RETRY
        if answer.trouble:
            if answer.trouble != job.trouble:
                reason = "ModelUnavailable" if answer.again else "ModelInvalid"
                self._event(job.uid, "Warning", reason, answer.trouble, now)
            job = replace(job, trouble=answer.trouble, passing=answer.again)
        else:
            job = replace(job, prepared=True, trouble="", model=answer.model, layout=answer.layout)
        self._put(replace(learning, job=job))

    def _looked(self, learning: Learning, answer: Looked) -> None:
        work, round_ = answer.work, learning.round
        if round_ is None or (round_.number, round_.attempt) != (work.number, work.attempt):
            return
        parts = round_.asked_in(work.step)
        part = parts.get(work.proplet)
        if part is None or part.looked or part.update != work.update or round_.state.over:
            return
        part = replace(
            part,
            looked=True,
            why=answer.why if answer.why or part.bucket is Bucket.OPEN else part.why,
            samples=answer.samples,
            metrics=answer.metrics,
            body=answer.body,
            norm=answer.norm,
        )
        parts = {**parts, work.proplet: part}
        match work.step:
            case Step.TRAIN:
                round_ = replace(round_, parts=parts)
            case Step.EVALUATE:
                round_ = replace(round_, judges=parts)
            case step:
                round_ = replace(round_, talks={**round_.talks, step: parts})
        self._put(replace(learning, round=round_))

    def _relayed(self, learning: Learning, answer: Relayed) -> None:
        round_ = learning.round
        if round_ is None or answer.work != _relay(round_):
            return
        fail_point("learning.relayed")
        if answer.why:
            round_ = replace(round_, fold=Fold(why=answer.why))
        else:
            round_ = replace(round_, mail=round_.mail + answer.mail)
        self._put(replace(learning, round=round_))

    def _gathered(self, learning: Learning, answer: Gathered) -> None:
        round_ = learning.round
        if round_ is None or round_.state is not RoundState.AGGREGATING or round_.fold is not None:
            return
        if self._gather(round_) == answer.work:
            fail_point("learning.folded")
            self._put(replace(learning, round=replace(round_, fold=answer.fold)))

    def _put(self, learning: Learning) -> None:
        assert learning.job is not None
        self._world.put_learning(learning.job.uid, learning)

    # -- work for workers -------------------------------------------------------------------------

    def arrived(self, digest: Digest) -> None:
        """An upload is whole: a worker may have waited for it."""
        uid = self._awaited.pop(digest, None)
        if uid is not None:
            self._world.learning.dirty.add(uid)

    def ask(self, now: int) -> None:
        """Hand workers what there is to do. After the rows are committed."""
        learn = self._around.learn
        for uid in [uid for uid, at in self._again_at.items() if at <= now]:
            del self._again_at[uid]
            self._try_again.add(uid)
            self._world.learning.dirty.add(uid)
        dirty = self._world.learning.dirty
        if not dirty or learn is None:
            return
        for uid in sorted(dirty):
            for work in self._wanted(uid):
                if work in self._under_way:
                    continue
                if isinstance(work, Gather) and not self._paid(work):
                    continue
                self._under_way.add(work)
                learn(work)
        dirty.clear()

    def _paid(self, work: Gather) -> bool:
        """Pay for the noise of this fold, in the journal first: a crash may forget the noise, and
        then it is drawn and paid for again, but never what it has cost.

        False where the budget does not have it; the round then ends without a model.
        """
        noise = work.terms.noise
        if noise is None:
            return True
        purses, learning = self._world.learning.purses, self._world.learning.known[work.uid]
        job, round_ = learning.job, learning.round
        assert job is not None
        assert round_ is not None
        try:
            ledger = purses.after(work.uid, noise)
        except WireError as error:
            with self._world.store.transaction():
                fold = Fold(why=str(error))
                self._put(replace(learning, round=replace(round_, fold=fold)))
            return False
        text, spent = ledger.to_json().decode(), facts(ledger, noise)
        entry = {"uid": work.uid, "round": work.number, "attempt": work.attempt, "ledger": text}
        try:
            self._around.journal.append("spend", entry)
        except Unavailable as error:
            log.warning("%s; round %d waits", error, work.number)
            self._again_at[work.uid] = self._around.clock() + RETRY
            return False
        fail_point("learning.spent")
        with self._world.store.transaction(durable=True):
            purses.keep(work.uid, text)
            job, round_ = replace(job, spent=spent), replace(round_, spent=spent)
            self._put(replace(learning, job=job, round=round_))
        return True

    def _wanted(self, uid: Uid) -> Iterable[Work]:
        learning = self._world.learning.known.get(uid)
        held = self._world.objects.get(uid)
        if learning is None or learning.job is None or held is None or held.deleted_at is not None:
            return
        job, round_ = learning.job, learning.round
        thing = held.object
        if not job.prepared and isinstance(thing, FederatedTask):
            if not job.trouble or uid in self._try_again:
                yield Prepare(uid=uid, job=job.job, model=thing.model)
            self._try_again.discard(uid)
        if round_ is None or round_.state.over:
            return
        if round_.state is RoundState.AGGREGATING and round_.fold is None:
            yield self._gather(round_)
        relay = _relay(round_)
        if relay is not None:
            yield relay
        yield from self._looks(round_)

    def _gather(self, round_: Round) -> Gather:
        return Gather(
            uid=round_.uid,
            job=round_.job,
            number=round_.number,
            attempt=round_.attempt,
            terms=round_.terms,
            base=round_.base,
            layout=round_.layout,
            state=round_.state_before,
            parts=round_.accepted,
            clients=len(round_.eligible),
            bound=round_.bound,
            exchange=_exchange(round_) if round_.terms.secure else None,
            origins=round_.older,
            range=told_above(round_),
        )

    def _looks(self, round_: Round) -> Iterable[Look]:
        fold = round_.fold
        for part in round_.asked.values():
            if not part.update or part.looked or part.bucket is not Bucket.OPEN:
                continue
            inline = self._inline(round_.uid, part)
            if inline is None and not self._around.blobs.has(part.update.digest):
                self._awaited[part.update.digest] = round_.uid
                continue
            measuring = round_.step is Step.EVALUATE and fold is not None
            yield Look(
                uid=round_.uid,
                job=round_.job,
                number=round_.number,
                attempt=round_.attempt,
                step=round_.step,
                proplet=part.proplet,
                update=part.update,
                terms=round_.terms,
                base=fold.model if measuring and fold is not None else round_.base,
                layout=fold.layout if measuring and fold is not None else round_.layout,
                nonce=part.nonce,
                inline=inline,
                about=round_.posted(round_.step, part.proplet),
                origin=None if measuring else round_.origins.get(part.proplet),
            )

    def _inline(self, uid: Uid, part: Part) -> str | None:
        seen = self._world.proplets.get(part.proplet)
        run = seen.runs.get((uid, part.run)) if seen is not None else None
        done = run is not None and run.state is RunState.SUCCEEDED
        return run.result if done and run is not None else None

    # -- telling ----------------------------------------------------------------------------------

    def tell(self) -> None:
        """Write round files: whoever is in one that was told may be invited. After the commit."""
        spent, self._spent = self._spent, []
        for proplet, digest in spent:
            self._around.drop_upload(proplet, digest)
        due_, self._due = self._due, []
        if self._around.publish is not None:
            for one in due_:
                self._around.publish(one)
        self._files.tell()

    def due(self) -> int | None:
        """When `ask` or `tell` has something to do (Unix ms)."""
        dues = [*self._again_at.values()]
        late = self._files.due()
        if late is not None:
            dues.append(late)
        return min(dues, default=None)

    # -- after a lost store -----------------------------------------------------------------------

    def replay_journal(self, entries: Iterable[tuple[str, Mapping[str, object]]]) -> None:
        """How far each job was: the newest entry says it whole. Inside a transaction."""
        if not self._world.store.fresh:
            return
        from propeller.state.round_rows import job_of

        jobs: dict[Uid, Job] = {}
        ledgers: dict[Uid, str] = {}
        for kind, entry in entries:
            if kind == "spend":
                ledgers[Uid(str(entry["uid"]))] = str(entry["ledger"])
            if kind != "round":
                continue
            uid = Uid(str(entry["uid"]))
            text = str(entry["job"])
            jobs.pop(uid, None)
            if text:
                jobs[uid] = job_of(text)
        for uid, ledger in ledgers.items():
            self._world.learning.purses.keep(uid, ledger)
        for uid, job in jobs.items():
            self._world.learning.put(uid, Learning(job=job))


def _exchange(round_: Round) -> Exchange:
    """What devices have told each other in a round."""
    return Exchange(
        members=len(round_.parts),
        roster=round_.posted(Step.SHARES, ""),
        keys=round_.told_in(Step.KEYS),
        shares=round_.told_in(Step.SHARES),
        opened=round_.told_in(Step.OPEN),
    )


def _relay(round_: Round) -> Relay | None:
    """The letters that a worker is to make now, None for none."""
    step = wanted_letter(round_)
    if step is None:
        return None
    return Relay(
        uid=round_.uid,
        job=round_.job,
        number=round_.number,
        attempt=round_.attempt,
        step=step,
        exchange=_exchange(round_),
        survivors=tuple(part.proplet for part in round_.accepted),
    )
