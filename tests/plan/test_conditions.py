"""Status in words a person understands."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from propeller.model.conditions import Condition, ConditionStatus, find, moment
from propeller.model.ids import PropletId
from propeller.model.module import ModuleProblem
from propeller.model.seen import Presence, RunState
from propeller.model.specs import ReadyWhen
from propeller.plan.board import Summary
from propeller.plan.conditions import summarize
from propeller.plan.findings import GRACE

TEN = int(datetime(2025, 6, 15, 10, tzinfo=UTC).timestamp() * 1000)


def _summary(w: Any, world: Any, obj: Any, **more: Any) -> Summary:
    return summarize(
        world.objects[obj.meta.uid],
        world.snapshot(),
        now=world.now,
        blocked=world.blocked.get(obj.meta.uid),
        **more,
    )


def _told(summary: Summary, type_: str) -> tuple[str, str, str] | None:
    condition = find(summary.conditions, type_)
    return None if condition is None else (
        str(condition.status), condition.reason, condition.message
    )  # fmt: skip


def _began(w: Any, obj: Any, *names: str) -> Any:
    """Assigned, and not begun."""
    world = w.World(obj, proplets=[w.proplet(name) for name in names or ("p1",)], now=TEN)
    world.carry_out(world.plan())
    return world


def _settled(w: Any, obj: Any, *names: str) -> Any:
    world = _began(w, obj, *names)
    world.settle()
    return world


# -- tasks ----------------------------------------------------------------------------------------


def test_a_task_that_succeeded_everywhere_is_ready(w: Any) -> None:
    """All positive conditions hold, and nothing abnormal is said."""
    t = w.task("t", w.anywhere(2))
    summary = _summary(w, _settled(w, t, "p1", "p2"), t)
    assert _told(summary, "Ready") == ("True", "Succeeded", "2 of 2 succeeded")
    assert {one.type: str(one.status) for one in summary.conditions} == {
        "Ready": "True",
        "Healthy": "True",
        "Scheduled": "True",
        "Delivered": "True",
        "Fresh": "True",
    }
    assert summary.counts == {
        "desired": 2, "ready": 2, "updating": 0, "failed": 0, "offline": 0, "stale": 0,
    }  # fmt: skip
    assert (summary.ready, summary.outcome) == ("True", "Succeeded")


def test_a_task_under_way_is_not_dressed_as_anything_else(w: Any) -> None:
    """Asked for is not running."""
    t = w.task("t")
    summary = _summary(w, _began(w, t), t)
    assert _told(summary, "Ready") == ("Unknown", "Progressing", "0 of 1 succeeded; p1: not begun")
    assert _told(summary, "Reconciling") == ("True", "Progressing", "p1: not begun")
    assert _told(summary, "Delivered") == (
        "False", "Pending", "0 of 1 proplets hold what was asked; waiting for p1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "detail", "text"),
    [
        (RunState.FAILED, {"error": "trap: unreachable"}, "p1: failed: trap: unreachable"),
        (RunState.FAILED, {"exit": 3}, "p1: failed: exit status 3"),
        (RunState.FAILED, {}, "p1: failed"),
        (RunState.REFUSED, {"error": "no import env.x"}, "p1: refused: no import env.x"),
        (RunState.INTERRUPTED, {}, "p1: was interrupted"),
    ],
)
def test_a_failure_is_told_in_words(
    w: Any, state: RunState, detail: dict[str, Any], text: str
) -> None:
    """What trapped, which status, why it was refused."""
    t = w.task("t")
    world = _began(w, t)
    world.report(t, "p1", state, ended=TEN, **detail)
    summary = _summary(w, world, t)
    assert _told(summary, "Ready") == ("False", "Failed", f"0 of 1 succeeded; {text}")
    assert _told(summary, "Stalled") == ("True", "Failed", f"0 of 1 succeeded; {text}")
    assert _told(summary, "Healthy") == ("False", "Failed", text)
    assert _told(summary, "Reconciling") is None


def test_a_failure_that_will_be_tried_again_is_no_failure_yet(w: Any) -> None:
    """It says when."""
    t = w.task("t", retries=1)
    world = _began(w, t)
    world.report(t, "p1", RunState.FAILED, ended=TEN, exit=3)
    summary = _summary(w, world, t)
    assert _told(summary, "Ready") == (
        "Unknown",
        "Progressing",
        "0 of 1 succeeded; p1: attempt 1 failed: exit status 3, next 2025-06-15T10:00:10Z",
    )


def test_many_failures_are_counted_and_a_few_named(w: Any) -> None:
    """A hundred lines help nobody."""
    t = w.task("t", w.everywhere())
    world = _began(w, t, *[f"p{n}" for n in range(9)])
    for n in range(9):
        world.report(t, f"p{n}", RunState.FAILED, exit=1)
    told = _told(_summary(w, world, t), "Healthy")
    assert told is not None
    assert told[2].count("exit status") == 3
    assert told[2].endswith("; and 6 more")


# -- daemons --------------------------------------------------------------------------------------


def test_a_daemon_is_ready_at_its_quorum(w: Any) -> None:
    """Two of three are 60 % and more; the third is still said to be on its way."""
    d = w.daemon("d", w.everywhere(), ready_when=ReadyWhen(min_percent=60))
    world = _settled(w, d, "p1", "p2", "p3")
    world.report(d, "p3", RunState.RUNNING, ready=False)
    summary = _summary(w, world, d)
    assert _told(summary, "Ready") == ("True", "Healthy", "2 of 3 ready")
    assert _told(summary, "Reconciling") == (
        "True", "Progressing", "p3: running, not ready yet",
    )  # fmt: skip


def test_a_daemon_on_a_silent_proplet_is_not_called_running(w: Any) -> None:
    """Unknown, with the age of the silence as a moment."""
    d = w.daemon("d", w.everywhere())
    world = _settled(w, d, "p1", "p2")
    world.off("p2")
    summary = _summary(w, world, d)
    silence = "p2 (silent since 2025-06-15T10:00:00Z)"
    assert _told(summary, "Ready") == ("Unknown", "Offline", f"1 of 2 ready; waiting for {silence}")
    assert _told(summary, "Fresh") == (
        "True", "Tolerated", f"1 silent, not for long: {silence}",
    )  # fmt: skip
    assert (summary.devices.offline, summary.devices.stale) == (1, 0)
    assert summary.due == TEN + 5 * w.MINUTE
    world.now = TEN + 5 * w.MINUTE
    later = _summary(w, world, d)
    assert _told(later, "Fresh") == ("False", "Silent", f"1 not heard: {silence}")
    assert later.devices.stale == 1


def test_a_daemon_that_keeps_falling_over_says_how_often(w: Any) -> None:
    """Not ready, not failed, not healthy."""
    d = w.daemon("d")
    world = _settled(w, d)
    world.report(d, "p1", RunState.BACK_OFF, restarts=4, error="trap: out of bounds")
    summary = _summary(w, world, d)
    assert _told(summary, "Healthy") == (
        "False", "BackOff", "p1: trap: out of bounds, restarted 4 times",
    )  # fmt: skip
    assert summary.ready == "Unknown"


def test_a_daemon_that_gave_up_is_stalled(w: Any) -> None:
    """Its quorum cannot be reached any more without a person."""
    d = w.daemon("d")
    world = _settled(w, d)
    world.report(d, "p1", RunState.FAILED, error="maxRestarts reached")
    assert _told(_summary(w, world, d), "Stalled") == (
        "True", "Failed", "0 of 1 ready; p1: failed: maxRestarts reached",
    )  # fmt: skip


def test_a_failure_the_quorum_can_bear_does_not_stall(w: Any) -> None:
    """One of three failed, two are enough."""
    d = w.daemon("d", w.everywhere(), ready_when=ReadyWhen(min_percent=60))
    world = _settled(w, d, "p1", "p2", "p3")
    world.report(d, "p3", RunState.FAILED, exit=1)
    summary = _summary(w, world, d)
    assert summary.ready == "True"
    assert _told(summary, "Stalled") is None
    assert summary.devices.failed == 1


def test_a_daemon_that_is_not_ready_in_time_is_stalled(w: Any) -> None:
    """`readyWhen.within`, and the summary says when to look again."""
    d = w.daemon("d", ready_when=ReadyWhen(within=60_000))
    world = _began(w, d)
    assert _summary(w, world, d).due == TEN + 60_000
    world.now += 60_000
    assert _told(_summary(w, world, d), "Stalled") == (
        "True", "TimedOut", "0 of 1 ready by 2025-06-15T10:01:00Z; p1: not begun",
    )  # fmt: skip


# -- in the way -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fleet", "status", "reason", "stalled"),
    [
        ([{"memory": 1024}], "False", "Unfit", True),
        ([{"facts": None}], "Unknown", "NotHeard", False),
        ([{"tasks": 0}], "False", "NoCapacity", False),
        ([{"cordoned": True}], "False", "NoMatch", False),
        ([{"presence": Presence.OFFLINE, "offline_since": 1}], "Unknown", "AllOffline", False),
    ],
)
def test_what_is_in_the_way_is_the_reason(
    w: Any, fleet: list[dict[str, Any]], status: str, reason: str, stalled: bool
) -> None:
    """What lifts by itself is Unknown; what needs a person is Stalled."""
    t = w.task("t")
    world = w.World(t, proplets=[w.proplet("p1", **row) for row in fleet])
    world.settle()
    summary = _summary(w, world, t)
    ready = _told(summary, "Ready")
    assert ready is not None
    assert ready[:2] == (status, reason)
    assert (_told(summary, "Stalled") is not None) is stalled
    assert (_told(summary, "Blocked") is not None) is (reason != "NotHeard")
    scheduled = _told(summary, "Scheduled")
    assert scheduled is not None
    assert scheduled[:2] == ("False", reason)


@pytest.mark.parametrize("kind", ["Task", "Daemon"])
def test_a_new_version_that_is_not_known_yet_is_not_ready_by_copies_of_the_old(
    w: Any, kind: str
) -> None:
    """Its copies go on; that they are well says nothing of the version that is wanted."""
    obj = w.task("t") if kind == "Task" else w.daemon("d")
    world = _settled(w, obj)
    assert _told(_summary(w, world, obj), "Ready")[0] == "True"  # type: ignore[index]
    del world.modules[obj.module]
    world.settle()
    assert world.where(obj) == ["p1"]
    ready = _told(_summary(w, world, obj), "Ready")
    assert ready == ("Unknown", "ModuleUnresolved", f"module {obj.module} is being resolved")


@pytest.mark.parametrize(
    ("problem", "status", "stalled"),
    [
        (ModuleProblem("NotWasm", "add.wasm is not WebAssembly", False), "False", True),
        (ModuleProblem("Unavailable", "registry did not answer", True), "Unknown", False),
    ],
)
def test_a_module_that_cannot_be_had_says_why(
    w: Any, problem: ModuleProblem, status: str, stalled: bool
) -> None:
    """A registry may come back; bytes that are no module will not change."""
    t = w.task("t")
    world = w.World(t, proplets=[w.proplet("p1")])
    world.modules[t.module] = problem
    world.settle()
    summary = _summary(w, world, t)
    ready = _told(summary, "Ready")
    assert ready is not None
    assert ready[0] == status
    assert problem.message in ready[2]
    assert (_told(summary, "Stalled") is not None) is stalled


def test_a_proplet_that_cannot_have_its_copy_counts_as_wanted(w: Any) -> None:
    """`perProplet` with one unfit: one of two, and why."""
    d = w.daemon("d", w.everywhere())
    world = w.World(d, proplets=[w.proplet("p1"), w.proplet("p2", memory=1024)])
    world.settle()
    summary = _summary(w, world, d)
    assert (summary.devices.desired, summary.devices.ready) == (2, 1)
    assert _told(summary, "Ready") == (
        "False", "Unfit", "p2: needs 64 KiB of linear memory, has 1 KiB",
    )  # fmt: skip


def test_a_suspended_object_says_who_and_until_when(w: Any) -> None:
    """And is blocked, not stalled."""
    t = w.task("t", suspend=w.suspend(until=TEN + 60_000))
    world = _began(w, t)
    summary = _summary(w, world, t)
    assert _told(summary, "Ready") == (
        "False", "Suspended", "suspended by ada until 2025-06-15T10:01:00Z: maintenance",
    )  # fmt: skip
    assert _told(summary, "Blocked") == ("True", "Suspended", "suspended by ada: maintenance")
    assert _told(summary, "Stalled") is None
    assert _told(summary, "Reconciling") is None


# -- cron, deleted, drift -------------------------------------------------------------------------


def test_a_cron_task_is_ready_when_it_is_scheduled(w: Any) -> None:
    """Before its first slot, and after a run that failed: Healthy tells that one."""
    t = w.task("t", schedule=w.hourly())
    world = w.World(t, proplets=[w.proplet("p1")], now=TEN - 1)
    world.settle()
    summary = _summary(w, world, t)
    assert _told(summary, "Ready") == ("True", "Scheduled", "next run 2025-06-15T10:00:00Z")
    assert _told(summary, "Scheduled") == (
        "Unknown", "NotDue", "placed when its first slot comes",
    )  # fmt: skip
    world.now = TEN
    world.carry_out(world.plan())
    world.report(t, "p1", RunState.FAILED, exit=1)
    summary = _summary(w, world, t)
    assert _told(summary, "Ready") == (
        "True", "Scheduled", "next run 2025-06-15T11:00:00Z, last 2025-06-15T10:00:00Z",
    )  # fmt: skip
    assert _told(summary, "Healthy") == ("False", "Failed", "p1: failed: exit status 1")


def test_a_deleted_object_names_who_has_not_confirmed(w: Any) -> None:
    """With the age of a silence."""
    d = w.daemon("d")
    world = _settled(w, d)
    world.off("p1")
    world.delete(d)
    world.settle()
    assert _told(_summary(w, world, d), "Ready") == (
        "False",
        "Deleting",
        "1 copies are not confirmed gone: p1 (silent since 2025-06-15T10:00:00Z)",
    )


def test_an_orphan_says_what_it_is(w: Any) -> None:
    """It left the source and what runs was left alone."""
    d = w.daemon("d")
    world = _settled(w, d)
    world.delete(d)
    world.objects[d.meta.uid] = replace(world.objects[d.meta.uid], orphan=True)
    assert _summary(w, world, d).outcome == "Orphaned"


def test_a_run_that_a_device_accepted_and_does_not_report_is_drift(w: Any) -> None:
    """Somebody stopped it there. A minute passes first: it may just have been asked for."""
    d = w.daemon("d")
    world = _settled(w, d)
    world.set("p1", runs={})
    fresh = _summary(w, world, d)
    assert _told(fresh, "DriftDetected") is None
    world.now += GRACE
    assert fresh.due == world.now
    assert _told(_summary(w, world, d), "DriftDetected") == (
        "True", "RunMissing", "p1 took the document and does not report the run",
    )  # fmt: skip


def test_who_holds_the_document_may_be_told_apart_from_the_snapshot(w: Any) -> None:
    """`delivered` stands in for the snapshot's."""
    d = w.daemon("d")
    world = _settled(w, d)
    summary = _summary(w, world, d, delivered=frozenset())
    told = _told(summary, "Delivered")
    assert told is not None
    assert told[0] == "False"


# -- transition times -----------------------------------------------------------------------------


def test_a_transition_is_when_the_status_changed_and_not_when_the_message_did(w: Any) -> None:
    """Messages may change all the time."""
    t = w.task("t", retries=1)
    world = _began(w, t)
    first = _summary(w, world, t)
    world.now += 1_000
    world.report(t, "p1", RunState.RUNNING)
    second = _summary(w, world, t, previous=first.conditions)
    world.now += 1_000
    world.report(t, "p1", RunState.SUCCEEDED)
    third = _summary(w, world, t, previous=second.conditions)
    times = [find(one.conditions, "Ready") for one in (first, second, third)]
    assert [one.transition for one in times if one] == [TEN, TEN, TEN + 2_000]


def test_a_condition_reads_back_as_it_was_written() -> None:
    """Status rows survive a restart, milliseconds included."""
    condition = Condition(
        type="Ready",
        status=ConditionStatus.UNKNOWN,
        reason="Progressing",
        message="0 of 1",
        observed_generation=3,
        transition=TEN + 7,
    )
    row = condition.mapping()
    assert row["lastTransitionTime"] == "2025-06-15T10:00:00.007Z"
    assert Condition.from_mapping(row) == condition
    assert moment(0) == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("broken", [{"observedGeneration": "3"}, {"status": "Maybe"}])
def test_a_row_nobody_wrote_is_refused(broken: dict[str, Any]) -> None:
    """A broken row is found where it is read."""
    row = {
        "type": "Ready", "status": "True", "reason": "Ok", "message": "",
        "observedGeneration": 1, "lastTransitionTime": "2025-06-15T10:00:00Z",
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"observedGeneration|Maybe"):
        Condition.from_mapping(row | broken)


# -- the other kinds ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ({}, ("True", "Online", "is online")),
        ({"cordoned": True}, ("True", "Online", "is online and takes no new work")),
        ({"facts": None}, ("Unknown", "NoHello", "is online and has not said what it is")),
        (
            {"presence": Presence.OFFLINE, "offline_since": TEN},
            ("False", "Offline", "silent since 2025-06-15T10:00:00Z"),
        ),
        ({"presence": Presence.UNKNOWN}, ("Unknown", "NeverHeard", "has not been heard yet")),
        (
            {"quarantine": "DuplicateIdentity"},
            ("False", "DuplicateIdentity", "is quarantined and gets no work"),
        ),
    ],
)
def test_a_proplet_is_ready_when_it_is_there(
    w: Any, seen: dict[str, Any], told: tuple[str, str, str]
) -> None:
    """And says what it is when it is not."""
    p1 = w.declared("p1")
    world = w.World(p1, proplets=[w.proplet("p1", **seen)])
    assert _told(_summary(w, world, p1), "Ready") == told


def test_a_declared_proplet_nobody_has_heard_of_is_unknown(w: Any) -> None:
    """It is not offline: it was never there."""
    p1 = w.declared("p1")
    assert _summary(w, w.World(p1), p1).outcome == "NeverHeard"


@pytest.mark.parametrize(
    ("verdicts", "status", "reason"),
    [
        ({"a": "True", "b": "True"}, "True", "AllReady"),
        ({"a": "True", "b": ""}, "Unknown", "Progressing"),
        ({"a": "Unknown", "b": "False"}, "False", "NotReady"),
    ],
)
def test_an_app_is_ready_when_all_its_objects_are(
    w: Any, verdicts: dict[str, str], status: str, reason: str
) -> None:
    """One that is not is named."""
    plant = w.app("plant")
    a, b, other = w.task("a", app="plant"), w.task("b", app="plant"), w.task("c", app="else")
    world = w.World(plant, a, b, other)
    by_uid = {a.meta.uid: verdicts["a"], b.meta.uid: verdicts["b"]}
    summary = _summary(w, world, plant, apps_ready=lambda uid: by_uid.get(uid, ""))
    ready = _told(summary, "Ready")
    assert ready is not None
    assert ready[:2] == (status, reason)
    assert summary.counts["total"] == 2


def test_a_suspended_app_says_so(w: Any) -> None:
    """Whatever its objects are."""
    plant = w.app("plant", suspend=w.suspend())
    assert _summary(w, w.World(plant), plant).outcome == "Suspended"


def test_a_summary_of_a_copy_on_a_forgotten_proplet_does_not_fail(w: Any) -> None:
    """Between forgetting it and the next plan."""
    t = w.task("t")
    world = _began(w, t)
    del world.proplets[PropletId("p1")]
    assert _summary(w, world, t).devices.offline == 1
