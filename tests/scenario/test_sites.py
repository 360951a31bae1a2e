"""Sites with reconcilers and brokers of their own, joined into the model of one fleet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from propeller.cli.__main__ import main
from propeller.fl.fold import Contribution, Held
from propeller.fl.model import model_digest, read_model
from propeller.model.rounds import RoundState
from propeller.rehearse.fleet import MINUTE, STORM, Sim
from propeller.rehearse.guests import Guests
from propeller.rehearse.trainer import Trainer
from propeller.state.keys import Keys
from propeller.wire.updates import unpack

COUNT = 300
NAMES = {"north": ("n0", "n1", "n2"), "south": ("s0", "s1", "s2", "s3")}
SAMPLES = {
    name: 7 + 11 * index
    for index, name in enumerate(name for ids in NAMES.values() for name in ids)
}
TRAINER = """(module (memory (export "memory") 1) (func (export "_start")))"""


def spec(clients: int, **more: Any) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "propeller.dev/v1alpha1",
            "kind": "FederatedTask",
            "metadata": {"name": "fl"},
            "spec": {
                "module": {"file": "trainer.wat"},
                "rounds": 1,
                "cohort": {
                    "clientsPerRound": clients,
                    "minClients": clients,
                    "overProvision": "1",
                    "close": "Cohort",
                },
                "roundDeadline": "2m",
                "retainUpdates": "Enabled",
                **more,
            },
        }
    )


class Fleet:
    """Proplets with their own broker and reconciler, that held the task's one round."""

    def __init__(
        self, folder: Path, *names: str, rough: bool = False, model: bytes | None = None
    ) -> None:
        folder.mkdir()
        self.sim = sim = Sim(folder)
        more: dict[str, Any] = {"model": {"layout": [{"name": "w", "shape": [COUNT // 10, 10]}]}}
        if model is not None:
            (sim.specs / "start.safetensors").write_bytes(model)
            more["model"] = {"file": "start.safetensors", "initial": model_digest(model)}
        sim.write("trainer.wat", TRAINER)
        for name in names:
            sim.add(name, guests=Guests(trainer=Trainer(count=COUNT, samples=SAMPLES)))
        sim.start_manager()
        if rough:
            sim.set_weather(STORM)
        sim.write("fl.yaml", spec(len(names), **more))
        if rough:
            collecting = RoundState.COLLECTING
            assert sim.run(MINUTE, until=lambda: self._state() is collecting)
            sim.restart_manager()
        assert sim.run(5 * MINUTE, until=lambda: self._state() is RoundState.COMMITTED)
        known = sim.manager.reconciler.world.learning.known
        self.round = next(iter(known.values())).round
        self.blobs = sim.manager.shop.blobs
        self.model = self.blobs.read(self.round.fold.model.digest)
        self.key = Keys(sim.state.keys).manager().public.text
        sim.kill_manager()

    def _state(self) -> RoundState | None:
        known = self.sim.manager.reconciler.world.learning.known
        round_ = next((one.round for one in known.values()), None)
        return None if round_ is None else round_.state

    def fold(self, to: Path, *more: str) -> int:
        state = str(self.sim.state.path)
        return main(["fl", "fold", "fl", "1", "--state", state, "--to", str(to), *more])

    def contributions(self) -> list[Contribution]:
        """The updates of its round, as an auditor reads them."""
        found = []
        for part in self.round.accepted:
            update = unpack(self.blobs.read(part.update.digest), max_body=1 << 20)
            delta = np.frombuffer(update.body, "<f4").astype(np.float32)
            found.append(
                Contribution(proplet=part.proplet, samples=part.samples, deltas=Held(delta))
            )
        return found


def join(to: Path, updates: list[Path], keys: list[str], *more: str) -> int:
    named = [text for key in keys for text in ("--key", key)]
    return main(["fl", "join", *map(str, updates), *named, "--to", str(to), *more])


def weights(data: bytes) -> np.ndarray:
    return read_model(data, max_count=COUNT)[1]


def expected(base: np.ndarray, everybody: list[Contribution]) -> np.ndarray:
    """The next model, one number after the other as the page says it: a leaf for each site."""
    whole = np.zeros(COUNT, np.float64)
    for ids in NAMES.values():
        leaf = np.zeros(COUNT, np.float64)
        for one in sorted(everybody, key=lambda one: one.proplet):
            if one.proplet in ids:
                leaf += one.samples * one.deltas.read(0, COUNT).astype(np.float64)
        whole += leaf
    total = sum(one.samples for one in everybody)
    return (base.astype(np.float64) + whole / total).astype(np.float32)


def test_joined_sites_make_the_model_of_one_fleet(tmp_path: Path) -> None:
    """Two sites, one of them in a storm and with its reconciler killed in the round, against a
    fleet of all seven: the same seeds, so the same updates, so the bytes of a fold over the same
    leaves; and a second round that starts from the joined model."""
    start: bytes | None = None
    begin = ["--zeros", str(tmp_path / "like")]
    base = np.zeros(COUNT, np.float32)
    for number in (1, 2):
        here = tmp_path / f"round{number}"
        here.mkdir()
        sites = [
            Fleet(here / name, *ids, rough=name == "south", model=start)
            for name, ids in NAMES.items()
        ]
        flat = Fleet(here / "flat", *SAMPLES, model=start)
        assert {site.round.job for site in sites} == {flat.round.job}
        files = [here / name for name in ("one", "two")]
        for site, file in zip(sites, files, strict=True):
            assert site.fold(file) == 0
            assert file.stat().st_size < 8 * (COUNT + 1) + 1024
        if number == 1:
            (tmp_path / "like").write_bytes(sites[0].model)
        keys = [site.key for site in sites]
        to, record, again = here / "model", here / "record", here / "again"
        assert join(to, files, keys, *begin, "--record", str(record), "--min-clients", "7") == 0
        found = weights(to.read_bytes())
        assert found.tobytes() == expected(base, flat.contributions()).tobytes()
        assert np.allclose(found, weights(flat.model), rtol=1e-6, atol=1e-7)
        told = json.loads(record.read_text())
        assert told["model"] == model_digest(to.read_bytes())
        assert [one["members"] for one in told["sites"]] == [3, 4]
        assert [one["first"] for one in told["sites"]] == ["n0", "s0"]
        assert join(again, files[::-1], keys[::-1], *begin) == 0
        assert again.read_bytes() == to.read_bytes()
        base, begin, start = found, ["--base", str(to)], to.read_bytes()


def test_a_site_that_is_away_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are the model, to the last bit of their own reconciler; `--min-clients` says how
    many must be behind it, and nothing is written where they are not."""
    site = Fleet(tmp_path / "north", *NAMES["north"])
    update, like, to = tmp_path / "update", tmp_path / "like", tmp_path / "model"
    like.write_bytes(site.model)
    assert site.fold(update) == 0
    other = Keys(tmp_path / "other").manager().public.text
    begin = ("--zeros", str(like))
    for keys, more, words in (
        ([site.key], ("--min-clients", "4"), "3 proplets are behind these updates, needs 4"),
        ([other], (), "bad-signature"),
    ):
        assert join(to, [update], keys, *begin, *more) == 2
        assert words in capsys.readouterr().err
        assert not to.exists()
    assert join(to, [update], [site.key], "--base", str(like)) == 2
    assert "wrong-base" in capsys.readouterr().err
    assert join(to, [update, update], [site.key, other, site.key], *begin) == 2
    assert "duplicate" in capsys.readouterr().err
    assert join(to, [update], [site.key, other], *begin, "--min-clients", "3") == 0
    assert to.read_bytes() == site.model
    assert site.fold(update, "--range", "n0", "n1") == 2
    assert "n2 is not of n0 to n1" in capsys.readouterr().err
    assert site.fold(update, "--range", "n\udc80", "nz") == 2
    assert "ids of proplets" in capsys.readouterr().err
    assert site.fold(update, "--range", "nz", "n") == 2
    assert site.fold(update, "--range", "n", "nz") == 0
    assert join(to, [update], [site.key], *begin) == 0
    assert to.read_bytes() == site.model
