"""How an artifact is named: `oci://host/repo:tag@sha256:...` or `oci-layout://DIR:tag`.

Pure. A name without a scheme means `oci://`. The host is never guessed: a name that some tools
complete with a public registry is refused here, because a fleet must not depend on a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from propeller.errors import UsageError
from propeller.model.ids import Digest, is_digest

_HOST = re.compile(
    r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?\Z"
)
_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
DEFAULT_TAG = "latest"
LOCAL = "local"
"""The host that stands for the layout directory of the state; no other bare word is a host."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An artifact in a registry; in a layout directory registry and repository may be empty.

    tag: None when only the digest names it. digest: of the manifest, None when only the tag does.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @staticmethod
    def parse(text: str) -> Reference:
        """Read `[oci://]host[:port]/repository[:tag][@sha256:...]`; no tag means `latest`.

        Raises UsageError saying what is wrong.
        """
        rest = text.strip().removeprefix("oci://")
        if "://" in rest:
            raise UsageError(
                f"{text!r}: this scheme names no image", hint="write oci://HOST/REPOSITORY:TAG"
            )
        rest, digest = _split_digest(rest, text)
        host, slash, path = rest.partition("/")
        if not slash or not _is_host(host):
            raise UsageError(
                f"{text!r} does not say which registry it is in",
                hint="write oci://HOST/REPOSITORY:TAG",
            )
        repository, tag = _split_tag(path, text)
        if len(repository) > 255 or not _REPOSITORY.match(repository):
            raise UsageError(
                f"{text!r}: {repository!r} is no repository name",
                hint="lowercase letters, digits, '.', '_', '-' and '/' are allowed",
            )
        return Reference(host, repository, tag or (None if digest else DEFAULT_TAG), digest)

    @property
    def name(self) -> str:
        """The part before tag and digest."""
        return "/".join(part for part in (self.registry, self.repository) if part)

    def pinned(self, digest: Digest) -> Reference:
        """The same artifact by the digest of its manifest, tag kept for people."""
        return replace(self, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


@dataclass(frozen=True, slots=True)
class LayoutReference:
    """An artifact in a local OCI layout directory."""

    directory: Path
    tag: str | None = None
    digest: Digest | None = None

    @property
    def inside(self) -> Reference:
        """How the layout itself names it."""
        return Reference("", "", self.tag, self.digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"oci-layout://{self.directory}{tag}{digest}"


def parse_location(text: str) -> Reference | LayoutReference:
    """Read either form. Raises UsageError."""
    if not text.strip().startswith("oci-layout://"):
        return Reference.parse(text)
    rest, digest = _split_digest(text.strip().removeprefix("oci-layout://"), text)
    directory, tag = _split_tag(rest, text)
    if not directory:
        raise UsageError(f"{text!r} names no directory", hint="write oci-layout://DIR:TAG")
    return LayoutReference(Path(directory), tag or (None if digest else DEFAULT_TAG), digest)


def is_tag(text: str) -> bool:
    """Whether it may stand behind a repository."""
    return _TAG.match(text) is not None


def _is_host(host: str) -> bool:
    named = "." in host or ":" in host or host in {"localhost", LOCAL}
    return named and _HOST.match(host) is not None


def _split_digest(rest: str, text: str) -> tuple[str, Digest | None]:
    head, at, digest = rest.partition("@")
    if not at:
        return head, None
    if not is_digest(digest):
        raise UsageError(f"{text!r}: {digest!r} is no sha256 digest")
    return head, Digest(digest)


def _split_tag(path: str, text: str) -> tuple[str, str | None]:
    head, colon, tag = path.rpartition(":")
    if not colon or "/" in tag:
        return path, None
    if not _TAG.match(tag):
        raise UsageError(f"{text!r}: {tag!r} is no tag")
    return head, tag
