"""What the two sides of secure aggregation tell each other, as bytes: one JSON document a letter.

    keys    {"mask":hex,"seal":hex,"seed":hex,"v":1}            a device's public halves
    roster  {"keys":{proplet:{...}},"v":1}                      those of all, for `shares`
    shares  {"shares":{proplet:base64},"v":1}                   sealed, from one device to all
    mail    the same, from all to one device, for `train`
    sum     {"survivors":[proplet],"v":1}                       whose update is in it, for `open`
    opened  {"keys":{proplet:hex},"seeds":{proplet:hex},"v":1}  a device's shares, for the sum

Sorted keys, no spaces: equal letters are equal bytes. A reader knows every size before it believes
one; what does not fit is refused (malformed).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from propeller.fl.errors import Refusal, Why
from propeller.fl.secagg.messages import Keys, Revealed
from propeller.fl.secagg.shamir import SHARE_SIZE

MEMBERS: Final = 1000
"""Of one cohort at most: each tells each of them something."""
LARGEST: Final = 512 * MEMBERS
"""Bytes of a letter."""
SEALED: Final = 2 * SHARE_SIZE + 16
KEY: Final = 32
NAME: Final = 64


def keys_letter(keys: Keys) -> bytes:
    """A device's `keys`."""
    return _written(_halves(keys))


def read_keys(data: bytes, proplet: str) -> Keys:
    """The inverse. Raises Refusal."""
    return _keys(_document(data, "mask", "seal", "seed"), proplet)


def roster_letter(roster: Iterable[Keys]) -> bytes:
    """The `roster`."""
    return _written({"keys": {one.proplet: _halves(one) for one in roster}})


def read_roster(data: bytes) -> dict[str, Keys]:
    """The inverse. Raises Refusal."""
    found = _table(_document(data, "keys")["keys"])
    return {name: _keys(_fields(row, "mask", "seal", "seed"), name) for name, row in found.items()}


def shares_letter(sealed: Mapping[str, bytes]) -> bytes:
    """`shares` or `mail`."""
    told = {name: base64.b64encode(each).decode() for name, each in sealed.items()}
    return _written({"shares": told})


def read_shares(data: bytes) -> dict[str, bytes]:
    """The inverse. Raises Refusal."""
    found = _table(_document(data, "shares")["shares"])
    return {name: _bytes(text, _unpacked, SEALED) for name, text in found.items()}


def sum_letter(survivors: Iterable[str]) -> bytes:
    """The `sum`."""
    return _written({"survivors": sorted(survivors)})


def read_sum(data: bytes) -> frozenset[str]:
    """The inverse. Raises Refusal."""
    found = _document(data, "survivors")["survivors"]
    if not isinstance(found, list) or len(found) > MEMBERS or not all(map(_is_name, found)):
        raise Refusal(Why.MALFORMED, "survivors that are no list of names")
    if sorted(set(found)) != found:
        raise Refusal(Why.MALFORMED, "survivors that are not sorted, or one twice")
    return frozenset(found)


def opened_letter(revealed: Revealed) -> bytes:
    """A device's `opened`."""
    return _written(
        {
            name: {one: share.hex() for one, share in sorted(shares.items())}
            for name, shares in (("keys", revealed.keys), ("seeds", revealed.seeds))
        }
    )


def read_opened(data: bytes, proplet: str) -> Revealed:
    """The inverse. Raises Refusal."""
    found = _document(data, "keys", "seeds")
    keys, seeds = (
        {name: _bytes(text, bytes.fromhex, SHARE_SIZE) for name, text in _table(table).items()}
        for table in (found["keys"], found["seeds"])
    )
    return Revealed(proplet=proplet, seeds=seeds, keys=keys)


def _halves(keys: Keys) -> dict[str, str]:
    return {"mask": keys.mask.hex(), "seal": keys.seal.hex(), "seed": keys.seed.hex()}


def _keys(found: Mapping[str, object], proplet: str) -> Keys:
    mask, seal, seed = (
        _bytes(found[name], bytes.fromhex, KEY) for name in ("mask", "seal", "seed")
    )
    return Keys(proplet=proplet, seal=seal, mask=mask, seed=seed)


def _written(document: Mapping[str, object]) -> bytes:
    return json.dumps({**document, "v": 1}, sort_keys=True, separators=(",", ":")).encode()


def _document(data: bytes, *names: str) -> Mapping[str, Any]:
    if len(data) > LARGEST:
        raise Refusal(Why.MALFORMED, f"a letter of {len(data)} bytes, at most {LARGEST}")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Refusal(Why.MALFORMED, "a letter that is no JSON") from error
    known = _fields(found, "v", *names)
    if known["v"] != 1:
        raise Refusal(Why.MALFORMED, "a letter of another version")
    return known


def _fields(found: object, *names: str) -> Mapping[str, Any]:
    if not isinstance(found, dict) or set(found) != set(names):
        raise Refusal(Why.MALFORMED, f"a letter has {', '.join(names)}")
    return found


def _table(found: object) -> Mapping[str, object]:
    if not isinstance(found, dict) or len(found) > MEMBERS or not all(map(_is_name, found)):
        raise Refusal(Why.MALFORMED, "a table that is not by proplet")
    return found


def _is_name(found: object) -> bool:
    return isinstance(found, str) and 0 < len(found) <= NAME


def _unpacked(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _bytes(found: object, read: Callable[[str], bytes], size: int) -> bytes:
    try:
        data = read(found) if isinstance(found, str) and len(found) <= 4 * size else b""
    except ValueError as error:
        raise Refusal(Why.MALFORMED, "bytes that are not spelled as they should be") from error
    if len(data) != size:
        raise Refusal(Why.MALFORMED, f"{len(data)} bytes, expected {size}")
    return data
