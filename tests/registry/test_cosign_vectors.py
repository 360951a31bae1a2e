"""What the real cosign wrote is read: its key file, and its signatures in both places."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from propeller.model.ids import sha256_digest
from propeller.registry.cosign import sign, vouched
from propeller.registry.cosignkey import PrivateKey, PublicKey
from propeller.registry.layout import Layout
from propeller.registry.manifest import MANIFEST
from propeller.registry.reference import Reference

VECTORS = json.loads((Path(__file__).parent / "vectors" / "cosign.json").read_text())
PUB = PublicKey.from_pem(VECTORS["pub"].encode(), where="cosign.pub")
MODULE = bytes.fromhex("0061736d01000000")


@pytest.fixture(params=["tag", "referrer"])
def signed(request, tmp_path):
    """A layout with what cosign left in a registry."""
    left = VECTORS[request.param]
    shelf, ref = Layout(tmp_path), Reference("registry.example", "plant/filter", request.param)
    for name in ("config", "payload", "signature config"):
        shelf.write_blob(ref, left[name].encode())
    shelf.write_blob(ref, MODULE)
    digest = shelf.write_manifest(ref, left["manifest"].encode(), MANIFEST)
    body = left["signature manifest"].encode()
    if request.param == "tag":
        there = Reference(ref.registry, ref.repository, digest.replace(":", "-") + ".sig")
    else:
        there = Reference(ref.registry, ref.repository, None, sha256_digest(body))
    shelf.write_manifest(there, body, MANIFEST)
    return shelf, ref


def test_a_signature_of_cosign_verifies(signed):
    """With the public key it wrote, and with the annotations it was given."""
    shelf, ref = signed
    (one,) = vouched(shelf, shelf.resolve(ref).reference, [PUB])
    assert one.key.id == PUB.id
    assert one.said.annotations == {"build": "7"}
    assert one.said.reference.endswith("/plant/filter")
    other = PrivateKey.generate().public
    assert vouched(shelf, shelf.resolve(ref).reference, [other]) == ()


def test_a_key_of_cosign_opens_and_signs():
    """Its encrypted PEM, with the passphrase that was typed there."""
    word = VECTORS["passphrase"].encode()
    key = PrivateKey.from_pem(VECTORS["key"].encode(), word, where="cosign.key")
    assert key.public.der == PUB.der
    assert PUB.verifies(key.sign(b"x"), b"x")


def test_signing_keeps_what_cosign_signed(signed):
    """A second signature stands beside the first one, which stays as it was."""
    shelf, ref = signed
    mine = PrivateKey.generate()
    pinned = shelf.resolve(ref).reference
    sign(shelf, pinned, mine)
    found = {one.key.id for one in vouched(shelf, pinned, [PUB, mine.public])}
    assert found == {PUB.id, mine.public.id}
