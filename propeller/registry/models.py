"""A model out of a registry, by the digest its spec pins. Called by a worker."""

from __future__ import annotations

from propeller.errors import UsageError
from propeller.model.ids import Digest
from propeller.registry.blobs import BlobStore
from propeller.registry.reference import parse_location
from propeller.registry.registries import Registries

MAX_MODEL = 1 << 30
"""Bytes of a model file."""


def pull_model(image: str, digest: Digest, *, registries: Registries, blobs: BlobStore) -> bytes:
    """The bytes of the blob `digest` of that repository, which are kept in `blobs` as well.

    Raises ArtifactError, Unavailable, UsageError, WireError or DigestMismatch.
    """
    if not blobs.has(digest):
        place = registries.place(parse_location(image))
        with place.artifacts.open_blob(place.reference, digest) as pieces:
            blobs.put_stream(pieces, digest, limit=MAX_MODEL, where=image)
    return blobs.read(digest)


def model_of(
    image: str | None, digest: Digest | None, *, registries: Registries, blobs: BlobStore
) -> bytes:
    """As `pull_model`, where a spec names a registry at all. Raises UsageError where it does not:
    a file of the tree was taken with its revision, and is gone from the store."""
    if image is None or digest is None:
        raise UsageError(f"the model {digest} is not in the blob store any more")
    return pull_model(image, digest, registries=registries, blobs=blobs)
