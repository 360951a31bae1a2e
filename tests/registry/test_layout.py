"""The OCI layout directory: a registry without a server."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import oras.layout
import pytest

from propeller.errors import DigestMismatch, WireError
from propeller.model.ids import sha256_digest
from propeller.registry.blobs import BlobStore
from propeller.registry.layout import Layout
from propeller.registry.manifest import INDEX, MANIFEST
from propeller.registry.problem import ArtifactError
from propeller.registry.reference import Reference

REF = Reference("r.example", "plant/filter", "1.4")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "oci")


def test_what_was_pushed_is_pulled(layout: Layout, blobs: BlobStore, module: bytes):
    """By tag and by digest, with the facts and annotations."""
    digest = layout.push(
        REF, module, title="filter.wasm", annotations={"org.opencontainers.image.version": "1.4"}
    )
    for ref in (REF, REF.pinned(digest), Reference("r.example", "plant/filter", None, digest)):
        pulled = layout.pull(ref, blobs)
        assert pulled.pinned.manifest == digest
        assert (pulled.digest, pulled.size) == (sha256_digest(module), len(module))
        assert [each.name for each in pulled.facts.exports] == ["_start", "add"]
        assert pulled.pinned.annotations == {
            "org.opencontainers.image.title": "filter.wasm",
            "org.opencontainers.image.version": "1.4",
        }
    assert blobs.read(sha256_digest(module)) == module


def test_another_tool_takes_the_directory(layout: Layout, module: bytes):
    """oras validates it: the files, the index and every blob it names."""
    layout.push(REF, module)
    oras.layout.NewLayout(str(layout.directory), validate=True)


def test_pushing_the_same_again_changes_no_digest(layout: Layout, module: bytes):
    """Without a time of its own a push is reproducible."""
    assert layout.push(REF, module) == layout.push(REF, module)
    assert len(json.loads((layout.directory / "index.json").read_text())["manifests"]) == 1
    dated = layout.push(REF, module, created="2026-01-01T00:00:00Z")
    assert dated != layout.push(REF, module)


def test_a_tag_moves_and_the_old_digest_stays(layout: Layout, blobs: BlobStore, module: bytes):
    """Tags are names, digests are things."""
    old = layout.push(REF, module)
    new = layout.push(REF, module, annotations={"changed": "yes"})
    assert layout.resolve(REF).manifest == new
    assert layout.resolve(REF.pinned(old)).manifest == old
    assert layout.tags() == {"r.example/plant/filter:1.4": new}


@pytest.mark.parametrize("name", ["plant/filter:1.4", "1.4"])
def test_names_as_other_tools_write_them_are_found(layout: Layout, module: bytes, name: str):
    """`repository:tag` and the bare tag."""
    digest = layout.push(REF, module)
    index = json.loads((layout.directory / "index.json").read_text())
    index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] = name
    (layout.directory / "index.json").write_text(json.dumps(index))
    assert layout.resolve(REF).manifest == digest


def test_inspect_shows_manifest_and_config(layout: Layout, module: bytes):
    """What is published under the name, ready for JSON."""
    digest = layout.push(REF, module)
    shown = json.loads(json.dumps(layout.inspect(REF)))
    assert shown["manifest"] == digest
    assert shown["reference"] == f"r.example/plant/filter:1.4@{digest}"
    assert shown["module"]["digest"] == sha256_digest(module)
    assert shown["config"]["layerDigests"] == [sha256_digest(module)]


def test_what_is_not_there_is_not_found(layout: Layout, module: bytes):
    """No directory, no such tag, no such digest."""
    for _ in range(2):
        with pytest.raises(ArtifactError) as caught:
            layout.resolve(Reference("r.example", "other", "1"))
        assert caught.value.reason == "NotFound"
        layout.push(REF, module)
    with pytest.raises(ArtifactError) as caught:
        layout.resolve(REF.pinned(sha256_digest(b"nothing")))
    assert caught.value.reason == "NotFound"


def test_a_damaged_blob_is_never_used(layout: Layout, blobs: BlobStore, module: bytes):
    """One flipped byte in module or manifest is a DigestMismatch; nothing reaches the store."""
    digest = layout.push(REF, module)
    for each in (sha256_digest(module), digest):
        path = layout.directory / "blobs/sha256" / each[7:]
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(DigestMismatch):
            layout.pull(REF.pinned(digest), blobs)
        path.write_bytes(good)
    assert list(blobs.digests()) == []
    assert layout.pull(REF, blobs).digest == sha256_digest(module)


def test_what_is_not_wasm_is_not_pushed(layout: Layout):
    """Refused before anything is written."""
    with pytest.raises(WireError, match="not_wasm"):
        layout.push(REF, b"(module)")
    assert not layout.directory.exists()


def test_a_module_larger_than_allowed_is_not_pulled(
    layout: Layout, blobs: BlobStore, module: bytes
):
    """The limit is the caller's."""
    layout.push(REF, module)
    with pytest.raises(WireError, match="too_large"):
        layout.pull(REF, blobs, limit=len(module) - 1)


def test_a_layout_of_another_version_is_left_alone(layout: Layout, module: bytes):
    """Neither read nor written."""
    layout.push(REF, module)
    (layout.directory / "oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}')
    with pytest.raises(ArtifactError, match=r"2\.0\.0"):
        layout.resolve(REF)
    with pytest.raises(ArtifactError, match=r"2\.0\.0"):
        layout.push(REF, module)


def test_one_blob_is_pulled_to_a_file(layout: Layout, tmp_path: Path, module: bytes):
    """Whole and verified under its name, or no file."""
    layout.push(REF, module)
    dest = tmp_path / "cache" / "module.wasm"
    assert layout.pull_blob(str(REF), sha256_digest(module), dest) == len(module)
    assert dest.read_bytes() == module
    path = layout.directory / "blobs/sha256" / sha256_digest(module)[7:]
    path.write_bytes(b"something else")
    with pytest.raises(DigestMismatch):
        layout.pull_blob(str(REF), sha256_digest(module), tmp_path / "cache" / "again")
    assert [each.name for each in (tmp_path / "cache").iterdir()] == ["module.wasm"]


def test_referrers_are_listed_by_type(layout: Layout, module: bytes):
    """Manifests whose subject is ours, and only of the type that was asked for."""
    digest = layout.push(REF, module)
    assert layout.referrers(REF) == ()
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2}
    empty["digest"] = layout.write_blob(REF, b"{}")
    for kind in ("application/vnd.propeller.aot.v1", "application/vnd.example.signature"):
        body = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": kind,
            "config": empty,
            "layers": [empty],
            "subject": {"mediaType": MANIFEST, "digest": digest, "size": 1},
        }
        untagged = Reference("r.example", "plant/filter")
        layout.write_manifest(untagged, json.dumps(body).encode(), MANIFEST)
    kinds = [each.artifact_type for each in layout.referrers(REF)]
    assert kinds == ["application/vnd.propeller.aot.v1", "application/vnd.example.signature"]
    assert len(layout.referrers(REF, "application/vnd.propeller.aot.v1")) == 1


def test_an_index_leads_to_the_wasm_manifest(layout: Layout, blobs: BlobStore, module: bytes):
    """Tag -> index -> manifest -> module, and what is pinned is the manifest."""
    digest = layout.push(REF, module)
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [
            {
                "mediaType": MANIFEST,
                "digest": sha256_digest(b"linux"),
                "size": 5,
                "platform": {"os": "linux", "architecture": "amd64"},
            },
            {
                "mediaType": MANIFEST,
                "digest": digest,
                "size": 1,
                "platform": {"os": "wasip1", "architecture": "wasm"},
            },
        ],
    }
    tag = Reference("r.example", "plant/filter", "all")
    body = json.dumps(index).encode()
    own = layout.write_manifest(tag, body, INDEX)
    assert layout.pull(tag, blobs).pinned.manifest == digest
    assert layout.resolve(tag.pinned(own)).manifest == digest
    nested = {"mediaType": INDEX, "manifests": [{"mediaType": INDEX, "digest": own, "size": 1}]}
    deep = Reference("r.example", "plant/filter", "deep")
    layout.write_manifest(deep, json.dumps(nested).encode(), INDEX)
    with pytest.raises(ArtifactError, match="inside an index"):
        layout.resolve(deep)


def _artifact(layout: Layout, *layers: bytes) -> Reference:
    """An artifact whose media types say nothing."""
    ref = Reference("r.example", "odd", "1")
    parts = [
        {
            "mediaType": "application/octet-stream",
            "digest": layout.write_blob(ref, layer),
            "size": len(layer),
        }
        for layer in layers
    ]
    config = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": layout.write_blob(ref, b"not json"),
        "size": 8,
    }
    body = {"schemaVersion": 2, "config": config, "layers": parts}
    layout.write_manifest(ref, json.dumps(body).encode(), MANIFEST)
    return ref


def test_the_only_wasm_among_unnamed_layers_is_found(
    layout: Layout, blobs: BlobStore, module: bytes
):
    """By its first bytes, wherever it stands."""
    ref = _artifact(layout, b"x" * 100_000, module, b"")
    assert layout.pull(ref, blobs).digest == sha256_digest(module)


def test_a_compat_image_is_unpacked(layout: Layout, blobs: BlobStore, module: bytes):
    """A gzipped tar with one module in it: what is kept is the module."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        member = tarfile.TarInfo("plugin.wasm")
        member.size = len(module)
        tar.addfile(member, io.BytesIO(module))
    ref = _artifact(layout, archive.getvalue())
    pulled = layout.pull(ref, blobs)
    assert pulled.pinned.packed
    assert pulled.digest == sha256_digest(module)
    assert list(blobs.digests()) == [sha256_digest(module)]
    shown = layout.inspect(ref)
    assert shown["module"] == {
        "digest": None,
        "size": None,
        "mediaType": "application/octet-stream",
        "packed": True,
    }
    assert shown["config"] is None


def test_two_modules_or_none_are_refused(layout: Layout, blobs: BlobStore, module: bytes):
    """Nothing is guessed."""
    for layers in ((module, module + b"\0\1\0"), (b"text",), (b"\x1f\x8b", b"\x1f\x8b"), ()):
        with pytest.raises(ArtifactError) as caught:
            layout.pull(_artifact(layout, *layers), blobs)
        assert caught.value.reason == "UnknownLayout"


PUSHES = """
import sys
from pathlib import Path
from propeller.registry.layout import Layout
from propeller.registry.reference import Reference
module = sys.stdin.buffer.read()
for n in range(5):
    Layout(Path(sys.argv[1])).push(Reference("r.example", sys.argv[2], str(n)), module)
"""


def test_pushes_of_several_processes_all_stay(layout: Layout, module: bytes):
    """The index is changed under a lock."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", PUSHES, layout.directory, f"w{who}"], stdin=subprocess.PIPE
        )
        for who in range(3)
    ]
    for worker in workers:
        worker.communicate(module, timeout=60)
        assert worker.returncode == 0
    assert len(layout.tags()) == 15


def test_tags_of_one_repository(layout: Layout, module: bytes):
    """By the full or the short name; bare tags are everybody's, as other tools write them."""
    for name in ("r.example/plant/filter:1.4", "r.example/plant/filter:1.5", "r.example/x:9"):
        layout.push(Reference.parse(name), module)
    layout.push(Reference("", "", "bare"), module)
    assert layout.list_tags(REF) == ("1.4", "1.5", "bare")
    assert layout.list_tags(Reference("", "", "x")) == ("bare",)
