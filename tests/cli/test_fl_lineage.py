"""`fl lineage`, `fl verify` and `fl bisect`: what made a model, computed again where it can be."""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
from learned import JOB, Learned, part
from wasmtime import wat2wasm

from propeller.model.canonical import canonical_digest
from propeller.model.ids import Digest, PropletId
from propeller.model.rounds import Blob, Bucket
from propeller.plan.records import sealed
from propeller.reconcile.learning import Gather
from propeller.reconcile.learningwork import Workshop, perform
from propeller.registry.layout import Layout
from propeller.registry.lineage import records_of
from propeller.registry.reference import Reference
from propeller.state.keys import Keys
from propeller.state.sqlite import SqliteStore
from propeller.wire.signing import SigningKey
from propeller.wire.updates import Update, pack, unpack


@pytest.fixture
def store(state):
    opened = SqliteStore.open(state.database)
    yield opened
    opened.close()


@pytest.fixture
def line(state, store, tmp_path):
    """The task `line`; its first round was folded from real updates, which were kept."""
    found = Learned(state, store, tmp_path / "specs", retainUpdates="Enabled")
    parts = {}
    for name, numbers, samples in (("a", (1, -1), 3), ("b", (1, -1), 1)):
        data = pack(
            Update(
                encoding="f32-delta", job=UUID(JOB).bytes, round=1, attempt=2, steps=1,
                samples=samples, count=2, base="", layout="", meta={},
                body=np.array(numbers, "<f4").tobytes(),
            )
        )  # fmt: skip
        blob = Blob(found.blobs.put(data), len(data))
        body = Digest(unpack(data, max_body=len(data)).body_digest)
        parts[PropletId(name)] = part(
            name, Bucket.ACCEPTED, samples=samples, update=blob, body=body, norm="1.4"
        )
    first = replace(found.rounds[1], parts=parts)
    work = Gather(
        uid=found.uid, job=JOB, number=1, attempt=2, terms=first.terms, base=first.base,
        layout=first.layout, state=first.state_before, parts=first.accepted, clients=2,
    )  # fmt: skip
    shop = Workshop(blobs=found.blobs, find=lambda _: b"", key_of=lambda _: None)
    fold = perform(work, shop).fold
    assert fold.model == found.models[1]
    chain = [found.rounds[0], replace(first, fold=fold), *found.rounds[2:4]]
    found.rounds[:4] = _chained(chain)
    _put(found, *found.rounds)
    return found


def _chained(rounds):
    out = []
    for one in rounds:
        parent = out[-1].record if out else Digest("")
        out.append(sealed(replace(one, parent=parent)))
    return out


def _put(line, *rounds):
    with line.store.transaction():
        for one in rounds:
            line.store.put_round(one)


def test_a_round_is_computed_again(cli, line, state):
    """Record, contributors, model: all as recorded. Nothing in the state is touched."""
    before = sorted(line.blobs.digests())
    said = cli("fl", "verify", "line", "1")
    assert said.code == 0, said.out + said.err
    assert said.out.splitlines()[-1].endswith("is what its updates make")
    assert [text.split()[1] for text in said.out.splitlines()[:-1]] == [
        "record",
        "contributors",
        "model",
    ]
    assert sorted(line.blobs.digests()) == before


@pytest.mark.parametrize("fault", ["model", "record", "samples", "blob"])
def test_a_round_that_was_changed_is_told(cli, line, fault):
    """Another model, another record, other samples, other bytes: exit 3, and which it is."""
    round_ = line.rounds[1]
    match fault:
        case "model":
            fold = replace(round_.fold, model=line.models[3])
            _put(line, sealed(replace(round_, fold=fold)))
        case "record":
            _put(line, replace(round_, record=Digest("sha256:" + "0" * 64)))
        case "samples":
            name = PropletId("b")
            parts = {**round_.parts, name: replace(round_.parts[name], samples=50)}
            _put(line, sealed(replace(round_, parts=parts)))
        case "blob":
            path = line.blobs.path(round_.parts[PropletId("b")].update.digest)
            path.chmod(0o600)
            path.write_bytes(b"x")
    said = cli("fl", "verify", "line", "1", "-o", "json")
    assert said.code == 3
    found = json.loads(said.out)
    bad = [one["check"] for one in found["checks"] if not one["good"]]
    assert not found["verified"]
    assert bad == [{"samples": "contributors"}.get(fault, fault)]


def folded_by(line, text):
    """Round 1 of the line as a module of that text folds it."""
    wasm = bytes(wat2wasm(text))
    first = line.rounds[1]
    terms = replace(first.terms, strategy="Wasm", aggregator=line.blobs.put(wasm))
    work = Gather(
        uid=line.uid, job=JOB, number=1, attempt=2, terms=terms, base=first.base,
        layout=first.layout, state=first.state_before, parts=first.accepted, clients=2,
    )  # fmt: skip
    shop = Workshop(blobs=line.blobs, find=lambda _: b"", key_of=lambda _: None)
    fold = perform(work, shop).fold
    _put(line, sealed(replace(first, terms=terms, fold=fold)))
    return terms.aggregator, fold


AGGREGATOR = """(module (memory (export "memory") 1)
  (func (export "begin") (param i32 i32) (result i32) (i32.const 8))
  (func (export "update") (param f64)
    (f32.store (i32.const 100) (f32.load (i32.const 8)))
    (f32.store (i32.const 104) (f32.load (i32.const 8))))
  (func (export "finish") (result i32) (i32.const 100)))"""


def test_a_round_of_a_module_is_computed_again_by_that_module(cli, line):
    """By its recorded digest: other bytes under its name are told, and so is that it is gone."""
    module, fold = folded_by(line, AGGREGATOR)
    assert fold.model, fold.why
    assert fold.model != line.models[1]
    said = cli("fl", "verify", "line", "1")
    assert said.code == 0, said.out + said.err
    assert f"ok   model         {fold.model.digest}" in said.out
    path = line.blobs.path(module)
    path.chmod(0o600)
    path.write_bytes(bytes(wat2wasm(AGGREGATOR.replace("i32.const 104", "i32.const 108"))))
    said = cli("fl", "verify", "line", "1")
    assert said.code == 3
    assert f"{module} has other bytes" in said.out
    path.unlink()
    assert "not in the blob store" in cli("fl", "verify", "line", "1").err


def test_what_was_not_kept_cannot_be_verified(cli, line, state, store, tmp_path):
    """It says so, and how to have it kept."""
    said = cli("fl", "verify", "line", "2")
    assert said.code in (2, 3)
    for one in line.rounds[1].parts.values():
        line.blobs.delete(one.update.digest)
    assert "not in the blob store" in cli("fl", "verify", "line", "1").err
    Learned(state, store, tmp_path / "specs")
    assert cli("fl", "verify", "line", "9").code == 2


def test_updates_are_not_kept_by_default(cli, state, store, tmp_path):
    """Then `fl verify` names the field."""
    other = Learned(state, store, tmp_path / "specs")
    round_ = other.rounds[1]
    gone = Blob(Digest("sha256:" + "9" * 64), 9)
    parts = {name: replace(one, update=gone) for name, one in round_.parts.items()}
    _put(other, replace(round_, parts=parts))
    said = cli("fl", "verify", "line", "1")
    assert said.code == 2
    assert "retainUpdates: Enabled" in said.err


def test_lineage_goes_back_to_the_start(cli, line):
    """Newest first; each model is the base of the next."""
    said = cli("fl", "lineage", "line")
    assert said.code == 0, said.out + said.err
    rows = [text.split() for text in said.out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["3", "2", "1"]
    assert [row[2] for row in rows] == [rows[1][1], rows[2][1], "zeros"]
    assert cli("fl", "lineage", "line", "--round", "2", "-o", "name").out.splitlines() == [
        line.models[2].digest,
        line.models[1].digest,
    ]


@pytest.mark.parametrize("fault", ["base", "metrics", "parent"])
def test_a_broken_chain_is_told(cli, line, fault):
    """A model out of nowhere, a number that was changed, a record that is not there: exit 3."""
    round_ = line.rounds[2]
    match fault:
        case "base":
            _put(line, sealed(replace(round_, base=line.models[3])))
        case "metrics":
            _put(line, replace(round_, metrics=(("accuracy", "0.99"),)))
        case "parent":
            _put(line, sealed(replace(round_, parent=Digest("sha256:" + "0" * 64))))
    said = cli("fl", "lineage", "line")
    assert said.code == 3
    assert "the chain is broken at round" in said.err


def test_bisect_finds_the_turn_and_what_changed(cli, line):
    """0.5, 0.9, 0.7: below 0.8 it turned in round 3, where the spec was another one."""
    round_ = line.rounds[3]
    terms = replace(round_.terms, strategy="FedAdam", hyperparameters=(("learningRate", "9"),))
    _put(line, sealed(replace(round_, terms=terms, generation=2)))
    said = cli("fl", "bisect", "line", "--metric", "accuracy", "--below", "0.8")
    assert said.code == 0, said.err
    assert said.out.splitlines()[0] == "accuracy turned in round 3: 0.7, after 0.9 in round 2"
    assert "  the spec: generation 1 -> 2" in said.out
    assert "  strategy: FedAvg -> FedAdam" in said.out
    assert "  hyperparameters: none -> learningRate 9" in said.out
    found = json.loads(cli("fl", "bisect", "line", "--above", "0.8", "-o", "json").out)
    assert found["bad"] == {"round": 2, "value": 0.9}


def test_bisect_without_a_turn_says_why(cli, line):
    """Always bad, never bad, never measured, no number."""
    assert "in every round" in cli("fl", "bisect", "line", "--below", "2").err
    assert "never turned" in cli("fl", "bisect", "line", "--below", "0.1").err
    assert "has the metric" in cli("fl", "bisect", "line", "--metric", "f1", "--below", "1").err
    assert cli("fl", "bisect", "line", "--below", "nan").code == 2
    assert cli("fl", "bisect", "line").code == 2


def test_publish_puts_the_model_and_a_signed_record_beside_it(cli, line, state, here):
    """The manager's key signs what made it; again changes nothing."""
    words = ("fl", "publish", "line", "oci-layout://models:2", "--round", "2")
    assert cli(*words, "--dry-run").code == 0
    assert not (here / "models").exists()
    said = cli(*words)
    assert said.code == 0, said.err
    assert said.out.startswith("oci-layout://models:2@sha256:")
    assert cli(*words).out == said.out
    layout, key = Layout(here / "models"), Keys(state.keys).manager()
    (found,) = records_of(layout, Reference("", "", "2"), check=key.public.verify)
    told = found["predicate"]
    assert (told["round"], told["model"], told["base"]) == (
        2,
        line.models[2].digest,
        line.models[1].digest,
    )
    assert told["revision"] == line.held.revision
    assert canonical_digest(told["sealed"]) == told["record"]
    assert cli("fl", "publish", "line", "oci-layout://models:b", "--best").code == 0
    assert cli("fl", "publish", "line", "oci-layout://models:b", "--round", "7").code == 2


@pytest.fixture
def shelf(cli, line, here):
    """The three models in a layout, each with its record, under the tags the reconciler gives."""
    for number in (1, 2, 3):
        tag = f"{JOB[:8]}-{number:04}"
        said = cli("fl", "publish", "line", f"oci-layout://models:{tag}", "--round", str(number))
        assert said.code == 0, said.err
    return f"oci-layout://models:{JOB[:8]}"


def test_lineage_of_a_registry_needs_the_public_key_alone(cli, line, state, shelf, tmp_path):
    """The same walk by signed records, without a store."""
    key = Keys(state.keys).manager().public.text
    (tmp_path / "fleet.pub").write_text(f"{key}\n")
    for given in (key, tmp_path / "fleet.pub"):
        said = cli("fl", "lineage", "--image", f"{shelf}-0003", "--key", given)
        assert said.code == 0, said.out + said.err
        rows = [text.split() for text in said.out.splitlines()[1:]]
        assert [row[0] for row in rows] == ["3", "2", "1"]
        assert [row[2] for row in rows] == [rows[1][1], rows[2][1], "zeros"]
    assert cli("fl", "lineage", "--image", f"{shelf}-0002", "-o", "name").out.splitlines() == [
        line.models[2].digest,
        line.models[1].digest,
    ]


def test_a_model_under_any_tag_is_found_by_its_bytes(cli, line, here):
    """Somebody published two of them by hand."""
    for tag, number in (("old", "2"), ("good", "3")):
        assert cli("fl", "publish", "line", f"oci-layout://m:{tag}", "--round", number).code == 0
    said = cli("fl", "lineage", "--image", "oci-layout://m:good", "-o", "json")
    assert said.code == 0, said.err
    assert [one["round"] for one in json.loads(said.out)["items"]] == [3, 2]
    assert "rounds before 2 are not in the registry" in said.err


def test_records_of_others_do_not_count(cli, line, shelf):
    """Another key signs nothing of ours, and what is asked for must be clear."""
    other = SigningKey.from_seed(b"x" * 32).public.text
    said = cli("fl", "lineage", "--image", f"{shelf}-0003", "--key", other)
    assert said.code == 2
    assert "no record of it is signed by that key" in said.err
    assert cli("fl", "lineage", "--image", f"{shelf}-0003", "--key", "nonsense").code == 2
    assert cli("fl", "lineage").code == 2
    assert cli("fl", "lineage", "line", "--image", f"{shelf}-0003").code == 2


def test_a_model_that_no_round_made_breaks_the_chain(cli, line, state, shelf, here):
    """The tag of round 2 was moved to another model, signed by the manager all the same."""
    from propeller.plan.records import record_of
    from propeller.registry.lineage import publish
    from propeller.registry.reference import parse_location
    from propeller.registry.registries import Registries

    place = Registries().place(parse_location(f"oci-layout://{here}/models:{JOB[:8]}-0002"))
    key = Keys(state.keys).manager()
    fake = sealed(replace(line.rounds[2], fold=replace(line.rounds[2].fold, model=line.models[1])))
    publish(
        place.artifacts, place.reference,
        line.blobs.read(line.models[1].digest),
        {"record": fake.record, "sealed": record_of(fake)},
        key_id=key.public.kid, sign=key.sign,
    )  # fmt: skip
    said = cli("fl", "lineage", "--image", f"{shelf}-0003")
    assert said.code == 3, said.out + said.err
    assert "the chain is broken at round 3: it starts from" in said.err
