"""A spec tree as one blob: a plain tar whose bytes depend on the files and on nothing else.

Pure. Packing is deterministic (sorted, no times, no owners, no compression), so equal trees have
equal digests. Unpacking believes nothing: only regular files with plain relative names, bounded in
number and size; anything else refuses the whole archive.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

from propeller.registry.problem import ArtifactError

MAX_ARCHIVE = 512 << 20
MAX_ENTRIES = 150_000
MAX_PATH = 1024
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)


def pack(files: Mapping[str, bytes]) -> bytes:
    """The archive of `files`, posix paths relative to the root. Raises ArtifactError `TooLarge`."""
    out = io.BytesIO()
    total = 0
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(files):
            wrong = _bad_path(path)
            if wrong:
                raise ArtifactError("BadContent", f"{path!r}: {wrong}")
            data = files[path]
            total += len(data)
            if total > MAX_ARCHIVE:
                raise ArtifactError(
                    "TooLarge",
                    f"more than {MAX_ARCHIVE >> 20} MiB of specs and modules",
                    hint="push modules by themselves and name them as images",
                )
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def unpack(data: bytes, *, where: str) -> dict[str, bytes]:
    """The files of an archive somebody else may have made. Raises ArtifactError `BadContent`."""
    files: dict[str, bytes] = {}
    total = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            seen = 0
            while (entry := archive.next()) is not None:
                seen += 1
                if seen > MAX_ENTRIES:
                    raise _bad(where, f"more than {MAX_ENTRIES} files")
                if entry.isdir():
                    continue
                wrong = _bad_entry(entry, files)
                if wrong:
                    raise _bad(where, f"{entry.name[:200]!r} {wrong}")
                total += entry.size
                if total > MAX_ARCHIVE:
                    raise _bad(where, f"more than {MAX_ARCHIVE >> 20} MiB when unpacked")
                stream = archive.extractfile(entry)
                body = b"" if stream is None else stream.read(entry.size)
                if len(body) != entry.size:
                    raise _bad(where, f"{entry.name[:200]!r} is cut off")
                files[entry.name] = body
    except (tarfile.TarError, ValueError, EOFError, OverflowError) as error:
        raise _bad(where, f"cannot be read as tar: {error}") from error
    return files


def _bad(where: str, words: str) -> ArtifactError:
    return ArtifactError("BadContent", f"{where}: the archive of specs: {words}")


def _bad_entry(entry: tarfile.TarInfo, files: Mapping[str, bytes]) -> str:
    if entry.type not in _REGULAR or entry.issparse():
        return "is not a regular file"
    if entry.name in files:
        return "is there twice"
    return _bad_path(entry.name)


def _bad_path(path: str) -> str:
    """Why `path` is no name of a file in a spec tree, "" when it is one."""
    if not path or len(path) > MAX_PATH or not path.isprintable():
        return "is no name of a file"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    if "\\" in path or any(part in ("", ".", "..") for part in path.split("/")):
        return "must be a plain path below the root"
    return ""
