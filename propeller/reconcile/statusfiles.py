"""Status files: a projection of the store for people and for git, safe to delete.

`status/<namespace>/<kind>/<name>.yaml`, and `status/source.yaml` for the sources: deterministic
text, written only when it differs, replaced atomically. Readers never see half a file; a crash
leaves the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import yaml

from propeller.errors import Unavailable
from propeller.model.ids import Key

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def render(document: Mapping[str, object]) -> str:
    """`document` as YAML: key order as given, the same bytes for equal content."""
    return yaml.dump(document, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=1_000_000)


SOURCES = "source.yaml"

Told = Callable[[str, bytes | None], None]
"""Called with the path below the folder and the new text, None for a file that is gone."""


class StatusFiles:
    """Writes the files of one state directory. Owned by the loop, which also calls `told`."""

    def __init__(self, root: Path, told: Told | None = None) -> None:
        self._root = root
        self._told = told

    def _tell(self, path: Path, text: bytes | None) -> None:
        if self._told is not None:
            self._told(path.relative_to(self._root).as_posix(), text)

    def path(self, key: Key) -> Path:
        """Where the file of `key` lives."""
        return self._root / key.namespace / key.kind / f"{key.name}.yaml"

    def has(self, key: Key, *, since: int) -> bool:
        """Whether there is a file of `key` that was written at or after `since` (Unix ms)."""
        try:
            return self.path(key).stat().st_mtime_ns // 1_000_000 >= since
        except OSError:
            return False

    def write(self, key: Key, document: Mapping[str, object]) -> bool:
        """Replace the file if it differs. Returns whether it was written.

        Raises Unavailable when the disk refuses; the projection is written again next time.
        """
        return self._replace(self.path(key), render(document).encode())

    def _replace(self, path: Path, text: bytes) -> bool:
        try:
            if path.exists() and path.read_bytes() == text:
                return False
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.new")
            temporary.write_bytes(text)
            temporary.replace(path)
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}; the status file is stale") from error
        self._tell(path, text)
        return True

    def write_sources(self, document: Mapping[str, object]) -> bool:
        """As `write`, for how the sources stand: `source.yaml`, beside the namespaces."""
        return self._replace(self._root / SOURCES, render(document).encode())

    def _round(self, key: Key, number: int) -> Path:
        return self.path(key).with_suffix("") / "rounds" / f"{number:04}.yaml"

    def has_round(self, key: Key, number: int) -> bool:
        """Whether there is a file of that round."""
        return self._round(key, number).exists()

    def write_round(self, key: Key, number: int, document: Mapping[str, object]) -> bool:
        """As `write`, for one round of a FederatedTask."""
        return self._replace(self._round(key, number), render(document).encode())

    def remove_rounds(self, key: Key) -> None:
        """The object left the inventory: so do the files of its rounds."""
        folder = self.path(key).with_suffix("") / "rounds"
        try:
            for path in sorted(folder.glob("*.yaml")):
                self._tell(path, None)
                path.unlink(missing_ok=True)
            for empty in (folder, folder.parent):
                empty.rmdir()
        except OSError:
            return

    def remove(self, key: Key) -> None:
        """The object left the inventory: so does its file."""
        path = self.path(key)
        self._tell(path, None)
        try:
            path.unlink(missing_ok=True)
            for folder in (path.parent, path.parent.parent):
                folder.rmdir()
        except OSError:
            return  # the folder still has others, or the disk refuses: both may wait

    def sweep(self, keep: Iterable[Key]) -> None:
        """Remove files of objects that are not in the inventory (after a lost store)."""
        wanted = {self.path(key) for key in keep}
        for path in sorted(self._root.glob("*/*/*.yaml")):
            if path not in wanted:
                path.unlink(missing_ok=True)
                self._tell(path, None)
        for path in self._root.glob("*/*/.*.yaml.new"):
            path.unlink(missing_ok=True)  # a crash came between writing and replacing
        for path in self._root.glob("*/*/*/rounds/.*.yaml.new"):
            path.unlink(missing_ok=True)
        for folder in sorted(self._root.glob("*/*"), reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
