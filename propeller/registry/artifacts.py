"""What one can do with modules on a shelf, be it a registry or a directory.

`OciClient` and `Layout` say how bytes are fetched and kept; everything that is believed about an
artifact is decided here, once. Nothing is trusted before it was hashed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from propeller.errors import DigestMismatch, WireError
from propeller.model.ids import Digest, sha256_digest
from propeller.registry import manifest as layout_of
from propeller.registry.blobs import DEFAULT_LIMIT, BlobStore
from propeller.registry.compat import looks_packed, module_inside
from propeller.registry.durable import draft
from propeller.registry.manifest import Descriptor, Index, Manifest
from propeller.registry.problem import ArtifactError
from propeller.registry.reference import Reference
from propeller.registry.verify import verified
from propeller.registry.wasm import MAGIC, WasmFacts
from propeller.registry.wasm import inspect as inspect_wasm

MAX_CONFIG = 1 << 20
MAX_TAGS = 10_000
"""Tags of one repository. A repository with more is refused: the newest may be among the rest."""

MAX_PROBED = 8
"""Layers whose first bytes are looked at when no media type names the module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """An artifact made immovable. `reference` carries the digest of the manifest.

    digest, size, media_type: of the layer that is the module, or, when `packed`, of the archive
    that holds it. annotations: the manifest's, and the layer's title.
    """

    reference: Reference
    manifest: Digest
    digest: Digest
    size: int
    media_type: str
    annotations: Mapping[str, str]
    packed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledModule:
    """A module in the blob store: its own digest and size in bytes, and what it says of itself."""

    pinned: Pinned
    digest: Digest
    size: int
    facts: WasmFacts


class Artifacts(ABC):
    """A shelf of artifacts. Every method raises ArtifactError, Unavailable or WireError only."""

    @abstractmethod
    def read_manifest(self, ref: Reference) -> bytes:
        """The bytes under the digest, else the tag; at most `manifest.MAX_MANIFEST`."""

    @abstractmethod
    def open_blob(self, ref: Reference, digest: str) -> AbstractContextManager[Iterator[bytes]]:
        """The blob's bytes as they come, not verified yet."""

    @abstractmethod
    def write_blob(self, ref: Reference, data: bytes) -> Digest:
        """Keep a blob in the repository of `ref`; cheap when it is there already."""

    @abstractmethod
    def write_manifest(self, ref: Reference, body: bytes, media_type: str) -> Digest:
        """Keep a manifest and let the tag of `ref`, if it has one, point to it."""

    @abstractmethod
    def read_referrers(self, ref: Reference, digest: Digest) -> bytes | None:
        """An index of what refers to the manifest `digest`; None when nothing does."""

    @abstractmethod
    def list_tags(self, ref: Reference) -> tuple[str, ...]:
        """Every tag of the repository of `ref`, sorted, each once; at most MAX_TAGS."""

    def resolve(self, ref: Reference) -> Pinned:
        """Which manifest and which module the reference means now."""
        digest, manifest = self._manifest(ref)
        layer, packed = layout_of.choose_layer(manifest, where=str(ref)), False
        if layer is None:
            layer, packed = self._probe(ref, manifest)
        return Pinned(
            reference=ref.pinned(digest),
            manifest=digest,
            digest=layer.digest,
            size=layer.size,
            media_type=layer.media_type,
            annotations={**layer.annotations, **manifest.annotations},
            packed=packed,
        )

    def pull(self, ref: Reference, blobs: BlobStore, *, limit: int = DEFAULT_LIMIT) -> PulledModule:
        """Bring the module into `blobs`, verified, unless it is there. limit: bytes of the module.

        Raises DigestMismatch, and WireError `not_wasm` or `malformed` for what is no module.
        """
        return self.pull_pinned(self.resolve(ref), blobs, limit=limit)

    def pull_pinned(
        self, pinned: Pinned, blobs: BlobStore, *, limit: int = DEFAULT_LIMIT
    ) -> PulledModule:
        """`pull` for what was resolved before."""
        where = str(pinned.reference)
        if pinned.packed:
            archive = self._whole(pinned.reference, pinned.digest, pinned.size, limit)
            data = module_inside(archive, limit=limit, where=where)
        elif blobs.has(pinned.digest):
            data = blobs.read(pinned.digest)
        else:
            data = self._whole(pinned.reference, pinned.digest, pinned.size, limit)
        if pinned.media_type == layout_of.SEALED:
            raise ArtifactError(
                "Encrypted",
                f"{where}: the module is encrypted; only the devices it was encrypted to open it",
            )
        facts = inspect_wasm(data)
        return PulledModule(pinned=pinned, digest=blobs.put(data), size=len(data), facts=facts)

    def pull_sealed(
        self, pinned: Pinned, blobs: BlobStore, *, limit: int = DEFAULT_LIMIT
    ) -> Mapping[str, object]:
        """Bring an encrypted module into `blobs` as it is; what its config says of it."""
        if not blobs.has(pinned.digest):
            blobs.put(self._whole(pinned.reference, pinned.digest, pinned.size, limit))
        _, manifest = self._manifest(pinned.reference)
        body = self._whole(
            pinned.reference, manifest.config.digest, manifest.config.size, MAX_CONFIG
        )
        return layout_of.read_json(body, where=str(pinned.reference))

    def pull_blob(self, image: str, digest: str, dest: Path, *, limit: int = DEFAULT_LIMIT) -> int:
        """Write one blob of the repository of `image` to `dest`, whole or not at all. Its size.

        This is how a device pulls by itself: it knows the module's digest and trusts nothing else.
        """
        ref = Reference.parse(image)
        total = 0
        with self.open_blob(ref, digest) as chunks, draft(dest.parent) as new:
            for chunk in verified(chunks, digest=digest, limit=limit, where=str(ref)):
                total += len(chunk)
                new.write(chunk)
            new.become(dest)
        return total

    def push(
        self,
        ref: Reference,
        module: bytes,
        *,
        title: str = "",
        annotations: Mapping[str, str] | None = None,
        created: str = layout_of.EPOCH,
        author: str = "",
    ) -> Digest:
        """Publish a module in the CNCF layout; the digest of its manifest.

        created: RFC 3339; left alone, the same module always has the same digest. Raises WireError
        before anything is sent when `module` is no WebAssembly.
        """
        facts = inspect_wasm(module)
        digest = sha256_digest(module)
        config = layout_of.config_for(digest, facts, created=created, author=author)
        body = layout_of.manifest_for(
            config, digest, len(module), title=title, annotations=annotations
        )
        self.write_blob(ref, module)
        self.write_blob(ref, config)
        return self.write_manifest(ref, body, layout_of.MANIFEST)

    def inspect(self, ref: Reference) -> Mapping[str, object]:
        """What is published under the name, without fetching the module: JSON-able, for people."""
        pinned = self.resolve(ref)
        _, manifest = self._manifest(pinned.reference)
        return {
            "reference": str(pinned.reference),
            "manifest": pinned.manifest,
            "mediaType": manifest.media_type,
            "artifactType": manifest.artifact_type or None,
            "module": {
                "digest": None if pinned.packed else pinned.digest,
                "size": None if pinned.packed else pinned.size,
                "mediaType": pinned.media_type,
                "packed": pinned.packed,
            },
            "layers": [
                {"mediaType": each.media_type, "digest": each.digest, "size": each.size}
                for each in manifest.layers
            ],
            "annotations": dict(pinned.annotations),
            "configMediaType": manifest.config.media_type,
            "config": self._config(pinned.reference, manifest.config),
        }

    def referrers(self, ref: Reference, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """What refers to the artifact (signatures, native builds): all, or one artifact type."""
        digest, _ = self._manifest(ref)
        body = self.read_referrers(ref, digest)
        if body is None:
            return ()
        index = layout_of.read_manifest(body, where=f"referrers of {ref}")
        if not isinstance(index, Index):
            raise ArtifactError("BadManifest", f"referrers of {ref}: not an index")
        return tuple(
            each
            for each in index.manifests
            if not artifact_type or each.artifact_type == artifact_type
        )

    def _manifest(self, ref: Reference) -> tuple[Digest, Manifest]:
        """The image manifest, through one index if need be, and its digest."""
        where = str(ref)
        for _ in range(2):
            body = self.read_manifest(ref)
            digest = sha256_digest(body)
            if ref.digest is not None and digest != ref.digest:
                raise DigestMismatch(ref.digest, digest, where=f"manifest of {where}")
            found = layout_of.read_manifest(body, where=where)
            if isinstance(found, Manifest):
                return digest, found
            ref = ref.pinned(layout_of.choose_manifest(found, where=where).digest)
        raise ArtifactError("BadManifest", f"{where}: an index inside an index")

    def _probe(self, ref: Reference, manifest: Manifest) -> tuple[Descriptor, bool]:
        """The module by its first bytes: the only Wasm layer, else the only archive."""
        if manifest.artifact_type == layout_of.SPECS:
            raise ArtifactError(
                "UnknownLayout",
                f"{ref}: holds specs, no module",
                hint="follow it: `propeller serve oci://...`",
            )
        wasm, packed = [], []
        for layer in manifest.layers[:MAX_PROBED]:
            first = self._first_bytes(ref, layer.digest)
            if first[:4] == MAGIC:
                wasm.append(layer)
            elif looks_packed(first):
                packed.append(layer)
        if len(wasm) == 1:
            return wasm[0], False
        if not wasm and len(packed) == 1 and len(manifest.layers) == 1:
            return packed[0], True
        raise ArtifactError(
            "UnknownLayout",
            f"{ref}: {len(wasm)} WebAssembly modules among its layers, not one "
            f"(they are {layout_of.names_of(manifest.layers)})",
            hint="push it with `propeller push`",
        )

    def _first_bytes(self, ref: Reference, digest: Digest) -> bytes:
        first = b""
        with self.open_blob(ref, digest) as chunks:
            for chunk in chunks:
                first += chunk
                if len(first) >= 512:
                    break
        return first

    def _whole(self, ref: Reference, digest: Digest, size: int, limit: int) -> bytes:
        """A blob in memory, verified while it came."""
        body = bytearray()
        with self.open_blob(ref, digest) as chunks:
            for chunk in verified(chunks, digest=digest, size=size, limit=limit, where=str(ref)):
                body += chunk
        return bytes(body)

    def _config(self, ref: Reference, config: Descriptor) -> Mapping[str, object] | None:
        """The config as JSON; None when it is none (some tools point at an empty blob)."""
        try:
            body = self._whole(ref, config.digest, config.size, MAX_CONFIG)
            return layout_of.read_json(body, where=str(ref))
        except DigestMismatch:
            raise
        except (ArtifactError, WireError):
            return None
