"""From a spec's module to the blob store, or to the reason why not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from propeller.errors import UsageError
from propeller.model.ids import Digest, sha256_digest
from propeller.model.module import Module, ModuleProblem
from propeller.model.specs import ModuleRef
from propeller.registry.blobs import BlobStore
from propeller.registry.layout import Layout
from propeller.registry.reference import Reference
from propeller.registry.registries import Host, Registries
from propeller.registry.resolve import resolve

REF = Reference("r.example", "plant/filter", "1")
IMAGE = "oci://r.example/plant/filter:1"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "oci")


@pytest.fixture
def air_gap(layout: Layout) -> Iterator[Registries]:
    """`r.example` is a directory here."""
    with Registries({"r.example": Host(layout=layout.directory)}) as registries:
        yield registries


def _module(found: Module | ModuleProblem) -> Module:
    assert isinstance(found, Module), found
    return found


def _problem(found: Module | ModuleProblem) -> ModuleProblem:
    assert isinstance(found, ModuleProblem), found
    return found


def test_an_image_becomes_a_module(
    air_gap: Registries, layout: Layout, blobs: BlobStore, module: bytes
):
    """Its bytes are in the store and its needs are known."""
    layout.push(REF, module)
    found = _module(resolve(ModuleRef(image=IMAGE), registries=air_gap, blobs=blobs))
    assert found.digest == found.identity == sha256_digest(module)
    assert found.size == len(module)
    assert found.memory_min == 65536
    assert found.memory_max == 4 * 65536
    assert [each.name for each in found.imports] == ["proc_exit"]
    assert found.image is None  # no device can pull from our directory
    assert blobs.read(found.digest) == module


def test_a_layout_directory_can_be_named_itself(layout: Layout, blobs: BlobStore, module: bytes):
    """`oci-layout://DIR:TAG` needs no configuration."""
    layout.push(Reference("", "", "add"), module)
    image = f"oci-layout://{layout.directory}:add"
    found = resolve(ModuleRef(image=image), registries=Registries(), blobs=blobs)
    assert _module(found).digest == sha256_digest(module)


def test_a_module_that_is_not_the_pinned_one_is_refused(
    air_gap: Registries, layout: Layout, blobs: BlobStore, module: bytes
):
    """The spec names the module's digest; trying again cannot help."""
    manifest = layout.push(REF, module)
    pinned = ModuleRef(image=IMAGE, digest=sha256_digest(module))
    assert _module(resolve(pinned, registries=air_gap, blobs=blobs))
    wrong = ModuleRef(image=IMAGE, digest=sha256_digest(b"other"))
    problem = _problem(resolve(wrong, registries=air_gap, blobs=blobs))
    assert (problem.reason, problem.retry) == ("DigestMismatch", False)
    mistaken = ModuleRef(image=IMAGE, digest=manifest)
    problem = _problem(resolve(mistaken, registries=air_gap, blobs=blobs))
    assert f"write image: {IMAGE}@{manifest}" in problem.message


def test_a_missing_image_is_not_found(
    air_gap: Registries, layout: Layout, blobs: BlobStore, module: bytes
):
    """Nobody pushed it."""
    layout.push(Reference("r.example", "other", "1"), module)
    problem = _problem(resolve(ModuleRef(image=IMAGE), registries=air_gap, blobs=blobs))
    assert (problem.reason, problem.retry) == ("NotFound", False)
    assert "r.example/plant/filter:1" in problem.message


def test_a_registry_that_is_down_is_tried_again(blobs: BlobStore, stub_server: Any):
    """Unless the module is pinned and already here."""
    stub_server.stop()
    registries = Registries({stub_server.host: Host(plain_http=True)}, connect=1)
    image = f"{stub_server.host}/a:1"
    problem = _problem(resolve(ModuleRef(image=image), registries=registries, blobs=blobs))
    assert (problem.reason, problem.retry) == ("Unavailable", True)


def test_a_pinned_module_that_is_here_needs_no_registry(
    blobs: BlobStore, stub_server: Any, module: bytes
):
    """The registry may be down for as long as it likes."""
    stub_server.stop()
    registries = Registries({stub_server.host: Host(plain_http=True)}, connect=1)
    digest = blobs.put(module)
    image = f"{stub_server.host}/a:1"
    found = _module(
        resolve(ModuleRef(image=image, digest=digest), registries=registries, blobs=blobs)
    )
    assert (found.digest, found.image) == (digest, None)
    manifest = "sha256:" + "ab" * 32
    found = _module(
        resolve(
            ModuleRef(image=f"{image}@{manifest}", digest=digest),
            registries=registries,
            blobs=blobs,
        )
    )
    assert found.image == f"{stub_server.host}/a@{manifest}"


@pytest.mark.parametrize("image", ["add:1", "oci://UPPER", "oci-layout://", "r.example/a@sha256:1"])
def test_a_bad_name_is_a_problem_in_words(blobs: BlobStore, image: str):
    """Nothing raises for what somebody wrote."""
    problem = _problem(resolve(ModuleRef(image=image), registries=Registries(), blobs=blobs))
    assert (problem.reason, problem.retry) == ("BadReference", False)
    assert image in problem.message


def test_a_damaged_registry_may_be_mended(
    air_gap: Registries, layout: Layout, blobs: BlobStore, module: bytes
):
    """Bytes that are not what the registry itself says they are: try again later."""
    layout.push(REF, module)
    path = layout.directory / "blobs/sha256" / sha256_digest(module)[7:]
    path.write_bytes(module[:-1] + b"?")
    problem = _problem(resolve(ModuleRef(image=IMAGE), registries=air_gap, blobs=blobs))
    assert (problem.reason, problem.retry) == ("DigestMismatch", True)


def test_an_image_of_something_else_is_not_wasm(
    air_gap: Registries, layout: Layout, blobs: BlobStore, module: bytes
):
    """A layer with the right media type and native code in it."""
    digest = layout.push(REF, module)
    body = (layout.directory / "blobs/sha256" / digest[7:]).read_text()
    native = b"\x7fELF" + b"\0" * 100
    layout.write_blob(REF, native)
    body = body.replace(sha256_digest(module), sha256_digest(native)).replace(
        f'"size":{len(module)}', f'"size":{len(native)}'
    )
    layout.write_manifest(REF, body.encode(), "application/vnd.oci.image.manifest.v1+json")
    problem = _problem(resolve(ModuleRef(image=IMAGE), registries=air_gap, blobs=blobs))
    assert (problem.reason, problem.retry) == ("NotWasm", False)
    assert "native code" in problem.message
    assert list(blobs.digests()) == []


def test_a_module_too_large_is_refused(
    air_gap: Registries, layout: Layout, blobs: BlobStore, module: bytes
):
    """The limit is the fleet's."""
    layout.push(REF, module)
    problem = _problem(resolve(ModuleRef(image=IMAGE), registries=air_gap, blobs=blobs, limit=10))
    assert (problem.reason, problem.retry) == ("TooLarge", False)


# ---------------------------------------------------------------- url


def _serves(body: bytes) -> Any:
    def answer(request: Any) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def _by_url(
    stub: Any, blobs: BlobStore, digest: Digest | None, path: str = "/m.wasm", limit: int = 10_000
) -> Module | ModuleProblem:
    with Registries({stub.host: Host(plain_http=True)}, connect=1) as registries:
        ref = ModuleRef(url=f"http://{stub.host}{path}", digest=digest)
        return resolve(ref, registries=registries, blobs=blobs, limit=limit)


def test_a_url_with_its_digest_becomes_a_module(stub_server: Any, blobs: BlobStore, module: bytes):
    """Fetched once; afterwards the store has it."""
    stub_server.routes["/m.wasm"] = _serves(module)
    for _ in range(2):
        found = _module(_by_url(stub_server, blobs, sha256_digest(module)))
        assert (found.digest, found.size, found.image) == (
            sha256_digest(module),
            len(module),
            None,
        )
    assert len(stub_server.heard) == 1


@pytest.mark.parametrize(
    ("digest", "path", "limit", "reason", "retry"),
    [
        (sha256_digest(b"other"), "/m.wasm", 10_000, "DigestMismatch", False),
        (sha256_digest(b"other"), "/none", 10_000, "NotFound", False),
        (None, "/m.wasm", 10_000, "BadReference", False),
        (sha256_digest(b"other"), "/m.wasm", 10, "TooLarge", False),
        (sha256_digest(b"just text"), "/text", 10_000, "NotWasm", False),
    ],
)
def test_a_url_that_does_not_work_out(
    stub_server: Any,
    blobs: BlobStore,
    module: bytes,
    digest: Digest | None,
    path: str,
    limit: int,
    reason: str,
    retry: bool,
):
    """Other bytes, nothing there, no digest, too large, no WebAssembly."""
    stub_server.routes.update({"/m.wasm": _serves(module), "/text": _serves(b"just text")})
    problem = _problem(_by_url(stub_server, blobs, digest, path, limit))
    assert (problem.reason, problem.retry) == (reason, retry)


def test_a_secret_in_a_urls_query_is_not_told(stub_server: Any, blobs: BlobStore):
    """Messages end up in status files."""
    problem = _problem(_by_url(stub_server, blobs, sha256_digest(b"x"), "/m.wasm?key=hunter2"))
    assert problem.reason == "NotFound"
    assert "hunter2" not in problem.message


# ---------------------------------------------------------------- registries


def test_a_mirror_is_asked_instead(tmp_path: Path):
    """Tag and digest go along; the prefix goes in front."""
    registries = Registries.parse(
        {"r.example": {"mirror": "cache.example:5000/proxy/"}}, base=tmp_path
    )
    place = registries.place(Reference.parse("r.example/a/b:1"))
    assert str(place.reference) == "cache.example:5000/proxy/a/b:1"
    assert place.remote
    assert registries.place(Reference.parse("s.example/a")).reference.registry == "s.example"


def test_a_layout_path_is_relative_to_the_configuration(tmp_path: Path):
    """And plain HTTP is what the file says."""
    registries = Registries.parse(
        {"a": {"layout": "oci"}, "127.0.0.1:5000": {"plainHttp": "Allowed"}, "b": {}},
        base=tmp_path,
    )
    assert registries.hosts["a"].layout == tmp_path / "oci"
    assert [name for name, host in registries.hosts.items() if host.plain_http] == [
        "127.0.0.1:5000"
    ]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"h": "mirror"}, "registries.h"),
        ({"h": {"miror": "x"}}, "registries.h.miror"),
        ({"h": {"mirror": "x.example", "layout": "y"}}, "not both"),
        ({"h": {"mirror": 7}}, "registries.h.mirror"),
        ({"h": {"layout": ""}}, "registries.h.layout"),
        ({"h": {"plainHttp": True}}, "Allowed or Denied"),
        ({"h": {"plainHttp": []}}, "Allowed or Denied"),
        ({"h": {"mirror": "no-host"}}, "which registry"),
    ],
)
def test_a_configuration_that_is_wrong_names_the_field(
    tmp_path: Path, raw: dict[str, object], words: str
):
    """Unknown fields, both at once, wrong types, a mirror that is no host."""
    with pytest.raises(UsageError, match=words):
        Registries.parse(raw, base=tmp_path)
