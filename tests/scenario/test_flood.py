"""A device with a good key that writes without end: what it can fill is bounded, others go on."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from plants import plant, until_ready
from specs_text import EVERYWHERE, daemon_yaml, task_yaml

from propeller.model.ids import Key
from propeller.rehearse.fleet import CHANNEL, SECOND, Sim
from propeller.state.quotas import Quotas
from propeller.transport.base import Received
from propeller.wire.frame import peek_body, seal

REPORTS, RUNS = 60, 70
"""As many runs as a report takes: more is `too_big` and dropped whole."""


def _last(sim: Sim, topic: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(peek_body(sim.broker.retained[topic]))
    return document


@pytest.fixture
def flooded(tmp_path: Path) -> Sim:
    """`a` has sent thousands of runs nobody asked for, a new state of its own run every time,
    metrics of every name, texts as long as they may be, and other labels with every hello."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    chance = random.Random(1)
    key, topic = sim.device_key("a"), CHANNEL.report("a")
    report, hello = _last(sim, topic), _last(sim, CHANNEL.hello("a"))
    held = sim.manager.reconciler.world.find(Key("Daemon", "default", "d"))
    assert held is not None
    messages = []
    for number in range(REPORTS):
        tasks = [
            {
                "uid": chance.choice([str(held.uid), f"00000000-0000-0000-0000-{n:012x}"]),
                "run": f"{chance.getrandbits(128):032x}",
                "digest": f"sha256:{chance.getrandbits(256):064x}",
                "cause": "once",
                "state": chance.choice(["Running", "Failed", "Refused", "BackOff", "Succeeded"]),
                "error": "x" * 256,
                "result": "y" * 256,
                "restarts": chance.randrange(1 << 31),
            }
            for n in range(RUNS)
        ]
        flood = {**report, "seq": 10_000 + number, "tasks": tasks}
        messages.append((topic, "report", flood))
        labels = {f"label-{chance.getrandbits(60)}": "v" * 200 for _ in range(20)}
        messages.append((CHANNEL.hello("a"), "hello", {**hello, "labels": labels}))
    for where, purpose, document in messages:
        payload = seal(purpose, json.dumps(document).encode(), key)
        sim.manager.reconciler.turn([Received(where, payload, False)])
    return sim


def _rows(sim: Sim) -> dict[str, int]:
    with closing(sqlite3.connect(f"file:{sim.state.database}?mode=ro", uri=True)) as db:
        found = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = [row[0] for row in found]
        return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


def test_a_flood_of_reports_fills_nothing(flooded: Sim) -> None:
    """Runs of the device, events of it, and metrics stay within their quotas; the file too."""
    quotas = Quotas()
    seen = flooded.seen("a")
    assert len(seen.runs) == RUNS, "it was heard"
    rows = _rows(flooded)
    assert sum(rows.values()) < quotas.events_per_owner + quotas.seen_runs + 3_000, rows
    size = sum(path.stat().st_size for path in flooded.state.path.glob("propeller.db*"))
    assert size < 32 << 20


def test_the_others_go_on_meanwhile(flooded: Sim) -> None:
    """A commit made after the flood reaches the good device as ever."""
    flooded.write("t.yaml", task_yaml("t", "  placement: {proplets: [b]}\n"))

    def done() -> bool:
        key = Key("Task", "default", "t")
        held = flooded.manager.reconciler.world.find(key)
        if held is None:
            return False
        rows = flooded.manager.reconciler.projection.conditions(held.uid)
        return any(one.type == "Ready" and str(one.status) == "True" for one in rows)

    assert flooded.run(60 * SECOND, until=done, every=200), flooded.what_is_not()
