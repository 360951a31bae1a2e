"""A log as JSON lines: every record is one, whatever stands in it."""

from __future__ import annotations

import io
import json
import logging

from propeller.telemetry.loglines import fields, handler


def a_log() -> tuple[logging.Logger, io.StringIO]:
    """A logger of its own and what it writes."""
    sink = io.StringIO()
    log = logging.Logger("propeller.test")
    log.addHandler(handler(sink, proplet="gw-01"))
    return log, sink


def test_a_record_is_one_line_with_its_words() -> None:
    """Line breaks stay inside, words of the record stand beside the message, none replaces it."""
    log, sink = a_log()
    log.warning("two\nlines of %s", "x", extra=fields(object="Task/default/x", message="no"))
    (line,) = sink.getvalue().splitlines()
    told = json.loads(line)
    assert told.pop("time").endswith("Z")
    assert told == {
        "level": "warning",
        "logger": "propeller.test",
        "proplet": "gw-01",
        "message": "two\nlines of x",
        "object": "Task/default/x",
    }


def test_a_traceback_is_part_of_its_line() -> None:
    """Nothing of it stands on a line of its own."""
    log, sink = a_log()
    try:
        raise ValueError("broke")
    except ValueError:
        log.exception("a turn failed")
    (line,) = sink.getvalue().splitlines()
    assert "ValueError: broke" in json.loads(line)["error"]
