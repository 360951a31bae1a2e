"""Secrets from a sealed file to a guest: what restarts, what does not, and where no value is."""

from __future__ import annotations

import base64
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from specs_text import WAT, daemon_yaml, proplet_yaml

from propeller.rehearse.fleet import CALM, MINUTE, SECOND, STORM, Sim
from propeller.secrets.age import Identities
from propeller.wire.boxes import BoxKey, PointKey

VALUE, OTHER = "correct-horse-battery", "staple-of-the-stable"
USES = (
    "  placement: {perProplet: true}\n"
    "  run:\n    env:\n      - {name: TOKEN, secretRef: {name: broker, key: token}}\n"
)


def _maker() -> ModuleType:
    if "sops_maker" not in sys.modules:
        place = Path(__file__).parents[1] / "secrets" / "sops_maker.py"
        spec = importlib.util.spec_from_file_location("sops_maker", place)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["sops_maker"] = module
        spec.loader.exec_module(module)
    return sys.modules["sops_maker"]


class Plant:
    """Two proplets, a Daemon that uses a Secret, and the identity that opens it."""

    def __init__(self, folder: Path, *, keys: bool = True, **more: object) -> None:
        self.folder = folder
        self.maker = _maker()
        self.identity = self.maker.Identity()
        self.sim = sim = Sim(folder, **more)  # type: ignore[arg-type]  # options of Sim
        if keys:
            sim.identities = Identities(text=self.identity.text)
        sim.write("m.wat", WAT)
        sim.write("fleet.yaml", proplet_yaml(["a", "b"]))
        self.seal("token", VALUE)
        sim.write("d.yaml", daemon_yaml("d", USES))
        for name in ("a", "b"):
            sim.add(name, box=box_of(name))

    def seal(self, key: str, value: str, *, turn: int = 0) -> None:
        """Write the Secret."""
        text = self.maker.secret_yaml("broker", {key: value}, self.identity, turn=turn)
        self.sim.write("secret.yaml", text)

    def given(self) -> dict[str, str]:
        """What the guests have, by proplet."""
        ref = "Daemon/default/d"
        return {
            one.id: one.secrets[ref]["TOKEN"]
            for one in self.sim.proplets.values()
            if ref in one.secrets
        }

    def begun(self) -> int:
        """How often the Daemon was started, on all of them."""
        return sum(one.refs["Daemon/default/d"] for one in self.sim.proplets.values())

    def settle(self) -> None:
        """Until everything is Ready."""
        self.sim.run(SECOND)
        assert self.sim.run(MINUTE, until=self.sim.ready), self.sim.what_is_not()

    def reasons(self, name: str) -> set[str]:
        """Why the object is not ready."""
        for held in self.sim.manager.reconciler.world.objects.values():
            if held.object.meta.key.name == name:
                return {
                    one.reason
                    for one in self.sim.manager.reconciler.projection.conditions(held.uid)
                    if one.status != "True" or one.type in ("Blocked", "Stalled")
                }
        return set()


def box_of(name: str) -> BoxKey:
    """A device's encryption key: the same in every life."""
    return BoxKey.from_seed(name.encode().ljust(32, b"#"))


def test_a_guest_gets_the_value_and_nobody_else_does(tmp_path: Path) -> None:
    """Not in a document, a report, the store, a status file, the journal or on a device's disk."""
    plant = Plant(tmp_path)
    plant.sim.start_manager()
    plant.settle()
    assert plant.given() == {"a": VALUE, "b": VALUE}
    traffic = repr(plant.sim.trace) + repr(plant.sim.manager.control.sent)
    assert VALUE not in traffic
    disks = repr([one.disk for one in plant.sim.proplets.values()])
    assert VALUE not in disks
    plant.sim.kill_manager()
    for path in plant.sim.state.path.rglob("*"):
        if path.is_file():
            assert VALUE.encode() not in path.read_bytes(), path


def test_each_copy_is_sealed_apart(tmp_path: Path) -> None:
    """The same value for two devices has nothing in common."""
    plant = Plant(tmp_path)
    plant.sim.start_manager()
    plant.settle()
    sealed = {
        entry.sealed[0][1] for one in plant.sim.proplets.values() for entry in one.disk.entries
    }
    assert len(sealed) == 2


def test_a_rotated_secret_restarts_what_uses_it_and_says_why(tmp_path: Path) -> None:
    """The event names the Secret."""
    plant = Plant(tmp_path)
    plant.sim.start_manager()
    plant.settle()
    plant.seal("token", OTHER)
    plant.settle()
    assert plant.given() == {"a": OTHER, "b": OTHER}
    messages = [event.message for event in plant.sim.manager.store.events(limit=100)]
    assert "secret broker changed: on a" in messages


def test_sealing_anew_restarts_nothing(tmp_path: Path) -> None:
    """`sops updatekeys` or another recipient: every sealed byte differs, no value does."""
    plant = Plant(tmp_path)
    plant.sim.start_manager()
    plant.settle()
    sent = len(plant.sim.manager.documents())
    plant.seal("token", VALUE, turn=1)
    plant.settle()
    assert plant.begun() == 2
    assert len(plant.sim.manager.documents()) == sent


def test_a_restart_of_the_reconciler_publishes_nothing(tmp_path: Path) -> None:
    """Sealing gives the same bytes again, so the documents are the same."""
    plant = Plant(tmp_path)
    plant.sim.start_manager()
    plant.settle()
    plant.sim.restart_manager()
    plant.settle()
    plant.sim.run(30 * SECOND)
    assert plant.sim.manager.documents() == []
    assert plant.begun() == 2


def test_a_lost_store_restarts_nothing(tmp_path: Path) -> None:
    """Runs are named from values and the fleet's keys, neither of which is state."""
    plant = Plant(tmp_path)
    plant.sim.start_manager()
    plant.settle()
    plant.sim.kill_manager()
    plant.sim.delete_database()
    plant.sim.start_manager()
    plant.settle()
    assert plant.begun() == 2


def test_without_the_age_key_nothing_new_starts_and_nothing_stops(tmp_path: Path) -> None:
    """A reconciler that comes back without its key leaves the fleet as it is."""
    plant = Plant(tmp_path)
    plant.sim.start_manager()
    plant.settle()
    plant.sim.identities = Identities()
    plant.sim.restart_manager()
    plant.sim.run(MINUTE)
    assert plant.sim.running()["Daemon/default/d"] == ["a", "b"]
    assert plant.begun() == 2
    assert "SecretLocked" in plant.reasons("broker")
    assert "SecretLocked" in plant.reasons("d")
    plant.sim.identities = Identities(text=plant.identity.text)
    plant.sim.restart_manager()
    plant.settle()
    assert plant.begun() == 2


def test_a_key_that_is_brought_later_is_found(tmp_path: Path) -> None:
    """No restart and no commit is needed."""
    plant = Plant(tmp_path, keys=False)
    file = tmp_path / "age.key"
    plant.sim.identities = Identities(file=file)
    plant.sim.start_manager()
    plant.sim.run(MINUTE)
    assert plant.begun() == 0
    file.write_text(plant.identity.text)
    plant.sim.run(MINUTE)
    plant.settle()
    assert plant.given() == {"a": VALUE, "b": VALUE}


def test_a_missing_secret_blocks_and_a_removed_one_stops_nothing(tmp_path: Path) -> None:
    """In words; what runs goes on with what it has."""
    plant = Plant(tmp_path)
    plant.sim.start_manager()
    plant.settle()
    plant.sim.remove("secret.yaml")
    plant.sim.run(20 * SECOND)
    assert plant.sim.running()["Daemon/default/d"] == ["a", "b"]
    assert "SecretMissing" in plant.reasons("d")
    plant.seal("token", VALUE)
    plant.settle()
    assert plant.begun() == 2


def test_a_key_that_nobody_vouches_for_gets_no_secrets(tmp_path: Path) -> None:
    """A device whose signing key was merely pinned at its first hello: Blocked, in words."""
    plant = Plant(tmp_path, enrolled=False)
    plant.sim.start_manager()
    plant.sim.run(30 * SECOND)
    assert plant.begun() == 0
    assert "SecretKeyUnknown" in plant.reasons("d")
    declared = "\n".join(
        f"---\napiVersion: propeller.dev/v1alpha1\nkind: Proplet\nmetadata: {{name: {name}}}\n"
        f'spec: {{heartbeat: 10s, encryptionKey: "{box_of(name).public.text}"}}'
        for name in ("a", "b")
    )
    plant.sim.write("fleet.yaml", declared)
    plant.settle()
    assert plant.given() == {"a": VALUE, "b": VALUE}


def test_another_key_in_a_later_hello_is_not_sealed_to(tmp_path: Path) -> None:
    """Whoever gets hold of a device's signing key alone reads no secrets: the key is pinned."""
    plant = Plant(tmp_path)
    plant.sim.start_manager()
    plant.settle()
    one = plant.sim.proplets["a"]
    one.kill()
    one.box = BoxKey.from_seed(bytes(32))
    one.wipe()
    one.boot()
    plant.sim.run(30 * SECOND)
    seen = plant.sim.seen("a")
    assert seen.box.believed == ""
    assert "spec.encryptionKey" in seen.box.trouble
    assert plant.begun() == 2
    assert any("sealed to another key" in line for line in plant.sim.what_is_not())
    plant.sim.write(
        "fleet.yaml",
        proplet_yaml(["a", "b"]).replace(
            "spec: {heartbeat: 10s}",
            f'spec: {{heartbeat: 10s, encryptionKey: "{one.box.public.text}"}}',
            1,
        ),
    )
    plant.settle()
    assert plant.given() == {"a": VALUE, "b": VALUE}
    assert plant.begun() == 3


def test_an_enrolled_key_counts_and_no_other(tmp_path: Path) -> None:
    """The key directory says what is sealed to, whatever a hello says."""
    plant = Plant(tmp_path)
    plant.sim.enrolled_boxes = {"a": box_of("a").public, "b": box_of("x").public}  # type: ignore[dict-item]  # ids are text
    plant.sim.start_manager()
    plant.sim.run(30 * SECOND)
    assert plant.given() == {"a": VALUE}
    assert "known is" in plant.sim.seen("b").box.trouble


def test_each_device_is_sealed_to_by_its_own_scheme(tmp_path: Path) -> None:
    """X25519 for one, P-256 for a microcontroller, a new value for both; none for a device that
    says no key, or one of tomorrow, and the words say so."""
    plant = Plant(tmp_path)
    small = plant.sim.proplets["b"]
    small.kill()
    small.box = PointKey.from_seed(b"b" * 48)
    small.boot()
    plant.sim.start_manager()
    plant.settle()
    plant.seal("token", OTHER)
    plant.settle()
    assert plant.given() == {"a": OTHER, "b": OTHER}
    sealed = {one.id: one.disk.entries[0].sealed[0][1] for one in plant.sim.proplets.values()}
    assert {name: base64.b64decode(one)[0] for name, one in sealed.items()} == {"a": 1, "b": 2}
    plant.sim.write("fleet.yaml", proplet_yaml(["a", "b", "c", "d"]))
    plant.sim.add("c")
    tomorrow = SimpleNamespace(public=SimpleNamespace(text="kyber:AAAA"))
    plant.sim.add("d", box=tomorrow)  # type: ignore[arg-type]  # only its text is looked at
    plant.sim.run(30 * SECOND)
    assert set(plant.given()) == {"a", "b"}
    told = "\n".join(plant.sim.what_is_not())
    assert "c: no key for secrets: it announces no encryption key" in told
    assert "d: no key for secrets: it announces an encryption key of a kind that is not" in told


def test_a_secret_that_was_tampered_with_is_told(tmp_path: Path) -> None:
    """The MAC does not match: what runs goes on, and the reason is shown."""
    plant = Plant(tmp_path)
    plant.sim.start_manager()
    plant.settle()
    text = (plant.sim.specs / "secret.yaml").read_text()
    plant.sim.write("secret.yaml", text.replace("2025-06-01", "2025-06-02"))
    plant.sim.run(20 * SECOND)
    assert "SecretLocked" in plant.reasons("broker")
    assert plant.begun() == 2


@pytest.mark.parametrize("seed", [1, 2])
def test_rotation_in_a_storm_reaches_every_guest(tmp_path: Path, seed: int) -> None:
    """Loss, duplicates and reordering: in the end each guest has the newest value."""
    plant = Plant(tmp_path, seed=seed, files=False)
    plant.sim.set_weather(STORM)
    plant.sim.start_manager()
    plant.sim.run(20 * SECOND)
    plant.seal("token", OTHER)
    plant.sim.run(20 * SECOND)
    plant.sim.restart_manager()
    plant.sim.run(20 * SECOND)
    plant.sim.set_weather(CALM)
    plant.settle()
    assert plant.given() == {"a": OTHER, "b": OTHER}
