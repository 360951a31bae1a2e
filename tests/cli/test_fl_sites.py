"""`fl fold` and `fl join` where they refuse; what they make is in tests/scenario/test_sites.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
from learned import Learned, model

from propeller.model.federated import Mode
from propeller.model.ids import Digest
from propeller.model.privacy import Noise
from propeller.model.rounds import Blob
from propeller.plan.records import sealed
from propeller.reconcile.sitework import why_not
from propeller.state.sqlite import SqliteStore
from propeller.wire.signing import SigningKey

KEY = SigningKey.from_seed(b"s" * 32).public.text


@pytest.fixture
def line(state, tmp_path):
    """The task `line`, whose updates are gone."""
    store = SqliteStore.open(state.database)
    yield Learned(state, store, tmp_path / "specs", retainUpdates="Enabled")
    store.close()


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"strategy": "Median"}, "Median makes more of updates than their mean"),
        ({"strategy": "FedAdam"}, "FedAvg and FedProx do not"),
        ({"parameters": (("serverLearningRate", "0.5"),)}, "serverLearningRate is 0.5"),
        ({"secure": True}, "only seen as a sum"),
        ({"mode": Mode.INFER}, "only measured"),
        ({"noise": Noise(multiplier="1", delta="1e-5", most="8")}, "privacy budget"),
    ],
)
def test_rounds_that_sums_cannot_stand_for_are_refused(cli, line, here, terms, words):
    """With the reason, before anything is computed or written."""
    round_ = line.rounds[1]
    assert why_not(round_) == ""
    with line.store.transaction():
        line.store.put_round(sealed(replace(round_, terms=replace(round_.terms, **terms))))
    said = cli("fl", "fold", "line", "1", "--to", "update")
    assert said.code == 2
    assert words in said.err
    assert not (here / "update").exists()


def test_a_round_without_its_updates_cannot_be_folded(cli, line, here):
    """Nor one that is not there; nothing is written."""
    gone = Blob(Digest("sha256:" + "9" * 64), 9)
    round_ = line.rounds[1]
    parts = {name: replace(one, update=gone) for name, one in round_.parts.items()}
    with line.store.transaction():
        line.store.put_round(sealed(replace(round_, parts=parts)))
    for number, words in (("1", "not in the blob store"), ("9", "no committed round 9")):
        said = cli("fl", "fold", "line", number, "--to", "update")
        assert said.code == 2
        assert words in said.err
    assert not (here / "update").exists()


def test_files_that_are_no_updates_and_no_models_are_told(cli, line, here):
    """Which file, and what it is not; a key that is none too."""
    (here / "base").write_bytes(model(1))
    (here / "junk").write_bytes(b"PFU1 and so on")
    for update, base, key, words in (
        ("junk", "base", KEY, "junk: envelope"),
        ("none", "base", KEY, "none: No such file"),
        ("junk", "junk", KEY, "junk: is no model"),
        ("junk", "base", "ed25519:x", "is no public key"),
    ):
        said = cli("fl", "join", update, "--base", base, "--key", key, "--to", "next")
        assert said.code == 2
        assert words in said.err
    assert not (here / "next").exists()
    (here / "large").write_bytes(bytes(100_000))
    said = cli("fl", "join", "large", "--zeros", "base", "--key", KEY, "--to", "next")
    assert "more than" in said.err
    assert cli("fl", "join", "junk", "--key", KEY, "--to", "next").code == 2
