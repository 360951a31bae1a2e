"""`top`: what copies and proplets take, as last reported."""

from __future__ import annotations

import json
from dataclasses import replace

from serving import report


def with_metrics(fleet):
    """The fleet after gateway-1 told what it takes."""
    held = fleet.held("Daemon", "plant-a", "filter")
    seen = next(one for one in fleet.store.fleet() if one.id == "gateway-1")
    told = {
        "cpuPermille": 12,
        "rssBytes": 40 << 20,
        f"cpu/{held.uid[:8]}": 345,
        f"rss/{held.uid[:8]}": 23 << 20,
    }
    with fleet.store.transaction():
        fleet.store.put_seen(replace(seen, metrics=told, metrics_at=fleet.now - 2_000))
    return held


def test_copies_that_run_with_what_they_take(cli, fleet):
    """What a device has not told is a dash, never a zero."""
    with_metrics(fleet)
    said = cli("top")
    assert said.code == 0
    lines = {line.split()[1]: line.split() for line in said.out.splitlines()[1:]}
    assert lines["gateway-1"][:4] == ["Daemon/plant-a/filter", "gateway-1", "34.5%", "23MiB"]
    assert lines["gateway-2"][2:4] == ["-", "-"]


def test_proplets_themselves(cli, fleet):
    """Their agents' own numbers."""
    with_metrics(fleet)
    items = json.loads(cli("top", "proplets", "-o", "json").out)["items"]
    mine = next(one for one in items if one["proplet"] == "gateway-1")
    assert (mine["cpuPermille"], mine["memoryBytes"]) == (12, 40 << 20)


def test_a_time_in_place_of_now(cli, fleet):
    """Mean and most of each copy with what calls there were and a curve; a program gets points."""
    held = fleet.held("Daemon", "plant-a", "filter")
    mark = held.uid[:8]
    for minutes, cpu, taken in ((30, 100, 5), (20, 300, 9), (10, 200, 2)):
        told = {f"cpu/{mark}": cpu, f"rss/{mark}": 5 << 20, f"taken/{mark}": taken}
        report(fleet, "gateway-1", fleet.now - minutes * 60_000, rssBytes=9 << 20, **told)
    said = cli("top", "--since", "1h")
    assert said.code == 0, said.err
    (line,) = said.out.splitlines()[1:]
    assert line.split()[:7] == [
        *("Daemon/plant-a/filter", "gateway-1"),
        *("20.0%", "30.0%", "5MiB", "6", "-"),
    ]
    assert "\u2588" in line
    (item,) = json.loads(cli("top", "--since", "25m", "-o", "json").out)["items"]
    assert [one["mean"]["cpu"] for one in item["points"]] == [300, 200]
    (item,) = json.loads(cli("top", "proplets", "--since", "1h", "-o", "json").out)["items"]
    assert (item["proplet"], item["memoryBytes"]) == ("gateway-1", 9 << 20)
    assert cli("top", "--since", "soon").code == 2


def test_only_one_namespace(cli, fleet):
    """As with other lists."""
    with_metrics(fleet)
    assert json.loads(cli("top", "-n", "nowhere", "-o", "json").out)["items"] == []


def test_what_guests_tell_of_themselves(cli, fleet):
    """As decimals; a line shows the first few, and a copy that told nothing a dash."""
    held = fleet.held("Daemon", "plant-a", "filter")
    mark = held.uid[:8]
    numbers = {"a": 1500, "b": -2, "c": 0, "d": 7}
    told = {f"g/{mark}/{name}": value for name, value in numbers.items()}
    seen = next(one for one in fleet.store.fleet() if one.id == "gateway-1")
    with fleet.store.transaction():
        fleet.store.put_seen(replace(seen, metrics=told, metrics_at=fleet.now - 2_000))
    lines = {line.split()[1]: line for line in cli("top").out.splitlines()}
    assert lines["PROPLET"].split()[-1] == "GUEST"
    assert lines["gateway-1"].endswith("a=1.5 b=-0.002 c=0 ...")
    assert lines["gateway-2"].split()[-1] == "-"
    items = json.loads(cli("top", "-o", "json").out)["items"]
    (mine,) = [one["gauges"] for one in items if one["proplet"] == "gateway-1"]
    assert mine == {"a": 1.5, "b": -0.002, "c": 0, "d": 0.007}
