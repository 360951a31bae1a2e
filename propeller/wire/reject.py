"""Why a message is refused: one closed list of words, shared with every other implementation.

`WireError.reject` is always one of these. The C side builds its enum from the same list
(`schemas/wire/vectors/words.json`). Words are only ever added. A body with several faults may be
refused with the word of any of them; every shared vector has exactly one fault.
"""

from __future__ import annotations

from enum import StrEnum

from propeller.errors import WireError


class Reject(StrEnum):
    """The words. The comment says what the sender did."""

    # the body as bytes
    NOT_MAP = "not_map"  # neither a JSON object nor a CBOR map (or, for a blob body, no array)
    TOO_BIG = "too_big"  # more bytes than this kind of body may have
    MALFORMED = "malformed"  # not JSON; not CBOR in its one spelling; not UTF-8; cut short
    TOO_DEEP = "too_deep"  # an unknown field nested deeper than four maps or lists
    DUPLICATE_KEY = "duplicate_key"  # one key twice in one map
    FLOAT = "float"  # a number with a point, an exponent, or a float head
    INTEGER_RANGE = "integer_range"  # an integer outside the range of its field or of 2^53-1
    # the fields
    UNSUPPORTED_VERSION = "unsupported_version"  # `v` above ours
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"  # `null` counts: an absent field is left out
    BAD_ID = "bad_id"  # an id, uid, run, digest, kid or ref that is not spelled like one
    BAD_TEXT = "bad_text"  # a NUL or a lone surrogate; an env without NAME=
    BAD_ENUM = "bad_enum"  # not one of the field's words
    TOO_LONG = "too_long"  # text or bytes above the field's limit
    TOO_MANY = "too_many"  # list or map above the field's limit
    CONFLICT = "conflicting_fields"  # fields that exclude each other, or none where one is needed
    # the signature frame
    NOT_FRAMED = "not_framed"  # unsigned where a signature is needed
    BAD_FRAME = "bad_frame"  # shorter than its header says
    UNKNOWN_ALG = "unknown_alg"
    UNKNOWN_KID = "unknown_kid"  # signed by a key we were not told of
    BAD_SIGNATURE = "bad_signature"
    NOT_ALLOWED = "not_allowed"  # a known key whose roles do not cover this purpose
    BAD_KEY = "bad_key"  # a key text or a kid that does not belong to its key
    BAD_SEAL = "bad_seal"  # a value sealed to another key or for another place
    # blobs
    DIGEST_MISMATCH = "digest_mismatch"  # raised as DigestMismatch


class Broken(Exception):
    """A refusal on its way out of nested readers, which add where they stand to `path`.

    Never leaves this package: `codec` turns it into a WireError.
    """

    def __init__(self, word: Reject, what: str) -> None:
        super().__init__(word, what)
        self.word = word
        self.what = what
        self.path: list[str] = []

    def at(self, step: str) -> Broken:
        """The same refusal, told one level further out."""
        self.path.append(step)
        return self

    def told(self, root: str) -> WireError:
        """As a WireError: `Report.tasks[3].uid: ...`."""
        place = root + "".join(reversed(self.path))
        return WireError(self.word.value, f"{place}: {self.what}")


def refusal(word: Reject, what: str = "") -> WireError:
    """The error for `word`."""
    return WireError(word.value, what)
