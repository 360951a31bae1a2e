"""Spec trees as OCI artifacts: published once, followed by tag, pinned by digest.

`propeller push --specs` publishes; `SpecShelf` is what `propeller.sources.oci` follows. The
artifact is an OCI manifest with `artifactType` ours, an empty config and one tar layer. It bears no
time, so equal trees have equal digests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from propeller.errors import DigestMismatch, Fault, SpecError, Unavailable, UsageError, WireError
from propeller.model.ids import Digest, sha256_digest
from propeller.registry import manifest as layout_of
from propeller.registry.artifacts import Artifacts
from propeller.registry.manifest import Manifest
from propeller.registry.problem import ArtifactError
from propeller.registry.reference import Reference, parse_location
from propeller.registry.registries import Registries
from propeller.registry.specarchive import MAX_ARCHIVE, pack, unpack
from propeller.registry.verify import verified

ARTIFACT_TYPE = layout_of.SPECS
LAYER = f"{ARTIFACT_TYPE}.tar"
EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
_EMPTY = b"{}"

AUTHORS = "org.opencontainers.image.authors"
DESCRIPTION = "org.opencontainers.image.description"
REVISION = "org.opencontainers.image.revision"

_FOR_THE_AUTHOR = ("BadManifest", "UnknownLayout", "BadContent", "TooLarge")


@dataclass(frozen=True, slots=True)
class SpecTree:
    """What was published: files by posix path, and what the manifest says about them."""

    digest: Digest
    files: Mapping[str, bytes]
    annotations: Mapping[str, str]


def push_specs(
    artifacts: Artifacts,
    ref: Reference,
    files: Mapping[str, bytes],
    *,
    annotations: Mapping[str, str] | None = None,
) -> Digest:
    """Publish a tree under the tag of `ref`; the digest of its manifest.

    Raises ArtifactError, Unavailable or WireError.
    """
    layer = pack(files)
    manifest: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": layout_of.MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": _descriptor(EMPTY_CONFIG, _EMPTY),
        "layers": [_descriptor(LAYER, layer)],
    }
    if annotations:
        manifest["annotations"] = dict(sorted(annotations.items()))
    body = json.dumps(manifest, separators=(",", ":"), ensure_ascii=False).encode()
    artifacts.write_blob(ref, layer)
    artifacts.write_blob(ref, _EMPTY)
    return artifacts.write_manifest(ref, body, layout_of.MANIFEST)


def head_of(artifacts: Artifacts, ref: Reference) -> Digest:
    """The digest of the manifest that `ref` means now; its own when it names one."""
    return ref.digest or sha256_digest(artifacts.read_manifest(ref))


def pull_specs(artifacts: Artifacts, ref: Reference) -> SpecTree:
    """The tree `ref` means, every byte verified. Raises ArtifactError, Unavailable, WireError."""
    where = str(ref)
    body = artifacts.read_manifest(ref)
    digest = sha256_digest(body)
    if ref.digest is not None and digest != ref.digest:
        raise DigestMismatch(ref.digest, digest, where=f"manifest of {where}")
    manifest = layout_of.read_manifest(body, where=where)
    kind = manifest.artifact_type if isinstance(manifest, Manifest) else "an index"
    if not isinstance(manifest, Manifest) or kind != ARTIFACT_TYPE:
        raise ArtifactError(
            "UnknownLayout",
            f"{where}: holds no specs (it is {kind or 'a module or an image'})",
            hint="publish a spec tree with `propeller push --specs DIR IMAGE`",
        )
    layers = [one for one in manifest.layers if one.media_type == LAYER]
    if len(layers) != 1 or len(manifest.layers) != 1:
        raise ArtifactError("UnknownLayout", f"{where}: must have exactly one layer, {LAYER}")
    layer, archive = layers[0], bytearray()
    with artifacts.open_blob(ref, layer.digest) as chunks:
        for chunk in verified(
            chunks, digest=layer.digest, size=layer.size, limit=2 * MAX_ARCHIVE, where=where
        ):
            archive += chunk
    return SpecTree(digest, unpack(bytes(archive), where=where), manifest.annotations)


class SpecShelf:
    """Where spec artifacts are looked for, as `propeller.sources.oci` wants it.

    registries: called for every question, so that nothing stays open between two looks.
    """

    def __init__(self, registries: Callable[[], Registries]) -> None:
        self._registries = registries

    def check(self, text: str) -> str | None:
        """The digest that `text` pins, None for a tag. Raises UsageError for what is no name."""
        return parse_location(text).digest

    def head(self, text: str) -> str:
        """The digest of what `text` means now. Raises Unavailable."""
        with self._registries() as registries:
            place = registries.place(parse_location(text))
            try:
                return head_of(place.artifacts, place.reference)
            except (ArtifactError, WireError) as error:
                raise _unavailable(error) from error

    def fetch(self, text: str, digest: str) -> SpecTree:
        """The tree with this digest. Raises Unavailable, or SpecError for whoever pushed it."""
        with self._registries() as registries:
            place = registries.place(parse_location(text))
            try:
                return pull_specs(place.artifacts, place.reference.pinned(Digest(digest)))
            except ArtifactError as error:
                if error.reason in _FOR_THE_AUTHOR:
                    raise SpecError([Fault(f"oci@{digest}", 0, "", str(error))]) from error
                raise _unavailable(error) from error
            except (UsageError, WireError) as error:
                raise _unavailable(error) from error


def _unavailable(error: UsageError | WireError) -> Unavailable:
    return Unavailable(error.what, hint=error.hint or "the last accepted revision stands")


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": sha256_digest(data), "size": len(data)}
