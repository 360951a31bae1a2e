"""Run a program that ends when its grandparent does. Imports nothing else of ours.

Started for mosquitto and for the local proplets of `up`: they do not notice that we are gone, and
a death signal set by the kernel would also come when only the starting thread ends. So this stands
between: our end of its stdin closes, it stops the program. Both are in one process group, so that
a kill reaches both.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

_PATIENCE_S = 5.0


def main() -> int:
    """Run argv[1:]; its exit status, or minus the signal that ended it."""
    program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: program.terminate())
    threading.Thread(target=_end_with_parent, args=(program,), daemon=True).start()
    return program.wait()


def _end_with_parent(program: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):  # not through sys.stdin, whose lock would be ours at the end
        pass
    program.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(_PATIENCE_S)
    program.kill()


if __name__ == "__main__":
    sys.exit(main())
