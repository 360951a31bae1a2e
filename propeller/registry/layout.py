"""Modules in a local OCI image layout: `oci-layout`, `index.json`, `blobs/sha256/<hex>`.

The registry of a fleet that has none: `up`, tests and sites behind an air gap. Any OCI tool can
read and write the directory too. Changes of `index.json` are atomic and made under a lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from propeller.errors import Unavailable
from propeller.model.ids import Digest, is_digest, sha256_digest
from propeller.registry import manifest as layout_of
from propeller.registry.artifacts import MAX_TAGS, Artifacts
from propeller.registry.durable import CHUNK, make_directory, told_apart, write_whole
from propeller.registry.problem import ArtifactError
from propeller.registry.reference import Reference, is_tag

VERSION = "1.0.0"
MAX_INDEX = 16 << 20


class Layout(Artifacts):
    """A layout directory; created by the first write.

    A reference's name in `index.json` is `host/repository:tag`; on reading `repository:tag` and
    the bare tag are taken too, as other tools write them.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def read_manifest(self, ref: Reference) -> bytes:
        """By digest if the reference has one, else by what `index.json` says of the tag."""
        digest = ref.digest or self._find(ref)
        with self.open_blob(ref, digest) as chunks:
            body = bytearray()
            for chunk in chunks:
                body += chunk
                if len(body) > layout_of.MAX_MANIFEST:
                    raise ArtifactError("TooLarge", f"{self._at(ref)}: the manifest is too large")
        return bytes(body)

    @contextlib.contextmanager
    def open_blob(self, ref: Reference, digest: str) -> Iterator[Iterator[bytes]]:
        """Read the blob's file."""
        path = self._blob(digest)
        with told_apart(path):
            try:
                stream = path.open("rb")
            except FileNotFoundError:
                raise ArtifactError("NotFound", f"{self._at(ref)}: no blob {digest}") from None
        with stream:
            yield iter(lambda: stream.read(CHUNK), b"")

    def write_blob(self, ref: Reference, data: bytes) -> Digest:
        """Write the file unless it is there with the same size."""
        _ = ref  # one directory is one shelf: the repository makes no difference
        self._prepare()
        digest = sha256_digest(data)
        path = self._blob(digest)
        if not path.is_file() or path.stat().st_size != len(data):
            write_whole(path, data)
        return digest

    def write_manifest(self, ref: Reference, body: bytes, media_type: str) -> Digest:
        """Write the manifest and let the tag point to it, nothing else."""
        digest = self.write_blob(ref, body)
        entry: dict[str, object] = {"mediaType": media_type, "digest": digest, "size": len(body)}
        if ref.tag:
            entry["annotations"] = {layout_of.REF_NAME: _names(ref)[0]}
        with self._locked():
            index = self._index()
            entries = [each for each in self._entries(index) if not _replaced(each, entry)]
            index["manifests"] = [*entries, entry]
            body = json.dumps(index, indent=2, ensure_ascii=False).encode()
            write_whole(self.directory / "index.json", body)
        return digest

    def read_referrers(self, ref: Reference, digest: Digest) -> bytes | None:
        """An index of the manifests whose subject it is, else what the fallback tag says."""
        found = []
        for entry in self._entries(self._index()):
            described = self._subject_of(ref, entry, digest)
            if described is not None:
                found.append(described)
        if found:
            return json.dumps({"mediaType": layout_of.INDEX, "manifests": found}).encode()
        try:
            fallback = Reference(ref.registry, ref.repository, digest.replace(":", "-"))
            return self.read_manifest(fallback)
        except ArtifactError as error:
            if error.reason == "NotFound":
                return None
            raise

    def tags(self) -> dict[str, Digest]:
        """Every name in the index and the manifest it means, sorted."""
        named = {}
        for entry in self._entries(self._index()):
            digest = entry.get("digest")
            name = _name_of(entry)
            if name and isinstance(digest, str) and is_digest(digest):
                named[name] = Digest(digest)
        return dict(sorted(named.items()))

    def list_tags(self, ref: Reference) -> tuple[str, ...]:
        """What the index has under the repository's name; bare tags where `ref` has none."""
        found = set()
        for name in self.tags():
            head, colon, tag = name.rpartition(":")
            ours = not colon or (ref.name and head in {ref.name, ref.repository})
            if ours and is_tag(tag):
                found.add(tag)
        if len(found) > MAX_TAGS:
            raise ArtifactError("TooLarge", f"{self._at(ref)}: more than {MAX_TAGS} tags")
        return tuple(sorted(found))

    def _at(self, ref: Reference) -> str:
        return f"{self.directory}: {ref}"

    def _blob(self, digest: str) -> Path:
        if not is_digest(digest):
            raise ArtifactError("BadReference", f"{digest[:100]!r} is no sha256 digest")
        return self.directory / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def _prepare(self) -> None:
        """Make the directory a layout. An existing one of another version is left alone."""
        marker = self.directory / "oci-layout"
        with told_apart(marker):
            make_directory(self.directory / "blobs" / "sha256")
            if not marker.exists():
                write_whole(marker, json.dumps({"imageLayoutVersion": VERSION}).encode())
        self._check_version(marker)

    def _check_version(self, marker: Path) -> None:
        try:
            body = marker.read_bytes()[:4096]
        except FileNotFoundError:
            raise ArtifactError(
                "NotFound", f"{self.directory} is no OCI layout directory"
            ) from None
        except OSError as error:
            raise Unavailable(f"{marker}: {error.strerror}") from error
        version = layout_of.read_json(body, where=str(marker)).get("imageLayoutVersion")
        if version != VERSION:
            raise ArtifactError("BadManifest", f"{marker}: version {version!r}, not {VERSION}")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among the processes that change the index. The lock dies with its holder."""
        with told_apart(self.directory):
            handle = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _index(self) -> dict[str, object]:
        self._check_version(self.directory / "oci-layout")
        path = self.directory / "index.json"
        try:
            with path.open("rb") as stream:
                body = stream.read(MAX_INDEX + 1)
        except FileNotFoundError:
            return {"schemaVersion": 2, "mediaType": layout_of.INDEX, "manifests": []}
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}") from error
        if len(body) > MAX_INDEX:
            raise ArtifactError("TooLarge", f"{path}: more than {MAX_INDEX} bytes")
        return dict(layout_of.read_json(body, where=str(path)))

    def _entries(self, index: dict[str, object]) -> list[dict[str, object]]:
        entries = index.get("manifests")
        if not isinstance(entries, list):
            raise ArtifactError("BadManifest", f"{self.directory}: index.json lists no manifests")
        return [each for each in entries if isinstance(each, dict)]

    def _find(self, ref: Reference) -> Digest:
        names = _names(ref)
        entries = self._entries(self._index())
        for name in names:
            for entry in entries:
                digest = entry.get("digest")
                if _name_of(entry) == name and isinstance(digest, str) and is_digest(digest):
                    return Digest(digest)
        raise ArtifactError("NotFound", f"{self._at(ref)}: not in index.json")

    def _subject_of(
        self, ref: Reference, entry: dict[str, object], digest: Digest
    ) -> dict[str, object] | None:
        """The entry with its artifact type when its manifest's subject is `digest`."""
        own = entry.get("digest")
        if not isinstance(own, str) or not is_digest(own):
            return None
        try:
            body = self.read_manifest(ref.pinned(Digest(own)))
            document = layout_of.read_json(body, where=self._at(ref))
        except ArtifactError:
            return None
        subject = document.get("subject")
        if not isinstance(subject, dict) or subject.get("digest") != digest:
            return None
        config = document.get("config")
        of_config = config.get("mediaType") if isinstance(config, dict) else None
        return {
            "mediaType": entry.get("mediaType"),
            "digest": own,
            "size": entry.get("size"),
            "artifactType": document.get("artifactType") or of_config,
            "annotations": document.get("annotations"),
        }


def _names(ref: Reference) -> tuple[str, ...]:
    """How `index.json` may call the reference, ours first."""
    tag = ref.tag or ""
    full, short = f"{ref.name}:{tag}", f"{ref.repository}:{tag}"
    return (full, short, tag) if ref.name else (tag,)


def _name_of(entry: dict[str, object]) -> str:
    annotations = entry.get("annotations")
    name = annotations.get(layout_of.REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else ""


def _replaced(old: dict[str, object], new: dict[str, object]) -> bool:
    """Whether `new` takes the place of `old`: its name, or the same manifest without a name."""
    if _name_of(new):
        return _name_of(old) == _name_of(new)
    return old.get("digest") == new["digest"] and not _name_of(old)
