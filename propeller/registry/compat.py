"""The module inside a "compat" image: a tar, maybe gzipped, that holds one `.wasm` file.

Read only, never written. Bounded in unpacked bytes and in members; nothing touches the disk.
"""

from __future__ import annotations

import io
import tarfile
import zlib

from propeller.registry.problem import ArtifactError

MAX_MEMBERS = 1000
GZIP = b"\x1f\x8b"


def looks_packed(first: bytes) -> bool:
    """Whether a layer with these first bytes (at least 262) is a gzip file or a tar."""
    return first[:2] == GZIP or first[257:262] == b"ustar"


def module_inside(data: bytes, *, limit: int, where: str) -> bytes:
    """The only `.wasm` file in the archive. limit: unpacked bytes.

    Raises ArtifactError when there is none, more than one, or the archive is broken or a bomb.
    """
    plain = _gunzip(data, limit, where) if data[:2] == GZIP else data
    found: list[bytes] = []
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for count, member in enumerate(archive):
                if count >= MAX_MEMBERS:
                    raise ArtifactError("TooLarge", f"{where}: more than {MAX_MEMBERS} files")
                if not member.isfile() or not member.name.endswith(".wasm"):
                    continue
                stream = archive.extractfile(member)
                if stream is None or member.size > len(plain):
                    raise ArtifactError("UnknownLayout", f"{where}: {member.name} cannot be read")
                found.append(stream.read())
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise ArtifactError("UnknownLayout", f"{where}: a broken tar: {error}") from error
    if len(found) != 1:
        raise ArtifactError("UnknownLayout", f"{where}: {len(found)} .wasm files in it, not one")
    return found[0]


def _gunzip(data: bytes, limit: int, where: str) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise ArtifactError("UnknownLayout", f"{where}: broken gzip: {error}") from error
    if len(plain) > limit:
        raise ArtifactError("TooLarge", f"{where}: unpacks to more than {limit} bytes")
    if not unpacker.eof:
        raise ArtifactError("UnknownLayout", f"{where}: gzip data is cut short")
    return plain
