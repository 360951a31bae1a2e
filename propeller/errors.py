"""One family of errors, named by what the caller should do.

    PropellerError
    ├── SpecError      the author of the specs must mend them; carries every fault at once
    ├── UsageError     the person at the terminal must change the command
    ├── WireError      the other side said something wrong; drop it and count it
    │   └── DigestMismatch   bytes that are not what their name promises
    ├── Unavailable    try again later; nothing is lost
    └── Conflict       someone else was first (a lease, a fence, a newer plan)

Shells wrap foreign errors at the seam (`raise Unavailable(...) from error`). A message says what
happened, where, and what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class PropellerError(Exception):
    """The root of the family. `hint` is the next step, shown under the message."""

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\n  {self.hint}" if self.hint else self.what


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing wrong in one file. `line` counts from 1; 0 means the whole file."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class SpecError(PropellerError):
    """Specs that cannot be taken. Every fault of every file is listed, sorted."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        if not self.faults:
            raise AssertionError("a SpecError without a fault")
        super().__init__("\n".join(str(fault) for fault in self.faults))


class UsageError(PropellerError):
    """The command cannot be carried out as typed."""


class WireError(PropellerError):
    """What arrived breaks the protocol. `reject` is the word shared with the test vectors."""

    def __init__(self, reject: str, what: str = "", *, hint: str = "") -> None:
        super().__init__(f"{reject}: {what}" if what else reject, hint=hint)
        self.reject = reject


class DigestMismatch(WireError):
    """Bytes whose digest is not the one they were asked for by."""

    def __init__(self, wanted: str, got: str, *, where: str) -> None:
        super().__init__("digest_mismatch", f"{where}: wanted {wanted}, got {got}")
        self.wanted = wanted
        self.got = got


class Unavailable(PropellerError):
    """Something outside did not answer. Trying again later is right."""


class Conflict(PropellerError):
    """Someone else holds it, or it moved on in the meantime."""
