"""Numbers that Tasks and Daemons tell of themselves, from a real worker to the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proplet.gauges import MOST
from proplet.runtime.told import MOST_NAMES, Told
from proplet.telling import Telling

if TYPE_CHECKING:
    from conftest import Workshop

IMPORTS = """
  (import "propeller" "metric" (func $metric (param i32 i32 f64)))
  (memory (export "memory") 1)
  (data (i32.const 0) "queuebad name")
  (func $tell (param $value f64) (call $metric (i32.const 0) (i32.const 5) (local.get $value)))"""
TELLS = f"""(module {IMPORTS}
  (func (export "run")
    (call $tell (f64.const 7)) (call $tell (f64.const -2.5))
    (call $metric (i32.const 5) (i32.const 8) (f64.const 1))
    (call $metric (i32.const 0) (i32.const 1) (f64.div (f64.const 0) (f64.const 0)))))"""
STAYS = f"""(module {IMPORTS}
  (func (export "run") (call $tell (f64.const 1.5)) (loop $l (br $l))))"""


def told(workshop: Workshop) -> dict[str, int]:
    """What a report would say of guests' own numbers now."""
    return {name: n for name, n in workshop.supervisor.gauges() if name.startswith("g/")}


def test_what_a_task_told_last_is_in_one_report_after_its_end(workshop: Workshop) -> None:
    """In thousandths; a name that a report cannot bear and no number are left out."""
    assert workshop.run(TELLS, entrypoint="run").ok
    assert told(workshop) == {"g/00000000/queue": -2500}
    assert told(workshop) == {}


def test_a_daemon_is_told_of_for_as_long_as_it_runs(workshop: Workshop) -> None:
    """In each report, the same until it says another."""
    key = workshop.start(workshop.entry(STAYS, entrypoint="run", mode="daemon", timeout=None))
    workshop.until(lambda: told(workshop))
    assert told(workshop) == told(workshop) == {"g/00000000/queue": 1500}
    workshop.supervisor.stop(key, 0)
    workshop.until(lambda: key in workshop.over)
    assert told(workshop) == {"g/00000000/queue": 1500}
    assert told(workshop) == {}


def test_a_guest_that_tells_without_end_is_heard_now_and_then() -> None:
    """Of each name the last, of so many names; the end hands over what is left."""
    said: list[dict[str, object]] = []
    mine = Told(said.append)
    for number in range(10_000):
        mine.put(f"n{number % 100}", number)
    mine.put("n0", float("inf"))
    mine.flush()
    assert len(said) < 1_000, "not one for each"
    known = {name: value for one in said for name, value in one["metrics"].items()}
    assert len(known) == MOST_NAMES
    assert known["n0"] == 9_900


def test_devices_remember_so_many_guests_and_so_many_numbers() -> None:
    """16 numbers of one, and what few lately ended ones told."""
    telling = Telling()
    telling.said(("0" * 32, "a"), {f"m{n:02}": n for n in range(30)})
    assert [name for name, _ in telling.gauges()] == [f"g/00000000/m{n:02}" for n in range(16)]
    for number in range(2 * MOST):
        key = (f"{number:032x}", "a")
        telling.said(key, {"x": 1})
        telling.ended(key)
    assert len(list(telling.gauges())) <= 16 + MOST
