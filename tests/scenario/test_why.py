"""What `why` tells of the whole product: each step, its time, and the first that does not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plants import plant, until_ready
from rollout_plant import DAEMON, Plant
from specs_text import EVERYWHERE, daemon_yaml, task_yaml
from test_guards import digest_of, line_of, say_yes

from propeller.cli.chain import chain_of, proplet_chain
from propeller.cli.chainfacts import Facts
from propeller.cli.links import BROKEN, OK, Chain, Link, Ready
from propeller.cli.pasts import end_of, pasts
from propeller.model.ids import Digest, PropletId, Uid
from propeller.reconcile.events import SteerVerb
from propeller.rehearse.fleet import MINUTE, SECOND, Sim
from propeller.rehearse.guests import Guests
from propeller.state.records import HistoryRow


def why(sim: Sim, name: str, on: str = "") -> Chain:
    """The chain of the object of that name."""
    facts = Facts(sim.manager.store, sim.now)
    (held,) = [one for one in facts.inventory.values() if one.object.meta.key.name == name]
    return chain_of(facts, held, only=PropletId(on) if on else None)


def link(chain: Chain, name: str) -> Link:
    """The first link of that name, among the shared ones and those of copies."""
    every = [*chain.links, *(one for group in chain.groups for one in group.links)]
    return next(one for one in every if one.name == name)


def test_a_task_that_worked_is_told_from_its_commit_to_its_result(tmp_path: Path) -> None:
    """Every link holds, in causal order, and those that happened say when."""
    sim = plant(tmp_path, "a")
    began = sim.now
    sim.write("t.yaml", task_yaml("t", "  placement: {proplets: [a]}\n"))
    until_ready(sim)
    sim.run(15 * SECOND)
    chain = why(sim, "t")
    assert chain.in_the_way is None
    (group,) = chain.groups
    names = [one.name for one in (*chain.links, *group.links)]
    assert names == [
        "commit", "signer", "plan", "spec", "object", "module", "placement", "broker",
        "placed", "asked", "published", "device", "delivered", "run", "result",
    ]  # fmt: skip
    times = [link(chain, name).at for name in ("plan", "placed", "asked", "published", "delivered")]
    assert times == sorted(times)
    assert began <= times[0] <= times[-1] <= sim.now
    assert link(chain, "published").rule == "AtBroker"
    assert link(chain, "delivered").rule == "Acknowledged"
    assert link(chain, "plan").words.endswith(": 1 created")
    assert why(sim, "t", "a").groups == chain.groups


def test_a_restart_forgets_nothing_of_it(tmp_path: Path) -> None:
    """When it was published and taken is in the store."""
    sim = plant(tmp_path, "a")
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    sim.run(5 * SECOND)
    before = {name: link(why(sim, "d"), name).at for name in ("plan", "published", "delivered")}
    assert all(before.values())
    sim.restart_manager(away=SECOND)
    sim.run(MINUTE)
    assert {name: link(why(sim, "d"), name).at for name in before} == before


def test_a_guard_is_what_is_in_the_way_until_somebody_confirms(tmp_path: Path) -> None:
    """The link names the field and the digest; afterwards the plan says who let it through."""
    sim = line_of(tmp_path, "  guards: {maxRestart: 1}\n")
    for number in (0, 1):
        text = daemon_yaml(f"d{number}", EVERYWHERE + "  run: {args: [x]}\n")
        (sim.specs / f"line/d{number}.yaml").write_text(text)
    sim.write("line/d2.yaml", daemon_yaml("d2", EVERYWHERE + "  run: {args: [x]}\n"))
    sim.run(20 * SECOND)
    chain = why(sim, "d2")
    assert chain.in_the_way is not None
    assert (chain.in_the_way.link.name, chain.in_the_way.link.rule) == (
        "guard",
        "guards.maxRestart",
    )
    assert f"propeller confirm {digest_of(sim)}" in chain.in_the_way.link.do
    (plan,) = [one for one in sim.manager.store.plans() if one.guards and one.digest]
    assert plan.done == 0
    say_yes(sim, digest_of(sim))
    until_ready(sim)
    chain = why(sim, "d2")
    assert chain.in_the_way is None
    assert "guards.maxRestart of App line confirmed by ana" in link(chain, "plan").words


def test_after_a_rollback_the_rejected_version_is_in_the_way(tmp_path: Path) -> None:
    """By itself or by an operator: who, when, and why, and what to do."""
    tended = Plant(tmp_path, 20)
    sim = tended.sim
    tended.commit("v2", bad=True)
    assert sim.run(20 * MINUTE, until=lambda: tended.reason() == "RolledBack", every=SECOND)
    chain = why(sim, "d")
    found = chain.in_the_way
    assert found is not None
    assert chain.ready.status == "False"
    assert (found.link.name, found.link.state) == ("rollout", BROKEN)
    assert "was rejected by its rollout" in found.words
    assert "trap" in found.words
    assert f"propeller rollout resume {DAEMON}" in found.link.do
    since = found.link.at
    assert 0 < since <= sim.now
    sim.restart_manager(away=SECOND)
    sim.run(MINUTE)
    again = why(sim, "d").in_the_way
    assert again is not None
    assert again.link.at == since

    tended.commit("v3")
    assert sim.run(20 * MINUTE, until=lambda: tended.reason() == "Healthy", every=SECOND)
    chain = why(sim, "d")
    assert chain.in_the_way is None
    assert "was rejected by its rollout" in link(chain, "rollout").words

    assert tended.steer(SteerVerb.ROLLBACK)["done"] is True
    sim.run(MINUTE)
    found = why(sim, "d").in_the_way
    assert found is not None
    assert "was rejected by ada" in found.words
    assert "why not" in found.words


def history(sim: Sim) -> dict[int, dict[str, Any]]:
    """What became of each generation of the Daemon `d`."""
    facts = Facts(sim.manager.store, sim.now)
    (uid,) = [held.uid for held in facts.inventory.values() if held.object.meta.key == DAEMON]
    return {row["generation"]: row for row in pasts(facts, uid, DAEMON)}


def test_a_history_tells_what_became_of_each_generation(tmp_path: Path) -> None:
    """Deployed, rolled back by its rollout, rejected by an operator; with plan and approver."""
    tended = Plant(tmp_path, 20)
    sim = tended.sim
    tended.commit("v2", bad=True)
    assert sim.run(20 * MINUTE, until=lambda: tended.reason() == "RolledBack", every=SECOND)
    tended.commit("v3")
    assert sim.run(20 * MINUTE, until=lambda: tended.reason() == "Healthy", every=SECOND)
    rows = history(sim)
    assert [rows[number]["outcome"] for number in (1, 2, 3)] == [
        "deployed", "rolled back", "deployed",
    ]  # fmt: skip
    assert rows[2]["endedBy"] == "its rollout"
    assert "trap" in rows[2]["why"]
    assert rows[1]["last"] < rows[2]["ended"] < rows[3]["last"]
    assert rows[3]["approvedBy"] == "no guard tripped"
    assert rows[3]["plan"] != rows[2]["plan"] != ""

    answer = tended.steer(SteerVerb.ROLLBACK)
    assert "no sync brings it back" in str(answer["words"])
    assert "20 copies go back" in str(answer["words"])
    assert f"`propeller why {DAEMON}` tells" in str(answer["words"])
    sim.run(2 * MINUTE)
    rows = history(sim)
    assert (rows[3]["outcome"], rows[3]["endedBy"]) == ("rejected", "ada")
    assert rows[3]["why"] == "why not"
    assert rows[1]["outcome"] == "deployed"


@pytest.mark.parametrize(
    ("states", "current", "outcome"),
    [
        (["Progressing", "Healthy", "Offline"], False, "deployed"),
        (["Progressing", "Failed"], True, "failed"),
        (["Progressing"], True, "under way"),
        (["Progressing"], False, "superseded"),
        (["RollingOut", "RolledBack"], False, "rolled back"),
    ],
)
def test_states_make_one_outcome(states: list[str], current: bool, outcome: str) -> None:
    """The best that it ever was, else the worst."""
    rows = [
        HistoryRow(
            uid=Uid("u"), digest=Digest("d"), generation=1, outcome=state, revision="r",
            first=number, last=number, count=1,
        )
        for number, state in enumerate(states)
    ]  # fmt: skip
    assert end_of(rows, None, current=current).outcome == outcome


def test_copies_that_trap_are_one_story(tmp_path: Path) -> None:
    """Forty copies, ten of which fail alike: two groups, the bad one first."""
    sim = plant(tmp_path, "")
    names = [f"p{number:02}" for number in range(40)]
    sim.write("fleet.yaml", "\n---\n".join(_proplet(name) for name in names))
    for number, name in enumerate(names):
        sim.add(name, guests=Guests(traps=lambda _: True) if number % 4 == 0 else Guests())
    sim.write("t.yaml", task_yaml("t", EVERYWHERE))
    sim.run(2 * MINUTE)
    chain = why(sim, "t")
    assert [(one.count, one.state) for one in chain.groups] == [(10, BROKEN), (30, OK)]
    assert chain.in_the_way is not None
    assert chain.in_the_way.on == "p00, p04, p08 and 7 more"
    assert "propeller logs Task/default/t --proplet p00" in chain.in_the_way.link.do


def _proplet(name: str) -> str:
    return (
        "apiVersion: propeller.dev/v1alpha1\nkind: Proplet\n"
        f"metadata: {{name: {name}}}\nspec: {{heartbeat: 30s}}"
    )


def test_a_silent_device_and_a_lost_broker_are_told_apart(tmp_path: Path) -> None:
    """Where the path ends: at the device, or before the broker."""
    sim = plant(tmp_path, "ab")
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    sim.proplets["b"].kill()
    sim.run(3 * MINUTE)
    found = why(sim, "d").in_the_way
    assert found is not None
    assert (found.link.name, found.on, found.link.rule) == ("device", "b", "Offline")
    assert why(sim, "d", "a").groups[0].state == OK

    proplet = proplet_chain(
        Facts(sim.manager.store, sim.now),
        PropletId("b"),
        "Proplet/b",
        Ready("False", "Offline", "silent"),
        (),
    )
    assert proplet.in_the_way is not None
    assert proplet.in_the_way.link.name == "device"
    assert [group.names for group in proplet.groups] == [("Daemon/default/d",)]

    sim.kill_manager()
    sim.run(10 * MINUTE)
    sim.start_manager()
    facts = Facts(sim.manager.store, sim.now)
    (held,) = [one for one in facts.inventory.values() if one.object.meta.key.name == "d"]
    late = chain_of(facts, held, only=None)
    assert late.in_the_way is not None
    assert (late.in_the_way.link.name, late.in_the_way.link.rule) == ("broker", "NoEcho")
