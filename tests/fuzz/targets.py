"""Everything that reads bytes somebody else wrote: one target each, for Hypothesis and for atheris.

A target takes bytes and returns, or raises an error of the family (`propeller.errors`): nothing
else may escape it, whatever the bytes are. Its seeds are good inputs, from which mutants are made.
What it returns is what the bytes became; where that can be larger than the bytes, the target holds
it to a bound itself.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import tarfile
import tempfile
import typing
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy
import wasmtime

from propeller.errors import PropellerError
from propeller.fl.layout import Layout
from propeller.fl.model import read_model, write_model
from propeller.gateway.hooks import Hooks, Receiver, make_hooks
from propeller.model.ids import sha256_digest
from propeller.provision.authority import Authority
from propeller.provision.record import FILE, Record, read_record, text_of
from propeller.registry.compat import module_inside
from propeller.registry.cosign import read_payload
from propeller.registry.cosignkey import PublicKey
from propeller.registry.encrypted import read_sealed
from propeller.registry.manifest import (
    Index,
    choose_layer,
    choose_manifest,
    read_json,
    read_manifest,
)
from propeller.registry.oci import OciClient
from propeller.registry.reference import Reference, parse_location
from propeller.registry.sbom import producers
from propeller.registry.specarchive import pack as pack_specs
from propeller.registry.specarchive import unpack as unpack_specs
from propeller.registry.wasm import inspect
from propeller.secrets.age import Identities
from propeller.secrets.sops import open_secret
from propeller.sources.config import read_config
from propeller.sources.load import load
from propeller.sources.tree import Tree
from propeller.wire import certificates, codec, enrolment, updates
from propeller.wire import messages as m
from propeller.wire.boxes import BoxKey, Place, PointKey, open_value
from propeller.wire.frame import open_frame, seal
from propeller.wire.keyring import Keyring, keyring_from_trust
from propeller.wire.releases import next_list, read_releases
from propeller.wire.signing import SigningKey
from propeller.wire.topics import Channel
from proplet import config as proplet_config
from proplet.settings import SETTINGS

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "schemas" / "wire" / "vectors"
KINDS: dict[str, type[typing.Any]] = {one.__name__: one for one in typing.get_args(m.Message)}
LIMIT = 1 << 20
KEY = SigningKey.from_seed(b"f" * 32)
WHERE = "here"
SCRATCH = Path(tempfile.mkdtemp(prefix="propeller-fuzz-"))


@dataclass(frozen=True, slots=True)
class Target:
    """run: raises PropellerError or nothing. tokens: pieces worth inserting."""

    name: str
    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    tokens: tuple[bytes, ...] = ()


def survives(target: Target, data: bytes) -> str:
    """The word of how it ended: "ok", or the name of the error of the family."""
    try:
        target.run(data)
    except PropellerError as error:
        str(error)  # saying it must not fail either
        return type(error).__name__
    return "ok"


def _vectors(name: str) -> typing.Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


# -- specs ----------------------------------------------------------------------------------------

_SPECS = tuple(path.read_bytes() for path in sorted((ROOT / "specs").rglob("*.yaml")))[:12]
_YAML = (
    b"&a ", b"*a", b"<<: *a", b"!!python/object:os.system", b"%YAML 1.1\n", b"---\n", b"...\n",
    b"? ", b"- ", b": ", b"|+\n", b">-\n", b"{", b"}", b"[", b"]", b"'", b'"', b"\\x00", b"\t",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xe2\x80\xa8", b"\x85", b"1e999", b"0x", b".inf", b"~",
)  # fmt: skip


def _load(name: str, data: bytes) -> object:
    files = {name: data, "add.wat": b'(module (func (export "_start")))'}
    return load(Tree("dir@fuzz", files), domain="fuzz", keep=sha256_digest, inspect=inspect)


def _json_spec(data: bytes) -> object:
    return _load("a.json", data)


def _yaml_spec(data: bytes) -> object:
    return _load("a.yaml", data)


def _overlay(data: bytes) -> object:
    base = b"apiVersion: propeller.dev/v1alpha1\nkind: Task\nmetadata: {name: a}\nspec: {module: "
    files = {
        "base/a.yaml": base + b"{file: ../add.wat}}\n",
        "add.wat": b'(module (func (export "_start")))',
        "o/overlay.yaml": data,
    }
    tree = Tree("dir@fuzz", files, overlay="o")
    return load(tree, domain="fuzz", keep=sha256_digest, inspect=inspect)


_TASK_JSON = json.dumps(
    {
        "apiVersion": "propeller.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": "a", "labels": {"x": "y"}},
        "spec": {"module": {"file": "add.wat"}, "run": {"args": ["1", 2, 0.5]}},
    }
).encode()
_OVERLAY = b"""apiVersion: propeller.dev/v1alpha1
kind: Overlay
metadata: {name: o}
spec:
  base: ../base
  variables: {X: "1"}
  patches:
    - target: {kind: Task, name: a}
      patch: {spec: {limits: {memory: "${X}MiB"}}}
"""

# -- the wire -------------------------------------------------------------------------------------


def _messages(encoding: str) -> tuple[bytes, ...]:
    """Message bodies with their kind in front, one letter each."""
    made = []
    for case in _vectors("messages")["cases"]:
        letter = bytes([sorted(KINDS).index(case["message"])])
        body = case["json"].encode() if encoding == "json" else bytes.fromhex(case["cbor"])
        made.append(letter + body)
    return tuple(made[:40])


def _decode(data: bytes) -> object:
    """The first byte says as which message the rest is read."""
    kinds = sorted(KINDS)
    kind = KINDS[kinds[data[0] % len(kinds)]] if data else m.Status
    return codec.decode(kind, data[1:])


def _lists(data: bytes) -> object:
    return codec.decode_inventory(data) if data[:1] == b"\x00" else codec.decode_tasks(data[1:])


def _frame(data: bytes) -> object:
    purposes = ("desired", "op", "report", "hello", "answer", "put", "trust", "enroll")
    purpose = purposes[data[0] % len(purposes)] if data else "op"
    return open_frame(purpose, data[1:], Keyring.of_device(KEY.public))


def _trust(data: bytes) -> object:
    return keyring_from_trust(codec.decode(m.Trust, data), KEY.public)


def _topic(data: bytes) -> object:
    return Channel("d", "c").parse(data.decode("utf-8", "surrogateescape"))


def _blob(data: bytes) -> object:
    kind: type[m.BlobChunk | m.BlobPut] = m.BlobPut if data[:1] == b"\x01" else m.BlobChunk
    chunk = codec.decode(kind, data.removeprefix(b"\x01"))
    assert len(chunk.data) <= len(data)
    return chunk


def _box(data: bytes) -> object:
    place = Place(device="d", inst="i", uid="u", run="r", name="N")
    key = PointKey.from_seed(b"b" * 48) if len(data) % 2 else BoxKey.from_seed(b"b" * 32)
    return open_value(data.decode("ascii", "replace"), key, place)


def _update(data: bytes) -> object:
    got = updates.unpack(data, max_body=LIMIT)
    assert len(got.body) <= LIMIT
    return got


_UPDATE = updates.pack(
    updates.Update(
        encoding="f32-delta",
        job=b"j" * 16,
        round=1,
        attempt=1,
        samples=3,
        count=2,
        base="",
        layout="",
        body=b"\0" * 8,
        meta={"loss": "0.5"},
    )
)


def _model(data: bytes) -> object:
    layout, flat = read_model(data, max_count=1 << 16)
    assert flat.nbytes <= 8 << 16
    return layout


# -- registries -----------------------------------------------------------------------------------

_MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/x", "digest": "sha256:" + "0" * 64, "size": 2},
        "layers": [{"mediaType": "application/wasm", "digest": "sha256:" + "1" * 64, "size": 9}],
        "annotations": {"a": "b"},
    }
).encode()
_INDEX = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": "sha256:" + "2" * 64,
                "size": 100,
                "artifactType": "application/x",
                "platform": {"os": "wasip1", "architecture": "wasm"},
            }
        ],
    }
).encode()


def _manifest(data: bytes) -> object:
    """A manifest, an index, and a list of referrers, which is one."""
    read = read_manifest(data, where=WHERE)
    if isinstance(read, Index):
        return choose_manifest(read, where=WHERE)
    return choose_layer(read, where=WHERE)


def _challenge(data: bytes) -> object:
    """What a registry says when it wants to know who asks; the token server is never reached."""
    with OciClient() as client:
        client._token = lambda asked, login, ref: "".join(asked)  # type: ignore[method-assign]
        ref = Reference.parse("registry.example/a:1")
        return client._answer(data.decode("latin-1")[:8192], ref)


def _reference(data: bytes) -> object:
    return parse_location(data.decode("utf-8", "replace"))


_SEALED_CONFIG = json.dumps(
    {
        "plain": "sha256:" + "3" * 64,
        "imports": [["wasi_snapshot_preview1", "fd_write"]],
        "exports": [["_start", [], []]],
        "memoryMin": 65536,
        "memoryMax": None,
        "component": False,
        "key": None,
    }
).encode()


def _sealed_config(data: bytes) -> object:
    config = read_json(data, where=WHERE)
    return read_sealed(config, digest=sha256_digest(b""), size=1, where=WHERE)


_RELEASES = seal("releases", codec.encode(next_list(None, add=["sha256:" + "4" * 64])), KEY)


def _releases(data: bytes) -> object:
    return read_releases(data, KEY.public, where=WHERE)


def _packed(data: bytes) -> object:
    module = module_inside(data, limit=LIMIT, where=WHERE)
    assert len(module) <= LIMIT
    return module


def _archive(data: bytes) -> object:
    return unpack_specs(data, where=WHERE)


def _tar(name: str, body: bytes) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(body)
        archive.addfile(entry, io.BytesIO(body))
    return sink.getvalue()


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush()


_WASM = bytes(wasmtime.wat2wasm('(module (memory 1) (func (export "_start")))'))


def _module(data: bytes) -> object:
    facts = inspect(data)
    assert facts.memory_min >= 0
    producers(data)
    return facts


def _payload(data: bytes) -> object:
    return read_payload(data)


def _public(data: bytes) -> object:
    return PublicKey.from_pem(data, where=WHERE)


# -- provisioning ---------------------------------------------------------------------------------


def _fleet(data: bytes) -> object:
    (SCRATCH / FILE).write_bytes(data)
    return read_record(SCRATCH)


def _enroll(data: bytes) -> object:
    return enrolment.read_first(data)


def _answer(data: bytes) -> object:
    return enrolment.read_answer(data)


def _certificate(data: bytes) -> object:
    return certificates.facts(data, where=WHERE)


def _csr(data: bytes) -> object:
    return certificates.requested_key(data)


_PUBLIC = b"-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"
_CSR = certificates.request(certificates.new_key(), "press-1")
_CERTIFICATE = Authority.make("fuzz", now=1_800_000_000, days=9).issue(
    certificates.new_key().public_key(), name="a", now=1_800_000_000, days=1, hosts=("h",)
)
_RECORD = text_of(Record(domain="d", channel="c", host="h", port=8883, authorities=("a",)))

# -- settings and webhooks ------------------------------------------------------------------------


def _config(data: bytes) -> object:
    return read_config(data)


def _proplet(data: bytes) -> object:
    path = SCRATCH / "proplet.yaml"
    path.write_bytes(data)
    flags = argparse.Namespace(config=str(path), **{setting.field: None for setting in SETTINGS})
    return proplet_config.load(flags, {})


def _hook(data: bytes) -> object:
    """A body and a signature: whoever does not know the secret is told so, and nobody looks."""
    secret = SCRATCH / "secret"
    secret.write_text("a secret of the receiver")
    looks: list[int] = []
    hooks = Hooks(
        [Receiver(name="r", type="GitHub", secret=secret)],
        look=lambda: looks.append(1),
        refused=lambda words: None,
    )
    answers: list[int] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": data[32:], "more_body": False}

    async def send(message: typing.Any) -> None:
        if message["type"] == "http.response.start":
            answers.append(message["status"])

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/hooks/r",
        "raw_path": b"/hooks/r",
        "query_string": b"",
        "headers": [(b"x-hub-signature-256", data[:32]), (b"content-type", b"application/json")],
    }
    asyncio.run(make_hooks(hooks)(scope, receive, send))
    assert answers == [401], answers
    assert looks == []
    return answers


def _sops(data: bytes) -> object:
    text = data.decode("utf-8", "replace")
    sops = {"age": [{"recipient": "age1x", "enc": text}], "mac": text, "lastmodified": text}
    return open_secret({"data": {"k": text}, "sops": sops}, Identities())


_PROPLET = b"id: a\ntrust: root.pub\nbroker: mqtts://h:8883\nlabels: {a: b}\nmounts: [x=/y:rw]\n"
_CONFIG = b"domain: d\nchannel: c\nbroker: {address: 'h:1', username: u}\nregistries: {}\n"

_WIRE_TOKENS = (b"{", b"}", b'"v":', b'"v":2', b"\xa1", b"\xbf", b"\x9f", b"\xff", b"\xfb", b"1e9")
_JSON_TOKENS = (b"[" * 200, b'{"a":' * 200, b"9" * 400, b"NaN", b"Infinity", b"\\ud800", b"null")

_frames = _vectors("frames")["good"]
_blobs = _vectors("blobs")["good"]
_sealed = _vectors("sealed")["good"]


def _hexes(rows: typing.Any) -> tuple[bytes, ...]:
    """Every hex text of a vector that is as long as a message."""
    found = []
    for row in rows:
        for value in row.values():
            if isinstance(value, str) and len(value) > 60 and len(value) % 2 == 0:
                try:
                    found.append(bytes.fromhex(value))
                except ValueError:
                    continue
    return tuple(found) or (b"P1\x01\x00",)


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("yaml-spec", _yaml_spec, (*_SPECS, _TASK_JSON), _YAML),
        Target("json-spec", _json_spec, (_TASK_JSON,), _JSON_TOKENS),
        Target("overlay", _overlay, (_OVERLAY,), _YAML),
        Target("wire-json", _decode, _messages("json"), (*_WIRE_TOKENS, *_JSON_TOKENS)),
        Target("wire-cbor", _decode, _messages("cbor"), _WIRE_TOKENS),
        Target("wire-lists", _lists, (b"\x00[]", b"\x01[]", b"\x00\x80"), _WIRE_TOKENS),
        Target("frames", _frame, tuple(b"\x01" + one for one in _hexes(_frames)), (b"P1\x01",)),
        Target("trust", _trust, (_vectors("trust")["bad"][0]["json"].encode(),), _JSON_TOKENS),
        Target("topics", _topic, (b"m/d/c/c/control/proplet/a/report", b"m/d/c/c/control/trust")),
        Target("blob-frames", _blob, _hexes(_blobs), (b"\x00" * 8, b"\xff" * 8)),
        Target("sealed-values", _box, tuple(one["sealed"].encode() for one in _sealed)),
        Target("pfu1", _update, (_UPDATE,), (b"PFU1", b"\xff" * 8)),
        Target(
            "model",
            _model,
            (write_model(Layout.flat(2), numpy.zeros(2, "<f4")),),
            _JSON_TOKENS,
        ),
        Target("oci-manifest", _manifest, (_MANIFEST, _INDEX), _JSON_TOKENS),
        Target(
            "oci-challenge",
            _challenge,
            (b'Bearer realm="https://a.example/token",service="s",scope="repository:a:pull"',),
            (b'realm="', b'"', b",", b"Basic ", b"Bearer "),
        ),
        Target("oci-reference", _reference, (b"oci://r.example:5000/a/b:1@sha256:" + b"0" * 64,)),
        Target("oci-packed-module", _packed, (_gzip(_tar("a.wasm", _WASM)), _tar("a.wasm", b"x"))),
        Target("oci-spec-archive", _archive, (pack_specs({"a.yaml": b"x: 1\n"}),), (b"../",)),
        Target("sealed-config", _sealed_config, (_SEALED_CONFIG,), _JSON_TOKENS),
        Target("releases", _releases, (_RELEASES,), (b"P1\x01",)),
        Target("cosign-payload", _payload, (b'{"critical":{"identity":{}},"optional":{}}',)),
        Target(
            "cosign-key", _public, (b"-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----",)
        ),
        Target("wasm", _module, (_WASM,), (b"\0asm\x01\0\0\0", b"\xff" * 5, b"\x80" * 9)),
        Target("fleet-record", _fleet, (_RECORD,), _JSON_TOKENS),
        Target("enrolment", _enroll, (b"P1\x01\x00" + bytes(64) + b"{}",), (b"P1\x01",)),
        Target("enrolment-answer", _answer, (b'{"cert":"x","ca":"y"}',), _JSON_TOKENS),
        Target("certificate", _certificate, (_CERTIFICATE,)),
        Target("certificate-request", _csr, (_CSR, base64.b64encode(_CSR))),
        Target("propeller-yaml", _config, (_CONFIG,), _YAML),
        Target("proplet-yaml", _proplet, (_PROPLET,), _YAML),
        Target("webhook", _hook, (b"sha256=" + b"0" * 64 + b'{"ref":"x"}',)),
        Target("sops", _sops, (b"ENC[AES256_GCM,data:YQ==,iv:YQ==,tag:YQ==,type:str]",)),
    )
}
"""By name, in this order."""
