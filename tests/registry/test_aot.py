"""Native builds beside a module: read, pushed, found again, and what is hostile is passed over."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aot_file import aot_file

from propeller.errors import WireError
from propeller.model.ids import Digest, sha256_digest
from propeller.model.module import Aot, Module
from propeller.model.specs import ModuleRef
from propeller.registry.aot import AOT, MAX_BUILDS, builds_of, inspect_aot, push_aot
from propeller.registry.blobs import BlobStore
from propeller.registry.cosign import sign
from propeller.registry.cosignkey import PrivateKey
from propeller.registry.layout import Layout
from propeller.registry.manifest import MANIFEST
from propeller.registry.reference import Reference
from propeller.registry.referrers import attach
from propeller.registry.registries import Host, Registries
from propeller.registry.resolve import resolve

REF = Reference("r.example", "plant/filter", "1")
IMAGE = "oci://r.example/plant/filter:1"
M3, M4 = aot_file(), aot_file("thumbv7em")


def build(data: bytes) -> Aot:
    """As it is known once its bytes were seen."""
    return Aot(inspect_aot(data).target, sha256_digest(data), len(data))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "oci")


@pytest.fixture
def air_gap(layout: Layout) -> Iterator[Registries]:
    """`r.example` is a directory here."""
    with Registries({"r.example": Host(layout=layout.directory)}) as registries:
        yield registries


def attached(layout: Layout, manifest: Digest, *blobs: bytes, kind: str = AOT) -> Digest:
    """A referrer with these layers, made without looking at them."""
    size = len(layout.read_manifest(REF.pinned(manifest)))
    subject = {"mediaType": MANIFEST, "digest": manifest, "size": size}
    layers = [
        {"mediaType": kind, "digest": layout.write_blob(REF, data), "size": len(data)}
        for data in blobs
    ]
    return attach(layout, REF, subject, AOT, layers)


def test_what_a_build_is_for_stands_in_the_file() -> None:
    """The architecture as WAMR's loader compares it, and the version of the format."""
    assert inspect_aot(M3).target == "thumbv7/wamr-6"
    assert inspect_aot(aot_file("thumbv8m.main", version=5)).target == "thumbv8m.main/wamr-5"
    assert inspect_aot(aot_file("x86_64", kind=4)).target == "x86_64/wamr-6"


@pytest.mark.parametrize(
    ("data", "reject", "words"),
    [
        (b"", "not_aot", "starts with nothing"),
        (b"\0asm\1\0\0\0", "not_aot", "starts with 0061736d"),
        (M3[:40], "malformed", "cut short at byte 40"),
        (M3[:-1], "malformed", "does not fit"),
        (M3 + b"\0\0\0\0\0", "malformed", "sections do not end"),
        (M3[:8] + struct.pack("<I", 1) + M3[12:], "malformed", "does not begin with what"),
        (M3[:12] + struct.pack("<I", 1 << 31) + M3[16:], "malformed", "does not begin with what"),
        (aot_file(""), "malformed", "names no architecture"),
        (aot_file("thumbv7\n"), "malformed", "names no architecture"),
        (aot_file("sixteen-letters!"), "malformed", "names no architecture"),
        (aot_file(form=1), "malformed", "WAMR does not load"),
        (aot_file(kind=2), "malformed", "WAMR does not load"),
        (aot_file(features=2), "malformed", "--enable-multi-thread"),
        (aot_file(memory=(0, 1, 1)), "malformed", "not shared: nothing could stop it"),
        (aot_file(memory=(0, 0, 2)), "malformed", "not shared"),
        (aot_file(memory=(1, 1, 2)), "malformed", "not shared"),
        (M3[:64] + struct.pack("<I", 2) + M3[68:], "malformed", "does not tell of its memory"),
    ],
)
def test_what_is_no_build_is_refused(data: bytes, reject: str, words: str) -> None:
    """In words, before anything of it is kept: cut, foreign, or without a way to stop it."""
    with pytest.raises(WireError, match=words) as caught:
        inspect_aot(data)
    assert caught.value.reject == reject


def test_no_byte_of_a_build_can_do_harm_to_its_reader() -> None:
    """Every cut and every flipped bit is read as another build or refused, nothing else."""
    for end in range(len(M3)):
        try:
            inspect_aot(M3[:end])
        except WireError:
            continue
        assert end == 88  # where a section ends
    for at in range(len(M3)):
        for bit in range(8):
            flipped = bytearray(M3)
            flipped[at] ^= 1 << bit
            try:
                inspect_aot(bytes(flipped))
            except WireError:
                continue


def test_pushed_builds_come_with_the_module_where_the_spec_allows_them(
    air_gap: Registries, layout: Layout, blobs: BlobStore, module: bytes
) -> None:
    """The Wasm stays what the module is; without `aot: Allowed` nobody looks for builds."""
    manifest = layout.push(REF, module)
    push_aot(layout, REF, manifest, M4)
    push_aot(layout, REF, manifest, M3)
    plain = resolve(ModuleRef(image=IMAGE), registries=air_gap, blobs=blobs)
    assert isinstance(plain, Module)
    assert plain.aot == ()
    found = resolve(ModuleRef(image=IMAGE, aot=True), registries=air_gap, blobs=blobs)
    assert isinstance(found, Module)
    assert (found.digest, found.identity) == (plain.digest, plain.identity)
    assert found.aot == (build(M3), build(M4))
    assert blobs.read(build(M4).digest) == M4
    assert found.blobs == {found.digest, build(M3).digest, build(M4).digest}


def test_pushing_again_replaces_the_build_for_its_target(
    layout: Layout, blobs: BlobStore, module: bytes
) -> None:
    """The one that was pushed last counts; pushing the same twice changes nothing."""
    manifest = layout.push(REF, module)
    newer = aot_file(code=b"better")
    for data in (M3, M4, newer, newer):
        push_aot(layout, REF, manifest, data)
    found = builds_of(layout, REF.pinned(manifest), blobs, limit=1 << 20)
    assert found == (build(newer), build(M4))


def test_what_is_hostile_among_the_referrers_is_passed_over(
    layout: Layout, blobs: BlobStore, module: bytes
) -> None:
    """Anybody who may push could have put it there: the Wasm and the good builds are still had."""
    manifest = layout.push(REF, module)
    attached(layout, manifest, b"\0asm\1\0\0\0")
    attached(layout, manifest, M3[:-1])
    attached(layout, manifest, aot_file("x86_64"), aot_file("aarch64"))
    attached(layout, manifest, aot_file("x86_64"), kind="application/octet-stream")
    attached(layout, manifest)
    attached(layout, manifest, aot_file("x86_64", code=bytes(5000)))
    push_aot(layout, REF, manifest, M3)
    assert builds_of(layout, REF.pinned(manifest), blobs, limit=4096) == (build(M3),)
    for number in range(MAX_BUILDS):
        attached(layout, manifest, b"\0aot" + bytes([number]))
    assert builds_of(layout, REF.pinned(manifest), blobs, limit=4096) == ()


def test_a_build_needs_whoever_vouches_for_the_module(
    layout: Layout, blobs: BlobStore, module: bytes
) -> None:
    """What one key says of the Wasm says nothing of native code beside it."""
    ana, eve = PrivateKey.generate(), PrivateKey.generate()
    keys = [ana.public, eve.public]
    manifest = layout.push(REF, module)
    ref = REF.pinned(manifest)
    own = Reference(REF.registry, REF.repository, None, push_aot(layout, REF, manifest, M3))

    def found(*by: str) -> Any:
        return builds_of(layout, ref, blobs, limit=4096, keys=keys, by=by)

    assert found() == found(ana.public.id) == ()
    sign(layout, own, eve)
    assert found(ana.public.id) == ()
    sign(layout, own, ana)
    assert found(ana.public.id) == found(ana.public.id, eve.public.id) == (build(M3),)
