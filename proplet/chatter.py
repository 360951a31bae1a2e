"""The agent's own log on stderr: text for a person at a terminal, JSON lines for anything else."""

from __future__ import annotations

import logging
import sys
from typing import TextIO, cast

from propeller.telemetry.loglines import handler as json_lines
from propeller.terminal import Tame


def set_up(name: str, level: str, form: str = "auto") -> None:
    """Send everything to stderr. form: text, json, or auto: text at a terminal only."""
    stream = cast("TextIO", Tame(sys.stderr))
    if form == "text" or (form == "auto" and sys.stderr.isatty()):
        handler: logging.Handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter(f"%(asctime)s {name} %(levelname)s %(message)s"))
    else:
        handler = json_lines(stream, proplet=name)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
