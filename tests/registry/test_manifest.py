"""Reading manifests of every layout there was, and writing the one of today."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest
import wasmtime

from propeller.model.ids import Digest, sha256_digest
from propeller.registry.compat import looks_packed, module_inside
from propeller.registry.manifest import (
    CONFIG,
    INDEX,
    MANIFEST,
    WASM,
    Index,
    Manifest,
    choose_layer,
    choose_manifest,
    config_for,
    manifest_for,
    read_manifest,
)
from propeller.registry.problem import ArtifactError
from propeller.registry.wasm import inspect

FIB = Digest("sha256:8171f30f05d1baa2410d582d47130e5c86e3fa1b2878569867a1ba59482a47ce")
FIB_CONFIG = "sha256:b0ee6ba2450cfebd52e33bb9d73b6c3f80e8c62b7301af11621fc0075ec8ce36"


def _layer(media_type: str, n: int = 0, **more: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": sha256_digest(b"%d" % n), "size": 1, **more}


def _manifest(config: str, *layers: dict[str, object], **more: object) -> bytes:
    return json.dumps(
        {"schemaVersion": 2, "config": _layer(config), "layers": layers, **more}
    ).encode()


def _read(body: bytes) -> Manifest:
    manifest = read_manifest(body, where="test")
    assert isinstance(manifest, Manifest)
    return manifest


def test_the_config_is_the_one_of_the_layouts_text():
    """Same bytes, so same digest, as the example of the CNCF layout."""
    core = inspect(bytes(wasmtime.wat2wasm("(module)")))
    config = config_for(FIB, core, created="2026-01-01T00:00:00Z")
    assert (len(config), sha256_digest(config)) == (161, FIB_CONFIG)
    body = manifest_for(config, FIB, 389, title="fib.wasm")
    assert json.loads(body) == {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": FIB_CONFIG, "size": 161},
        "layers": [
            {
                "mediaType": WASM,
                "digest": FIB,
                "size": 389,
                "annotations": {"org.opencontainers.image.title": "fib.wasm"},
            }
        ],
    }


def test_a_component_says_what_it_needs():
    """Its config carries its imports and exports, for placement without a download."""
    facts = inspect(bytes(wasmtime.wat2wasm('(component (import "a:b/c@1.0.0" (instance)))')))
    config = json.loads(config_for(FIB, facts, created="2026-01-01T00:00:00Z"))
    assert config["os"] == "wasip2"
    assert config["component"] == {"exports": [], "imports": ["a:b/c@1.0.0"]}


@pytest.mark.parametrize(
    ("config", "layer"),
    [
        (CONFIG, WASM),
        ("application/vnd.wasm.config.v1+json", "application/vnd.wasm.content.layer.v1+wasm"),
        (
            "application/vnd.module.wasm.config.v1+json",
            "application/vnd.module.wasm.content.layer.v1+wasm",
        ),
        (
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
        ),
        ("application/vnd.oci.empty.v1+json", WASM),
    ],
)
def test_the_module_is_found_by_its_media_type(config: str, layer: str):
    """The layouts of the last years, one by one."""
    found = choose_layer(_read(_manifest(config, _layer(layer, 1))), where="test")
    assert found is not None
    assert found.media_type == layer


def test_a_module_among_other_layers_is_found():
    """Spin keeps data beside; size and position mean nothing."""
    layers = [
        _layer("application/vnd.wasm.content.layer.v1+data", 1, size=10**6),
        _layer("application/vnd.wasm.content.layer.v1+wasm", 2),
    ]
    body = _manifest("application/vnd.fermyon.spin.application.v1+config", *layers)
    found = choose_layer(_read(body), where="test")
    assert found is not None
    assert found.digest == sha256_digest(b"2")


def test_unknown_media_types_are_left_to_the_first_bytes():
    """No choice is made by position."""
    body = _manifest("application/vnd.oci.empty.v1+json", _layer("application/octet-stream"))
    assert choose_layer(_read(body), where="test") is None


@pytest.mark.parametrize(
    "body",
    [
        _manifest(CONFIG, _layer(WASM, 1), _layer(WASM, 2)),
        _manifest(CONFIG, _layer(WASM, 1), _layer("text/plain", 2)),
        _manifest("x/y", _layer(WASM, 1), _layer(WASM, 2)),
        _manifest(CONFIG),
    ],
)
def test_more_or_less_than_one_module_is_refused(body: bytes):
    """The layout of today has one layer, and every layout one module."""
    with pytest.raises(ArtifactError) as caught:
        choose_layer(_read(body), where="test")
    assert caught.value.reason == "UnknownLayout"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"manifests": 1}',
        b'{"config": [], "layers": []}',
        _manifest(CONFIG, {"mediaType": WASM, "digest": "sha256:1", "size": 1}),
        _manifest(CONFIG, {"mediaType": WASM, "digest": FIB}),
        _manifest(CONFIG, {"mediaType": WASM, "digest": FIB, "size": -1}),
        _manifest(CONFIG, {"mediaType": WASM, "digest": FIB, "size": 1.5}),
        _manifest(CONFIG, {"mediaType": WASM, "digest": FIB, "size": True}),
        _manifest(CONFIG, {"mediaType": 7, "digest": FIB, "size": 1}),
        _manifest(CONFIG, _layer(WASM), annotations=[]),
        _manifest(CONFIG, *[_layer(WASM)] * 501),
        _manifest(CONFIG, _layer(WASM), mediaType="application/vnd.docker.distribution.v1"),
    ],
    ids=range(16),
)
def test_a_bad_manifest_is_refused_in_words(body: bytes):
    """Whatever a registry sends, it is a BadManifest and names the artifact."""
    with pytest.raises(ArtifactError, match="test") as caught:
        read_manifest(body, where="test")
    assert caught.value.reason == "BadManifest"


def _index(*platforms: tuple[str, str]) -> Index:
    manifests = [
        _layer(MANIFEST, n, platform={"os": system, "architecture": architecture})
        for n, (system, architecture) in enumerate(platforms)
    ]
    index = read_manifest(
        json.dumps({"mediaType": INDEX, "manifests": manifests}).encode(), where="test"
    )
    assert isinstance(index, Index)
    return index


@pytest.mark.parametrize(
    ("platforms", "chosen"),
    [
        ([("linux", "amd64")], 0),
        ([("linux", "amd64"), ("wasi", "wasm")], 1),
        ([("wasip2", "wasm"), ("wasip1", "wasm"), ("linux", "arm64")], 1),
    ],
)
def test_of_an_index_the_wasm_manifest_is_taken(platforms: list[tuple[str, str]], chosen: int):
    """The only one, or the plainest of those for WebAssembly."""
    found = choose_manifest(_index(*platforms), where="test")
    assert found.digest == sha256_digest(b"%d" % chosen)


@pytest.mark.parametrize(
    "platforms",
    [
        [],
        [("linux", "amd64"), ("linux", "arm64")],
        [("wasip1", "wasm"), ("wasip1", "wasm")],
    ],
)
def test_an_index_that_leaves_a_choice_is_refused(platforms: list[tuple[str, str]]):
    """Nothing is guessed."""
    with pytest.raises(ArtifactError, match="could be the module"):
        choose_manifest(_index(*platforms), where="test")


# ---------------------------------------------------------------- archives


def _tar(*files: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size, member.type = len(data), kind
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_module_of_a_compat_image_is_unpacked(pack: type[bytes]):
    """The one .wasm file in a tar, gzipped or not."""
    data = pack(_tar(("etc/", b""), ("plugin.wasm", b"\0asm!"), ("README", b"x")))
    assert looks_packed(data[:512])
    assert module_inside(data, limit=100_000, where="test") == b"\0asm!"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_tar(("a.wasm", b"1"), ("b.wasm", b"2")), "UnknownLayout"),
        (_tar(("a.txt", b"1")), "UnknownLayout"),
        (_tar(("a.wasm", b""), kind=tarfile.SYMTYPE), "UnknownLayout"),
        (b"garbage" * 1000, "UnknownLayout"),
        (_tar(("a.wasm", b"x" * 2000))[:1500], "UnknownLayout"),
        (gzip.compress(b"\0" * 200_000), "TooLarge"),
        (gzip.compress(_tar(("a.wasm", b"x" * 100)))[:-20], "UnknownLayout"),
        (b"\x1f\x8bgarbage", "UnknownLayout"),
        (_tar(*[(f"{n}", b"") for n in range(1001)]), "TooLarge"),
    ],
    ids=range(9),
)
def test_a_bad_archive_is_refused(data: bytes, reason: str):
    """Two modules, none, links, rubbish, bombs and cut ones."""
    with pytest.raises(ArtifactError) as caught:
        module_inside(data, limit=100_000, where="test")
    assert caught.value.reason == reason
