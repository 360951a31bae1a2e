"""Guests whose agent died without them: found by its mark, and killed.

The mark is in the command line of our workers, and in the environment of other engines.

Called once, before an agent starts anything of its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from proplet.externals import MARK


def kill_orphans(mark: str) -> int:
    """Kill workers a former agent of this directory left behind; how many there were."""
    killed = 0
    for path in Path("/proc").iterdir():
        if not path.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().split(b"\0")
            ours = b"proplet.runtime.zygote" in words and mark.encode() in words
            if ours or f"{MARK}={mark}".encode() in (path / "environ").read_bytes().split(b"\0"):
                os.kill(int(path.name), signal.SIGKILL)
                killed += 1
    return killed
