"""What an event says of something that was decided for an object as a whole."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Note:
    """reason: one CamelCase word. warning: whether a person should look."""

    reason: str
    message: str
    warning: bool = False
