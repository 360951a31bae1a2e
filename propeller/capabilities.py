"""What a guest may be granted beyond its own memory, by name, and the imports behind each. Pure.

`plan` and `sources` check what a module imports against what its spec is granted; `proplet` leaves
out what its owner denies. Files are granted by mounts and variables by `env`, so neither is here;
sockets are granted to nobody: a proplet gives a guest none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

WASI: Final = "wasi_snapshot_preview1"

MODELS: Final = "propeller:models"
"""What an agent lists among its imports that hands `run.models` to guests."""

CAPABILITIES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "Clock": frozenset({"clock_res_get", "clock_time_get"}),
        "Random": frozenset({"random_get"}),
        "Sleep": frozenset({"poll_oneoff"}),
    }
)
"""Functions of WASI preview 1 by capability; all others need none."""

_NEEDS: Final = {name: word for word, names in CAPABILITIES.items() for name in names}


def needed(module: str, name: str) -> str:
    """The capability that an import needs, or ""."""
    return _NEEDS.get(name, "") if module == WASI else ""


def left_without(denied: Collection[str]) -> frozenset[str]:
    """Names of WASI functions that are not there when these capabilities are denied."""
    return frozenset().union(*(CAPABILITIES[word] for word in denied))
