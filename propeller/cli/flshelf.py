"""From a model in a registry back to where training started, by its signed records alone.

Needs no store and no fleet: whoever has the public key of the fleet's manager can walk. Each record
is verified, its digest computed again, and the model a round started from must be the one that the
round before made. Called by `fl lineage --image`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from propeller.cli.names import short_digest
from propeller.errors import PropellerError, UsageError
from propeller.model.canonical import canonical_digest
from propeller.registry.artifacts import Artifacts
from propeller.registry.lineage import records_of
from propeller.registry.manifest import Manifest, read_manifest
from propeller.registry.reference import Reference

Check = Callable[[bytes, bytes], bool]
MOST_TAGS = 512
"""Tags that are looked at for a model whose tag is not that of its round."""
DEEPEST = 10_000
"""Rounds that are walked."""


def walk(artifacts: Artifacts, ref: Reference, check: Check) -> Iterator[dict[str, Any]]:
    """The rounds from that model back, newest first, as `fllineage` shows them, each with its
    faults. Raises UsageError where the model has no good record at all."""
    shelf = _Shelf(artifacts, ref)
    found = _record(artifacts, ref, check, number=None)
    if found is None:
        raise UsageError(
            f"{ref}: no record of it is signed by that key",
            hint="--key says whose signatures count; `oras discover` lists what there is",
        )
    after: dict[str, Any] | None = None
    for _ in range(DEEPEST):
        item = _item(found)
        if after is not None and item["model"] != after["base"]:
            base, made = short_digest(after["base"]), short_digest(item["model"])
            after["faults"].append(f"it starts from {base}, and round {item['round']} made {made}")
        if after is not None:
            yield after
        after = item
        if not item["base"] or item["round"] <= 1:
            break
        place = shelf.before(item)
        if place is None:
            break
        older = _record(artifacts, place, check, number=item["round"] - 1)
        if older is None:
            item["faults"].append(f"{place.tag or place} has no record signed by that key")
            break
        found = older
    assert after is not None
    yield after


class _Shelf:
    """Where the models of one repository are."""

    def __init__(self, artifacts: Artifacts, ref: Reference) -> None:
        self._artifacts = artifacts
        self._plain = replace(ref, tag=None, digest=None)
        self._tags = set(artifacts.list_tags(self._plain))
        self._layers: dict[str, Reference] | None = None

    def before(self, item: Mapping[str, Any]) -> Reference | None:
        """The model that a round started from; None where the repository has none."""
        tag = f"{item['job'][:8]}-{item['round'] - 1:04}"
        if tag in self._tags:
            return replace(self._plain, tag=tag)
        if self._layers is None:
            self._layers = dict(self._look())
        return self._layers.get(item["base"])

    def _look(self) -> Iterator[tuple[str, Reference]]:
        for tag in sorted(self._tags)[:MOST_TAGS]:
            place = replace(self._plain, tag=tag)
            try:
                body = self._artifacts.read_manifest(place)
                manifest = read_manifest(body, where=str(place))
            except PropellerError:
                continue
            for layer in manifest.layers if isinstance(manifest, Manifest) else ():
                yield layer.digest, place


def _record(
    artifacts: Artifacts, ref: Reference, check: Check, *, number: int | None
) -> Mapping[str, Any] | None:
    """The record of the model: of that round where it is asked for, else of the newest."""
    found = []
    for statement in records_of(artifacts, ref, check=check):
        predicate = statement.get("predicate")
        sealed = predicate.get("sealed") if isinstance(predicate, dict) else None
        if not isinstance(sealed, dict) or not isinstance(sealed.get("round"), int):
            continue
        if number is None or sealed["round"] == number:
            found.append(statement)
    return max(found, key=lambda one: _sealed(one)["round"], default=None)


def _sealed(statement: Mapping[str, Any]) -> Mapping[str, Any]:
    sealed: Mapping[str, Any] = statement["predicate"]["sealed"]
    return sealed


def _item(statement: Mapping[str, Any]) -> dict[str, Any]:
    predicate, sealed = statement["predicate"], _sealed(statement)
    metrics = {str(name): str(value) for name, value in sealed.get("metrics", ())}
    item = {
        "round": int(sealed["round"]),
        "attempt": int(sealed.get("attempt", 1)),
        "job": str(sealed.get("job", "")),
        "model": str(sealed.get("model", "")),
        "base": str(sealed.get("base", "")),
        "generation": 0,
        "strategy": str(predicate.get("strategy", "")),
        "accepted": int(sealed.get("accepted", 0)),
        "samples": int(predicate.get("samples", 0)),
        "contributorsDigest": str(sealed.get("contributors", "")),
        "record": str(predicate.get("record", "")),
        "parent": str(sealed.get("parent", "")),
        "metrics": metrics,
        "measured": ", ".join(f"{name} {value[:8]}" for name, value in list(metrics.items())[:3]),
    }
    return {**item, "faults": list(_faults(statement, item))}


def _faults(statement: Mapping[str, Any], item: Mapping[str, Any]) -> Iterator[str]:
    if canonical_digest(_sealed(statement)) != item["record"]:
        yield "its record is not the digest of what it says"
    try:
        subject = f"sha256:{statement['subject'][0]['digest']['sha256']}"
    except (KeyError, IndexError, TypeError):
        subject = ""
    if subject != item["model"]:
        yield f"it is about {short_digest(subject)}, and says it made {short_digest(item['model'])}"
