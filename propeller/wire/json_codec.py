"""JSON, strictly: bytes to plain values and back, and the canonical bytes digests are taken over.

Called by `codec`. Duplicate keys, floats and what is not UTF-8 are refused while reading; integers
are checked by the fields they stand in.
"""

from __future__ import annotations

import json
from typing import NoReturn

from propeller.wire.reject import Broken, Reject


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Broken(Reject.DUPLICATE_KEY, "one key twice in one object")
    return made


def _no_float(text: str) -> NoReturn:
    raise Broken(Reject.FLOAT, f"the number {text[:40]}")


_READER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_float=_no_float, parse_constant=_no_float
)
_WRITER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_CANON = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False, sort_keys=True
)


def loads(body: bytes) -> object:
    """The value of `body`, all of it. Raises Broken."""
    try:
        return _READER.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise Broken(Reject.MALFORMED, "not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Broken(Reject.MALFORMED, f"not JSON: {error}") from None
    except RecursionError:
        raise Broken(Reject.TOO_DEEP, "nested too deep") from None
    except ValueError:  # an integer of thousands of digits
        raise Broken(Reject.INTEGER_RANGE, "an integer beyond 2^53-1") from None


def dumps(value: object) -> bytes:
    """Compact JSON of plain values (as `shapes` writes them)."""
    return _WRITER.encode(value).encode("utf-8")


def canonical(value: object) -> bytes:
    """The one spelling: as `dumps`, with the keys sorted. `value` was checked when it was written.

    Text escapes only what JSON must: `"`, the backslash, and below U+0020 as \\b \\t \\n \\f \\r or
    \\u00xx. It is the spelling of `propeller.model.canonical`, for the same reasons.
    """
    return _CANON.encode(value).encode("utf-8")
