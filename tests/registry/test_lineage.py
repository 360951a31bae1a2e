"""A model is published once, and its signed record is found from it."""

from __future__ import annotations

import json

import pytest

from propeller.model.ids import sha256_digest
from propeller.registry.layout import Layout
from propeller.registry.lineage import RECORD, publish, records_of
from propeller.registry.reference import Reference
from propeller.wire.signing import SigningKey

KEY = SigningKey.from_seed(b"k" * 32)
REF = Reference("local", "models/line", "3")
MODEL = b"weights"
TOLD = {"round": 3, "base": "sha256:" + "1" * 64, "metrics": {"accuracy": "0.9"}}


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "oci")


def put(layout, *, model=MODEL, told=TOLD, ref=REF, key=KEY):
    return publish(layout, ref, model, told, key_id=key.public.kid, sign=key.sign)


def found(layout, ref=REF, key=KEY):
    return records_of(layout, ref, check=key.public.verify)


def test_a_record_is_found_from_its_model(layout):
    """An in-toto statement about the model's own digest, with what was told."""
    done = put(layout)
    (statement,) = found(layout)
    assert statement["predicate"] == TOLD
    assert statement["subject"][0]["digest"]["sha256"] == sha256_digest(MODEL)[7:]
    (referrer,) = layout.referrers(REF, RECORD)
    assert referrer.digest == done.record
    assert found(layout, REF.pinned(done.model)) == (statement,)


def test_publishing_again_changes_nothing(layout, tmp_path):
    """Same manifests, not one file more: a process that died half-way does it again."""
    done = put(layout)
    files = sorted(path for path in (tmp_path / "oci").rglob("*") if path.is_file())
    assert put(layout) == done
    assert sorted(path for path in (tmp_path / "oci").rglob("*") if path.is_file()) == files
    assert len(found(layout)) == 1


def test_one_model_may_have_several_records(layout):
    """Two jobs that came to the same weights."""
    put(layout)
    put(layout, told={**TOLD, "round": 4}, ref=Reference("local", "models/line", "4"))
    assert sorted(one["predicate"]["round"] for one in found(layout)) == [3, 4]


def test_what_another_key_signed_does_not_count(layout):
    """Anybody who may push can add a referrer."""
    put(layout, key=SigningKey.from_seed(b"x" * 32))
    assert found(layout) == ()
    put(layout)
    assert len(found(layout)) == 1


@pytest.mark.parametrize("envelope", [b"[]", b"{", b'{"payload": 1}', b"[" * 100_000])
def test_a_record_that_is_none_is_passed_over(layout, tmp_path, envelope):
    """Whatever somebody refers to a model, reading its records does not fail."""
    done = put(layout)
    body = json.loads(layout.read_manifest(REF.pinned(done.record)))
    body["layers"][0] |= {"digest": layout.write_blob(REF, envelope), "size": len(envelope)}
    data = json.dumps(body).encode()
    layout.write_manifest(Reference("local", "models/line"), data, body["mediaType"])
    assert len(layout.referrers(REF, RECORD)) == 2
    assert len(found(layout)) == 1
