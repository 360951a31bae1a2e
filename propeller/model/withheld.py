"""What waits while a window is closed."""

from __future__ import annotations

from dataclasses import dataclass

from propeller.model.ids import Uid
from propeller.model.inventory import Held
from propeller.model.module import Module


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """An edit of one object waits for its window; until then the object is what it was.

    held: as it was let in last, None where nothing of it ever was. module: as its reference was
    resolved then, None where it was not.
    """

    uid: Uid
    held: Held | None
    module: Module | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Somebody let one edit through a closed window. mark: which one (`plan.windows.mark`)."""

    uid: Uid
    mark: str
    by: str
    reason: str
    at: int
