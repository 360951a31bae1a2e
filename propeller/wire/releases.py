"""Release lists: opened with the key that signs them, and the next one made from the last. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from propeller.errors import UsageError, WireError
from propeller.wire.codec import decode, encode
from propeller.wire.fields import MAX_RELEASED
from propeller.wire.frame import open_frame, seal
from propeller.wire.keyring import Keyring
from propeller.wire.messages import Releases
from propeller.wire.signing import SigningKey, VerifyKey


def read_releases(frame: bytes, key: VerifyKey, *, where: str) -> Releases:
    """The list in a frame that `key` signed. Raises UsageError naming `where`."""
    try:
        return decode(Releases, open_frame("releases", frame, Keyring.of([key], "release")).body)
    except WireError as error:
        raise UsageError(
            f"{where}: no release list of the key {key.kid}: {error}",
            hint="`propeller release add` makes one",
        ) from error


def next_list(
    last: Releases | None,
    *,
    add: Iterable[str] = (),
    withdraw: Iterable[str] = (),
    not_after: int | None = None,
) -> Releases:
    """The list that follows `last`: one version higher, sorted, each digest once.

    not_after: Unix ms, None for a list that does not end. Raises UsageError when it gets too long,
    or does not name what is withdrawn.
    """
    known = set(last.modules) if last is not None else set()
    unknown = sorted(set(withdraw) - known)
    if unknown:
        raise UsageError(f"{unknown[0]} is not on the list", hint="`propeller release show`")
    names = (known | set(add)) - set(withdraw)
    if len(names) > MAX_RELEASED:
        raise UsageError(
            f"{len(names)} modules; a release list has at most {MAX_RELEASED}",
            hint="withdraw what nobody runs any more",
        )
    version = 1 if last is None else last.version + 1
    return Releases(version=version, modules=tuple(sorted(names)), not_after=not_after)


def sealed_list(releases: Releases, key: SigningKey) -> bytes:
    """The frame that devices take. Raises WireError for a digest that is none."""
    return seal("releases", encode(releases), key)
