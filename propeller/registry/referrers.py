"""Artifacts that say something of another one: signatures, bills of materials, records.

Each is a manifest with a `subject` (OCI image spec 1.1). A registry without the referrers API finds
them by the tag `sha256-<hex>` of the subject, which whoever pushes has to keep.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from propeller.model.ids import Digest, sha256_digest
from propeller.registry import manifest as layout_of
from propeller.registry.artifacts import Artifacts
from propeller.registry.manifest import Descriptor, Index, Manifest
from propeller.registry.problem import ArtifactError
from propeller.registry.reference import Reference
from propeller.registry.verify import verified

EMPTY = b"{}"
EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
MAX_REFERRERS = 1000


def attach(
    artifacts: Artifacts,
    ref: Reference,
    subject: Mapping[str, object],
    kind: str,
    layers: Sequence[Mapping[str, object]],
    *,
    config: Mapping[str, object] | None = None,
) -> Digest:
    """Write a manifest that refers to `subject` (a descriptor); the digest of it.

    kind: its artifactType. layers: descriptors of blobs that are there. config: a descriptor, the
    empty one if None. Doing it again changes nothing.
    """
    if config is None:
        artifacts.write_blob(ref, EMPTY)
        config = {"mediaType": EMPTY_CONFIG, "digest": sha256_digest(EMPTY), "size": len(EMPTY)}
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": layout_of.MANIFEST,
        "artifactType": kind,
        "config": dict(config),
        "layers": [dict(layer) for layer in layers],
        "subject": dict(subject),
    }
    body = json.dumps(document, separators=(",", ":")).encode()
    own = sha256_digest(body)
    untagged = Reference(ref.registry, ref.repository, None, own)
    artifacts.write_manifest(untagged, body, layout_of.MANIFEST)
    list_referrer(
        artifacts, ref, Digest(str(subject["digest"])), digest=own, size=len(body), kind=kind
    )
    return own


def list_referrer(
    artifacts: Artifacts, ref: Reference, subject: Digest, *, digest: Digest, size: int, kind: str
) -> None:
    """Make the manifest `digest` of `size` bytes found from `subject`, unless it is already."""
    body = artifacts.read_referrers(ref, subject)
    known: tuple[Descriptor, ...] = ()
    if body is not None:
        index = layout_of.read_manifest(body, where=f"referrers of {ref}")
        if not isinstance(index, Index):
            raise ArtifactError("BadManifest", f"referrers of {ref}: not an index")
        known = index.manifests
    if any(one.digest == digest for one in known):
        return
    rows: list[dict[str, object]] = [
        {
            "mediaType": one.media_type,
            "digest": one.digest,
            "size": one.size,
            **({"artifactType": one.artifact_type} if one.artifact_type else {}),
        }
        for one in known[:MAX_REFERRERS]
    ]
    rows.append(
        {"mediaType": layout_of.MANIFEST, "digest": digest, "size": size, "artifactType": kind}
    )
    listing = {"schemaVersion": 2, "mediaType": layout_of.INDEX, "manifests": rows}
    fallback = Reference(ref.registry, ref.repository, subject.replace(":", "-"))
    artifacts.write_manifest(fallback, json.dumps(listing).encode(), layout_of.INDEX)


def read_attached(artifacts: Artifacts, ref: Reference, one: Descriptor) -> Manifest | None:
    """The manifest of a referrer; None for an index."""
    body = artifacts.read_manifest(ref.pinned(one.digest))
    if sha256_digest(body) != one.digest:
        raise ArtifactError("DigestMismatch", f"{ref}: {one.digest} is something else")
    manifest = layout_of.read_manifest(body, where=str(ref))
    return None if isinstance(manifest, Index) else manifest


def read_layer(artifacts: Artifacts, ref: Reference, layer: Descriptor, *, limit: int) -> bytes:
    """A small layer in memory, verified. limit: bytes."""
    with artifacts.open_blob(ref, layer.digest) as pieces:
        return b"".join(verified(pieces, digest=layer.digest, limit=limit, where=str(ref)))
