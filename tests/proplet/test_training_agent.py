"""Rounds of federated learning in the pure agent: what it fetches, keeps, and gives away."""

from __future__ import annotations

import queue
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from proplet_agent_world import INST, ROOT, World, a_task, key, module

from propeller.errors import Unavailable
from propeller.wire.messages import BlobRef, Entry, WireTraining
from proplet.agent import Agent
from proplet.effects import Fetch, InUse, Outcome, Start
from proplet.pulls import Pulls
from proplet.records import AgentConfig
from proplet.seals import Seals


def sha(letter: str) -> str:
    return "sha256:" + letter * 64


def a_round(number: int, model: str, *, layout: str = "f") -> Entry:
    """Round `number`, from the model called `model`."""
    fl = WireTraining(
        job="11111111-2222-3333-4444-555555555555",
        round=number,
        attempt=1,
        step="train",
        format="f32-delta",
        nonce="0" * 32,
        seed="0" * 16,
        model=BlobRef(digest=sha(model), size=100),
        layout=BlobRef(digest=sha(layout), size=50),
    )
    return a_task(number, cause=f"round:{number}", module=module("e"), fl=fl)


def test_module_model_and_layout_are_there_before_the_guest_starts() -> None:
    """All three are fetched, in whatever order they come."""
    world = World(auto=False)
    world.connect()
    world.want(a_round(1, "a"))
    assert {effect.digest for effect in world.all(Fetch)} == {sha("e"), sha("a"), sha("f")}
    for letter in ("f", "e"):
        world.do(world.agent.fetched(sha(letter), world.now))
    assert world.state(a_round(1, "a")) == "Fetching"
    world.do(world.agent.fetched(sha("a"), world.now))
    entry = a_round(1, "a")
    world.do(world.agent.prepared(key(entry), entry.digest, world.now))
    assert world.started() == [entry.run]


def test_a_model_that_is_in_a_registry_is_pulled_from_there() -> None:
    """The model alone: layout and module are not in that repository."""
    world = World(auto=False)
    world.connect()
    entry = a_round(2, "a")
    assert entry.fl is not None
    world.want(replace(entry, fl=replace(entry.fl, image="r.example/models/anomaly")))
    found = {effect.digest: effect.image for effect in world.all(Fetch)}
    assert found == {sha("e"): None, sha("a"): "r.example/models/anomaly", sha("f"): None}


def test_a_pull_is_tried_again_where_it_is_patient() -> None:
    """The third try has it; without patience the first trouble is the answer."""
    calls: list[str] = []
    told: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()

    def pull(image: str, digest: str, destination: Path) -> None:
        calls.append(digest)
        if len(calls) < 3:
            raise Unavailable(f"{image} has no {digest}")
        destination.write_text("here")

    pulls = Pulls(pull, lambda what: what())
    done = lambda digest, trouble: told.put((digest, trouble))  # noqa: E731  short and once
    pulls.begin("r.example/m", "a", Path("/dev/null"), done)
    assert told.get(timeout=20) == ("a", "r.example/m has no a")
    pulls.begin("r.example/m", "b", Path("/dev/null"), done, pauses=(0.0, 0.0))
    assert told.get(timeout=20) == ("b", "")
    assert calls == ["a", "b", "b"]


def test_a_model_that_cannot_be_had_is_the_reason_shown() -> None:
    """The run waits, and the report says for what."""
    world = World(auto=False)
    world.connect()
    world.want(a_round(1, "a"))
    for letter in ("e", "f"):
        world.do(world.agent.fetched(sha(letter), world.now))
    world.do(world.agent.fetch_failed(sha("a"), "nobody has it", world.now))
    run = world.run(a_round(1, "a"))
    assert run is not None
    assert (run.state, run.error) == ("Fetching", "ArtifactFetchFailed: nobody has it")


def test_the_last_two_models_stay() -> None:
    """Eviction spares the two newest models that were trained from, and no older one."""
    world = World()
    for number, model in enumerate("abc", 1):
        entry = a_round(number, model)
        world.want(entry, gen=number)
        world.end(key(entry), Outcome(ok=True, exit=0))
    world.want(gen=9)
    assert world.all(InUse)[-1].digests == {sha("b"), sha("c")}


def test_an_interrupted_round_is_not_begun_again_by_the_agent() -> None:
    """It says Interrupted; whether there is another try, with the same seed, is the manager's."""
    world = World()
    world.want(a_round(1, "a"))
    world.crash()
    world.connect()
    assert world.state(a_round(1, "a")) == "Interrupted"
    assert not world.all(Start)


def test_logs_of_a_round_stay_on_the_device() -> None:
    """They can hold anything the module saw; only the owner's setting lets them out."""
    world = World()
    world.connect()
    world.want(a_round(1, "a"))
    (refused,) = world.op("logs", a_round(1, "a"), stream="stdout")
    assert refused.state == "refused"
    assert "its owner keeps its logs" in refused.text
    config = AgentConfig(hello=world.hello, ship_training=True)
    stored = world.disk.stored()
    assert world.hello.inst == INST
    world.agent = Agent(config, stored, seals=Seals(ROOT.public), rng=world.agent._runs._rng)
    world.do(world.agent.boot(world.now))
    world.connect()
    (accepted,) = world.op("logs", replace(a_round(1, "a")), stream="stdout")
    assert accepted.state == "accepted"


def test_an_agent_that_does_not_train_never_loads_numpy() -> None:
    """Neither at start nor for its workers: an idle proplet stays small."""
    code = "import proplet.__main__, proplet.shell, proplet.runtime.worker, sys; print(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "proplet.training" in done.stdout
    assert "numpy" not in done.stdout
