"""A folder as a source: its files as they are, committed or not.

A snapshot is consistent: everything is looked at, read, and looked at again; a change in between
starts over. Files that did not change since the last snapshot are not read. Modules are only
digested; their bytes are read when `load` wants them, and must still be what was digested.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from propeller.errors import Unavailable
from propeller.model.ids import sha256_digest
from propeller.sources.documents import MAX_SPEC_BYTES, too_large
from propeller.sources.select import IGNORE_FILE, MODULE_SUFFIXES, SPEC_SUFFIXES, Selection
from propeller.sources.tree import MAX_FILES, MAX_MODULE_BYTES, MAX_TOTAL_BYTES, Tree

STATE_MARK: Final = "propeller.db"
"""A folder that holds it is a state directory and never part of the specs."""
_TRIES: Final = 5
_SETTLED_NS: Final = 2_000_000_000
_POLL_SECONDS: Final = 1.0

Signature = tuple[int, int, int, int, int]
"""Device, inode, size, and the two times of change in ns."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One file of a snapshot. `settled`: its times are old enough to trust for the next one."""

    signature: Signature
    digest: str
    settled: bool


@dataclass(slots=True)
class _Listing:
    """What a walk found. `files`: path -> its signature and where it really lies."""

    ignore: bytes
    files: dict[str, tuple[Signature, str]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


class DirectorySource:
    """Reads and watches one folder, or one spec file with the folder around it."""

    def __init__(self, path: Path, *, exclude: tuple[Path, ...] = ()) -> None:
        self.name = str(path.absolute())
        whole = path.resolve()
        self._only = whole.name if whole.is_file() else None
        self._root = whole.parent if self._only else whole
        self._exclude = frozenset(str(one.resolve()) for one in exclude)
        self._seen: dict[str, _Seen] = {}
        self._states: set[str] = set()
        self._last: tuple[_Listing, Tree] | None = None

    def head(self) -> str:
        """`dir@sha256:...` over the content as it is now. Raises Unavailable."""
        return self.read().name

    def read(self, head: str | None = None) -> Tree:
        """The files as they are now; a folder has no past, so `head` is not looked at."""
        del head
        for attempt in range(_TRIES):
            listing = self._list()
            if self._last is not None and self._last[0] == listing:
                return self._last[1]
            read = self._digest(listing)
            if read is not None and self._list() == listing:
                tree = self._tree(listing, *read)
                settled = all(one.settled for one in self._seen.values())
                self._last = (listing, tree) if settled else None
                return tree
            time.sleep(0.01 * (attempt + 1))
        raise Unavailable(
            f"{self.name}: keeps changing while it is read",
            hint="it is tried again; the last accepted revision stands",
        )

    def accepted(self, tree: Tree) -> None:
        """A folder has no history that could be rewritten."""

    def trusted_from(self, revision: str) -> None:
        """Nor anything to trust it from."""

    def watch(self, on_change: Callable[[], None], stop: threading.Event) -> None:
        """Calls `on_change` soon after anything changed, until `stop` is set."""
        before = self._state()
        while not stop.is_set():
            try:
                for changed in self._changes(stop):
                    now = self._state()
                    if changed or now != before:
                        before = now
                        on_change()
            except OSError:  # no folder, no inotify left, or a file system without it
                pass
            before = self._poll(before, on_change, stop)

    def _changes(self, stop: threading.Event) -> Iterator[bool]:
        """True for a change, False once when watching began. Ends when the folder is replaced."""
        import watchfiles

        identity = self._identity()
        begun = False
        for changes in watchfiles.watch(
            self._root,
            watch_filter=lambda _change, path: self._concerns(path),
            debounce=50,
            step=10,
            rust_timeout=250,
            yield_on_timeout=True,
            stop_event=stop,
            raise_interrupt=False,
            ignore_permission_denied=True,
        ):
            if changes or not begun:
                begun = True
                yield bool(changes)
            if self._identity() != identity:
                return

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._root.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _poll(self, before: object, on_change: Callable[[], None], stop: threading.Event) -> object:
        """One look after a while, for when watching does not work."""
        stop.wait(_POLL_SECONDS)
        now = self._state()
        if now != before and not stop.is_set():
            on_change()
        return now

    def _state(self) -> object:
        try:
            return self._list()
        except Unavailable as error:
            return str(error)

    def _concerns(self, path: str) -> bool:
        """Whether a changed path can change the specs. Folders come and go with their files."""
        hidden = self._exclude | self._states
        if any(path == one or path.startswith(one + os.sep) for one in hidden):
            return False
        try:
            parts = Path(path).relative_to(self._root).parts
        except ValueError:
            return False
        if parts == (IGNORE_FILE,):
            return True
        return not any(part.startswith(".") or part.endswith("~") for part in parts)

    # -- looking ------------------------------------------------------------------------------

    def _list(self) -> _Listing:
        ignore = self._ignore()
        selection = Selection(ignore)
        listing = _Listing(ignore)
        folders = [""]
        while folders:
            folder = folders.pop()
            for entry in self._scan(folder):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    if entry.path not in self._exclude and selection.enters(path):
                        folders.append(path)
                elif selection.is_spec(path) or selection.is_module(path):
                    self._look(listing, path, entry)
                if len(listing.files) > MAX_FILES:
                    raise Unavailable(
                        f"{self.name}: more than {MAX_FILES} spec and module files",
                        hint=f"name what does not belong there in {IGNORE_FILE}",
                    )
        return listing

    def _scan(self, folder: str) -> list[os.DirEntry[str]]:
        where = self._root / folder
        try:
            with os.scandir(where) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except FileNotFoundError as error:
            if folder:
                return []  # gone since its parent was listed; the second look will tell
            raise Unavailable(f"{self.name}: no such folder", hint="is it mounted?") from error
        except OSError as error:
            raise Unavailable(f"{where}: cannot be listed: {error.strerror}") from error
        if folder and any(entry.name == STATE_MARK for entry in entries):
            self._states.add(str(where))
            return []
        return entries

    def _look(self, listing: _Listing, path: str, entry: os.DirEntry[str]) -> None:
        if not _is_utf8(path):
            shown = os.fsencode(path).decode("utf-8", "backslashreplace")
            listing.problems[shown] = "its name is not UTF-8"
            return
        real = entry.path
        if entry.is_symlink():
            real = os.path.realpath(entry.path)
            if not real.startswith(str(self._root) + os.sep):
                listing.problems[path] = "is a symlink that leaves the spec tree"
                return
        try:
            status = Path(real).stat()
        except OSError:
            if entry.is_symlink():
                listing.problems[path] = "is a symlink to nothing"
            return
        if not stat.S_ISREG(status.st_mode):
            if not stat.S_ISDIR(status.st_mode):
                listing.problems[path] = "is not a regular file"
            return
        wrong = size_problem(path, status.st_size)
        if wrong:
            listing.problems[path] = wrong
        else:
            listing.files[path] = (_signature(status), real)

    def _ignore(self) -> bytes:
        try:
            with (self._root / IGNORE_FILE).open("rb") as file:
                return file.read(MAX_SPEC_BYTES)
        except OSError:
            return b""

    # -- reading ------------------------------------------------------------------------------

    def _digest(self, listing: _Listing) -> tuple[dict[str, str], dict[str, str]] | None:
        """Digests of what can be read, and why the rest cannot.

        None when a file changed or went away while it was read.
        """
        if sum(signature[2] for signature, _ in listing.files.values()) > MAX_TOTAL_BYTES:
            raise Unavailable(
                f"{self.name}: more than {MAX_TOTAL_BYTES} bytes of specs and modules",
                hint=f"name what does not belong there in {IGNORE_FILE}",
            )
        seen: dict[str, _Seen] = {}
        denied: dict[str, str] = {}
        for path, (signature, real) in listing.files.items():
            known = self._seen.get(path)
            if known is not None and known.settled and known.signature == signature:
                seen[path] = known
                continue
            settled = time.time_ns() - max(signature[3:]) > _SETTLED_NS
            try:
                digest = _digest_file(real, signature)
            except PermissionError:
                denied[path] = "cannot be read: permission denied"
                continue
            if digest is None:
                return None
            seen[path] = _Seen(signature, digest, settled)
        self._seen = seen
        return {path: one.digest for path, one in seen.items()}, denied

    def _tree(
        self, listing: _Listing, digests: Mapping[str, str], denied: Mapping[str, str]
    ) -> Tree:
        problems = {**listing.problems, **denied}
        whole = hashlib.sha256(listing.ignore)
        for path in sorted(digests):
            whole.update(f"\0{path}\0{digests[path]}".encode())
        for path in sorted(problems):
            whole.update(f"\0{path}\0{problems[path]}".encode())
        reals = {path: listing.files[path][1] for path in digests}
        return Tree(
            name=f"dir@sha256:{whole.hexdigest()}",
            files=_Files(reals, digests, listing.ignore),
            ids=digests,
            problems=problems,
            only=self._only,
        )


class _Files(Mapping[str, bytes]):
    """Files read when they are asked for, held to the digest the snapshot saw."""

    def __init__(self, reals: Mapping[str, str], digests: Mapping[str, str], ignore: bytes) -> None:
        self._reals = reals
        self._digests = digests
        self._ignore = ignore

    def __getitem__(self, path: str) -> bytes:
        if path == IGNORE_FILE:
            return self._ignore
        real = self._reals[path]
        try:
            data = Path(real).read_bytes()
        except OSError as error:
            raise Unavailable(f"{path}: gone since the specs were read; trying again") from error
        if sha256_digest(data) != self._digests[path]:
            raise Unavailable(f"{path}: changed since the specs were read; trying again")
        return data

    def __contains__(self, path: object) -> bool:
        return path == IGNORE_FILE or path in self._reals

    def __iter__(self) -> Iterator[str]:
        yield IGNORE_FILE
        yield from self._reals

    def __len__(self) -> int:
        return len(self._reals) + 1


def size_problem(path: str, size: int) -> str:
    """Why a file of this size is not taken, "" when it is."""
    if path.endswith(SPEC_SUFFIXES) and size > MAX_SPEC_BYTES:
        return too_large(size)
    if path.endswith(MODULE_SUFFIXES) and size > MAX_MODULE_BYTES:
        return f"a module must be at most {MAX_MODULE_BYTES} bytes, this one has {size}"
    return ""


def _signature(status: os.stat_result) -> Signature:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _is_utf8(name: str) -> bool:
    """Names that are not arrive with surrogates, which no status file could hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _digest_file(real: str, signature: Signature) -> str | None:
    """The digest of the file that has this signature before and after; else None."""
    digest = hashlib.sha256()
    try:
        # O_NONBLOCK: a pipe put in the file's place must not hold the reader
        descriptor = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if _signature(os.fstat(descriptor)) != signature:
                return None
            left = signature[2] + 1
            while left > 0 and (chunk := file.read(min(left, 1 << 20))):
                digest.update(chunk)
                left -= len(chunk)
            if left != 1 or _signature(os.fstat(descriptor)) != signature:
                return None
    except PermissionError:
        raise
    except OSError:
        return None
    return "sha256:" + digest.hexdigest()
