"""`autoscale` on the whole product: copies follow the load, and nothing else moves them."""

from __future__ import annotations

from pathlib import Path

import pytest
from plants import plant, until_ready
from specs_text import daemon_yaml

from propeller.model.ids import Key
from propeller.plan.types import Rescale
from propeller.reconcile.events import Wanted
from propeller.rehearse.device import SimProplet
from propeller.rehearse.fleet import MINUTE, SECOND

AUTO = (
    "  placement: {{replicas: {first}}}\n  autoscale: {{min: 1, max: 8, target: '0.5', {more}}}\n"
)
QUICK = "scaleDownAfter: 2m"


class Load:
    """So many thousandths of a core in all, shared by the copies that run."""

    def __init__(self, sim, name: str = "busy") -> None:
        self.sim, self.name, self.whole, self.silent = sim, name, 0, False
        for device in sim.proplets.values():
            device.metrics = lambda device=device: self.of(device)

    def of(self, device) -> tuple[tuple[str, int], ...]:
        copies = max(1, self.copies)
        return tuple(
            (f"cpu/{entry.uid[:8]}", self.whole // copies)
            for entry in device.running.values()
            if not self.silent
        )

    @property
    def copies(self) -> int:
        return len(self.sim.running().get(f"Daemon/default/{self.name}", ()))


def scaled(tmp_path: Path, first: int = 1, more: str = QUICK):
    sim = plant(tmp_path, "abcdefgh")
    sim.write("busy.yaml", daemon_yaml("busy", AUTO.format(first=first, more=more)))
    load = Load(sim)
    until_ready(sim)
    return sim, load


def events(sim, reason: str) -> list[str]:
    return [one.message for one in sim.manager.reconciler.store.events() if one.reason == reason]


def test_copies_follow_a_load_that_doubles(tmp_path: Path) -> None:
    """Up with each doubling, as many as bring each copy to its target, and never down meanwhile."""
    sim, load = scaled(tmp_path)
    seen = [load.copies]
    for whole in (500, 1_000, 2_000, 4_000):
        load.whole = whole
        sim.run(3 * MINUTE)
        seen.append(load.copies)
    assert seen == [1, 1, 2, 4, 8]
    assert not sim.started_twice()
    assert events(sim, "Rescaled")[-1].startswith("from 1 to 2 copies: Cpu 1.00 a copy, target 0.5")


def test_fewer_copies_only_when_fewer_were_enough_for_long(tmp_path: Path) -> None:
    """A dip shorter than `scaleDownAfter` takes nothing away; a lasting one does, to `min`."""
    sim, load = scaled(tmp_path, first=4)
    load.whole = 2_000
    sim.run(3 * MINUTE)
    assert load.copies == 4
    load.whole = 100
    sim.run(70 * SECOND)
    assert load.copies == 4
    load.whole = 2_000
    sim.run(3 * MINUTE)
    assert load.copies == 4
    load.whole = 100
    sim.run(6 * MINUTE)
    assert load.copies == 1


def test_a_load_that_swings_moves_nothing(tmp_path: Path) -> None:
    """Within a tenth of the target, and swings shorter than `scaleDownAfter`: no flapping."""
    sim, load = scaled(tmp_path, first=4)
    for whole in (1_900, 2_150, 1_850, 2_100, 1_950) * 4:
        load.whole = whole
        sim.run(30 * SECOND)
    assert load.copies == 4
    assert events(sim, "Rescaled") == []


def test_what_nobody_measures_is_not_scaled(tmp_path: Path) -> None:
    """Silence is no load of zero."""
    sim, load = scaled(tmp_path, first=3)
    load.silent = True
    sim.run(15 * MINUTE)
    assert load.copies == 3


@pytest.mark.parametrize("lost", ["reconciler", "database"])
def test_a_crash_changes_no_number(tmp_path: Path, lost: str) -> None:
    """What was decided is a row; without the row, what is there counts."""
    sim, load = scaled(tmp_path)
    load.whole = 2_000
    sim.run(4 * MINUTE)
    assert load.copies == 4
    sim.kill_manager()
    if lost == "database":
        sim.delete_database()
    sim.start_manager()
    for _ in range(20):
        sim.run(5 * SECOND)
        assert load.copies == 4
    assert not sim.started_twice()


def test_status_says_how_many_there_are_to_be(tmp_path: Path) -> None:
    """Ready counts against the number decided, not against the number written."""
    sim, load = scaled(tmp_path)
    load.whole = 2_000
    sim.run(4 * MINUTE)
    reconciler = sim.manager.reconciler
    held = reconciler.world.find(Key("Daemon", "default", "busy"))
    ready = next(one for one in reconciler.projection.conditions(held.uid) if one.type == "Ready")
    assert ready.message == "4 of 4 ready"


class Called:
    """A Function that may have no copy, and what its copies and its gateway say of it."""

    def __init__(self, tmp_path: Path, autoscale: str) -> None:
        self.sim = plant(tmp_path, "abcd")
        self.sim.write("fn.yaml", FUNCTION.format(autoscale=autoscale))
        self.sim.write("fn.wat", '(module (memory 1) (func (export "f")))')
        self.told: dict[str, int] = {"calls": 0, "queue": 0, "idle": 0}
        self.shared = ("calls", "queue", "g")
        for device in self.sim.proplets.values():
            device.metrics = lambda device=device: self.of(device)
        until_ready(self.sim)

    def of(self, device) -> tuple[tuple[str, int], ...]:
        return tuple(
            (self.name(word, entry.uid), self.share(word, value))
            for entry in device.running.values()
            for word, value in self.told.items()
        )

    def name(self, word: str, uid: str) -> str:
        head, _, tail = word.partition("/")
        return "/".join(one for one in (head, uid[:8], tail) if one)

    def share(self, word: str, value: int) -> int:
        return value // max(1, self.copies) if word.partition("/")[0] in self.shared else value

    @property
    def copies(self) -> int:
        return len(self.sim.running().get("Function/default/fn", ()))

    def calls_wait(self, count: int) -> None:
        """What the gateway says each second while they do."""
        world = self.sim.manager.reconciler.world
        held = world.find(Key("Function", "default", "fn"))
        self.sim.manager.inbox.append(Wanted(held.uid, count))

    def ready(self) -> tuple[str, str]:
        reconciler = self.sim.manager.reconciler
        held = reconciler.world.find(Key("Function", "default", "fn"))
        conditions = reconciler.projection.conditions(held.uid)
        ready = next(one for one in conditions if one.type == "Ready")
        return str(ready.status), ready.reason


FUNCTION = (
    "apiVersion: propeller.dev/v1alpha1\nkind: Function\nmetadata: {{name: fn}}\nspec:\n"
    "  module: {{file: fn.wat}}\n  interface: Bytes\n  run: {{entrypoint: f}}\n"
    "  placement: {{replicas: 1}}\n  limits: {{memory: 1MiB}}\n  autoscale: {{{autoscale}}}\n"
)
TO_ZERO = "min: 0, max: 4, target: '2', scaleDownAfter: 2m"


def test_a_function_nobody_calls_goes_and_comes_back_when_it_is_called(tmp_path: Path) -> None:
    """No copy after `scaleDownAfter` without a call, Ready all the same; calls that wait bring as
    many as they need at once, and both are events."""
    fn = Called(tmp_path, TO_ZERO)
    fn.told["idle"] = 90_000
    fn.sim.run(4 * MINUTE)
    assert fn.copies == 1
    fn.told["idle"] = 120_000
    fn.sim.run(20 * SECOND)
    assert fn.copies == 0
    fn.sim.run(20 * MINUTE)
    assert fn.copies == 0
    assert fn.ready() == ("True", "Idle")
    fn.told["idle"] = 0
    fn.calls_wait(3)
    fn.sim.run(5 * SECOND)
    assert fn.copies == 2
    fn.sim.run(30 * SECOND)
    assert fn.ready() == ("True", "Healthy")
    assert events(fn.sim, "Rescaled") == [
        "from 0 to 2 copies: 3 calls wait for a copy",
        "from 1 to 0 copies: nobody has called it for 2m",
    ]
    left = fn.sim.manager.left_to_do()
    assert [one for one in left if not isinstance(one, Rescale)] == [], "but for another look"


def test_one_copy_that_is_called_keeps_a_function_from_going(tmp_path: Path) -> None:
    """Nor does it go while a copy says nothing of when it was called last."""
    fn = Called(tmp_path, TO_ZERO)
    fn.sim.run(10 * MINUTE)
    assert fn.copies == 1
    del fn.told["idle"]
    fn.sim.run(10 * MINUTE)
    assert fn.copies == 1
    assert events(fn.sim, "Rescaled") == []


@pytest.mark.parametrize("lost", ["reconciler", "word"])
def test_a_word_that_calls_wait_may_be_lost(tmp_path: Path, lost: str) -> None:
    """It is said again; one that is old brings nothing, for nobody waits any more."""
    fn = Called(tmp_path, TO_ZERO)
    fn.told["idle"] = 300_000
    fn.sim.run(MINUTE)
    assert fn.copies == 0
    if lost == "reconciler":
        fn.sim.restart_manager()
        fn.sim.run(5 * SECOND)
        assert fn.copies == 0
    fn.told["idle"] = 0
    fn.calls_wait(1)
    fn.sim.run(5 * SECOND)
    assert fn.copies == 1
    fn.told["idle"] = 300_000
    fn.sim.run(10 * MINUTE)
    assert fn.copies == 0


def test_copies_follow_the_calls_that_wait(tmp_path: Path) -> None:
    """`Queue` counts only those; calls that run move nothing."""
    fn = Called(tmp_path, "metric: Queue, max: 4, target: '1', scaleDownAfter: 1m")
    fn.told |= {"calls": 9_000, "queue": 1_000}
    fn.sim.run(3 * MINUTE)
    assert fn.copies == 1
    fn.told["queue"] = 3_000
    fn.sim.run(3 * MINUTE)
    assert fn.copies == 3


def test_copies_follow_what_the_guest_tells(tmp_path: Path) -> None:
    """`Guest` with its name: another one, however large, moves nothing."""
    fn = Called(tmp_path, "metric: Guest, gauge: backlog, max: 4, target: '150'")
    fn.told |= {"g/backlog": 150_000, "g/other": 9_000_000}
    fn.sim.run(3 * MINUTE)
    assert fn.copies == 1
    fn.told["g/backlog"] = 600_000
    fn.sim.run(3 * MINUTE)
    assert fn.copies == 4
    assert events(fn.sim, "Rescaled")[-1].startswith("from 1 to 2 copies: Guest backlog 600.00")


def test_copies_of_a_daemon_follow_what_its_guests_tell(tmp_path: Path) -> None:
    """As those of a Function do."""
    sim = plant(tmp_path, "abcd")
    told = {"backlog": 150_000, "other": 9_000_000}

    def of(device: SimProplet) -> tuple[tuple[str, int], ...]:
        return tuple(
            (f"g/{entry.uid[:8]}/{name}", value)
            for entry in device.running.values()
            for name, value in told.items()
        )

    for device in sim.proplets.values():
        device.metrics = lambda device=device: of(device)
    more = "  placement: {replicas: 1}\n  autoscale: {metric: Guest, gauge: backlog, max: 4, "
    sim.write("d.yaml", daemon_yaml("d", more + "target: '150'}\n"))
    until_ready(sim)
    sim.run(3 * MINUTE)
    assert len(sim.running()["Daemon/default/d"]) == 1
    told["backlog"] = 600_000
    sim.run(3 * MINUTE)
    assert len(sim.running()["Daemon/default/d"]) == 4
    assert events(sim, "Rescaled")[-1].startswith("from 1 to 2 copies: Guest backlog 600.00")


def test_copies_of_a_function_follow_its_calls(tmp_path: Path) -> None:
    """Calls that run or wait on each copy, in place of processor time; back to one when it is
    quiet."""
    sim = plant(tmp_path, "abcd")
    sim.write(
        "fn.yaml",
        "apiVersion: propeller.dev/v1alpha1\nkind: Function\nmetadata: {name: fn}\nspec:\n"
        "  module: {file: busy.wat}\n  placement: {replicas: 1}\n  limits: {memory: 1MiB}\n"
        "  autoscale: {max: 4, target: '2', scaleDownAfter: 2m}\n",
    )
    sim.write("busy.wat", '(module (memory 1) (func (export "_start")))')
    calls = 0

    def copies() -> int:
        return len(sim.running().get("Function/default/fn", ()))

    for device in sim.proplets.values():
        device.metrics = lambda device=device: tuple(
            (f"calls/{entry.uid[:8]}", calls * 1000 // max(1, copies()))
            for entry in device.running.values()
        )
    until_ready(sim)
    seen = [copies()]
    for calls in (2, 4, 8, 0):
        sim.run(3 * MINUTE if calls else 8 * MINUTE)
        seen.append(copies())
    assert seen == [1, 1, 2, 4, 1]
    assert events(sim, "Rescaled")[-1].startswith("from")
