"""API tokens: made by `propeller token`, checked by the gateway, kept as hashes.

A token is `ppl_<id>_<secret>`; the secret has 256 bits of chance, so a plain SHA-256 of it cannot
be turned back and needs no salt or slow hash. The file stands beside the keys (mode 0600): it is
no state, and deleting the database keeps it. Written by the command line under a lock, read again
by the gateway whenever it changed, so that a revoked token is refused from the next request on.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from propeller.errors import Unavailable, UsageError
from propeller.gateway.access.roles import EVERYWHERE, Grant, Principal, Role
from propeller.state.files import replace_file

PREFIX: Final = "ppl_"
_SHAPE: Final = re.compile(r"ppl_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

MOST: Final = 1_000
MAX_FILE: Final = 1 << 20
MAX_TTL: Final = 366 * 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is kept of one. digest: hex SHA-256 of the secret. expires: Unix ms."""

    id: str
    name: str
    role: Role
    namespaces: tuple[str, ...]
    digest: str
    created: int
    expires: int

    @property
    def principal(self) -> Principal:
        """Who holds it."""
        return Principal(
            name=f"token:{self.name}", via="token", grants=(Grant(self.role, self.namespaces),)
        )


class Tokens:
    """The tokens in one file. clock: Unix ms."""

    def __init__(self, path: Path, clock: Callable[[], int]) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at: tuple[int, int, int] | None = None
        self._found: Mapping[str, Token] = {}

    def all(self) -> list[Token]:
        """Every token, expired ones too, the oldest first. Raises Unavailable."""
        return sorted(self._load().values(), key=lambda one: (one.created, one.id))

    def find(self, text: str) -> Token | None:
        """The token that `text` is, if it is one that holds now. Raises Unavailable."""
        shaped = _SHAPE.fullmatch(text)
        if shaped is None:
            return None
        one = self._load().get(shaped[1])
        given = hashlib.sha256(shaped[2].encode()).hexdigest()
        if not hmac.compare_digest(given, one.digest if one is not None else "0" * 64):
            return None
        return one if one is not None and one.expires > self._clock() else None

    def still(self, ident: str) -> bool:
        """Whether the token of this id holds now: sessions end with the token they came from."""
        one = self._load().get(ident)
        return one is not None and one.expires > self._clock()

    def create(
        self, name: str, role: Role, namespaces: tuple[str, ...], *, ttl: int, chance: bytes
    ) -> tuple[Token, str]:
        """A new token and its text, which is shown once and kept nowhere.

        ttl: ms from now. chance: 38 random bytes. Raises UsageError for what is no name or no
        namespace, a name that is taken, or a time that is too long.
        """
        if _NAME.fullmatch(name) is None:
            raise UsageError(
                f"{name!r} is no name for a token",
                hint="1 to 64 of letters, digits and . _ @ -, a letter or digit first",
            )
        for one in namespaces:
            if one != EVERYWHERE and _NAMESPACE.fullmatch(one) is None:
                raise UsageError(f"{one!r} is no namespace")
        if not namespaces:
            raise UsageError("say in which namespaces, or '*' for all")
        if not 0 < ttl <= MAX_TTL:
            raise UsageError("a token lives at most 366 days", hint="--ttl 90d")
        assert len(chance) == 38
        ident, secret = chance[:6].hex(), _text(chance[6:])
        now = self._clock()
        token = Token(
            id=ident,
            name=name,
            role=role,
            namespaces=tuple(sorted(set(namespaces))),
            digest=hashlib.sha256(secret.encode()).hexdigest(),
            created=now,
            expires=now + ttl,
        )
        with self._changing() as tokens:
            if any(one.name == name and one.expires > now for one in tokens.values()):
                raise UsageError(
                    f"there is a token {name!r} already",
                    hint=f"`propeller token revoke {name}` first, or choose another name",
                )
            if len(tokens) >= MOST:
                raise UsageError(f"there are {MOST} tokens already; revoke some")
            tokens[ident] = token
        return token, f"{PREFIX}{ident}_{secret}"

    def revoke(self, which: str) -> list[Token]:
        """Take away the tokens of this id or name. Raises UsageError when there is none."""
        with self._changing() as tokens:
            gone = [one for one in tokens.values() if which in (one.id, one.name)]
            if not gone:
                raise UsageError(f"there is no token {which!r}", hint="`propeller token list`")
            for one in gone:
                del tokens[one.id]
        return gone

    # -- the file -----------------------------------------------------------------------------

    def _load(self) -> Mapping[str, Token]:
        with self._lock:
            try:
                stat = self._path.stat()
            except FileNotFoundError:
                self._read_at, self._found = None, {}
                return self._found
            except OSError as error:
                raise self._bad(error.strerror or "cannot be read") from error
            mark = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if mark != self._read_at:
                self._found = self._read()
                self._read_at = mark
            return self._found

    def _read(self) -> dict[str, Token]:
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_FILE + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._bad(error.strerror or "cannot be read") from error
        if len(data) > MAX_FILE:
            raise self._bad("is too large")
        try:
            return {one["id"]: _token(one) for one in json.loads(data)["tokens"]}
        except (ValueError, KeyError, TypeError) as error:
            raise self._bad("is not a list of tokens") from error

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Token]]:
        """What is there, under a lock; written back when the block ends well."""
        lock = self._path.with_name(self._path.name + ".lock")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Unavailable(f"{lock}: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            tokens = self._read()
            yield tokens
            words = {"tokens": [_words(one) for one in tokens.values()]}
            replace_file(self._path, json.dumps(words, indent=1).encode() + b"\n", mode=0o600)
        finally:
            os.close(handle)

    def _bad(self, why: str) -> Unavailable:
        return Unavailable(f"{self._path}: {why}", hint="move it away; tokens can be made again")


def _text(data: bytes) -> str:
    import base64

    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _words(one: Token) -> dict[str, object]:
    return {
        "id": one.id,
        "name": one.name,
        "role": str(one.role),
        "namespaces": list(one.namespaces),
        "sha256": one.digest,
        "created": one.created,
        "expires": one.expires,
    }


def _token(words: Mapping[str, object]) -> Token:
    namespaces, created, expires = words["namespaces"], words["created"], words["expires"]
    if not isinstance(namespaces, list) or not isinstance(created, int):
        raise TypeError("namespaces and created")
    if not isinstance(expires, int):
        raise TypeError("expires")
    return Token(
        id=str(words["id"]),
        name=str(words["name"]),
        role=Role(str(words["role"])),
        namespaces=tuple(str(one) for one in namespaces),
        digest=str(words["sha256"]),
        created=created,
        expires=expires,
    )
