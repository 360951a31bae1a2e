"""Native code goes to devices that offer to run it, and to nobody else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from forged import retained_desired
from plants import until_ready
from specs_text import EVERYWHERE, WAT, daemon_yaml, proplet_yaml

from propeller.cli.chain import chain_of
from propeller.cli.chainfacts import Facts
from propeller.model.ids import PropletId, sha256_digest
from propeller.model.module import Aot, Module
from propeller.model.seen import RunState
from propeller.rehearse.fleet import MINUTE, SECOND, Sim
from propeller.wire.messages import WireAot

IMAGE = "registry.example/plant/filter:1.4"
WASI = "wasi_snapshot_preview1"
M3 = Aot("thumbv7/wamr-6", sha256_digest(b"native code of the filter"), 25)
NAME = "Daemon/default/i"


def _spec(module: str) -> str:
    return daemon_yaml("i", EVERYWHERE).replace("{file: m.wat}", module)


def _plant(tmp_path: Path) -> Sim:
    """Two devices, one of which runs native code, and an image that has some."""
    sim = Sim(tmp_path)
    sim.write("m.wat", WAT)
    sim.write("fleet.yaml", proplet_yaml("ab"))
    sim.write("m.yaml", daemon_yaml("m", EVERYWHERE))
    sim.add("a", imports=(WASI, "aot:thumbv7/wamr-6"))
    sim.add("b", imports=(WASI, "aot:thumbv7em/wamr-6"))
    sim.start_manager()
    until_ready(sim)
    modules = sim.manager.reconciler.world.modules.values()
    module = next(one for one in modules if isinstance(one, Module))
    for name in (IMAGE, f"oci://{IMAGE}"):
        sim.images[name] = replace(module, aot=(M3,))
    return sim


def _aot(sim: Sim, proplet: str) -> WireAot | None:
    """What a device is told to run instead of the Wasm."""
    tasks = retained_desired(sim, proplet).tasks
    assert tasks is not None
    (entry,) = [one for one in tasks if one.ref == NAME]
    return entry.module.aot


def _builds(sim: Sim, proplet: str) -> list[str]:
    """What `propeller why` says of the build that a copy runs."""
    facts = Facts(sim.manager.store, sim.now)
    (held,) = [one for one in facts.inventory.values() if one.object.meta.key.name == "i"]
    chain = chain_of(facts, held, only=PropletId(proplet))
    return [one.words for group in chain.groups for one in group.links if one.name == "build"]


def test_only_who_offered_it_is_given_native_code(tmp_path: Path) -> None:
    """Its bytes are granted to that device alone; the other runs the Wasm, and `why` says so."""
    sim = _plant(tmp_path)
    sim.write("i.yaml", _spec(f"{{image: {IMAGE}, aot: Allowed}}"))
    sim.run(20 * SECOND)
    assert _aot(sim, "a") == WireAot(digest=M3.digest, size=M3.size, target=M3.target)
    assert _aot(sim, "b") is None
    grants = sim.manager.reconciler.world.grants
    assert [M3.digest in grants[PropletId(name)] for name in "ab"] == [True, False]
    assert sim.running()[NAME] == ["b"]
    (told,) = _builds(sim, "a")
    assert told.startswith("native code for thumbv7/wamr-6, 25 bytes, ")
    words = "the Wasm: no native build for thumbv7em/wamr-6; there are: thumbv7/wamr-6"
    assert _builds(sim, "b") == [words]


def test_a_device_that_offers_it_no_more_gets_the_wasm(tmp_path: Path) -> None:
    """The agents of this fleet are those for Linux: they refuse native code, and go on with the
    Wasm once it is not offered any more."""
    sim = _plant(tmp_path)
    sim.write("i.yaml", _spec(f"{{image: {IMAGE}, aot: Allowed}}"))
    sim.run(20 * SECOND)
    (run,) = [one for one in sim.seen("a").runs.values() if one.state is RunState.REFUSED]
    assert run.error == "native code for thumbv7/wamr-6 is not run here"
    one = sim.proplets["a"]
    one.kill()
    one.imports = (WASI,)
    one.boot()
    assert sim.run(2 * MINUTE, until=lambda: sim.running().get(NAME) == ["a", "b"])
    assert _aot(sim, "a") is None
    assert _builds(sim, "a") == ["the Wasm: it offers to run no native code"]


def test_without_the_specs_word_nobody_is_given_native_code(tmp_path: Path) -> None:
    """Even where builds were found for another object that names the same image."""
    sim = _plant(tmp_path)
    module = sim.images[IMAGE]
    assert isinstance(module, Module)
    for name in (IMAGE, f"oci://{IMAGE}"):
        sim.images[name] = replace(module, aot=())
    sim.write("i.yaml", _spec(f"{{image: {IMAGE}}}"))
    until_ready(sim)
    assert _aot(sim, "a") is None
    assert _builds(sim, "a") == []
