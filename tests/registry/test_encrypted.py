"""Modules that only devices can read: sealed, published, resolved without being opened."""

from __future__ import annotations

import json

import pyrage
import pytest

from propeller.errors import UsageError, WireError
from propeller.model.ids import sha256_digest
from propeller.model.module import Module, ModuleProblem
from propeller.model.specs import ModuleRef
from propeller.registry import bech32
from propeller.registry.blobs import BlobStore
from propeller.registry.cosignkey import PrivateKey
from propeller.registry.encrypted import identity, is_path, push_sealed, recipient, seal, unseal
from propeller.registry.layout import Layout
from propeller.registry.problem import ArtifactError
from propeller.registry.reference import Reference
from propeller.registry.registries import Host, Registries
from propeller.registry.resolve import resolve
from propeller.wire.boxes import BoxKey

MODULE = bytes.fromhex("0061736d01000000")
ONE, TWO = BoxKey.from_seed(b"1" * 32), BoxKey.from_seed(b"2" * 32)
REF = Reference("registry.example", "plant/secret", "1")
IMAGE = ModuleRef(image="registry.example/plant/secret:1")


@pytest.fixture
def place(tmp_path):
    """A layout that stands for the registry, and a blob store."""
    registries = Registries({"registry.example": Host(layout=tmp_path / "oci")})
    return Layout(tmp_path / "oci"), registries, BlobStore(tmp_path / "blobs")


def test_a_devices_key_is_an_age_key():
    """Spelled as age spells it, both halves; age's own library reads them and agrees."""
    made = pyrage.x25519.Identity.from_str(identity(ONE.seed()))
    assert str(made.to_public()) == recipient(ONE.public.text)
    assert recipient(recipient(ONE.public.text)) == recipient(ONE.public.text)


@pytest.mark.parametrize("data", [b"", b"x", b"\0" * 32, bytes(range(40))])
def test_bech32_goes_there_and_back(data):
    """Any bytes, either case; a changed letter or mixed case is noticed."""
    text = bech32.encode("age", data)
    assert bech32.decode("age", text) == bech32.decode("age", text.upper()) == data
    letter = "q" if text[-1] != "q" else "p"
    for bad in (text[:-1] + letter, text[:-1] + text[-1].upper() + "q", "b" + text[1:], text[:5]):
        with pytest.raises(ValueError, match=r"."):
            bech32.decode("age", bad)


@pytest.mark.parametrize("text", ["", "x25519:", "age1", "age1qqqq", "ed25519:AAAA", "key"])
def test_what_is_no_key_is_refused(text):
    """In words, before anything is encrypted."""
    with pytest.raises(UsageError, match="encryption key"):
        recipient(text)


def test_each_recipient_opens_it_and_nobody_else():
    """A device, a group: whoever has one of the keys. Changed bytes are opened by nobody."""
    sealed = seal(MODULE, [ONE.public.text, TWO.public.text])
    digest = sha256_digest(MODULE)
    for key in (ONE, TWO):
        assert unseal(sealed, [identity(key.seed())], digest) == MODULE
    third = identity(BoxKey.from_seed(b"3" * 32).seed())
    for bytes_, keys, plain in (
        (sealed, [third], digest),
        (sealed, [], digest),
        (sealed[:-1] + bytes([sealed[-1] ^ 1]), [identity(ONE.seed())], digest),
        (sealed, [identity(ONE.seed())], sha256_digest(b"other")),
    ):
        with pytest.raises(WireError) as caught:
            unseal(bytes_, keys, plain)
        assert caught.value.reject == "bad_seal"


def test_plain_bytes_are_never_taken_for_encrypted_ones():
    """Not even with the digest that was asked for."""
    with pytest.raises(WireError) as caught:
        unseal(MODULE, [identity(ONE.seed())], sha256_digest(MODULE))
    assert caught.value.reject == "not_encrypted"


def test_an_encrypted_image_is_resolved_without_opening_it(place):
    """What planning needs comes from the config; identity is the module's, digest what travels."""
    shelf, registries, blobs = place
    push_sealed(shelf, REF, MODULE, [ONE.public.text], key="default/key/secret")
    found = resolve(IMAGE, registries=registries, blobs=blobs)
    assert isinstance(found, Module), found
    assert found.identity == found.plain == sha256_digest(MODULE)
    assert found.digest != found.plain
    assert found.key == "default/key/secret"
    kept = b"".join(path.read_bytes() for path in blobs.directory.rglob("*") if path.is_file())
    assert MODULE not in kept
    everything = b"".join(p.read_bytes() for p in shelf.directory.rglob("*") if p.is_file())
    assert MODULE not in everything
    with pytest.raises(ArtifactError, match="only the devices"):
        shelf.pull(REF, blobs)


def test_required_is_not_met_by_plain_bytes(place):
    """Neither by an image of the same name nor by an address."""
    shelf, registries, blobs = place
    shelf.push(REF, MODULE)
    asked = ModuleRef(image=IMAGE.image, encrypted=True)
    found = resolve(asked, registries=registries, blobs=blobs)
    assert isinstance(found, ModuleProblem)
    assert (found.reason, found.retry) == ("NotEncrypted", False)
    url = ModuleRef(url="http://127.0.0.1:1/x", digest=sha256_digest(MODULE), encrypted=True)
    found = resolve(url, registries=registries, blobs=blobs)
    assert isinstance(found, ModuleProblem)
    assert found.reason == "NotEncrypted"


def test_an_encrypted_image_is_signed_like_any_other(place):
    """The signature is of the manifest, so of the encrypted bytes and of what is said of them."""
    from propeller.registry.cosign import sign

    shelf, registries, blobs = place
    push_sealed(shelf, REF, MODULE, [ONE.public.text])
    key = PrivateKey.generate()
    sign(shelf, shelf.resolve(REF).reference, key)
    found = resolve(IMAGE, registries=registries, blobs=blobs, keys=[key.public])
    assert isinstance(found, Module)
    assert found.signed.by == (key.public.id,)


@pytest.mark.parametrize(
    "change",
    [
        {"plain": 1},
        {"plain": "sha256:x"},
        {"memoryMin": -1},
        {"imports": [["a"]]},
        {"exports": "x"},
        {"key": "../../etc"},
        {"key": 5},
    ],
    ids=str,
)
def test_a_config_that_says_nonsense_is_refused(place, change):
    """Whoever may push writes it: refused in words, never an exception of another kind."""
    shelf, registries, blobs = place
    push_sealed(shelf, REF, MODULE, [ONE.public.text])
    manifest = json.loads(shelf.read_manifest(REF))
    with shelf.open_blob(REF, manifest["config"]["digest"]) as pieces:
        config = json.loads(b"".join(pieces))
    data = json.dumps({**config, **change}).encode()
    manifest["config"] |= {"digest": shelf.write_blob(REF, data), "size": len(data)}
    shelf.write_manifest(REF, json.dumps(manifest).encode(), manifest["mediaType"])
    found = resolve(IMAGE, registries=registries, blobs=blobs)
    assert isinstance(found, ModuleProblem)
    assert found.reason == "BadManifest"


def test_paths_of_a_key_service():
    """Three plain words: no way out of the service's folder."""
    assert is_path("default/key/wasm")
    for text in ("", "a/b", "a/b/c/d", "../a/b", "a/../b", "a/b/", "/a/b", "a/b/c?x", "a/b/.c"):
        assert not is_path(text), text
