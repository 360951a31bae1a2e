"""What a check of `doctor` answers, and the one that needs the kernel."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import asdict, dataclass

GOOD, WARN, BAD = "ok", "warning", "bad"

_TIME_ERROR = 5
_TIMEX_BYTES = 512
"""More than `struct timex` has on any Linux; all zero means: only ask."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. mend: the one thing to do, "" where nothing is wrong."""

    name: str
    state: str
    words: str
    mend: str = ""

    def data(self) -> dict[str, str]:
        """As JSON."""
        return asdict(self)


def clock_synchronised() -> bool | None:
    """Whether the kernel says that something keeps its clock in step; None where it cannot say."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    answer = int(adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))
    return None if answer < 0 else answer != _TIME_ERROR
