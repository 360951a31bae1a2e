"""Names and ids, each with one spelling.

`uid` and `run` are derived, never invented, so that a reconciler that lost its store names the
same object and the same run again (docs/reference/protocol.md, rule e).
"""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass
from typing import NewType

from propeller.model.canonical import canonical_bytes

Digest = NewType("Digest", str)
"""`sha256:` and 64 lowercase hex digits."""
Uid = NewType("Uid", str)
"""A UUID as lowercase text: one object for the whole of its life."""
RunId = NewType("RunId", str)
"""32 lowercase hex digits: one run of one object on one proplet."""
PropletId = NewType("PropletId", str)
"""`[A-Za-z0-9_-]{1,64}`, as it stands in the topic."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_WIRE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """How a person names an object: `Task/plant-a/add`."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"

    @staticmethod
    def parse(text: str) -> Key:
        """The inverse of `str`. Raises ValueError when `text` is not kind/namespace/name."""
        kind, _, rest = text.partition("/")
        namespace, _, name = rest.partition("/")
        if not (kind.isalpha() and is_dns_label(namespace) and is_dns_label(name)):
            raise ValueError(f"{text!r} is not kind/namespace/name")
        return Key(kind, namespace, name)


def is_digest(text: str) -> bool:
    """Whether `text` is `sha256:` and 64 lowercase hex digits."""
    return _DIGEST.match(text) is not None


def is_wire_id(text: str) -> bool:
    """Whether `text` may stand as an id in a topic."""
    return _WIRE_ID.match(text) is not None


def is_dns_label(text: str) -> bool:
    """Whether `text` may be a `metadata.name` or namespace (RFC 1123 label)."""
    return _DNS_LABEL.match(text) is not None


def sha256_digest(data: bytes | bytearray | memoryview) -> Digest:
    """The digest of `data` as `sha256:<hex>`."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def uid_for(domain: str, key: Key, given: str | None = None) -> Uid:
    """`metadata.uid` if given, else UUIDv5 of (domain, kind, namespace, name).

    The App is left out on purpose: moving an object between Apps reruns nothing.
    """
    if given is not None:
        return Uid(str(uuid.UUID(given)))
    space = uuid.uuid5(uuid.NAMESPACE_DNS, "propeller.dev")
    return Uid(str(uuid.uuid5(space, "\0".join((domain, key.kind, key.namespace, key.name)))))


def run_id(uid: Uid, run_digest: Digest, run_key: str, cause: str, proplet: PropletId) -> RunId:
    """`H(uid, runDigest, runKey, cause, proplet)`: the same run is always named the same."""
    text = canonical_bytes([uid, run_digest, run_key, cause, proplet])
    return RunId(hashlib.sha256(text).hexdigest()[:32])
