"""Against Debian's docker-registry and plain oras: what is pushed, pulled, refused and resumed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import oras.client
import pytest
import wasmtime

from propeller.errors import DigestMismatch, Unavailable
from propeller.model.ids import sha256_digest
from propeller.model.module import Module, ModuleProblem
from propeller.model.specs import ModuleRef
from propeller.registry.blobs import BlobStore
from propeller.registry.credentials import Login, docker_credentials
from propeller.registry.lineage import publish, records_of
from propeller.registry.manifest import MANIFEST
from propeller.registry.oci import OciClient
from propeller.registry.problem import ArtifactError
from propeller.registry.reference import Reference
from propeller.registry.registries import Host, Registries
from propeller.registry.resolve import resolve
from propeller.wire.signing import SigningKey

pytestmark = pytest.mark.live

MODULE = bytes(
    wasmtime.wat2wasm('(module (memory 1) (func (export "run") (result i32) i32.const 42))')
)
DIGEST = sha256_digest(MODULE)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def _open(server: Any, login: Login | None = None) -> OciClient:
    return OciClient(plain_http=[server.host], credentials={server.host: login}.get)


def test_push_pull_inspect(docker_registry: Any, blobs: BlobStore):
    """A module goes up in the CNCF layout and comes back by tag and by digest."""
    ref = Reference(docker_registry.host, "live/add", "1")
    with _open(docker_registry) as client:
        notes = {"a.example/b": "ü"}
        digest = client.push(ref, MODULE, title="add.wasm", annotations=notes)
        assert digest == client.push(ref, MODULE, title="add.wasm", annotations=notes)
        pulled = client.pull(ref, blobs)
        assert (pulled.digest, pulled.pinned.manifest) == (DIGEST, digest)
        assert pulled.pinned.annotations["a.example/b"] == "ü"
        assert client.resolve(ref.pinned(digest)).digest == DIGEST
        shown = client.inspect(ref)
    assert shown["configMediaType"] == "application/vnd.wasm.config.v0+json"
    assert shown["layers"] == [
        {"mediaType": "application/wasm", "digest": DIGEST, "size": len(MODULE)}
    ]
    assert blobs.read(DIGEST) == MODULE


def test_a_large_module_goes_up_and_down(docker_registry: Any, blobs: BlobStore):
    """Two megabytes, in many pieces each way."""
    data = MODULE + b"\0" + b"\x81\x80\x80\x01" + b"\0" * (2 << 20 | 1)
    ref = Reference(docker_registry.host, "live/large", "1")
    with _open(docker_registry) as client:
        client.push(ref, data)
        assert client.pull(ref, blobs).size == len(data)


def test_a_model_and_its_record(docker_registry: Any):
    """Published twice into a registry without the referrers API: one record, found by its tag."""
    ref, key = Reference(docker_registry.host, "live/model", "1"), SigningKey.from_seed(b"k" * 32)
    told = {"round": 1, "metrics": {"accuracy": "0.9"}}
    with _open(docker_registry) as client:
        sent = [
            publish(client, ref, b"weights", told, key_id=key.public.kid, sign=key.sign)
            for _ in range(2)
        ]
        assert sent[0] == sent[1]
        (found,) = records_of(client, ref, check=key.public.verify)
    assert found["predicate"] == told


def test_what_we_push_plain_oras_reads(docker_registry: Any, tmp_path: Path):
    """The file comes out under its title."""
    ref = Reference(docker_registry.host, "live/ours", "1")
    with _open(docker_registry) as client:
        client.push(ref, MODULE, title="add.wasm")
    plain = oras.client.OrasClient(hostname=docker_registry.host, insecure=True)
    (path,) = plain.pull(target=str(ref), outdir=str(tmp_path / "out"))
    plain.session.close()
    assert Path(path).name == "add.wasm"
    assert Path(path).read_bytes() == MODULE


@pytest.mark.parametrize(
    ("config", "layer"),
    [
        ("application/vnd.wasm.config.v0+json", "application/wasm"),
        ("application/vnd.wasm.config.v1+json", "application/vnd.wasm.content.layer.v1+wasm"),
        (
            "application/vnd.module.wasm.config.v1+json",
            "application/vnd.module.wasm.content.layer.v1+wasm",
        ),
        (
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
        ),
        (None, None),
    ],
    ids=["cncf", "wasm-to-oci", "wasmcloud", "runwasi", "oras-default"],
)
def test_what_plain_oras_pushes_we_read(
    docker_registry: Any,
    blobs: BlobStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: str | None,
    layer: str | None,
):
    """The older layouts, and oras' own default, whose layer only its first bytes betray."""
    monkeypatch.chdir(tmp_path)
    Path("add.wasm").write_bytes(MODULE)
    Path("config.json").write_text("{}")
    name = f"live/old-{layer or 'default'}".lower().replace("application/", "").replace("+", "-")
    target = f"{docker_registry.host}/{name}:1"
    plain = oras.client.OrasClient(hostname=docker_registry.host, insecure=True)
    plain.push(
        target=target,
        files=[f"add.wasm:{layer}" if layer else "add.wasm"],
        manifest_config=f"config.json:{config}" if config else None,
        quiet=True,
    )
    plain.session.close()
    with _open(docker_registry) as client:
        pulled = client.pull(Reference.parse(target), blobs)
        assert pulled.digest == DIGEST
        assert client.inspect(Reference.parse(target))["manifest"] == pulled.pinned.manifest


def test_a_byte_flipped_on_the_registrys_disk_is_found(docker_registry: Any, blobs: BlobStore):
    """The registry serves it without a word; we do not take it."""
    ref = Reference(docker_registry.host, "live/flipped", "1")
    data = MODULE + b"\0\x02\x01f"
    with _open(docker_registry) as client:
        client.push(ref, data)
        file = docker_registry.blob_file(sha256_digest(data))
        file.write_bytes(data[:-1] + b"g")
        with pytest.raises(DigestMismatch):
            client.pull(ref, blobs)
        assert list(blobs.digests()) == []
        file.write_bytes(data)
        assert client.pull(ref, blobs).size == len(data)


def test_a_device_pulls_by_itself(docker_registry: Any, blobs: BlobStore, tmp_path: Path):
    """With what `resolve` recorded in the module, and nothing else."""
    with _open(docker_registry) as client:
        client.push(Reference(docker_registry.host, "live/direct", "1"), MODULE)
    registries = Registries({docker_registry.host: Host(plain_http=True)})
    image = f"oci://{docker_registry.host}/live/direct:1"
    with registries:
        found = resolve(ModuleRef(image=image), registries=registries, blobs=blobs)
    assert isinstance(found, Module)
    assert found.image is not None
    with _open(docker_registry) as client:
        client.pull_blob(found.image, found.digest, tmp_path / "module.wasm")
    assert (tmp_path / "module.wasm").read_bytes() == MODULE


def test_a_registry_goes_away_and_comes_back(basic_registry: Any, blobs: BlobStore):
    """Unavailable while it is down, then all is as before."""
    ref = Reference(basic_registry.host, "live/away", "1")
    with _open(basic_registry, Login("fleet", "kept secret")) as client:
        client.push(ref, MODULE)
        basic_registry.stop()
        try:
            with pytest.raises(Unavailable):
                client.pull(ref, blobs)
        finally:
            basic_registry.start()
        assert client.pull(ref, blobs).digest == DIGEST


def test_what_is_missing_is_not_found(docker_registry: Any, blobs: BlobStore):
    """An unknown repository, tag and digest."""
    with _open(docker_registry) as client:
        client.push(Reference(docker_registry.host, "live/here", "1"), MODULE)
        for ref in (
            Reference(docker_registry.host, "live/nowhere", "1"),
            Reference(docker_registry.host, "live/here", "2"),
            Reference(docker_registry.host, "live/here", None, sha256_digest(b"no")),
        ):
            with pytest.raises(ArtifactError) as caught:
                client.resolve(ref)
            assert caught.value.reason == "NotFound"


def test_basic_auth(basic_registry: Any, blobs: BlobStore, tmp_path: Path):
    """The right password from docker's file; a wrong one and none are denied in words."""
    ref = Reference(basic_registry.host, "live/basic", "1")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auths": {basic_registry.host: {"username": "fleet"}}}))
    for login in (None, Login("fleet", "wrong")):
        with _open(basic_registry, login) as client, pytest.raises(ArtifactError) as caught:
            client.push(ref, MODULE)
        assert caught.value.reason == "Denied"
        assert "wrong" not in str(caught.value)
    entry = {"username": "fleet", "password": "kept secret"}
    config.write_text(json.dumps({"auths": {basic_registry.host: entry}}))
    with OciClient(
        plain_http=[basic_registry.host], credentials=docker_credentials(config)
    ) as client:
        client.push(ref, MODULE)
        assert client.pull(ref, blobs).digest == DIGEST


def test_bearer_auth(bearer_registry: Any, token_server: Any, blobs: BlobStore):
    """A token for each need, asked for with our login and used again."""
    tokens, stub = token_server
    ref = Reference(bearer_registry.host, "live/bearer", "1")
    hosts = [bearer_registry.host, stub.host]
    login = {bearer_registry.host: Login("fleet", "kept secret")}.get
    with OciClient(plain_http=hosts, credentials=login) as client:
        client.push(ref, MODULE)
        assert client.pull(ref, blobs).digest == DIGEST
    scopes = [scope for _, scope in tokens.asked]
    assert set(scopes) == {
        "repository:live/bearer:pull",
        "repository:live/bearer:pull,push",
    } or set(scopes) == {"repository:live/bearer:pull", "repository:live/bearer:push,pull"}
    assert len(scopes) == 2
    with OciClient(plain_http=hosts) as client, pytest.raises(ArtifactError) as caught:
        client.pull(ref, blobs)
    assert caught.value.reason == "Denied"


def test_bearer_tokens_without_a_login(bearer_registry: Any, token_server: Any, blobs: BlobStore):
    """Where anybody may pull, nobody needs a login; pushing stays denied."""
    tokens, stub = token_server
    ref = Reference(bearer_registry.host, "live/public", "1")
    hosts = [bearer_registry.host, stub.host]
    login = {bearer_registry.host: Login("fleet", "kept secret")}.get
    with OciClient(plain_http=hosts, credentials=login) as client:
        client.push(ref, MODULE)
    tokens.anonymous_pull = True
    with OciClient(plain_http=hosts) as client:
        assert client.pull(ref, blobs).digest == DIGEST
        with pytest.raises(ArtifactError) as caught:
            client.push(Reference(bearer_registry.host, "live/public", "2"), MODULE)
    assert caught.value.reason == "Denied"


def test_referrers_by_the_tag_fallback(docker_registry: Any):
    """This registry has no referrers API: the index under `sha256-<hex>` is read instead."""
    ref = Reference(docker_registry.host, "live/subject", "1")
    with _open(docker_registry) as client:
        digest = client.push(ref, MODULE)
        assert client.referrers(ref) == ()
        index = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                {
                    "mediaType": MANIFEST,
                    "digest": digest,
                    "size": 1,
                    "artifactType": "application/vnd.example.signature",
                }
            ],
        }
        fallback = Reference(ref.registry, ref.repository, digest.replace(":", "-"))
        client.write_manifest(fallback, json.dumps(index).encode(), index["mediaType"])
        (found,) = client.referrers(ref, "application/vnd.example.signature")
        assert found.digest == digest
        assert client.referrers(ref, "application/vnd.other") == ()


def test_workers_share_the_registries(docker_registry: Any, blobs: BlobStore):
    """Several threads resolve at once, each over connections of its own."""
    names = [f"live/many-{n}" for n in range(8)]
    with _open(docker_registry) as client:
        for n, name in enumerate(names):
            client.push(Reference(docker_registry.host, name, "1"), MODULE + b"\0\2\1%d" % n)
    refs = [ModuleRef(image=f"{docker_registry.host}/{name}:1") for name in names]
    with (
        Registries({docker_registry.host: Host(plain_http=True)}) as registries,
        ThreadPoolExecutor(4) as workers,
    ):
        found = list(workers.map(lambda r: resolve(r, registries=registries, blobs=blobs), refs))
    for n, module in enumerate(found):
        assert isinstance(module, Module)
        assert module.digest == sha256_digest(MODULE + b"\0\2\1%d" % n)


def test_plain_http_must_be_allowed(docker_registry: Any, blobs: BlobStore):
    """Loopback is no exception: without leave we speak TLS, and the registry does not."""
    image = f"{docker_registry.host}/live/add:1"
    with Registries() as registries:
        problem = resolve(ModuleRef(image=image), registries=registries, blobs=blobs)
    assert isinstance(problem, ModuleProblem)
    assert "TLS" in problem.message
