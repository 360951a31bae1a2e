"""Spec trees as artifacts: equal trees, equal digests; a hostile archive unpacks nothing."""

from __future__ import annotations

import io
import json
import tarfile
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propeller.errors import SpecError, Unavailable, UsageError
from propeller.model.ids import sha256_digest
from propeller.registry import specarchive
from propeller.registry.layout import Layout
from propeller.registry.oci import OciClient
from propeller.registry.problem import ArtifactError
from propeller.registry.reference import Reference
from propeller.registry.registries import Host, Registries
from propeller.registry.specarchive import pack, unpack
from propeller.registry.specs import ARTIFACT_TYPE, LAYER, SpecShelf, pull_specs, push_specs
from propeller.sources.oci import OciSource

REF = Reference("r.example", "plant/specs", "live")
FILES = {"a.yaml": b"x: 1\n", "lines/b.yaml": b"x: 2\n", "lines/add.wasm": b"\0asm"}


def tar(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """An archive somebody else made."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for entry, data in entries:
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def regular(name: str, data: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    return entry, data


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry, b""


# -- archives -----------------------------------------------------------------------------------


def test_equal_trees_are_equal_bytes():
    """Whatever order they come in, whenever and by whom they are packed."""
    assert pack(FILES) == pack(dict(reversed(FILES.items())))
    assert sha256_digest(pack({"a.yaml": b"x: 1\n"})) == (
        "sha256:db13495b4aea6b504c335e986d607b577f58927b5705f52ae8a9c19c63a2584c"
    )


NAMES = st.lists(
    st.text(st.characters(exclude_characters="/\\", categories=["L", "N", "S"]), min_size=1),
    min_size=1,
    max_size=4,
).map("/".join)


@given(st.dictionaries(NAMES, st.binary(max_size=2000), max_size=8))
def test_what_was_packed_is_unpacked(files):
    """Long names and names in any script included."""
    assert unpack(pack(files), where="here") == files


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (special("a.yaml", tarfile.SYMTYPE, "/etc/passwd"), "not a regular file"),
        (special("a.yaml", tarfile.LNKTYPE, "b.yaml"), "not a regular file"),
        (special("a.yaml", tarfile.CHRTYPE), "not a regular file"),
        (special("a.yaml", tarfile.FIFOTYPE), "not a regular file"),
        (regular("/etc/a.yaml"), "plain path below the root"),
        (regular("../a.yaml"), "plain path below the root"),
        (regular("a/../../b.yaml"), "plain path below the root"),
        (regular("a//b.yaml"), "plain path below the root"),
        (regular("a\\b.yaml"), "plain path below the root"),
        (regular("a\x1b[2J.yaml"), "no name of a file"),
        (regular("x" * 2000), "no name of a file"),
    ],
)
def test_only_plain_files_are_unpacked(entry, words):
    """One bad entry refuses the archive."""
    with pytest.raises(ArtifactError, match=words) as caught:
        unpack(tar(regular("good.yaml"), entry), where="here")
    assert caught.value.reason == "BadContent"


def test_a_name_counts_once():
    """Two entries of one name are read differently by different tools."""
    with pytest.raises(ArtifactError, match="twice"):
        unpack(tar(regular("a", b"1"), regular("a", b"2")), where="here")


def test_folders_of_other_tools_are_passed_over():
    """GNU tar and others write them."""
    folder = special("lines", tarfile.DIRTYPE)
    assert unpack(tar(folder, regular("lines/a.yaml", b"x")), where="here") == {
        "lines/a.yaml": b"x"
    }


def test_number_and_size_are_bounded(monkeypatch):
    """Of files, and of all of them together."""
    monkeypatch.setattr(specarchive, "MAX_ENTRIES", 3)
    monkeypatch.setattr(specarchive, "MAX_ARCHIVE", 1000)
    with pytest.raises(ArtifactError, match="more than 3 files"):
        unpack(tar(*(regular(f"{n}") for n in range(4))), where="here")
    with pytest.raises(ArtifactError, match="when unpacked"):
        unpack(tar(regular("a", b"x" * 600), regular("b", b"x" * 600)), where="here")
    with pytest.raises(ArtifactError, match="more than"):
        pack({"a": b"x" * 2000})


def test_an_entry_that_promises_more_than_there_is():
    """Its size is a claim."""
    archive = tar(regular("a", b"x" * 5000))
    with pytest.raises(ArtifactError):
        unpack(archive[:2000], where="here")


@given(st.binary(max_size=3000))
def test_rubbish_is_refused_in_one_way(data):
    """Any bytes give files or an ArtifactError."""
    try:
        unpack(data, where="here")
    except ArtifactError as error:
        assert error.reason == "BadContent"


# -- artifacts ----------------------------------------------------------------------------------


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "oci")


def test_a_tree_is_pushed_and_pulled(layout):
    """By tag and by digest; the same tree has the same digest again."""
    digest = push_specs(layout, REF, FILES, annotations={"b": "2", "a": "1"})
    assert digest == push_specs(layout, REF, FILES, annotations={"a": "1", "b": "2"})
    for ref in (REF, REF.pinned(digest)):
        tree = pull_specs(layout, ref)
        assert (tree.digest, tree.files) == (digest, FILES)
        assert tree.annotations == {"a": "1", "b": "2"}


def test_the_manifest_says_what_it_is(layout):
    """As the OCI specification wants artifacts to be."""
    push_specs(layout, REF, FILES)
    manifest = json.loads(layout.read_manifest(REF))
    assert manifest["artifactType"] == ARTIFACT_TYPE
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert [layer["mediaType"] for layer in manifest["layers"]] == [LAYER]


def test_a_module_is_no_spec_tree(layout, module):
    """And it is said what to do."""
    layout.push(REF, module)
    with pytest.raises(ArtifactError, match="holds no specs") as caught:
        pull_specs(layout, REF)
    assert "push --specs" in caught.value.hint


def test_a_spec_tree_is_no_module(layout, blobs):
    """Nor the other way round, though modules lie in it."""
    push_specs(layout, REF, FILES)
    with pytest.raises(ArtifactError, match="holds specs, no module"):
        layout.pull(REF, blobs)


@pytest.mark.live
def test_a_registry_keeps_spec_trees(docker_registry):
    """A real one, followed as a source."""
    ref = Reference(docker_registry.host, "plant/specs", "live")
    client = OciClient(plain_http=[docker_registry.host])
    first = push_specs(client, ref, FILES)
    client.close()
    hosts = {docker_registry.host: Host(plain_http=True)}
    source = OciSource(f"oci://{ref}", SpecShelf(lambda: Registries(hosts)))
    assert source.head() == first
    assert {**source.read().files} == FILES
    assert source.read().name == f"oci@{first}"
    pinned = OciSource(f"oci://{ref.pinned(first)}", SpecShelf(lambda: Registries(hosts)))
    client = OciClient(plain_http=[docker_registry.host])
    second = push_specs(client, ref, {"a.yaml": b"x: 9\n"})
    client.close()
    assert source.head() == second
    assert source.read(second).files["a.yaml"] == b"x: 9\n"
    assert {**pinned.read(pinned.head()).files} == FILES


# -- as a source --------------------------------------------------------------------------------


@pytest.fixture
def shelf():
    return SpecShelf(Registries)


def at(layout, tag="live", digest=""):
    return f"oci-layout://{layout.directory}:{tag}" + (f"@{digest}" if digest else "")


def test_a_layout_directory_is_followed(layout, shelf):
    """Without any registry: an air gap, a memory stick."""
    first = push_specs(layout, Reference("", "", "live"), FILES)
    source = OciSource(at(layout), shelf)
    assert (source.head(), source.read().name) == (first, f"oci@{first}")
    assert {**source.read().files} == FILES
    second = push_specs(layout, Reference("", "", "live"), {"a.yaml": b"x: 2"})
    assert source.head() == second
    assert source.read(first).name == f"oci@{first}"


def test_a_pinned_tree_needs_no_question_and_never_moves(layout, shelf):
    """The tag may; the digest says what is meant."""
    first = push_specs(layout, Reference("", "", "live"), FILES)
    source = OciSource(at(layout, digest=first), shelf)
    push_specs(layout, Reference("", "", "live"), {"a.yaml": b"x: 2"})
    assert source.head() == first
    assert {**source.read().files} == FILES


def test_a_tag_that_is_gone_is_silence(layout, shelf):
    """The last accepted revision stands."""
    push_specs(layout, Reference("", "", "live"), FILES)
    with pytest.raises(Unavailable, match="nosuch"):
        OciSource(at(layout, "nosuch"), shelf).head()


def test_bytes_that_are_not_what_they_were_pinned_as_are_silence(layout, shelf):
    """Rot or a bad proxy: nothing of it is believed."""
    digest = push_specs(layout, Reference("", "", "live"), FILES)
    blob = layout.directory / "blobs" / "sha256" / sha256_digest(pack(FILES))[7:]
    blob.write_bytes(blob.read_bytes().replace(b"x: 1", b"x: 7"))
    with pytest.raises(Unavailable, match="digest_mismatch"):
        OciSource(at(layout, digest=digest), shelf).read()


def test_a_hostile_tree_is_a_fault_of_its_author(layout, shelf):
    """It names the artifact."""
    layer = tar(special("a.yaml", tarfile.SYMTYPE, "/etc/passwd"))
    ref = Reference("", "", "live")
    push_specs(layout, ref, FILES)
    manifest = json.loads(layout.read_manifest(ref))
    manifest["layers"] = [
        {"mediaType": LAYER, "digest": layout.write_blob(ref, layer), "size": len(layer)}
    ]
    digest = layout.write_manifest(ref, json.dumps(manifest).encode(), manifest["mediaType"])
    with pytest.raises(SpecError, match="not a regular file") as caught:
        OciSource(at(layout), shelf).read()
    assert caught.value.faults[0].file == f"oci@{digest}"


def test_what_is_no_name_is_refused_at_once(shelf):
    """Before anything is asked."""
    with pytest.raises(UsageError):
        OciSource("oci://plant", shelf)


def test_files_that_are_no_specs_are_left_out(layout, shelf):
    """Those that are too large are named."""
    large = b"#" * ((1 << 20) + 1)
    files = {**FILES, "README.md": b"hello", ".hidden/a.yaml": b"x", "big.yaml": large}
    push_specs(layout, Reference("", "", "live"), files)
    tree = OciSource(at(layout), shelf).read()
    assert set(tree.files) == set(FILES)
    assert list(tree.problems) == ["big.yaml"]


def test_a_moved_tag_is_heard(layout, shelf):
    """The watch asks now and then and ends when it is told."""
    push_specs(layout, Reference("", "", "live"), FILES)
    source = OciSource(at(layout), shelf, interval=0.02)
    said, stop = threading.Semaphore(0), threading.Event()
    asked, head = threading.Event(), source.head

    def telling():
        asked.set()
        return head()

    source.head = telling
    thread = threading.Thread(target=source.watch, args=(said.release, stop), daemon=True)
    thread.start()
    try:
        assert asked.wait(20)
        asked.clear()
        assert asked.wait(20)
        push_specs(layout, Reference("", "", "live"), {"a.yaml": b"x: 2"})
        assert said.acquire(timeout=20)
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()
