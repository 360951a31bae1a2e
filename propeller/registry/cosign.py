"""Signatures of artifacts in the ecosystem's own format: cosign's "simple signing" with a key pair.

What is signed is a small JSON text that names the digest of a manifest (containers/image:
`containers-signature(5)`); the signature is ECDSA P-256 with SHA-256, base64 in an annotation of
the layer that holds the text. Two places are written and read: the tag `sha256-<hex>.sig` of the
repository, which cosign looks at by default, and a referrer of the artifact (OCI 1.1, cosign's
`--registry-referrers-mode oci-1-1`). No transparency log and no certificates are looked at, and
nothing here asks another service than the registry: `cosign verify --insecure-ignore-tlog --key`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from propeller.errors import DigestMismatch, WireError
from propeller.model.ids import Digest, is_digest, sha256_digest
from propeller.registry import manifest as layout_of
from propeller.registry.artifacts import Artifacts
from propeller.registry.cosignkey import PrivateKey, PublicKey
from propeller.registry.manifest import Descriptor, Index
from propeller.registry.problem import ArtifactError
from propeller.registry.reference import Reference
from propeller.registry.referrers import attach, read_attached, read_layer

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json"
TYPE = "cosign container image signature"
_CONFIG = "application/vnd.oci.image.config.v1+json"

MAX_PAYLOAD = 64 * 1024
MAX_SIGNATURES = 64
"""Signatures of one artifact that are looked at, the first ones: more is somebody's mischief."""

MAX_PLACES = 16
"""Referrers that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature, not believed yet. payload: what was signed, byte for byte.

    layer: its descriptor, as a manifest lists it.
    """

    payload: bytes
    signature: bytes
    layer: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a signature says: of which manifest, under which name, and what its maker added."""

    digest: Digest
    reference: str
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """A signature that holds: whose it is, and what it says."""

    key: PublicKey
    said: Said


def payload_of(ref: Reference, digest: Digest, annotations: Mapping[str, str]) -> bytes:
    """The text to sign, as cosign writes it."""
    document = {
        "critical": {
            "identity": {"docker-reference": ref.name},
            "image": {"docker-manifest-digest": digest},
            "type": TYPE,
        },
        "optional": dict(sorted(annotations.items())) or None,
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def sign(
    artifacts: Artifacts,
    ref: Reference,
    key: PrivateKey,
    *,
    annotations: Mapping[str, str] | None = None,
) -> Digest:
    """Sign what `ref` means now; the digest of its manifest. Doing it again adds nothing.

    Raises ArtifactError, Unavailable or WireError.
    """
    body = artifacts.read_manifest(ref)
    digest = sha256_digest(body)
    if ref.digest is not None and digest != ref.digest:
        raise DigestMismatch(ref.digest, digest, where=f"manifest of {ref}")
    payload = payload_of(ref, digest, annotations or {})
    known = tuple(signatures(artifacts, ref, digest))
    mine = any(
        one.payload == payload and key.public.verifies(one.signature, payload) for one in known
    )
    if mine:
        return digest
    layer: dict[str, object] = {
        "mediaType": PAYLOAD,
        "digest": artifacts.write_blob(ref, payload),
        "size": len(payload),
        "annotations": {SIGNATURE: base64.b64encode(key.sign(payload)).decode("ascii")},
    }
    layers = [*(one.layer for one in known), layer]
    config = json.dumps(
        {
            "architecture": "",
            "created": layout_of.EPOCH,
            "history": [{"created": layout_of.EPOCH} for _ in layers],
            "os": "",
            "rootfs": {"type": "layers", "diff_ids": [each["digest"] for each in layers]},
            "config": {},
        },
        separators=(",", ":"),
    ).encode()
    described = {"digest": artifacts.write_blob(ref, config), "size": len(config)}
    tagged = {
        "schemaVersion": 2,
        "mediaType": layout_of.MANIFEST,
        "config": {"mediaType": _CONFIG, **described},
        "layers": layers,
    }
    artifacts.write_manifest(
        _tag(ref, digest), json.dumps(tagged, separators=(",", ":")).encode(), layout_of.MANIFEST
    )
    document = json.loads(body)
    subject = {
        "mediaType": document.get("mediaType") or layout_of.MANIFEST,
        "digest": digest,
        "size": len(body),
    }
    attach(artifacts, ref, subject, ARTIFACT, layers, config={"mediaType": ARTIFACT, **described})
    return digest


def signatures(artifacts: Artifacts, ref: Reference, digest: Digest) -> Iterator[Signature]:
    """Every signature there is of the manifest `digest`, good or bad, each once.

    Raises ArtifactError and Unavailable for a registry that does not answer; a signature that
    cannot be read is passed over: anybody who may push could have put it there.
    """
    seen: set[tuple[bytes, bytes]] = set()
    for layer in _layers(artifacts, ref, digest):
        if len(seen) >= MAX_SIGNATURES:
            return
        try:
            signature = base64.b64decode(layer.annotations.get(SIGNATURE, ""), validate=True)
            payload = read_layer(artifacts, ref, layer, limit=MAX_PAYLOAD)
        except (binascii.Error, ValueError, WireError, ArtifactError):
            continue
        if not signature or (payload, signature) in seen:
            continue
        seen.add((payload, signature))
        described: dict[str, object] = {
            "mediaType": layer.media_type,
            "digest": layer.digest,
            "size": layer.size,
            "annotations": dict(layer.annotations),
        }
        yield Signature(payload=payload, signature=signature, layer=described)


def read_payload(payload: bytes) -> Said | None:
    """What a signed text says; None when it is something else."""
    try:
        document = json.loads(payload)
        critical = document["critical"]
        digest = critical["image"]["docker-manifest-digest"]
        reference = critical["identity"]["docker-reference"]
        optional = document.get("optional") or {}
        told = {str(name): str(value) for name, value in optional.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not isinstance(digest, str) or not is_digest(digest) or not isinstance(reference, str):
        return None
    return Said(digest=Digest(digest), reference=reference, annotations=told)


def vouched(artifacts: Artifacts, ref: Reference, keys: Sequence[PublicKey]) -> tuple[Vouched, ...]:
    """Which of `keys` vouch for the module `ref` means.

    ref: with the digest of the module's manifest, as `resolve` gives it. Where its tag means an
    index that lists this manifest, a signature of the index counts as well.
    """
    assert ref.digest is not None
    found = _by_digest(artifacts, ref, ref.digest, keys)
    if found or ref.tag is None:
        return found
    outer = Reference(ref.registry, ref.repository, ref.tag)
    try:
        body = artifacts.read_manifest(outer)
        index = layout_of.read_manifest(body, where=str(outer))
    except ArtifactError as error:
        if error.retry:
            raise
        return ()
    if isinstance(index, Index) and any(one.digest == ref.digest for one in index.manifests):
        return _by_digest(artifacts, outer, sha256_digest(body), keys)
    return ()


def _by_digest(
    artifacts: Artifacts, ref: Reference, digest: Digest, keys: Sequence[PublicKey]
) -> tuple[Vouched, ...]:
    found: dict[tuple[str, str], Vouched] = {}
    for one in signatures(artifacts, ref, digest):
        said = read_payload(one.payload)
        if said is None or said.digest != digest:
            continue
        for key in keys:
            if key.verifies(one.signature, one.payload):
                found.setdefault((key.id, said.reference), Vouched(key=key, said=said))
    return tuple(found.values())


def _layers(artifacts: Artifacts, ref: Reference, digest: Digest) -> Iterator[Descriptor]:
    yield from _of_tag(artifacts, _tag(ref, digest))
    body = artifacts.read_referrers(ref, digest)
    if body is None:
        return
    index = layout_of.read_manifest(body, where=f"referrers of {ref}")
    if not isinstance(index, Index):
        raise ArtifactError("BadManifest", f"referrers of {ref}: not an index")
    signing = [each for each in index.manifests if each.artifact_type == ARTIFACT]
    for one in signing[:MAX_PLACES]:
        try:
            manifest = read_attached(artifacts, ref, one)
        except ArtifactError as error:
            if error.retry:
                raise
            continue
        if manifest is not None:
            yield from _payloads(manifest.layers)


def _of_tag(artifacts: Artifacts, ref: Reference) -> Iterator[Descriptor]:
    try:
        manifest = layout_of.read_manifest(artifacts.read_manifest(ref), where=str(ref))
    except ArtifactError as error:
        if error.retry or error.reason not in ("NotFound", "BadManifest"):
            raise
        return
    if not isinstance(manifest, Index):
        yield from _payloads(manifest.layers)


def _payloads(layers: Iterable[Descriptor]) -> Iterator[Descriptor]:
    return (each for each in layers if each.media_type == PAYLOAD)


def _tag(ref: Reference, digest: Digest) -> Reference:
    return Reference(ref.registry, ref.repository, f"{digest.replace(':', '-')}.sig")
