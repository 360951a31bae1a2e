"""A rehearsal: the real planner, loop and agents, played on paper."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from propeller.errors import SpecError, UsageError
from propeller.rehearse.play import play
from propeller.rehearse.scene import Device, Scene

WAT = '(module (func (export "_start")))'
PULSE = """\
apiVersion: propeller.dev/v1alpha1
kind: Daemon
metadata: {name: pulse}
spec:
  module: {file: m.wat}
  run: {args: ["%s"]}
  placement: {perProplet: true}
  rollout: {steps: ["1", "100%%"], soak: 30s, onFailure: Rollback, errors: {max: "20%%"}}
"""


@pytest.fixture
def tree(tmp_path):
    """A way to make a folder of specs."""

    def make(name, *documents):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "m.wat").write_text(WAT)
        for n, text in enumerate(documents):
            (folder / f"{n}.yaml").write_text(text)
        return folder

    return make


def played(tmp_path_factory, scene):
    """One play in a folder of its own."""
    return play(scene, tmp_path_factory.mktemp("scene"))


def test_everything_gets_ready_and_the_curve_says_so(tree, tmp_path_factory):
    """All copies as wanted at the end, none twice, and each point later than the one before."""
    outcome = played(tmp_path_factory, Scene(specs=tree("a", PULSE % "1"), proplets=6, loss=0.1))
    assert outcome.converged is not None
    assert not outcome.failed
    assert outcome.twice == 0
    last = outcome.curve[-1]
    assert (last.copies, last.wanted, last.ready, last.objects) == (6, 6, 7, 7)
    times = [point.at for point in outcome.curve]
    assert times == sorted(set(times))
    assert outcome.quantiles["1"] is not None


def test_those_that_are_off_are_waited_for(tree, tmp_path_factory):
    """Half the fleet is away: all is Ready once they are back, and never if they stay
    away."""
    specs = tree("a", PULSE % "1")
    scene = Scene(specs=specs, proplets=4, offline=0.5, back=60_000, length=600_000)
    outcome = played(tmp_path_factory, scene)
    assert outcome.off == 2
    assert outcome.converged is not None
    away = played(tmp_path_factory, replace(scene, back=None))
    assert away.converged is None
    assert any("pulse" in line for line in away.left)


def test_a_version_that_traps_is_rolled_back(tree, tmp_path_factory):
    """What runs already goes on, the new version is rejected by the real rollout code."""
    outcome = played(
        tmp_path_factory,
        Scene(
            specs=tree("b", PULSE % "2"),
            before=tree("a", PULSE % "1"),
            proplets=5,
            traps={"pulse": 1.0},
        ),
    )
    assert outcome.failed
    assert [one.reason for one in outcome.told] == ["RolloutStarted", "RolledBack"]
    assert any("was rejected" in line for line in outcome.left)


def test_a_manager_that_dies_in_between_changes_nothing_in_the_end(tree, tmp_path_factory):
    """Killed in the middle of a rollout, it goes on from its store."""
    scene = Scene(
        specs=tree("b", PULSE % "2"),
        before=tree("a", PULSE % "1"),
        proplets=5,
        loss=0.1,
        restart_at=20_000,
    )
    outcome = played(tmp_path_factory, scene)
    assert outcome.converged is not None
    assert outcome.twice == 0
    assert outcome.curve[-1].copies == 5


def test_recorded_devices_are_played_as_they_said_they_are(tree, tmp_path_factory):
    """A device that lacks the imports of a module gets none of it."""
    wasi = '(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))))'
    specs = tree("a", (PULSE % "1").replace("_start", "x"))
    (specs / "m.wat").write_text(wasi.rstrip(")") + ')))(func (export "_start")))')
    (specs / "m.wat").write_text(
        '(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))'
        ' (func (export "_start")))'
    )
    bare = Device(name="bare")
    able = Device(name="able", imports=("wasi_snapshot_preview1",))
    outcome = played(tmp_path_factory, Scene(specs=specs, recorded=(bare, able), length=120_000))
    assert outcome.devices == 2
    assert outcome.curve[-1].wanted == 1


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32), loss=st.sampled_from([0.0, 0.2]), offline=st.floats(0, 1))
def test_the_same_scene_gives_the_same_outcome(tmp_path_factory, seed, loss, offline):
    """Whatever the chance: played twice, not a number differs."""
    specs = tmp_path_factory.mktemp("specs")
    (specs / "m.wat").write_text(WAT)
    (specs / "d.yaml").write_text(PULSE % "1")
    scene = Scene(specs=specs, seed=seed, loss=loss, offline=offline, proplets=5, length=900_000)
    assert played(tmp_path_factory, scene) == played(tmp_path_factory, scene)


def test_what_cannot_be_played_is_said(tree, tmp_path_factory):
    """Bad specs with their line, no proplet at all, a beginning that never was Ready."""
    with pytest.raises(SpecError, match=r"0\.yaml:1"):
        played(tmp_path_factory, Scene(specs=tree("bad", "apiVersion: propeller.dev/v1\n")))
    with pytest.raises(UsageError, match="no proplet"):
        played(tmp_path_factory, Scene(specs=tree("none", PULSE % "1")))
    with pytest.raises(UsageError, match="no such file"):
        played(tmp_path_factory, Scene(specs=tree("x").parent / "nowhere"))
