"""Alerts as people write them: what is taken, what is refused and in which words."""

from __future__ import annotations

import pytest

from propeller.errors import SpecError
from propeller.model.parse import parse_object, stored_form
from propeller.model.specs import MqttSink, SlackSink, SmtpSink, Tls, WebhookSink

HEAD = "apiVersion: propeller.dev/v1alpha1\nkind: Alert\nmetadata: {name: on-call}\nspec:\n"
SINKS = HEAD + "  sinks:\n"

WHOLE = """\
  - {name: pager, webhook: {urlRef: pager-url, hmacRef: pager-hmac}}
  - {name: ops, slack: {urlRef: ops-slack}}
  - {name: line, mqtt: {topic: plant/alarms}}
  - name: mail
    smtp: {server: "mail.example:587", username: u, passwordRef: p, from: a@b, to: [c@d]}
  events:
    {severity: Info, kinds: [Task], namespaces: [plant], names: ["press-*"], reasons: [Failed]}
  dedup: 15m
  recovery: Disabled
"""


@pytest.fixture
def alert(loading):
    """The one Alert in a text."""

    def read(text):
        (one,) = loading({"a.yaml": text}).objects.values()
        return one

    return read


def test_every_kind_of_sink_reaches_the_object(alert):
    """And survives the store."""
    one = alert(SINKS + WHOLE)
    assert [type(sink.way) for sink in one.sinks] == [WebhookSink, SlackSink, MqttSink, SmtpSink]
    assert one.sinks[3].way.tls is Tls.START_TLS
    assert (one.dedup, one.recovery, one.events.warnings_only) == (900_000, False, False)
    assert one.events.names == ("press-*",)
    assert parse_object(**stored_form(one)) == one


def test_the_smallest_alert_tells_every_warning(alert):
    """With a window of five minutes, and recoveries."""
    one = alert(SINKS + "  - {name: s, slack: {urlRef: u}}\n")
    assert (one.dedup, one.recovery, one.events.warnings_only) == (300_000, True, True)
    assert one.events.kinds == one.events.names == one.events.reasons == ()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("  - {name: s}\n", "6: spec.sinks[0]: "),
        ("  - {name: s, slack: {urlRef: u}, mqtt: {topic: t}}\n", "spec.sinks[0]"),
        ("  - {name: s, slack: {url: https://x}}\n", "unknown field"),
        ("  - {name: s, slack: {urlRef: ../x}}\n", "a file in the secrets folder"),
        ("  - {name: s, webhook: {url: /etc/passwd}}\n", "a web address"),
        ("  - {name: s, webhook: {url: 'https://u:p@h/x'}}\n", "without a password"),
        ("  - {name: s, mqtt: {topic: m/plant/c/fleet/control/proplet/a/desired}}\n", "m/"),
        ("  - {name: s, mqtt: {topic: 'a/#'}}\n", "without + and #"),
        ("  - {name: s, mqtt: {topic: $SYS/x}}\n", "not beginning with $"),
        (
            "  - {name: s, smtp: {server: 'h:25', from: a@b, to: [c@d], username: u}}\n",
            "come together",
        ),
        (
            "  - {name: s, smtp: {server: 'h:25', tls: None, from: a@b, to: [c@d], username: u,"
            " passwordRef: p}}\n",
            "plain text",
        ),
        ("  - {name: s, smtp: {server: h, from: a@b, to: [c@d]}}\n", "HOST:PORT"),
        ("  - {name: s, smtp: {server: 'h:25', from: a@b, to: ['x\\ny']}}\n", "e-mail"),
        (
            "  - {name: s, slack: {urlRef: u}}\n  - {name: s, slack: {urlRef: v}}\n",
            'the sink "s" is given twice',
        ),
    ],
)
def test_faults(loading, lines, words):
    """Named with their line, before anything is sent anywhere."""
    with pytest.raises(SpecError) as caught:
        loading({"a.yaml": SINKS + lines})
    assert "a.yaml:" in str(caught.value)
    assert words in str(caught.value)
