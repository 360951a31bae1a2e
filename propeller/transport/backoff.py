"""How long to wait before the next attempt to connect.

Full jitter: anywhere between nothing and a ceiling that doubles, so that a fleet that lost its
broker together does not come back together. Shared by `mqtt` (seconds) and `memory` (milliseconds).
"""

from __future__ import annotations

import random

BASE_S = 0.25
CAP_S = 30.0


class Backoff:
    """The waits of one client. Not thread-safe; draws only from the generator it was given."""

    def __init__(self, rng: random.Random, *, base: float = BASE_S, cap: float = CAP_S) -> None:
        self._rng = rng
        self._base = base
        self._cap = cap
        self._tries = 0

    def next(self) -> float:
        """The next wait, in the unit of `base`."""
        # 2**64 is past any cap: an attempt counter of a year must not overflow a float.
        ceiling = min(self._cap, self._base * 2.0 ** min(self._tries, 64))
        self._tries += 1
        return self._rng.uniform(0.0, ceiling)

    def reset(self) -> None:
        """A connection proved steady: start small again."""
        self._tries = 0
