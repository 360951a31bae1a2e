"""What the client answers with: frozen, with the whole document where one wants more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from propeller.errors import PropellerError

Document = Mapping[str, Any]


class Refused(PropellerError):
    """The API said no. status: of HTTP. exit: what a command should end with."""

    def __init__(self, status: int, detail: str, exit: int = 2) -> None:
        super().__init__(detail)
        self.status = status
        self.exit = exit


@dataclass(frozen=True, slots=True)
class Object:
    """One object. ready: "True", "False" or "Unknown". document: its whole status document."""

    key: str
    ready: str
    reason: str
    message: str
    app: str
    generation: int
    observed: int
    document: Document = field(repr=False)

    @staticmethod
    def of(document: Document) -> Object:
        """From a status document."""
        meta, status = document["metadata"], document["status"]
        ready = [one for one in status["conditions"] if one["type"] == "Ready"]
        found: Mapping[str, Any] = ready[0] if ready else {}
        return Object(
            key=f"{document['kind']}/{meta['namespace']}/{meta['name']}",
            ready=str(found.get("status", "Unknown")),
            reason=str(found.get("reason", "")),
            message=str(found.get("message", "")),
            app=str(meta.get("app", "")),
            generation=int(meta.get("generation", 0)),
            observed=int(found.get("observedGeneration", 0)),
            document=document,
        )

    @property
    def failed(self) -> bool:
        """Whether it will not become Ready by itself."""
        conditions = self.document["status"]["conditions"]
        return any(one["type"] == "Stalled" and one["status"] == "True" for one in conditions)


@dataclass(frozen=True, slots=True)
class Change:
    """What applying a document did, or would do. op: create, update, delete or none."""

    key: str
    op: str
    reason: str
    fields: tuple[str, ...]
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Proplet:
    """One proplet as it was last heard. heard, since: Unix ms, 0 for never."""

    name: str
    state: str
    heard: int
    since: int
    labels: Mapping[str, str]
    scheduling: str
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. at: Unix ms of the newest of `count`."""

    at: int
    severity: str
    reason: str
    message: str
    object: str | None
    proplet: str | None
    count: int


@dataclass(frozen=True, slots=True)
class Revision:
    """One attempt to take a source."""

    name: str
    outcome: str
    author: str
    message: str
    at: int
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """One attempt at one round. metrics: as numbers. ended: invitations by what became of them."""

    number: int
    attempt: int
    state: str
    cohort: tuple[str, ...]
    ended: Mapping[str, int]
    metrics: Mapping[str, float]
    model: str
    why: str


@dataclass(frozen=True, slots=True)
class LogPiece:
    """A piece of what a copy printed. dropped: bytes that were lost before it."""

    proplet: str
    stream: str
    text: str
    dropped: int
