"""Native builds of a module beside it in a registry: what WAMR's compiler made for one target.

Each is a referrer of the Wasm's manifest with one layer. What a build is for is read out of the
file itself, never out of what its manifest says. Whether it does what the Wasm does nobody can
tell: see docs/explanation/security.md. The file's layout is that of WAMR's `core/iwasm/aot`
(version 6): "\\0aot", a version, then sections (type, size) that begin at multiples of four, the
target first.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from propeller.errors import WireError
from propeller.model.ids import Digest, sha256_digest
from propeller.model.module import Aot
from propeller.registry import manifest as layout_of
from propeller.registry.artifacts import Artifacts
from propeller.registry.blobs import BlobStore
from propeller.registry.cosign import vouched
from propeller.registry.cosignkey import PublicKey
from propeller.registry.manifest import Descriptor
from propeller.registry.problem import ArtifactError
from propeller.registry.reference import Reference
from propeller.registry.referrers import attach, read_attached, read_layer

AOT: Final = "application/vnd.propeller.aot.v1"
"""Artifact type and layer of a native build."""

TARGET: Final = "dev.propeller.aot.target"
"""Annotation that says to people what it is for; machines read the file."""

MAGIC: Final = b"\0aot"
MAX_BUILDS = 16
"""Native builds of one module that are looked at, the first ones."""

MAX_SECTIONS = 4096
_HEAD = struct.Struct("<4sI")
_SECTION = struct.Struct("<II")
_INFO = struct.Struct("<HHHHIIQQ16s")
_MEMORY_AT = _HEAD.size + _SECTION.size + _INFO.size
_BIG_ENDIAN = 1
_MEMORY = struct.Struct("<IIIII")
_KINDS = (1, 4)  # relocatable, or to run in place
_THREADS, _SHARED = 1 << 2, 1 << 1
_NAME = re.compile(rb"[a-z0-9][a-z0-9_.]{0,14}\0+\Z")


@dataclass(frozen=True, slots=True)
class AotFacts:
    """What a build says of itself. target: `arch/wamr-version`, as devices offer it."""

    target: str


def inspect_aot(data: bytes) -> AotFacts:
    """Raises WireError: `not_aot`, or `malformed` for what is cut, or cannot be run anywhere.

    What `wamrc` makes looks up now and then whether it is to stop only with `--enable-multi-thread`
    and of a module whose memory is shared. Nothing could end any other: it is refused too.
    """
    if data[:4] != MAGIC:
        raise WireError("not_aot", f"starts with {data[:4].hex() or 'nothing'}, not with 00616f74")
    if len(data) < _MEMORY_AT + _MEMORY.size:
        raise WireError("malformed", f"cut short at byte {len(data)}")
    _, version = _HEAD.unpack_from(data)
    kind, size = _SECTION.unpack_from(data, _HEAD.size)
    if kind != 0 or size != _INFO.size:
        raise WireError("malformed", "does not begin with what it was made for")
    form, _, made, *_, features, _, arch = _INFO.unpack_from(data, _HEAD.size + _SECTION.size)
    if _NAME.match(arch) is None:
        raise WireError("malformed", "names no architecture")
    name = arch.rstrip(b"\0").decode()
    if form & _BIG_ENDIAN or made not in _KINDS:
        raise WireError("malformed", f"a file for {name} that WAMR does not load")
    _walk(data)
    section, size, imported, count, flags = _MEMORY.unpack_from(data, _MEMORY_AT)
    if section != 1 or size < _MEMORY.size - _SECTION.size:
        raise WireError("malformed", "does not tell of its memory")
    if imported or count != 1 or not flags & _SHARED:
        raise WireError("malformed", "its memory is not shared: nothing could stop it")
    if not features & _THREADS:
        raise WireError(
            "malformed", "was made without --enable-multi-thread: nothing could stop it"
        )
    return AotFacts(target=f"{name}/wamr-{version}")


def _walk(data: bytes) -> None:
    """Every section is there whole."""
    at = _HEAD.size
    for _ in range(MAX_SECTIONS):
        at = (at + 3) & ~3
        if at >= len(data):
            return
        if len(data) - at < _SECTION.size:
            break
        _, size = _SECTION.unpack_from(data, at)
        at += _SECTION.size
        if size > len(data) - at:
            raise WireError("malformed", f"a section of {size} bytes at byte {at} does not fit")
        at += size
    raise WireError("malformed", f"its sections do not end at byte {len(data)}")


def push_aot(artifacts: Artifacts, ref: Reference, manifest: Digest, data: bytes) -> Digest:
    """Let a build refer to the module's manifest; the digest of the referrer. Raises WireError."""
    facts = inspect_aot(data)
    size = len(artifacts.read_manifest(ref.pinned(manifest)))
    subject = {"mediaType": layout_of.MANIFEST, "digest": manifest, "size": size}
    layer = {
        "mediaType": AOT,
        "digest": artifacts.write_blob(ref, data),
        "size": len(data),
        "annotations": {TARGET: facts.target},
    }
    return attach(artifacts, ref, subject, AOT, [layer])


def builds_of(
    artifacts: Artifacts,
    ref: Reference,
    blobs: BlobStore,
    *,
    limit: int,
    keys: Sequence[PublicKey] = (),
    by: Sequence[str] = (),
) -> tuple[Aot, ...]:
    """Bring the builds of the module's manifest (the digest of `ref`) into `blobs`; sorted.

    Of each target the one listed last counts, as whoever pushes again means it. limit: bytes of
    one. keys, by: who may vouch for the module and who of them does: only a build that they vouch
    for as well is taken. What is broken, too large or unsigned is passed over: the Wasm is always
    there.
    Raises Unavailable, and ArtifactError where trying again can help.
    """
    found: dict[str, Aot] = {}
    for one in artifacts.referrers(ref, AOT)[-MAX_BUILDS:]:
        try:
            if not _signed(artifacts, ref, one, keys, by):
                continue
            data = _file(artifacts, ref, one, limit)
            target = inspect_aot(data).target
        except WireError:
            continue
        except ArtifactError as error:
            if error.retry:
                raise
            continue
        found[target] = Aot(target, sha256_digest(data), len(data))
        blobs.put(data)
    return tuple(sorted(found.values()))


def _signed(
    artifacts: Artifacts,
    ref: Reference,
    one: Descriptor,
    keys: Sequence[PublicKey],
    by: Sequence[str],
) -> bool:
    if not keys:
        return True
    own = Reference(ref.registry, ref.repository, None, one.digest)
    names = {each.key.id for each in vouched(artifacts, own, keys)}
    return bool(names) and names >= set(by)


def _file(artifacts: Artifacts, ref: Reference, one: Descriptor, limit: int) -> bytes:
    manifest = read_attached(artifacts, ref, one)
    layers = (
        [] if manifest is None else [each for each in manifest.layers if each.media_type == AOT]
    )
    if len(layers) != 1 or layers[0].size > limit:
        raise ArtifactError("UnknownLayout", f"{ref}: {one.digest} is no native build")
    return read_layer(artifacts, ref, layers[0], limit=limit)
