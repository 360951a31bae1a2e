"""The process of the embedded broker. Started by `embedded` with the path of its configuration.

Ends with its parent: whoever started it holds the other end of stdin.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path

from propeller.transport.serve import Hub, serve


def main() -> int:
    """Serve until the parent is gone or says so; the exit status."""
    config = json.loads(Path(sys.argv[1]).read_text())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        asyncio.run(_serve(config))
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


async def _serve(config: dict[str, object]) -> None:
    users, port, host = config["users"], config["port"], config["host"]
    max_message = config["max_message"]
    assert isinstance(users, dict)
    assert isinstance(port, int)
    assert isinstance(host, str)
    assert isinstance(max_message, int)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(host, port, Hub(users=users, max_message=max_message), stop)


def _end_with_parent() -> None:
    try:
        # Not sys.stdin: its lock, held here, would hold up the interpreter's own end.
        while os.read(0, 4_096):
            pass
    finally:
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
