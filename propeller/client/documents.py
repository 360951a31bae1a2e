"""From what somebody gives `apply` to documents with the module files they name."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from propeller.errors import UsageError

Given = str | Path | Mapping[str, Any] | Iterable[Mapping[str, Any]]

SUFFIXES = (".yaml", ".yml", ".json")
LARGEST_SPEC = 4 << 20
LARGEST_MODULE = 48 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """One document. files: module files by the path the spec gives, in base64."""

    key: str
    path: str
    document: Mapping[str, Any]
    files: Mapping[str, str]


def wanted(given: Given, files: Mapping[str, bytes]) -> list[Wanted]:
    """Every document. files: modules that are not on disk. Raises UsageError."""
    return [_wanted(document, base, files) for document, base in _documents(given)]


def _documents(given: Given) -> Iterator[tuple[Mapping[str, Any], Path | None]]:
    if isinstance(given, str | Path):
        for path in _paths(Path(given)):
            yield from ((document, path.parent) for document in _read(path))
    elif isinstance(given, Mapping):
        yield given, None
    else:
        yield from ((document, None) for document in given)


def _paths(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(one for one in path.rglob("*") if one.suffix in SUFFIXES and one.is_file())
    if not path.is_file():
        raise UsageError(f"no file or folder {path}")
    return [path]


def _read(path: Path) -> Iterator[Mapping[str, Any]]:
    import yaml

    with path.open("rb") as file:
        data = file.read(LARGEST_SPEC + 1)
    if len(data) > LARGEST_SPEC:
        raise UsageError(f"{path}: a file of specs is at most {LARGEST_SPEC >> 20} MiB")
    try:
        found = list(yaml.safe_load_all(data))
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: {error}") from error
    for one in found:
        if not isinstance(one, dict):
            continue
        if str(one.get("apiVersion", "")).startswith("propeller.dev/"):
            yield one


def _wanted(document: Mapping[str, Any], base: Path | None, files: Mapping[str, bytes]) -> Wanted:
    meta = document.get("metadata")
    if not isinstance(meta, Mapping) or "name" not in meta or "kind" not in document:
        raise UsageError("a document needs kind and metadata.name")
    kind, name = str(document["kind"]), str(meta["name"])
    namespace = str(meta.get("namespace") or "default")
    whole = {**document, "metadata": {**meta, "namespace": namespace}}
    key = f"{kind}/{namespace}/{name}"
    module = (document.get("spec") or {}).get("module") or {}
    path = module.get("file") if isinstance(module, Mapping) else None
    sent = {}
    if isinstance(path, str):
        sent[path] = base64.b64encode(_module(key, path, base, files)).decode()
    return Wanted(key=key, path=f"/api/v1/objects/{key}", document=whole, files=sent)


def _module(key: str, path: str, base: Path | None, files: Mapping[str, bytes]) -> bytes:
    if path in files:
        return files[path]
    place = (base or Path()) / path
    try:
        with place.open("rb") as file:
            data = file.read(LARGEST_MODULE + 1)
    except OSError as error:
        raise UsageError(
            f"{key}: {place}: {error.strerror}", hint="give its bytes as files={path: bytes}"
        ) from error
    if len(data) > LARGEST_MODULE:
        raise UsageError(f"{key}: {place}: a module is at most {LARGEST_MODULE >> 20} MiB here")
    return data
