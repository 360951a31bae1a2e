"""The process of the embedded broker. Started by `embedded` with its configuration and its ports.

Ends with its parent: whoever started it holds the other end of stdin. Imports nothing of Propeller.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading


def main() -> None:
    """Serve until the parent is gone."""
    from iotcore.iotcore import IotCoreBroker

    for port in sys.argv[2:]:
        # iotcore would lose one listener, say nothing and serve on the other.
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", int(port)))
    # It logs a line for every packet as an error; panics come on stderr all the same.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    broker = IotCoreBroker(config_path=sys.argv[1])
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
