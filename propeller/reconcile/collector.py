"""Python's cycle collector and a world that stays: a pause for every look at it, for nothing.

A fleet of ten thousand is millions of objects that live until they are replaced one by one. The
collector would walk all of them again and again, half a second each time, on the loop's thread.
"""

from __future__ import annotations

import gc


def leave_alone() -> None:
    """What is in memory now is not walked any more; what is replaced later is freed as ever."""
    gc.freeze()
