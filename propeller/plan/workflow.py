"""What a Workflow wants now: which steps may run, which are skipped, when it is over.

Called by `planner` for every live Workflow. Pure: it answers what the row of its run becomes
(`Proceed`); the Tasks of its steps are planned like any other, and what that row says of theirs
(`gate_of`) is all they know of each other. So there is a plan between a step's end and the next
one's beginning. docs/explanation/workflows.md tells the whole story.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from propeller.model.canonical import canonical_bytes
from propeller.model.flow import Flow, StepRow, StepState
from propeller.model.ids import PropletId, Uid
from propeller.model.inventory import Assignment, Held
from propeller.model.module import Module
from propeller.model.seen import RunState, SeenRun
from propeller.model.specs import Missed, Overlap, Schedule, Task, Workflow
from propeller.model.steps import RunIf, Step, bound
from propeller.plan.lifecycle import suspension
from propeller.plan.notes import Note
from propeller.plan.runs import ONCE, cron_base, namer, run_digest, run_key
from propeller.plan.schedule import due_at, newest_due, next_slot
from propeller.plan.secrets import given
from propeller.plan.tally import how_it_ended
from propeller.plan.types import Action, Blocked, Fire, Proceed, Snapshot, Wakeup

NO_COPIES: Mapping[PropletId, Assignment] = {}

STDIN_MOST, WORD_MOST = 65_536, 4_096
"""Characters of a result that the next step can have on standard input, and as one argument or
variable: what an entry has room for."""
KEPT = 524_288
"""Characters of results that one run of a Workflow keeps."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a step's Task may do. base: the cause of its copies, None while there is no run.

    task: it, with the results it asks for, named as this time of it is. again: whether it runs anew
    because its run was resumed. open: whether it may begin and go on. reason, why: what
    is in the way, "" where nothing is: it is over.
    """

    task: Task
    base: str | None
    open: bool
    reason: str = ""
    why: str = ""
    again: bool = False


def gate_of(held: Held, snapshot: Snapshot, now: int) -> Gate | None:
    """None for a Task that is no step."""
    task = held.object
    if not isinstance(task, Task) or task.step is None:
        return None
    name, waits = task.step.of, "StepWaiting"
    whole = snapshot.objects.get(task.step.workflow)
    flow = snapshot.flows.get(task.step.workflow)
    if whole is None or whole.deleted_at is not None or not isinstance(whole.object, Workflow):
        return Gate(task, None, False, waits, f"{name} is not there")
    if flow is None or flow.key != task.run_key:
        return Gate(task, None, False, waits, f"{name} has not begun")
    row = flow.step(task.step.name)
    assert row is not None, "a row has every step of its key"
    shut = Gate(_this_time(task, task.step, flow), flow.base, False, again=bool(row.again))
    suspended = suspension(whole, now)
    if row.state is StepState.SKIPPED:
        return replace(shut, reason="StepSkipped", why=row.why)
    if row.state.over:
        return shut
    if suspended is not None:
        return replace(shut, reason="Suspended", why=f"{name} is suspended: {suspended.reason}")
    if row.state is StepState.RUNNING:
        return replace(shut, open=True)
    return replace(shut, reason=waits, why=row.why or "its time has not come")


def _this_time(task: Task, step: Step, flow: Flow) -> Task:
    """A step's Task as its copies have it: with the results it asks for, and with a key of its own
    for each time that the run was resumed, so that a step that failed is another run."""
    row = flow.step(step.name)
    again = row.again if row is not None else 0
    if not step.inputs and not again:
        return task
    key = f"{task.run_key}+{again}" if again else task.run_key
    return replace(task, run=bound(task.run, step.inputs, flow.results), run_key=key)


def as_run(held: Held, flow: Flow | None) -> Held:
    """The object as its copies have it: a step's Task as it is in this run."""
    task = held.object
    if not isinstance(task, Task) or task.step is None or flow is None:
        return held
    told = _this_time(task, task.step, flow)
    return held if told is task else replace(held, object=told)


@dataclass(slots=True)
class Proceeded:
    """What one Workflow gives to a plan."""

    actions: list[Action] = field(default_factory=list)
    wakeups: list[Wakeup] = field(default_factory=list)
    block: Blocked | None = None


def proceed(
    held: Held,
    snapshot: Snapshot,
    now: int,
    *,
    tasks: Callable[[Uid], Mapping[str, Held]],
    waits: str = "",
) -> Proceeded:
    """See the module. tasks: the Tasks of its steps, by step. waits: what it depends on."""
    return _Conductor(held, snapshot, now, tasks(held.uid), waits).run()


class _Conductor:
    def __init__(
        self, held: Held, snapshot: Snapshot, now: int, tasks: Mapping[str, Held], waits: str
    ) -> None:
        whole = held.object
        assert isinstance(whole, Workflow)
        self.held, self.whole, self.snapshot, self.now = held, whole, snapshot, now
        self.tasks, self.waits = tasks, waits
        self.before = snapshot.flows.get(held.uid)
        self.notes: list[Note] = []
        self.out = Proceeded()
        self.suspended = suspension(held, now)

    def run(self) -> Proceeded:
        if self.snapshot.policy.hold:
            return self.out
        if self.suspended is not None and self.suspended.until is not None:
            self._wake(self.suspended.until)
        flow = self._this_run(self.before)
        if flow is not None and not flow.ended:
            flow = self._ended(self._moved(self._timed(flow)))
        if flow is not None and flow != self.before:
            key = self.whole.meta.key
            self.out.actions.append(
                Proceed(uid=self.held.uid, key=key, flow=flow, notes=tuple(self.notes))
            )
        return self.out

    # -- which run ------------------------------------------------------------------------------

    def _this_run(self, flow: Flow | None) -> Flow | None:
        """The run that is meant now: the one there is, or a new one."""
        schedule = self.whole.schedule
        if schedule is not None:
            return self._scheduled(schedule, flow)
        if flow is not None and flow.key == self.whole.key and flow.base == ONCE:
            return flow
        return self._begun(ONCE) if self._may_begin() else flow

    def _may_begin(self) -> bool:
        """Whether a run may begin; says what is in the way."""
        key = self.whole.meta.key
        if self.suspended is not None:
            by = f" by {self.suspended.by}" if self.suspended.by else ""
            words = f"suspended{by}: {self.suspended.reason}"
            self.out.block = Blocked(uid=self.held.uid, key=key, reason="Suspended", message=words)
            return False
        if self.waits:
            words = f"waits for what it depends on: {self.waits}"
            self.out.block = Blocked(
                uid=self.held.uid, key=key, reason="DependencyNotReady", message=words
            )
            return False
        return set(self.tasks) == {step.name for step in self.whole.steps}

    def _scheduled(self, schedule: Schedule, flow: Flow | None) -> Flow | None:
        last, uid = self.held.last_slot, self.held.uid
        upcoming = next_slot(schedule, max(last or 0, self.held.created_at))
        due = due_at(schedule, uid, upcoming) if upcoming is not None else None
        if due is not None and due > self.now:
            self._wake(due)
        if upcoming is None or due is None or due > self.now:
            return self._recovered(flow, last)
        busy = flow is not None and not flow.ended
        if (busy and schedule.overlap is Overlap.FORBID) or not self._may_begin():
            return flow
        slot = max(upcoming, newest_due(schedule, uid, self.now) or 0)
        by = self.now - due_at(schedule, uid, slot)
        late = by > schedule.starting_deadline
        skipped = late and schedule.missed is Missed.SKIP
        words = f"missed by {by // 1000} s, " if late else ""
        words = f"{words}skipped" if skipped else f"{words}run now" if late else "its time has come"
        key = self.whole.meta.key
        self.out.actions.append(Fire(uid=self.held.uid, key=key, slot=slot, reason=words))
        following = next_slot(schedule, slot)
        if following is not None:
            self._wake(due_at(schedule, uid, following))
        return flow if skipped else self._begun(cron_base(slot))

    def _recovered(self, flow: Flow | None, last: int | None) -> Flow | None:
        """A slot that the journal knows and a lost store does not: the devices know the rest."""
        if flow is None and last is not None and self._may_begin():
            return self._begun(cron_base(last))
        return flow

    def _begun(self, base: str) -> Flow:
        self.notes.append(Note("WorkflowStarted", f"{len(self.whole.steps)} steps, {base}"))
        rows = tuple(StepRow(name=step.name) for step in self.whole.steps)
        return Flow(uid=self.held.uid, base=base, key=self.whole.key, steps=rows, began=self.now)

    # -- how far it is --------------------------------------------------------------------------

    def _timed(self, flow: Flow) -> Flow:
        """A run that took too long: what is under way has failed, the rest is skipped."""
        if self.whole.timeout is None:
            return flow
        due = flow.began + self.whole.timeout
        if due > self.now:
            self._wake(due)
            return flow
        rows = []
        for row in flow.steps:
            if row.state is StepState.RUNNING:
                row = self._over(row, StepState.FAILED, "the workflow's time was over")  # noqa: PLW2901
            elif row.state is StepState.WAITING:
                row = self._over(row, StepState.SKIPPED, "the workflow's time was over")  # noqa: PLW2901
            rows.append(row)
        return replace(flow, steps=tuple(rows), timed_out=True)

    def _moved(self, flow: Flow) -> Flow:
        """Every step, as often as one ended: a skipped step may let others go on at once."""
        rows = {row.name: row for row in flow.steps}
        for name, row in rows.items():
            if row.state is StepState.RUNNING:
                rows[name] = self._heard(row, flow)
        for _ in self.whole.steps:
            moved = False
            for step in self.whole.steps:
                row = rows[step.name]
                if row.state is StepState.WAITING:
                    rows[step.name] = self._considered(step, row, rows)
                    moved = moved or rows[step.name].state is not row.state
            if not moved:
                break
        return replace(flow, steps=tuple(rows[row.name] for row in flow.steps))

    def _considered(self, step: Step, row: StepRow, rows: Mapping[str, StepRow]) -> StepRow:
        """A step that waits: may it run now, is it skipped, or does it wait on?"""
        needs = [rows[name] for name in step.after]
        open_ = [one.name for one in needs if not one.state.over]
        if open_:
            return replace(row, why=f"waits for {', '.join(open_)}")
        skip = _why_not(step, needs, rows)
        if skip:
            return self._over(row, StepState.SKIPPED, skip)
        if self.suspended is not None:
            return replace(row, why="the workflow is suspended")
        under_way = sum(one.state is StepState.RUNNING for one in rows.values())
        if self.whole.max_parallel is not None and under_way >= self.whole.max_parallel:
            return replace(row, why=f"{under_way} steps are under way, as many as may be")
        large = _too_large(step, rows)
        if large:
            return self._over(row, StepState.FAILED, large)
        self.notes.append(Note("StepStarted", step.name))
        return replace(row, state=StepState.RUNNING, why="", began=self.now)

    def _heard(self, row: StepRow, flow: Flow) -> StepRow:
        """What the copies of a running step say."""
        held = self.tasks.get(row.name)
        task = held.object if held is not None else None
        if held is None or not isinstance(task, Task):
            return row
        bound_ = as_run(held, flow).object
        assert isinstance(bound_, Task)
        runs = self._runs(held, bound_, flow.base)
        if runs is None:
            return row
        ended = [one for one in runs.values() if one is not None and not _again(task, *one)]
        wanted = 1 if task.placement.per_proplet else task.placement.replicas
        if len(ended) < max(len(runs), wanted):
            return row
        failed = sorted(
            (str(copy.proplet), how_it_ended(run))
            for copy, run in ended
            if run.state is not RunState.SUCCEEDED
        )
        if failed:
            return self._over(row, StepState.FAILED, "{}: {}".format(*failed[0]))
        texts: dict[PropletId, bytes] = {}
        for copy, run in ended:
            found = run.result.encode() if run.result is not None else b""
            if run.result_digest is not None:
                blob = self.snapshot.blob(run.result_digest)
                if blob is None:
                    return replace(row, why=f"its result is on its way from {copy.proplet}")
                found = blob
            texts[copy.proplet] = found
        result, why = _joined(texts)
        kept = sum(len(one) for one in flow.results.values())
        if result is not None and kept + len(result) > KEPT:
            result, why = None, f"a workflow keeps {KEPT} characters of results, this is one more"
        return replace(self._over(row, StepState.SUCCEEDED, why), result=result)

    def _runs(
        self, held: Held, task: Task, base: str
    ) -> dict[PropletId, tuple[Assignment, SeenRun] | None] | None:
        """The copies that run what is meant, with what their devices say; None: not known yet."""
        module = self.snapshot.modules.get(task.module)
        gift = given(task, self.snapshot.secrets)
        if not isinstance(module, Module) or gift.reason:
            return None
        digest = run_digest(task, module, gift.digests)
        found: dict[PropletId, tuple[Assignment, SeenRun] | None] = {}
        for proplet, copy in self.snapshot.assignments.get(held.uid, NO_COPIES).items():
            if copy.releasing or copy.cause.partition("#")[0] != base:
                continue
            if copy.run != namer(held.uid, digest, run_key(task), copy.cause)(proplet):
                continue
            seen = self.snapshot.proplets.get(proplet)
            run = seen.runs.get((held.uid, copy.run)) if seen is not None else None
            found[proplet] = (copy, run) if run is not None and run.state.ended else None
        return found

    def _over(self, row: StepRow, state: StepState, why: str) -> StepRow:
        words = f"{row.name}: {why}" if why else row.name
        warning = state is StepState.FAILED
        self.notes.append(Note(f"Step{state.value}", words, warning=warning))
        return replace(row, state=state, why=why, ended=self.now)

    def _ended(self, flow: Flow) -> Flow:
        if not all(row.state.over for row in flow.steps):
            return flow
        failed = failures(self.whole, flow)
        took = f"{(self.now - flow.began) / 1000:.1f} s"
        if failed:
            words = f"failed after {took}: {', '.join(failed)}"
            self.notes.append(Note("WorkflowFailed", words, warning=True))
        else:
            self.notes.append(Note("WorkflowSucceeded", f"after {took}"))
        return replace(flow, ended=self.now)

    def _wake(self, due: int) -> None:
        self.out.wakeups.append(Wakeup(due=due, uid=self.held.uid))


def failures(whole: Workflow, flow: Flow) -> tuple[str, ...]:
    """The steps for whose sake a run has failed, in the order written."""
    forgiven = {step.name for step in whole.steps if step.may_fail}
    return tuple(
        row.name for row in flow.steps if row.state is StepState.FAILED and row.name not in forgiven
    )


def _why_not(step: Step, needs: list[StepRow], rows: Mapping[str, StepRow]) -> str:
    """Why a step whose time has come is skipped; "" when it runs."""
    failed = [one.name for one in needs if one.state is StepState.FAILED]
    skipped = [one.name for one in needs if one.state is StepState.SKIPPED]
    match step.run_if:
        case RunIf.SUCCESS if failed or skipped:
            one, word = (failed[0], "failed") if failed else (skipped[0], "was skipped")
            return f"{one} {word}"
        case RunIf.FAILURE if not failed:
            return "nothing before it failed"
        case _:
            pass
    for when in step.when:
        said = rows[when.step].result
        if said is None:
            return f"{when}: {when.step} gave no result"
        if not when.holds(said):
            return f"{when} does not hold: it is {said.strip()[:60]!r}"
    return ""


def _too_large(step: Step, rows: Mapping[str, StepRow]) -> str:
    """Why the step cannot be given what it asks for; "" when it can."""
    for one in step.inputs:
        source = rows[one.source]
        if source.state is StepState.SUCCEEDED and source.result is None:
            return f"the result of {one.source} was not kept: {source.why}"
        size = len(source.result or "")
        most = STDIN_MOST if one.way.value == "Stdin" else WORD_MOST
        if size > most:
            return f"the result of {one.source} has {size} characters, as {one.way} at most {most}"
    return ""


def _again(task: Task, copy: Assignment, run: SeenRun) -> bool:
    """Whether another attempt follows this run."""
    if run.state not in (RunState.FAILED, RunState.INTERRUPTED):
        return False
    return copy.attempt <= task.retries.limit


def _joined(found: Mapping[PropletId, bytes]) -> tuple[str | None, str]:
    """One result: that of the one copy, or a JSON list of all, by the names of their proplets.

    None, and why, where that cannot be kept.
    """
    try:
        texts = [found[name].decode() for name in sorted(found)]
    except UnicodeDecodeError:
        return None, "what it wrote is not text, so no step can have it"
    text = texts[0] if len(texts) == 1 else canonical_bytes(texts).decode()
    if len(text) > STDIN_MOST:
        return None, f"what it wrote has {len(text)} characters; no step can have that many"
    return text, ""
