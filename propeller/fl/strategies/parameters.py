"""Parameters of a strategy from a spec: decimal text to numbers in ranges, all faults at once.

Never clamped: what is out of range is refused with what is allowed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from propeller.errors import UsageError

_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")


class Parameters:
    """Reads what was given; `done` tells everything that was wrong, unknown names included."""

    def __init__(self, strategy: str, given: Mapping[str, str]) -> None:
        self._strategy = strategy
        self._given = dict(given)
        self._known: set[str] = set()
        self._faults: list[str] = []

    def number(
        self,
        name: str,
        default: str | None,
        *,
        low: float = -math.inf,
        high: float = math.inf,
        above: bool = False,
        below: bool = False,
    ) -> float:
        """A decimal in [low, high]; above, below: that end is excluded. default None: required."""
        text = self._text(name, default)
        if text is None:
            return low
        value = float(text) if _DECIMAL.fullmatch(text) else math.nan
        fits = (
            low <= value <= high and not (above and value == low) and not (below and value == high)
        )
        if not fits or not math.isfinite(value):
            left, right = "(" if above else "[", ")" if below else "]"
            self._faults.append(f"{name} {text[:40]!r} is not in {left}{low:g}, {high:g}{right}")
            return 0.0
        return value

    def whole(self, name: str, default: str | None, *, low: int, high: int) -> int:
        """An integer in [low, high]."""
        text = self._text(name, default)
        if text is None:
            return low
        value = int(text) if _WHOLE.fullmatch(text) else low - 1
        if not low <= value <= high:
            self._faults.append(f"{name} {text[:40]!r} is not a whole number from {low} to {high}")
            return low
        return value

    def flag(self, name: str) -> bool:
        """`Enabled` or `Disabled`, the default."""
        text = self._text(name, "Disabled")
        if text not in ("Enabled", "Disabled"):
            self._faults.append(f"{name} {str(text)[:40]!r} is neither Enabled nor Disabled")
        return text == "Enabled"

    def done(self) -> None:
        """Raises UsageError with everything that was wrong."""
        unknown = sorted(self._given.keys() - self._known)
        allowed = ", ".join(sorted(self._known)) or "none"
        faults = [f"{name[:40]!r} is no parameter of it (it has: {allowed})" for name in unknown]
        if faults or self._faults:
            raise UsageError(f"strategy {self._strategy}: " + "; ".join(self._faults + faults))

    def _text(self, name: str, default: str | None) -> str | None:
        self._known.add(name)
        text = self._given.get(name, default)
        if text is None:
            self._faults.append(f"{name} is missing")
        return text
