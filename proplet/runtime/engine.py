"""The one engine configuration and the store of native code. Runs in workers only.

Native code runs unchecked when it is loaded, so it comes only from a directory that belongs to us
and nobody else can write to, from a file whose bytes are those a child of ours wrote (length and
SHA-256 in its header file, checked when a run is prepared). Its name holds everything that it
depends on: module, wasmtime version, processor, configuration (`native.native_name`).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path

from wasmtime import Config, Engine


def engine(*, fuel: bool, exact: bool = False) -> Engine:
    """An engine: epochs always, fuel only where it is counted (it costs a third of the speed).

    exact: no bit of a result depends on the processor, where WebAssembly would let it: what a NaN
    looks like, and relaxed vector instructions.
    """
    config = Config()
    config.epoch_interruption = True
    config.consume_fuel = fuel
    config.wasm_threads = False
    if exact:
        for setting in ("cranelift_nan_canonicalization", "wasm_relaxed_simd_deterministic"):
            # An older package would take the name as any attribute, and nothing would come of it.
            if not hasattr(Config, setting):
                raise RuntimeError(f"this wasmtime has no {setting}: training needs a newer one")
        config.cranelift_nan_canonicalization = True
        config.wasm_relaxed_simd_deterministic = True
    return Engine(config)


def own_directory(path: Path) -> None:
    """Make sure that `path` is a directory only we can write to. Raises PermissionError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{path} must be a directory of ours with mode 0700")


def check_owner(path: Path) -> None:
    """Refuse native code that somebody else could have written. Raises OSError."""
    # A file of the agent's memory has no name but this one, which is a link.
    found = path.stat() if path.is_relative_to("/proc") else path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(f"{path} is not ours alone")


def is_whole(native: Path) -> bool:
    """Whether the file is the one that was compiled; a torn or changed one is not."""
    try:
        check_owner(native)
        told = json.loads(native.with_suffix(".json").read_bytes())
        with native.open("rb") as stream:
            seen = hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.get("sha256") == seen


def keep_in_memory(native: Path, data: bytes) -> None:
    """Put native code into a file of the agent's memory. Raises OSError."""
    check_owner(native)
    with native.open("wb") as stream:
        stream.write(data)


def keep(native: Path, data: bytes) -> None:
    """Put native code where it is kept, whole or not at all. Raises OSError."""
    own_directory(native.parent)
    told = json.dumps({"sha256": hashlib.sha256(data).hexdigest()}).encode()
    for path, content in ((native.with_suffix(".json"), told), (native, data)):
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(handle)
        fresh.replace(path)
