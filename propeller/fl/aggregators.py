"""What an aggregator module is: its calls, and what a round may cost it.

Words for whoever checks a module and for whoever runs it (docs/reference/strategies.md); needs no
numpy, so that a process with little memory can read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NAME: Final = "Wasm"
"""The strategy whose module computes."""
SPACE: Final = "propeller"
"""The module name of everything that may be imported."""
IMPORTS: Final = ("parameter", "refuse")
EXPORTS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "begin": (("i32", "i32"), ("i32",)),
    "update": (("f64",), ()),
    "finish": ((), ("i32",)),
}
"""Functions a module must export, with the types of their parameters and results."""
MEMORY: Final = 512 << 20
"""Bytes of linear memory, at most."""


def fuel_for(numbers: int, updates: int) -> int:
    """What a module may use for a round: enough to sort every coordinate the slow way."""
    return 10_000_000 + 100 * numbers * (updates + 10) ** 2
