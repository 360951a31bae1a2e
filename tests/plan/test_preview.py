"""What `diff` shows before anything is done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from propeller.model.ids import PropletId
from propeller.model.seen import RunState
from propeller.model.specs import Prune
from propeller.plan.preview import preview
from propeller.plan.types import Change, ChangeOp


def _lines(w: Any, world: Any, *objects: Any, **more: Any) -> list[str]:
    changes = preview(world.snapshot(), w.revision(*objects), now=world.now, **more)
    return [_line(change) for change in changes]


def _line(change: Change) -> str:
    return (
        f"{change.op} {change.key.name} {change.how} {change.devices}/{change.offline} "
        f"{change.reason}"
    )


def _settled(w: Any, *objects: Any, count: int = 2) -> Any:
    world = w.World(*objects, proplets=[w.proplet(f"p{n}") for n in range(1, count + 1)])
    world.settle()
    return world


def test_nothing_to_do_is_no_line(w: Any) -> None:
    """The same specs on a settled fleet."""
    world = _settled(w, w.task("t"), w.daemon("d", w.everywhere()))
    assert _lines(w, world, w.task("t"), w.daemon("d", w.everywhere())) == []


def test_a_new_object_starts(w: Any) -> None:
    """On so many devices, for that reason."""
    world = _settled(w)
    assert _lines(w, world, w.daemon("d", w.everywhere())) == ["create d start 2/0 added in main@2"]


@pytest.mark.parametrize(("kind", "how"), [("daemon", "restart"), ("task", "rerun")])
def test_an_edit_restarts_a_daemon_and_reruns_a_task(w: Any, kind: str, how: str) -> None:
    """With the devices it concerns, and the silent ones among them."""
    make = getattr(w, kind)
    world = _settled(w, make("x", w.everywhere()))
    world.off("p2")
    assert _lines(w, world, make("x", w.everywhere(), args=("2",))) == [
        f"update x {how} 2/1 spec.run.args changed"
    ]


def test_a_removed_object_stops(w: Any) -> None:
    """Deletions are always shown."""
    world = _settled(w, w.daemon("d", w.everywhere()))
    assert _lines(w, world) == ["delete d stop 2/0 removed from main@2"]


def test_a_removed_object_that_is_not_pruned_stops_nothing(w: Any) -> None:
    """It is shown all the same."""
    world = _settled(w, w.daemon("d", w.everywhere(), prune=Prune.NEVER))
    assert _lines(w, world) == ["delete d none 0/0 removed from main@2; spec.prune is Never"]


def test_a_label_reaches_no_device(w: Any) -> None:
    """The inventory changes, no device does."""
    world = _settled(w, w.daemon("d"))
    assert _lines(w, world, w.daemon("d", labels={"a": "b"})) == [
        "update d none 0/0 metadata.labels.a changed"
    ]


def test_new_limits_restart_a_daemon(w: Any) -> None:
    """They are no other run, but its device has to take them."""
    world = _settled(w, w.daemon("d"))
    assert _lines(w, world, w.daemon("d", memory=2 * w.MIB)) == [
        "update d restart 1/0 spec.limits.memory changed"
    ]


def test_fewer_replicas_stop_and_another_selector_moves(w: Any) -> None:
    """What it does to devices comes from the planner."""
    world = _settled(w, w.daemon("d", w.moving(2)))
    world.set("p1", labels={"zone": "a"})
    assert _lines(w, world, w.daemon("d", w.moving(1))) == [
        "update d stop 1/0 spec.placement.replicas changed"
    ]
    world = _settled(w, w.daemon("d"))
    (place,) = world.where(w.daemon("d"))
    other = "p2" if place == "p1" else "p1"
    world.set(other, labels={"zone": "a"})
    (line,) = _lines(w, world, w.daemon("d", w.moving(selector=w.labelled(zone="a"))))
    assert line.startswith("update d move 2/0")


def test_what_cannot_be_had_is_shown_with_its_reason(w: Any) -> None:
    """Right under the line of its object."""
    world = _settled(w)
    lines = _lines(w, world, w.daemon("d", memory=1024))
    assert lines[0] == "create d none 0/0 added in main@2"
    assert lines[1].startswith("blocked d none 0/0 Unfit: 0 of 1 copies placed: p1: needs 64 KiB")


def test_waiting_is_nothing_to_do(w: Any) -> None:
    """A silent proplet, a retry, a cron slot that is due, a block that was there before."""
    ten = w.NOW - w.NOW % 3_600_000
    objects = [
        w.daemon("d"),
        w.task("cron", schedule=w.hourly()),
        w.task("fails", retries=3),
        w.daemon("big", memory=1024),
    ]
    world = w.World(*objects, proplets=[w.proplet("p1"), w.proplet("p2")], now=ten - 1)
    world.settle()
    world.report(w.task("fails"), world.where(w.task("fails"))[0], RunState.FAILED, ended=ten)
    world.now = ten + 30 * w.MINUTE
    world.off("p2")
    assert [type(action).__name__ for action in world.plan().actions] != []
    assert _lines(w, world, *objects) == []


def test_what_the_loop_has_not_done_yet_is_to_do(w: Any) -> None:
    """A proplet came since: the planner would act, so `diff` says so."""
    world = _settled(w, w.daemon("d", w.everywhere()))
    world.proplets[PropletId("p3")] = w.proplet("p3")
    assert _lines(w, world, w.daemon("d", w.everywhere())) == [
        "update d start 1/0 wanted on this proplet"
    ]


def test_modules_that_come_with_the_revision_are_known(w: Any) -> None:
    """The file that is about to be committed."""
    world = _settled(w)
    d = w.daemon("d")
    modules = dict(world.modules)
    world.modules.clear()
    revision = replace(w.revision(d), modules=modules)
    (line,) = preview(world.snapshot(), revision, now=world.now)
    assert (line.how, line.devices) == ("start", 1)


def test_the_fleet_may_be_seen_as_the_revision_labels_it(w: Any) -> None:
    """A Proplet's new label is what its selector will see."""
    d = w.daemon("d", w.everywhere(selector=w.labelled(zone="a")))
    world = _settled(w, d)
    fleet = {**world.proplets, PropletId("p1"): w.proplet("p1", labels={"zone": "a"})}
    assert _lines(w, world, d, fleet=fleet) == ["update d start 1/0 wanted on this proplet"]


def test_a_preview_changes_nothing(w: Any) -> None:
    """`diff` and `plan` never write."""
    world = _settled(w, w.daemon("d"))
    before = (dict(world.objects), dict(world.assignments), dict(world.modules))
    _lines(w, world, w.daemon("d", args=("2",)), w.task("t"))
    assert (world.objects, world.assignments, world.modules) == before


def _rolled_out(w: Any, rollout: Any) -> tuple[Any, Any]:
    old = w.daemon("d", w.everywhere(), rollout=rollout)
    world = w.World(old, proplets=[w.proplet(f"p{number}") for number in range(4)])
    world.settle(rounds=40)
    return world, old


def test_a_rollout_is_shown_with_what_its_first_step_does(w: Any) -> None:
    """The plan is what would be done now: one device, step 1 of 3."""
    world, old = _rolled_out(w, w.staged("1", "50%"))
    new = w.daemon("d", w.everywhere(), rollout=old.rollout, args=("2",))
    (line,) = preview(world.snapshot(), w.revision(new), now=world.now)
    assert (line.how, line.devices) == ("restart", 1)
    assert line.reason.endswith("; step 1 of 3")


def test_a_rejected_version_is_shown_as_such(w: Any) -> None:
    """Nothing would restart, and the reason stands there."""
    world, old = _rolled_out(w, w.staged("1"))
    good = world.courses[old.meta.uid].good
    world.traps = lambda _name, copy: copy.version != good.digest
    bad = w.daemon("d", w.everywhere(), rollout=old.rollout, args=("2",), memory=2 * w.MIB)
    world.add(bad)
    world.settle(rounds=40)
    world.add(old)
    world.settle(rounds=40)
    line, block = preview(world.snapshot(), w.revision(bad), now=world.now)
    assert (line.how, line.devices) == ("none", 0)
    assert block.op is ChangeOp.BLOCKED
    assert block.reason.startswith("RolledBack: version sha256:")
    assert "trap" in block.reason
