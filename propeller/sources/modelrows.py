"""The row of `run.models` that a promoted model goes into: found in spec files, edited, and nothing
else of the file changed.

Called by `fl promote` for a folder and by the reconciler for a commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from propeller.errors import UsageError
from propeller.model.ids import Key
from propeller.model.rounds import Blob
from propeller.sources.markers import MarkedText
from propeller.sources.select import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A row of `run.models` in the text. path: of the row in its document."""

    file: str
    text: MarkedText
    document: int
    path: tuple[str | int, ...]
    row: Mapping[str, Any]

    def holds(self, model: Blob) -> bool:
        """Whether that model is what it says already."""
        return (self.row.get("digest"), self.row.get("size")) == (model.digest, model.size)

    def edited(self, model: Blob) -> bytes:
        """The file with digest and size of that model. Raises SpecError where it cannot be."""
        return self.text.replaced(
            {
                self.text.span(self.document, (*self.path, "digest")): str(model.digest),
                self.text.span(self.document, (*self.path, "size")): model.size,
            }
        )


def spec_files(names: Iterable[str], ignore: bytes) -> list[str]:
    """Those of these files in which an object may be written so that it can be edited."""
    selection = Selection(ignore)
    return sorted(name for name in names if selection.is_spec(name) and not name.endswith(".json"))


def model_row(files: Mapping[str, bytes], target: Key, row: str | None, *, where: str) -> ModelRow:
    """The row that is meant, in files of `spec_files`. where: what precedes names, for people.

    row: its name, None for the only one. Raises UsageError, SpecError.
    """
    documents = list(_documents(files, target, where))
    if not documents:
        raise UsageError(
            f"{where or 'the specs'}: has no {target}", hint="name who is in the specs"
        )
    if len(documents) > 1:
        names = ", ".join(sorted({file for file, *_ in documents}))
        raise UsageError(f"{target} is written more than once: {names}")
    ((file, text, number, spec),) = documents
    rows = _rows(spec)
    fits = [(index, one) for index, one in enumerate(rows) if row in (None, one.get("name"))]
    shown = f"{where}/{file}" if where else file
    if len(fits) != 1:
        there = ", ".join(str(one.get("name")) for one in rows) or "none"
        raise UsageError(
            f"{shown}: which of run.models of {target} is meant? There are: {there}",
            hint="write one with name, digest and size under spec.run, or name it",
        )
    ((index, found),) = fits
    if "file" in found:
        raise UsageError(
            f"{shown}: {found.get('name')} is a file of the tree",
            hint="write digest and size in place of file, or replace the file by `fl export`",
        )
    at = ("spec", "run", "models", index)
    return ModelRow(file=file, text=text, document=number, path=at, row=dict(found))


def _rows(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    run = spec.get("run")
    rows = run.get("models") if isinstance(run, Mapping) else None
    if not isinstance(rows, list) or not all(isinstance(one, Mapping) for one in rows):
        return []
    return rows


def _documents(
    files: Mapping[str, bytes], target: Key, where: str
) -> Iterator[tuple[str, MarkedText, int, Mapping[str, Any]]]:
    """(file, text, number, spec) of each document that writes the object."""
    for name in sorted(files):
        if target.name.encode() not in files[name]:
            continue
        text = MarkedText(f"{where}/{name}" if where else name, files[name])
        for number, document in enumerate(text.documents):
            if isinstance(document, dict) and _is(document, target):
                yield name, text, number, document["spec"]


def _is(document: Mapping[str, Any], target: Key) -> bool:
    meta = document.get("metadata")
    return (
        document.get("kind") == target.kind
        and isinstance(meta, Mapping)
        and isinstance(document.get("spec"), Mapping)
        and meta.get("name") == target.name
        and meta.get("namespace") in (None, target.namespace)
    )
