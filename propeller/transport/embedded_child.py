"""The process of the embedded broker. Started by `embedded` with the path of its configuration.

Ends with its parent: whoever started it holds the other end of stdin. Imports nothing of Propeller.
"""

from __future__ import annotations

import os
import sys
import threading


def main() -> None:
    """Serve until the parent is gone."""
    from iotcore.iotcore import IotCoreBroker

    broker = IotCoreBroker(config_path=sys.argv[1])
    broker.check_ports()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    broker.run_forever()


def _end_with_parent() -> None:
    try:
        while sys.stdin.buffer.read(4096):
            pass
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
