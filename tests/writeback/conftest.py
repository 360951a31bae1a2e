"""Alerts as the parser makes them, and the servers of `writeback_servers`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from propeller.model.canonical import canonical_digest
from propeller.model.ids import Key, Uid
from propeller.model.specs import Alert, EventFilter, Meta, Sink, SlackSink

sys.path.insert(0, str(Path(__file__).parent))

import writeback_servers

web = writeback_servers.web
mail_server = writeback_servers.mail_server
remote = writeback_servers.remote


@pytest.fixture
def make_alert():
    """Alerts as the parser makes them."""

    def make(name="on-call", *, ways=None, dedup=300_000, recovery=True, suspend=None, **events):
        sinks = ways or {"ops": SlackSink(url_ref="ops")}
        return Alert(
            meta=Meta(
                key=Key("Alert", "default", name),
                uid=Uid(f"uid-{name}"),
                app="default",
                spec_digest=canonical_digest({}),
            ),
            sinks=tuple(Sink(name=one, way=way) for one, way in sinks.items()),
            events=EventFilter(**events),
            dedup=dedup,
            recovery=recovery,
            suspend=suspend,
        )

    return make
