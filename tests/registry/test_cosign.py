"""Signatures of modules in cosign's format: made, found in both places, and never overbelieved."""

from __future__ import annotations

import base64
import json

import pytest

from propeller.errors import UsageError
from propeller.model.ids import sha256_digest
from propeller.registry import cosign, cosignkey
from propeller.registry.cosign import MAX_SIGNATURES, PAYLOAD, SIGNATURE, payload_of, sign, vouched
from propeller.registry.cosignkey import PrivateKey, PublicKey
from propeller.registry.layout import Layout
from propeller.registry.manifest import INDEX, MANIFEST
from propeller.registry.reference import Reference

MODULE = bytes.fromhex("0061736d01000000")
REF = Reference("registry.example", "plant/filter", "1")
ANA, EVE = PrivateKey.generate(), PrivateKey.generate()


@pytest.fixture
def shelf(tmp_path):
    layout = Layout(tmp_path / "oci")
    layout.push(REF, MODULE)
    return layout


def whose(shelf, ref=REF, keys=(ANA.public,)):
    pinned = shelf.resolve(ref)
    return [one.key.id for one in vouched(shelf, pinned.reference, list(keys))]


def tag_of(shelf, ref=REF):
    digest = shelf.resolve(ref).manifest
    return Reference(ref.registry, ref.repository, digest.replace(":", "-") + ".sig")


def hand_made(shelf, layers):
    """Whoever may push writes what they like under the tag of the signatures."""
    config = shelf.write_blob(REF, b"{}")
    body = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/json", "digest": config, "size": 2},
        "layers": layers,
    }
    shelf.write_manifest(tag_of(shelf), json.dumps(body).encode(), MANIFEST)


def layer(shelf, payload, signature):
    return {
        "mediaType": PAYLOAD,
        "digest": shelf.write_blob(REF, payload),
        "size": len(payload),
        "annotations": {SIGNATURE: base64.b64encode(signature).decode()},
    }


def test_what_was_signed_verifies_and_nothing_else_does(shelf):
    """The signer's key finds it, another key does not, and an unsigned module has no signer."""
    assert whose(shelf) == []
    sign(shelf, shelf.resolve(REF).reference, ANA)
    assert whose(shelf) == [ANA.public.id]
    assert whose(shelf, keys=[EVE.public]) == []


def test_signing_again_adds_nothing_and_a_second_signer_is_added(shelf):
    """One layer a signer; both are found."""
    ref = shelf.resolve(REF).reference
    for key in (ANA, ANA, EVE, ANA):
        sign(shelf, ref, key)
    layers = json.loads(shelf.read_manifest(tag_of(shelf)))["layers"]
    assert len(layers) == 2
    assert set(whose(shelf, keys=[ANA.public, EVE.public])) == {ANA.public.id, EVE.public.id}


@pytest.mark.parametrize("place", ["tag", "referrer"])
def test_either_place_is_enough(shelf, place):
    """A registry that lost the tag still has the referrer, and the other way round."""
    sign(shelf, shelf.resolve(REF).reference, ANA)
    index = shelf.directory / "index.json"
    document = json.loads(index.read_text())
    tag = str(tag_of(shelf))

    def stays(entry):
        name = (entry.get("annotations") or {}).get("org.opencontainers.image.ref.name", "")
        signature = name == tag
        referring = name != tag and name != str(REF)
        return not signature if place == "referrer" else not referring

    document["manifests"] = [entry for entry in document["manifests"] if stays(entry)]
    index.write_text(json.dumps(document))
    assert whose(shelf) == [ANA.public.id]


def test_a_signature_of_another_module_does_not_count(shelf):
    """Moved from one artifact to another (mix and match), it names the wrong digest."""
    other = Reference(REF.registry, REF.repository, "other")
    shelf.push(other, MODULE, annotations={"x": "y"})
    payload = payload_of(REF, shelf.resolve(other).manifest, {})
    hand_made(shelf, [layer(shelf, payload, ANA.sign(payload))])
    assert whose(shelf) == []


def test_a_changed_payload_does_not_count(shelf):
    """One byte is enough."""
    payload = payload_of(REF, shelf.resolve(REF).manifest, {})
    changed = payload.replace(b"plant/filter", b"plant/filtex")
    hand_made(shelf, [layer(shelf, changed, ANA.sign(payload))])
    assert whose(shelf) == []
    hand_made(shelf, [layer(shelf, payload, ANA.sign(payload))])
    assert whose(shelf) == [ANA.public.id]


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b"null", b'{"critical": []}', b'{"critical": {"image": 1}}', b"[" * 60_000],
)
def test_signed_nonsense_says_nothing(shelf, payload):
    """Even the right key over something else vouches for nothing, and nothing falls over."""
    hand_made(shelf, [layer(shelf, payload, ANA.sign(payload))])
    assert whose(shelf) == []


def test_a_thousand_false_signatures_are_not_all_looked_at(shelf):
    """Whoever may push can hide a true signature behind others: refused, never believed."""
    payloads = [f'{{"n": {number}}}'.encode() for number in range(MAX_SIGNATURES + 40)]
    hand_made(shelf, [layer(shelf, each, b"x") for each in payloads])
    found = list(cosign.signatures(shelf, REF, shelf.resolve(REF).manifest))
    assert len(found) == MAX_SIGNATURES


def test_a_signed_index_vouches_for_the_module_in_it(shelf):
    """As multi-platform images are signed: the index names its manifests by digest."""
    pinned = shelf.resolve(REF)
    many = Reference(REF.registry, REF.repository, "many")
    entry = {
        "mediaType": MANIFEST,
        "digest": pinned.manifest,
        "size": len(shelf.read_manifest(REF)),
    }
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()
    shelf.write_manifest(many, body, INDEX)
    assert whose(shelf, many) == []
    sign(shelf, many, ANA)
    assert whose(shelf, many) == [ANA.public.id]
    assert whose(shelf, REF) == []


def test_a_key_file_opens_with_its_passphrase_only():
    """Another word is refused in words, and so is a key of another kind."""
    data = ANA.to_pem(b"word", lambda size: b"s" * size)
    assert b"ENCRYPTED SIGSTORE PRIVATE KEY" in data
    again = PrivateKey.from_pem(data, b"word", where="a.key")
    assert again.public.der == ANA.public.der
    with pytest.raises(UsageError, match="passphrase does not open it"):
        PrivateKey.from_pem(data, b"other", where="a.key")
    with pytest.raises(UsageError, match="not as cosign encrypts it"):
        PrivateKey.from_pem(ANA.pkcs8_pem(), b"", where="a.key")
    with pytest.raises(UsageError, match=r"name the \.pub file"):
        PublicKey.from_pem(data, where="a.key")


def test_a_key_file_cannot_ask_for_all_memory():
    """scrypt takes what the file says, so what it says is bounded."""
    data = ANA.to_pem(b"", lambda size: b"s" * size)
    body = b"".join(data.splitlines()[1:-1])
    document = json.loads(base64.b64decode(body))
    document["kdf"]["params"]["N"] = cosignkey.MOST_KDF * 2
    lines = data.splitlines()
    greedy = b"\n".join((lines[0], base64.b64encode(json.dumps(document).encode()), lines[-1]))
    with pytest.raises(UsageError, match="scrypt parameters"):
        PrivateKey.from_pem(greedy, b"", where="a.key")


def test_the_text_that_is_signed():
    """Byte for byte as cosign writes it."""
    digest = sha256_digest(b"x")
    assert payload_of(REF, digest, {}).decode() == (
        '{"critical":{"identity":{"docker-reference":"registry.example/plant/filter"},'
        f'"image":{{"docker-manifest-digest":"{digest}"}},'
        '"type":"cosign container image signature"},"optional":null}'
    )
