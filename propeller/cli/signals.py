"""From the configuration to what a running process tells of itself: traces, and its log's form."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from typing import TYPE_CHECKING

from propeller.cli.settings import Fleet

if TYPE_CHECKING:
    from propeller.telemetry.otlp import Outbox


def add_signals(parser: argparse.ArgumentParser) -> None:
    """The options of verbs that run a reconciler."""
    parser.add_argument(
        "--traces",
        metavar="URL",
        help="send traces to this OTLP collector, as http://127.0.0.1:4318/v1/traces",
    )
    parser.add_argument(
        "--log-format",
        type=str.capitalize,
        choices=("Text", "Json"),
        metavar="{text,json}",
        help="what is said on stderr: text, or JSON with a record a line (default text)",
    )


def open_traces(fleet: Fleet) -> Outbox | None:
    """The way to the collector; `.close()` it. None where none is configured.

    Raises UsageError for an address that is none, or where OpenTelemetry is not installed.
    """
    value = fleet.values["traces.endpoint"]
    if not value.value:
        return None
    from propeller.telemetry.otlp import open_outbox

    return open_outbox(
        value.value,
        service="propeller",
        instance=f"{fleet.domain}/{fleet.channel}@{socket.gethostname()}",
        origin=f"traces.endpoint: {value.origin}",
    )


def set_up_log(fleet: Fleet) -> bool:
    """Have the log written as configured; returns whether that is JSON.

    As text there is nothing to set up: warnings go to stderr as they are.
    """
    if fleet.text("log.format") != "Json":
        return False
    from propeller.telemetry.loglines import handler

    logging.basicConfig(level=logging.WARNING, handlers=[handler(sys.stderr)], force=True)
    logging.getLogger("propeller").setLevel(logging.INFO)
    return True
