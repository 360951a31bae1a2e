"""A process's log as JSON, one record a line, for whatever collects logs.

Every line has `time` (UTC, RFC 3339), `level`, `logger` and `message`; `error` has the traceback
where there is one. A record may bring more words of its own: `log.info(text, extra=fields(...))`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from typing import Any, TextIO

_FIELDS = "propeller_fields"
OWN = ("time", "level", "logger", "message", "error")


def fields(**words: str | int) -> dict[str, Any]:
    """What `extra` takes."""
    return {_FIELDS: words}


class Lines(logging.Formatter):
    """See the module. more: words of every line."""

    def __init__(self, **more: str) -> None:
        super().__init__()
        self._more = more

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object, without a line break."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            **self._more,
            "message": record.getMessage(),
        }
        words: Mapping[str, object] = getattr(record, _FIELDS, {})
        line |= {name: value for name, value in words.items() if name not in OWN}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def handler(stream: TextIO, **more: str) -> logging.Handler:
    """Writes lines to `stream`."""
    made = logging.StreamHandler(stream)
    made.setFormatter(Lines(**more))
    return made
