"""What a person types for a source -> what it is: a folder, or a repository with ref and path.

A plain path means its files. Git is `git+file://PATH?ref=main&path=specs`, any URL the git
command takes, or anything at all with `--git`. Nothing that could be read as an option of git
gets past here, and no transport but file, git, ssh, http and https.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from propeller.errors import UsageError

SCHEMES: Final = ("file", "git", "ssh", "http", "https")
_SCP = re.compile(r"(?:([A-Za-z0-9_.+][A-Za-z0-9_.+-]*)@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!//)(.+)\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_REF = re.compile(r"[^\x00-\x20\x7f~^:?*\[\\]+\Z")


@dataclass(frozen=True, slots=True)
class GitAddress:
    """A repository. url: what git is given. ref: branch, tag, commit; None: the default branch.

    path: folder of the specs inside it, "" for the root. local: on this machine, asking is cheap.
    """

    url: str
    ref: str | None = None
    path: str = ""
    local: bool = False

    @property
    def shown(self) -> str:
        """The URL without password or token, for people and logs."""
        return mask(self.url)


def is_commit(ref: str | None) -> bool:
    """Whether `ref` is a whole commit id: 40 lowercase hex digits."""
    return ref is not None and _COMMIT.match(ref) is not None


def mask(text: str) -> str:
    """`text` with every password or token in a URL as `***`."""
    return re.sub(r"(://)[^/@\s]*:?[^/@\s]*@", r"\1***@", text)


def parse_address(text: str, *, ref: str | None = None, git: bool = False) -> GitAddress | Path:
    """What `text` means. Raises UsageError for what cannot be a source.

    `ref` overrides one in the URL and makes no folder a repository by itself.
    """
    if not text or text.startswith("-") or "\0" in text or "\n" in text:
        raise UsageError(f"{text!r} is no source", hint="give a folder or the URL of a repository")
    if not git and not text.startswith("git+") and _exists(text):
        return Path(text)
    prefixed = text.startswith("git+")
    address = _git(text.removeprefix("git+"), git=git or prefixed)
    if address is None:
        if "://" in text:
            raise UsageError(
                f"{mask(text)}: not a transport of ours",
                hint=f"use one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}",
            )
        return Path(text)
    wanted = ref if ref is not None else address.ref
    if wanted is not None:
        check_ref(wanted)
    return GitAddress(address.url, wanted, _inside(address.path), address.local)


def check_ref(ref: str) -> None:
    """Raises UsageError for what git would not take as the name of a branch or tag."""
    parts = ref.split("/")
    wrong = (
        _REF.match(ref) is None
        or ref.startswith("-")
        or ".." in ref
        or "@{" in ref
        or len(ref) > 255
        or any(not part or part.startswith(".") or part.endswith((".", ".lock")) for part in parts)
    )
    if wrong:
        raise UsageError(
            f"{ref!r} cannot be a branch or tag",
            hint="give a branch, a tag or a commit of 40 hex digits",
        )


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def _inside(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\\" in path:
        raise UsageError(f"path={path} leads out of the repository")
    return "/".join(parts)


def _git(text: str, *, git: bool) -> GitAddress | None:
    base, _, query = text.partition("?")
    ref, path, rest = _query(query)
    whole = f"{base}?{rest}" if rest else base
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*::", base):
        raise UsageError(f"{mask(text)}: remote helpers are not allowed")
    if "://" in base:
        scheme = base.partition("://")[0].lower()
        if scheme not in SCHEMES:
            return None
        if scheme == "file":
            return GitAddress(_file_url(unquote(base[7:])), ref, path, local=True)
        split = urlsplit(whole)
        if not split.hostname or split.hostname.startswith("-"):
            raise UsageError(f"{mask(text)}: no host in this URL")
        return GitAddress(urlunsplit(split), ref, path)
    if git and _exists(base):
        return GitAddress(_file_url(base), ref, path, local=True)
    scp = _SCP.match(base)
    if scp is not None and not scp[3].startswith("-"):
        return GitAddress(base, ref, path)
    return GitAddress(_file_url(base), ref, path, local=True) if git else None


def _query(query: str) -> tuple[str | None, str, str]:
    ref, path, rest = None, "", []
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key == "ref":
            ref = value
        elif key == "path":
            path = value
        else:
            rest.append((key, value))
    return ref, path, urlencode(rest)


def _file_url(path: str) -> str:
    return "file://" + quote(str(Path(path).expanduser().absolute()))
