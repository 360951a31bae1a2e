"""When edits may reach devices: spans of time that come again, as a spec says them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class WindowKind(StrEnum):
    """Allow: edits reach devices only then. Deny: they do not then, whatever is allowed."""

    ALLOW = "Allow"
    DENY = "Deny"


DEVICE = "Device"
"""The time zone of whichever device it is about, as its Proplet declares it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A span of time that comes again: from each time of `cron` on, for `duration` ms.

    time_zone: an IANA name, or `DEVICE`.
    """

    kind: WindowKind
    cron: str
    duration: int
    time_zone: str
