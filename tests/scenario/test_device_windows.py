"""Windows in the time of each device: a new version goes round the world with the night."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plants import until_ready
from rollout_plant import DAEMON, daemon, wat

from propeller.reconcile.events import OpenWindow
from propeller.rehearse.fleet import HOUR, MINUTE, SECOND, START, Sim

# START is 2027-01-15T08:00Z: one o'clock at night in Denver.
ZONES = {
    "denver": "America/Denver",
    "seattle": "America/Los_Angeles",
    "anchorage": "America/Anchorage",
}
NIGHT = '  windows: [{kind: Allow, cron: "0 1 * * *", duration: 3h, timeZone: Device}]\n'
STEPS = 'steps: ["1"], soak: 0s, maxUnavailable: "100%"'


def _proplets(zones: dict[str, str]) -> str:
    return "".join(
        "---\napiVersion: propeller.dev/v1alpha1\nkind: Proplet\n"
        f"metadata: {{name: {name}}}\nspec: {{heartbeat: 10m{zone and f', timeZone: {zone}'}}}\n"
        for name, zone in zones.items()
    )


def _fleet(folder: Path, zones: dict[str, str]) -> Sim:
    """v1 runs everywhere; v2 was committed and may come at night only."""
    sim = Sim(folder, files=False)
    sim.write("fleet.yaml", _proplets(zones))
    for version in ("v1", "v2"):
        sim.write(f"{version}.wat", wat(version))
    sim.write("d.yaml", daemon("v1", STEPS))
    for name in zones:
        sim.add(name, heartbeat=10 * MINUTE)
    sim.start_manager()
    until_ready(sim)
    assert sim.run(MINUTE, until=sim.settled, every=SECOND)
    sim.write("d.yaml", daemon("v2", STEPS, NIGHT))
    sim.run(5 * SECOND)
    return sim


def _moved(sim: Sim) -> set[str]:
    """Proplets that were started a second time."""
    return {one.id for one in sim.proplets.values() if one.refs["Daemon/default/d"] > 1}


def _why(sim: Sim) -> str:
    block = sim.manager.reconciler.blocked.get(sim.manager.reconciler.world.find(DAEMON).uid)
    return "" if block is None else f"{block.reason}: {block.message}"


def _hour(zone: str, at: int) -> int:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    return datetime.fromtimestamp(at / 1000, tz=ZoneInfo(zone)).hour


def test_every_device_is_changed_in_its_own_night(tmp_path: Path) -> None:
    """Whatever the order of steps, nobody is touched by day, and in three hours all are."""
    sim = _fleet(tmp_path, ZONES)
    seen: dict[str, int] = {}

    def done() -> bool:
        for name in _moved(sim):
            seen.setdefault(name, sim.now)
        return len(seen) == len(ZONES)

    done()
    assert set(seen) == {"denver"}
    assert sim.run(3 * HOUR, until=done, every=MINUTE), _why(sim)
    for name, at in seen.items():
        assert 1 <= _hour(ZONES[name], at) < 4, f"{name} was changed at {at - START} by day"
    assert sim.run(5 * MINUTE, until=sim.ready, every=SECOND)


def test_who_waits_is_said_with_the_time(tmp_path: Path) -> None:
    """The status says whose window is closed and when the first one opens."""
    by_day = {"belgrade": "Europe/Belgrade", "sofia": "Europe/Sofia"}
    sim = _fleet(tmp_path, by_day)
    assert _moved(sim) == set()
    assert _why(sim).startswith("WindowClosed: ")
    assert "the window in device time is closed, and opens 20" in _why(sim)


def test_an_unknown_zone_waits_in_words_until_it_is_declared(tmp_path: Path) -> None:
    """It is never guessed: the device stays as it is, the others go on, and a declaration helps."""
    sim = _fleet(tmp_path, {"denver": "America/Denver", "somewhere": ""})
    sim.run(HOUR)
    assert _moved(sim) == {"denver"}
    assert "somewhere: no time zone; declare spec.timeZone of the Proplet" in _why(sim)
    sim.write("fleet.yaml", _proplets({"denver": "America/Denver", "somewhere": "America/Chicago"}))
    assert sim.run(HOUR, until=sim.ready, every=SECOND)
    assert _moved(sim) == {"denver", "somewhere"}


def test_it_may_be_let_through_and_that_is_recorded(tmp_path: Path) -> None:
    """`confirm window` opens this edit's windows everywhere, by name, with a reason."""
    sim = _fleet(tmp_path, {"belgrade": "Europe/Belgrade", "somewhere": ""})
    assert _moved(sim) == set()
    answers: list[Any] = []
    sim.manager.inbox.append(OpenWindow(key=DAEMON, by="ada", reason="leak", reply=answers.append))
    assert sim.run(5 * MINUTE, until=sim.ready, every=SECOND), _why(sim)
    assert _moved(sim) == {"belgrade", "somewhere"}
    (row,) = [
        row
        for row in sim.manager.store.events(key=DAEMON, limit=500)
        if row.reason == "WindowOverridden"
    ]
    assert "by ada: leak" in row.message


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (daemon("v1", STEPS, NIGHT).replace("perProplet: true", "replicas: 2"), "Device needs"),
        (
            daemon("v1", STEPS, NIGHT).replace(f"  rollout: {{{STEPS}}}\n", ""),
            "Device needs a rollout",
        ),
    ],
)
def test_device_time_needs_versions_device_by_device(tmp_path: Path, text: str, fault: str) -> None:
    """Refused at the field where it would mean nothing."""
    sim = Sim(tmp_path, files=False)
    sim.write("v1.wat", wat("v1"))
    sim.write("d.yaml", text)
    sim.start_manager()
    sim.run(5 * SECOND)
    assert any(fault in str(row.faults) for row in sim.manager.store.revisions(5))
