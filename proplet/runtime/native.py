"""What native code is named by. Used by the agent, which never imports the runtime itself."""

from __future__ import annotations

import hashlib
import platform
from functools import cache, lru_cache
from importlib.metadata import version

CONFIGURATION = "epoch-1"
"""Changes whenever `engine.engine` changes what it compiles."""


@cache
def runtime_version() -> str:
    """The installed version of wasmtime."""
    return version("wasmtime")


@lru_cache(maxsize=1024)
def native_name(digest: str, *, fuel: bool, exact: bool = False) -> str:
    """The file name of a module's native code: everything it depends on, hashed."""
    configuration = f"{CONFIGURATION}-exact-1" if exact else CONFIGURATION
    parts = (digest, runtime_version(), platform.machine(), configuration, str(fuel))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
