"""How long to wait before asking again: doubling, capped, never all at the same moment."""

from __future__ import annotations

import random
from typing import Final

BASE: Final = 5_000
CAP: Final = 600_000


def backoff(failures: int, rng: random.Random, *, base: int = BASE, cap: int = CAP) -> int:
    """ms to wait after `failures` in a row (from 1): between half of the doubled time and all."""
    most = min(cap, base << min(failures - 1, 20))
    return most // 2 + rng.randrange(most // 2 + 1)
