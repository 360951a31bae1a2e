"""The agent's own log on stderr: text for a person at a terminal, JSON lines for anything else."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TextIO, cast

from propeller.terminal import Tame


class _Lines(logging.Formatter):
    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object a line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "proplet": self._name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(name: str, level: str) -> None:
    """Send everything to stderr."""
    handler = logging.StreamHandler(cast("TextIO", Tame(sys.stderr)))
    if sys.stderr.isatty():
        handler.setFormatter(logging.Formatter(f"%(asctime)s {name} %(levelname)s %(message)s"))
    else:
        handler.setFormatter(_Lines(name))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
