"""What a manifest says: which of its blobs is the WebAssembly module, and how ours are written.

Pure: bytes in, choices out. Writes the CNCF layout only, reads the older ones too. The module is
chosen by media type, else by its first bytes (the caller looks), never by size or position.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from propeller.model.ids import Digest, is_digest, sha256_digest
from propeller.registry.problem import ArtifactError
from propeller.registry.wasm import WasmFacts

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPTED = (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX)
CONFIG = "application/vnd.wasm.config.v0+json"
WASM = "application/wasm"
SPECS = "application/vnd.propeller.specs.v1"
"""`artifactType` of a published spec tree; see `specs`."""
SEALED = "application/vnd.propeller.wasm.v1+age"
"""A layer that is an encrypted module; see `encrypted`."""
TITLE = "org.opencontainers.image.title"
REF_NAME = "org.opencontainers.image.ref.name"

WASM_LAYERS = frozenset(
    {
        WASM,
        "application/vnd.wasm.content.layer.v1+wasm",  # wasm-to-oci, Spin
        "application/vnd.module.wasm.content.layer.v1+wasm",  # wasmCloud 1, WebAssembly Hub
        "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",  # runwasi, before CNCF
    }
)
_PLATFORM_ORDER = ("wasip1", "wasi", "wasip2", "")

MAX_MANIFEST = 4 << 20
MAX_LAYERS = 500
MAX_ANNOTATIONS = 1000
EPOCH = "1970-01-01T00:00:00Z"
"""`created` when nobody gives a time: the same module then has the same manifest digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A blob or manifest as a manifest names it; size in bytes."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    os: str = ""
    architecture: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One artifact: its layers in order and what names it."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str]
    artifact_type: str = ""


@dataclass(frozen=True, slots=True)
class Index:
    """Several manifests under one name."""

    manifests: tuple[Descriptor, ...]


def read_manifest(body: bytes, *, where: str) -> Manifest | Index:
    """Parse a manifest or an index. Raises ArtifactError `BadManifest` in words."""
    document = read_json(body, where=where)
    media_type = document.get("mediaType")
    if media_type not in (None, *ACCEPTED):
        raise ArtifactError("BadManifest", f"{where}: a {media_type!r} is no image manifest")
    if "manifests" in document:
        return Index(_descriptors(document["manifests"], where))
    if "config" not in document or "layers" not in document:
        raise ArtifactError("BadManifest", f"{where}: a manifest has a config and layers")
    return Manifest(
        media_type=str(media_type or MANIFEST),
        config=_descriptor(document["config"], where),
        layers=_descriptors(document["layers"], where),
        annotations=_annotations(document.get("annotations"), where),
        artifact_type=str(document.get("artifactType") or ""),
    )


def read_json(body: bytes, *, where: str) -> Mapping[str, object]:
    """A JSON object somebody else wrote, already bounded in size."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ArtifactError("BadManifest", f"{where}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ArtifactError("BadManifest", f"{where}: not a JSON object")
    return document


def choose_manifest(index: Index, *, where: str) -> Descriptor:
    """The manifest for WebAssembly: the only one, or the one whose platform says so.

    Of several platforms the plainest is taken: wasip1, wasi, wasip2.
    """
    if len(index.manifests) == 1:
        return index.manifests[0]
    wasm = [each for each in index.manifests if each.architecture == "wasm"]
    for system in _PLATFORM_ORDER:
        found = [each for each in wasm if each.os == system]
        if len(found) == 1:
            return found[0]
        if found:
            break
    raise ArtifactError(
        "UnknownLayout",
        f"{where}: {len(wasm)} of its {len(index.manifests)} manifests could be the module",
        hint="name one of them by digest",
    )


def choose_layer(manifest: Manifest, *, where: str) -> Descriptor | None:
    """The module by media type, or None: then look at the first bytes of each layer."""
    if manifest.config.media_type == CONFIG and len(manifest.layers) != 1:
        raise ArtifactError(
            "UnknownLayout",
            f"{where}: {len(manifest.layers)} layers; the Wasm layout of today has exactly one",
        )
    found = [each for each in manifest.layers if each.media_type in (*WASM_LAYERS, SEALED)]
    if len(found) > 1:
        raise ArtifactError("UnknownLayout", f"{where}: {len(found)} Wasm layers, not one")
    return found[0] if found else None


def config_for(module: Digest, facts: WasmFacts, *, created: str, author: str = "") -> bytes:
    """The CNCF config of one module. created: RFC 3339."""
    config: dict[str, object] = {"created": created}
    if author:
        config["author"] = author
    config["architecture"] = "wasm"
    config["os"] = "wasip2" if facts.component else "wasip1"
    config["layerDigests"] = [module]
    if facts.component:
        config["component"] = {
            "exports": [each.name for each in facts.exports],
            "imports": [each.module for each in facts.imports],
        }
    return _compact(config)


def manifest_for(
    config: bytes,
    module: Digest,
    size: int,
    *,
    title: str = "",
    annotations: Mapping[str, str] | None = None,
) -> bytes:
    """The CNCF manifest of one module of `size` bytes."""
    layer: dict[str, object] = {"mediaType": WASM, "digest": module, "size": size}
    if title:
        layer["annotations"] = {TITLE: title}
    manifest: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": sha256_digest(config), "size": len(config)},
        "layers": [layer],
    }
    if annotations:
        manifest["annotations"] = dict(sorted(annotations.items()))
    return _compact(manifest)


def _compact(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _descriptors(value: object, where: str) -> tuple[Descriptor, ...]:
    if not isinstance(value, list) or len(value) > MAX_LAYERS:
        raise ArtifactError("BadManifest", f"{where}: not a list of at most {MAX_LAYERS} parts")
    return tuple(_descriptor(each, where) for each in value)


def _descriptor(value: object, where: str) -> Descriptor:
    if not isinstance(value, dict):
        raise ArtifactError("BadManifest", f"{where}: a part is not an object")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not isinstance(media_type, str) or not media_type:
        raise ArtifactError("BadManifest", f"{where}: a part without a media type")
    if not isinstance(digest, str) or not is_digest(digest):
        raise ArtifactError("BadManifest", f"{where}: {str(digest)[:100]!r} is no sha256 digest")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 53:
        raise ArtifactError("BadManifest", f"{where}: {digest} without a size")
    platform = value.get("platform")
    platform = platform if isinstance(platform, dict) else {}
    return Descriptor(
        media_type=media_type,
        digest=Digest(digest),
        size=size,
        annotations=_annotations(value.get("annotations"), where),
        artifact_type=str(value.get("artifactType") or ""),
        os=str(platform.get("os") or ""),
        architecture=str(platform.get("architecture") or ""),
    )


def _annotations(value: object, where: str) -> Mapping[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MAX_ANNOTATIONS:
        raise ArtifactError("BadManifest", f"{where}: annotations are not a map of text")
    return {key: item for key, item in value.items() if isinstance(item, str)}


def names_of(descriptors: Sequence[Descriptor]) -> str:
    """Media types for a message."""
    return ", ".join(sorted({each.media_type for each in descriptors})) or "none"
