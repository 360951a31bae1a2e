"""A fleet that is a site of a larger one: rounds asked for from above, and answered with sums."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from test_federated import REF, KilledError, a_fleet, done, killed, learning, rounds_of, spec

from propeller.cli.__main__ import main
from propeller.fl.fold import Contribution, Held
from propeller.fl.layout import Layout
from propeller.fl.model import write_model
from propeller.fl.partial import Range, from_body, mean_tiles
from propeller.fl.strategies.base import Round
from propeller.fl.strategies.registry import strategy
from propeller.model.ids import Digest, Key
from propeller.model.rounds import Blob, Order, RoundState, Step
from propeller.reconcile.asked import Asked
from propeller.reconcile.events import AskRound
from propeller.reconcile.upstream import FAILED, MADE, WANTS, WORKING
from propeller.rehearse.fleet import MINUTE, SECOND, STORM, Sim
from propeller.rehearse.guests import Guests
from propeller.rehearse.trainer import Trainer
from propeller.state.failpoints import At, arm, disarm
from propeller.wire.messages import Entry
from propeller.wire.signing import SigningKey
from propeller.wire.updates import Flag, Update, pack, signed_bytes, unpack, update_id

KEY = Key(*REF.split("/"))
ABOVE = "5b6a1c1e-1111-5222-8333-444455556666"
COUNT = 40
LAYOUT = Layout.flat(COUNT)
SAMPLES = {"n0": 7, "n1": 31, "n2": 12, "s0": 5, "s1": 90}
SITES = {"north": ("n0", "n1", "n2"), "south": ("s0", "s1")}


class Site:
    """A fleet of these proplets, and the questions of its gateway."""

    def __init__(
        self,
        folder: Path,
        *names: str,
        trainer: Callable[[str], Trainer] = lambda _: Trainer(count=COUNT, samples=SAMPLES),
        **more: Any,
    ) -> None:
        self.sim = sim = Sim(folder)
        sim.write(
            "trainer.wat", """(module (memory (export "memory") 1) (func (export "_start")))"""
        )
        for name in names:
            sim.add(name, guests=Guests(trainer=trainer(name)))
        sim.start_manager()
        cohort = {"clientsPerRound": len(names)}
        sim.write("fl.yaml", spec(rounds=100, upstream="Enabled", cohort=cohort, **more))
        assert sim.run(MINUTE, until=lambda: learning(sim).job and learning(sim).job.prepared)

    def module(self) -> str:
        (found,) = self.sim.manager.reconciler.world.modules.values()
        return str(found.digest)

    def ask(self, order: Order, module: str = "") -> Mapping[str, Any]:
        asked = Asked(KEY, order, module or self.module())
        answers = self.sim.manager.ask(lambda reply: AskRound(asked=asked, reply=reply))
        self.sim.run(50)
        return answers[-1] if answers else {"state": WORKING}

    def until(self, order: Order, *states: str, ms: int = 5 * MINUTE) -> Mapping[str, Any]:
        """Ask as a gateway does, until it is answered so."""
        end = self.sim.now + ms
        while True:
            words = self.ask(order)
            if words["state"] in states:
                return words
            assert self.sim.now < end, words
            self.sim.run(200)

    def keep(self, data: bytes) -> Blob:
        return Blob(Digest(self.sim.manager.keep(data)), len(data))

    def sums(self, words: Mapping[str, Any]) -> Any:
        data = self.sim.manager.shop.blobs.read(words["partial"]["digest"])
        return from_body(data, Range(first="a", last="a"), COUNT)


def order(number: int = 1, **more: Any) -> Order:
    return Order(**{"job": ABOVE, "round": number, "attempt": 1, "step": Step.TRAIN, **more})


def test_no_round_begins_before_one_is_asked_for(tmp_path: Path) -> None:
    """And the site says what it waits for."""
    site = Site(tmp_path, "n0", "n1")
    site.sim.run(MINUTE)
    assert learning(site.sim).round is None
    told = yaml.safe_load((site.sim.state.status / "default/FederatedTask/fl.yaml").read_text())
    ready = next(row for row in told["status"]["conditions"] if row["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("True", "NoRoundAsked")


def test_a_round_is_answered_with_the_sums_of_its_cohort(tmp_path: Path) -> None:
    """What it starts from is asked for first; asked again it is the same answer, and no round."""
    site = Site(tmp_path, *SITES["north"])
    model = write_model(LAYOUT, np.arange(COUNT, dtype=np.float32))
    wanted = order(base=Blob(Digest("sha256:" + "0" * 64), 5))
    words = site.ask(wanted)
    assert words == {"state": WANTS, "blobs": [wanted.base.digest]}
    wanted = order(base=site.keep(model), layout=site.keep(LAYOUT.to_json()))
    words = site.until(wanted, MADE)
    assert (words["samples"], words["members"], words["round"]) == (50, 3, 1)
    (round_,) = rounds_of(site.sim)
    assert (round_.base, round_.order) == (wanted.base, wanted)
    assert words["record"] == round_.record
    folder = site.sim.state.status / "default/FederatedTask/fl"
    told = yaml.safe_load((folder / "rounds/0001.yaml").read_text())
    named = {"job": ABOVE, "round": 1, "attempt": 1, "step": "train"}
    assert told["upstream"] == named
    status = yaml.safe_load(folder.with_suffix(".yaml").read_text())["status"]
    assert status["upstream"] == {**named, "served": True}
    assert site.sums(words).samples == 50
    assert site.ask(wanted) == words
    assert len(rounds_of(site.sim)) == 1
    site.sim.kill_manager()
    site.sim.start_manager()
    assert site.until(wanted, MADE) == words


def test_what_a_site_cannot_do_is_said_at_once(tmp_path: Path) -> None:
    """Another module, an object it does not have; more rounds than its spec allows."""
    site = Site(tmp_path, "n0", "n1")
    words = site.ask(order(), module="sha256:" + "1" * 64)
    assert words["state"] == FAILED
    assert "trains with" in words["why"]
    other = Asked(Key("FederatedTask", "default", "other"), order(), site.module())
    answers = site.sim.manager.ask(lambda reply: AskRound(asked=other, reply=reply))
    site.sim.run(100)
    assert "has no FederatedTask/default/other" in str(answers[0]["why"])
    site.until(order(1), MADE)
    site.sim.write("fl.yaml", spec(rounds=1, upstream="Enabled", cohort={"clientsPerRound": 2}))
    site.sim.run(5 * SECOND)
    assert site.ask(order(2))["why"] == "all 1 rounds of this site are committed"


def test_a_site_that_has_read_no_specs_yet_is_asked_again(tmp_path: Path) -> None:
    """Its very first start: that it does not have the task yet is no failure of the round."""
    sim = Sim(tmp_path)
    (sim.specs / "broken.yaml").write_text("kind: [")
    sim.start_manager()
    asked = Asked(KEY, order(), "sha256:" + "1" * 64)
    answers = sim.manager.ask(lambda reply: AskRound(asked=asked, reply=reply))
    sim.run(SECOND)
    assert answers == [{"state": WORKING}]


def test_a_round_that_fails_is_said_and_the_next_is_another_try(tmp_path: Path) -> None:
    """The fleet above hears why; the next order starts with a clean slate."""
    site = Site(tmp_path, "n0", "n1", maxAttempts=1, roundDeadline="20s")
    for name in ("n0", "n1"):
        site.sim.proplets[name].guests = Guests(trainer=Trainer(declines=frozenset({name})))
    words = site.until(order(1), FAILED)
    assert "needs 2" in words["why"]
    for name in ("n0", "n1"):
        site.sim.proplets[name].guests = Guests(trainer=Trainer(count=COUNT, samples=SAMPLES))
    assert site.until(order(1, attempt=2), MADE)["samples"] == 38


def test_a_round_nobody_waits_for_any_more_is_given_up(tmp_path: Path) -> None:
    """The fleet above went on: the site abandons what it collects, and holds what is asked now."""
    site = Site(tmp_path, "n0", "n1")
    for name in ("n0", "n1"):
        slow = Guests(run_ms=(MINUTE, MINUTE), trainer=Trainer(count=COUNT, samples=SAMPLES))
        site.sim.proplets[name].guests = slow
    site.until(order(1), WORKING)
    assert site.sim.run(MINUTE, until=lambda: bool(site.sim.running()))
    words = site.until(order(2), MADE)
    assert words["samples"] == 38
    states = [(one.order.round, one.state) for one in rounds_of(site.sim)]
    assert states == [(1, RoundState.ABANDONED), (2, RoundState.COMMITTED)]
    assert learning(site.sim).job.failures == 0


def test_a_model_from_above_is_measured_by_the_devices_of_the_site(tmp_path: Path) -> None:
    """The mean of what they measured, weighted by samples, and how many samples there are."""
    site = Site(tmp_path, "n0", "n1")
    model = site.keep(write_model(LAYOUT, np.zeros(COUNT, np.float32)))
    wanted = order(3, step=Step.EVALUATE, base=model, layout=site.keep(LAYOUT.to_json()))
    words = site.until(wanted, MADE)
    assert words["members"] == 2
    assert words["samples"] > 0
    assert "accuracy" in words["metrics"]
    assert "partial" not in words
    assert site.until(order(4, base=model), MADE)["members"] == 2


def f32_of(base: np.ndarray, contributions: list[Contribution]) -> np.ndarray:
    """One step of FedAvg."""
    return (
        strategy("FedAvg", {})
        .step(Round(base=base, contributions=tuple(contributions), state=None, clients=9))
        .model
    )


def test_rounds_of_sites_are_the_rounds_of_one_fleet(tmp_path: Path) -> None:
    """Two sites, one in a storm, against a fleet of all their devices: the same seeds, so the same
    updates. The joined sums are its model; and where each site sends the mean of its own as f32, as
    a proplet does, the model is that within one rounding more of each: 2^-24 of the means, and one
    unit in the last place."""
    sites = [Site(tmp_path / name, *names) for name, names in SITES.items()]
    sites[1].sim.set_weather(STORM)
    flat = a_fleet(tmp_path / "flat", 0)
    for name in SAMPLES:
        flat.add(name, guests=Guests(trainer=Trainer(count=COUNT, samples=SAMPLES)))
    flat.start_manager()
    more = {"rounds": 2, "retainUpdates": "Enabled", "cohort": {"clientsPerRound": 5}}
    flat.write("fl.yaml", spec(**more))
    assert flat.run(5 * MINUTE, until=lambda: learning(flat).job and learning(flat).job.done == 2)
    above = learning(flat).job.job
    blobs = flat.manager.shop.blobs
    for round_ in rounds_of(flat):
        base = np.zeros(COUNT, np.float32)
        asked: dict[str, Any] = {"job": above}
        if round_.base:
            data = blobs.read(round_.base.digest)
            base = np.frombuffer(data[-4 * COUNT :], "<f4").astype(np.float32)
            asked["layout"] = LAYOUT.to_json()
            asked["base"] = data
        parts, means = [], []
        for site in sites:
            told = {
                name: site.keep(data) if isinstance(data, bytes) else data
                for name, data in asked.items()
            }
            words = site.until(order(round_.number, **told), MADE)
            parts.append(site.sums(words))
            mean = (parts[-1].sums / parts[-1].samples).astype(np.float32)
            means.append(Contribution(proplet=str(len(means)), samples=words["samples"],
                                      deltas=Held(mean)))  # fmt: skip
        updates = []
        for part in round_.accepted:
            body = unpack(blobs.read(part.update.digest), max_body=1 << 20).body
            delta = np.frombuffer(body, "<f4").astype(np.float32)
            updates.append(
                Contribution(proplet=part.proplet, samples=part.samples, deltas=Held(delta))
            )
        whole = f32_of(base, updates)
        assert whole.tobytes() == blobs.read(round_.fold.model.digest)[-4 * COUNT :]
        # sums are exact: a leaf for each site and one rounding
        leaves = [
            type(part)(range=Range(first=f"{at}", last=f"{at}"), samples=part.samples,
                       sums=part.sums)
            for at, part in enumerate(parts)
        ]  # fmt: skip
        ((_, mean),) = mean_tiles(leaves, COUNT)
        by_leaf = np.zeros(COUNT, np.float64)
        for names in SITES.values():
            leaf = np.zeros(COUNT, np.float64)
            for one in sorted(updates, key=lambda one: one.proplet):
                if one.proplet in names:
                    leaf += one.samples * one.deltas.read(0, COUNT).astype(np.float64)
            by_leaf += leaf
        assert mean.tobytes() == (by_leaf / sum(SAMPLES.values())).tobytes()
        # means of f32 are one rounding away
        joined = f32_of(base, means)
        total = sum(one.samples for one in means)
        weight = sum(one.samples * np.abs(one.deltas.read(0, COUNT).astype(np.float64))
                     for one in means) / total  # fmt: skip
        bound = 2.0**-24 * weight + np.spacing(np.abs(whole)).astype(np.float64)
        assert np.all(np.abs(joined.astype(np.float64) - whole) <= bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate(Trainer):
    """What a gateway proplet does: the site holds the round, its sums are the update."""

    site: Site

    def update(
        self,
        entry: Entry,
        proplet: str,
        key: SigningKey,
        blobs: Mapping[str, bytes],
        *,
        masked: Any = None,
    ) -> bytes:
        del proplet, masked
        fl = entry.fl
        assert fl is not None
        start = {
            name: self.site.keep(blobs[ref.digest])
            for name, ref in (("base", fl.model), ("layout", fl.layout))
            if ref is not None
        }
        asked = order(fl.round, job=fl.job, attempt=fl.attempt, **start)
        if fl.round == 2:  # in the middle of it the site's reconciler dies
            self.site.until(asked, WORKING)
            self.site.sim.run(20)
            self.site.sim.restart_manager(away=300)
        words = self.site.until(asked, MADE)
        update = Update(
            encoding=fl.format,
            job=uuid.UUID(fl.job).bytes,
            round=fl.round,
            attempt=fl.attempt,
            samples=words["samples"],
            count=COUNT,
            base="" if fl.model is None else fl.model.digest,
            layout="" if fl.layout is None else fl.layout.digest,
            meta={},
            flags=Flag(0),
            body=self.site.sim.manager.shop.blobs.read(words["partial"]["digest"]),
        )
        unsigned = pack(replace(update, signature=bytes(64)))
        return unsigned[:-64] + key.sign(signed_bytes(update_id(unsigned), fl.nonce))


def test_sums_of_sites_make_the_model_to_the_last_bit(tmp_path: Path) -> None:
    """A fleet of two gateways whose format is `f64-partial`, its reconciler killed on the way, over
    two sites, one in a storm, each killed in the middle of a round; against a fleet of all five
    devices. Three rounds, each the bytes of a fold with a leaf for each site, and `fl verify` comes
    to the same."""
    sites = {name: Site(tmp_path / name, *names) for name, names in SITES.items()}
    sites["south"].sim.set_weather(STORM)
    flat = a_fleet(tmp_path / "flat", 0)
    for name in SAMPLES:
        flat.add(name, guests=Guests(trainer=Trainer(count=COUNT, samples=SAMPLES)))
    above = a_fleet(tmp_path / "above", 0)
    for name, site in sites.items():
        above.add(f"gate-{name}", guests=Guests(trainer=Gate(count=COUNT, site=site)))
    common = {"rounds": 3, "retainUpdates": "Enabled"}
    for sim, clients, more in ((flat, 5, {}), (above, 2, {"updateFormat": "f64-partial"})):
        sim.start_manager()
        sim.write("fl.yaml", spec(**common, **more, cohort={"clientsPerRound": clients}))
    assert flat.run(5 * MINUTE, until=lambda: done(flat) == 3)
    assert above.run(5 * MINUTE, until=lambda: done(above) == 1), above.what_is_not()
    above.restart_manager(away=300)
    assert above.run(5 * MINUTE, until=lambda: done(above) == 3), above.what_is_not()
    assert learning(above).job.job == learning(flat).job.job
    model = np.zeros(COUNT, np.float32)
    blobs = above.manager.shop.blobs
    for upper, lower in zip(rounds_of(above), rounds_of(flat), strict=True):
        whole = np.zeros(COUNT, np.float64)
        for names in SITES.values():
            leaf = np.zeros(COUNT, np.float64)
            for part in lower.accepted:
                if part.proplet in names:
                    data = flat.manager.shop.blobs.read(part.update.digest)
                    delta = np.frombuffer(unpack(data, max_body=1 << 20).body, "<f4")
                    leaf += part.samples * delta.astype(np.float64)
            whole += leaf
        model = (model + whole / sum(SAMPLES.values())).astype(np.float32)
        found = blobs.read(upper.fold.model.digest)[-4 * COUNT :]
        assert found == model.astype("<f4").tobytes()
        assert [part.samples for part in upper.accepted] == [50, 95]
    above.kill_manager()
    state = str(above.state.path)
    assert main(["fl", "verify", "fl", "3", "--state", state]) == 0
    assert main(["fl", "fold", "fl", "3", "--state", state, "--to", str(tmp_path / "x")]) == 2


def test_a_site_of_sites_adds_up_their_sums(tmp_path: Path) -> None:
    """Three floors: what goes up from the middle one is the sum of the two below, bit for bit."""
    sites = {name: Site(tmp_path / name, *names) for name, names in SITES.items()}
    middle = Site(
        tmp_path / "middle",
        *SITES,
        trainer=lambda name: Gate(count=COUNT, site=sites[name]),
        updateFormat="f64-partial",
    )
    words = middle.until(order(), MADE)
    assert (words["samples"], words["members"]) == (145, 2)
    below = []
    for site in sites.values():
        (round_,) = rounds_of(site.sim)
        data = site.sim.manager.shop.blobs.read(round_.fold.partial.digest)
        below.append(from_body(data, Range(first="a", last="a"), COUNT))
    found = middle.sums(words)
    assert found.samples == sum(one.samples for one in below)
    assert found.sums.tobytes() == (np.zeros(COUNT) + below[0].sums + below[1].sums).tobytes()


def test_sums_that_are_none_are_refused(tmp_path: Path) -> None:
    """A gateway that lies about its samples, or sends what is no number, is rejected by name."""
    bodies = {
        "a": np.append(np.ones(COUNT), 31.0),
        "b": np.append(np.full(COUNT, np.nan), 30.0),
        "c": np.append(np.ones(COUNT), 30.0),
        "d": np.append(np.full(COUNT, 1e300), 30.0),
    }

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Liar(Trainer):
        def update(self, entry: Entry, proplet: str, key: SigningKey, *_: Any, **__: Any) -> bytes:
            fl = entry.fl
            assert fl is not None
            update = Update(
                encoding="f64-partial", job=uuid.UUID(fl.job).bytes, round=fl.round,
                attempt=fl.attempt, samples=30, count=COUNT, base="", layout="", meta={},
                flags=Flag(0), body=bodies[proplet].astype("<f8").tobytes(),
            )  # fmt: skip
            unsigned = pack(replace(update, signature=bytes(64)))
            return unsigned[:-64] + key.sign(signed_bytes(update_id(unsigned), fl.nonce))

    sim = a_fleet(tmp_path, 0)
    for name in bodies:
        sim.add(name, guests=Guests(trainer=Liar()))
    sim.start_manager()
    cohort = {"clientsPerRound": 4, "minClients": 1}
    sim.write("fl.yaml", spec(rounds=1, updateFormat="f64-partial", cohort=cohort))
    assert sim.run(5 * MINUTE, until=lambda: done(sim) == 1), sim.what_is_not()
    (round_,) = rounds_of(sim)
    whys = {name: part.why for name, part in round_.parts.items()}
    assert "disagree about samples" in whys["a"]
    assert "not finite" in whys["b"]
    assert whys["c"] == ""
    assert "not finite" in whys["d"]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a site answers to two rounds in which nothing happens."""
    return answers_of(Site(tmp_path_factory.mktemp("quiet"), *SITES["north"]), lambda: None)


def answers_of(site: Site, died: Callable[[], None]) -> list[str]:
    found = []
    for number in (1, 2):
        wanted = order(number)
        end = site.sim.now + 10 * MINUTE
        while True:
            assert site.sim.now < end
            try:
                words = site.ask(wanted)
                if words["state"] == MADE:
                    break
                site.sim.run(200)
            except KilledError:
                disarm()
                died()
                site.sim.restart_manager(away=300)
                site.sim.run(SECOND)
        found += [words["partial"]["digest"], str(words["contributors"]), str(words["record"])]
    return found


@pytest.mark.parametrize(
    ("point", "hit"),
    [
        ("upstream.asked", 1),
        ("upstream.asked", 2),
        ("learning.row", 1),
        ("learning.row", 4),
        ("learning.folded", 1),
        ("learning.committed", 1),
        ("learning.committed", 2),
        ("state.committed", 15),
        ("state.statement", 150),
    ],
)
def test_a_site_killed_anywhere_answers_the_same_sums(
    tmp_path: Path, quiet: list[str], point: str, hit: int
) -> None:
    """kill -9 before the order is kept, in the round, before the answer: the same bytes, once."""
    deaths: list[int] = []
    site = Site(tmp_path, *SITES["north"])
    arm(point, At(hit, killed))
    try:
        found = answers_of(site, lambda: deaths.append(1))
    finally:
        disarm()
    assert deaths == [1], "nobody was killed"
    assert found == quiet
