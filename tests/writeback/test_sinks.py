"""Each kind of sink against a server: what arrives, and what is said when it does not."""

from __future__ import annotations

import hashlib
import hmac
import json
from email import message_from_string, policy

import pytest

from propeller.model.specs import MqttSink, Sink, SlackSink, SmtpSink, Tls, WebhookSink
from propeller.writeback.router import ALERT, RECOVERY, Message
from propeller.writeback.secrets import Secrets
from propeller.writeback.sinks import Later, Refused, Sinks

T0 = 1_800_000_000_000


def message(**more):
    fields = {
        "alert": "default/on-call",
        "kind": ALERT,
        "severity": "Warning",
        "subject": "Task/plant/add",
        "reason": "Failed",
        "text": "failed on press: trap <!channel> & more",
        "at": T0 + 90_000,
        "since": T0,
        "count": 3,
        "proplet": "press",
        "revision": "main@sha1:aa",
    }
    return Message(**{**fields, **more})


@pytest.fixture
def sinks(tmp_path):
    """A way to deliver; published bodies are in `.published`."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    published = []

    def publish(topic, body):
        published.append((topic, body))
        return publish.takes

    publish.takes = True

    class Bench:
        def __init__(self):
            self.secrets = folder
            self.published = published
            self.publish = publish
            self.sinks = Sinks(fleet="plant/fleet", secrets=Secrets(folder), publish=publish)

        def deliver(self, way, one=None):
            self.sinks.deliver(Sink(name="s", way=way), one or message())

    return Bench()


def test_a_webhook_gets_json_signed_with_the_key(sinks, web):
    """Whoever knows the key can check it."""
    (sinks.secrets / "key").write_text("hunter2\n")
    sinks.deliver(WebhookSink(url=f"{web.url}/in", hmac_ref="key"))
    ((path, headers, body),) = web.requests
    assert path == "/in"
    wanted = hmac.new(b"hunter2", body, hashlib.sha256).hexdigest()
    assert headers["X-Signature"] == f"sha256={wanted}"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {
        "apiVersion": "propeller.dev/v1alpha1",
        "type": "Alert",
        "alert": "default/on-call",
        "severity": "Warning",
        "object": "Task/plant/add",
        "reason": "Failed",
        "message": "failed on press: trap <!channel> & more",
        "at": "2027-01-15T08:01:30Z",
        "since": "2027-01-15T08:00:00Z",
        "count": 3,
        "proplet": "press",
        "revision": "main@sha1:aa",
        "fleet": "plant/fleet",
    }


def test_slack_gets_its_own_shape_and_no_mention(sinks, web):
    """What a device says can call nobody."""
    (sinks.secrets / "ops").write_text(f"{web.url}/services/T/B/x")
    sinks.deliver(SlackSink(url_ref="ops"))
    sinks.deliver(SlackSink(url_ref="ops"), message(kind=RECOVERY, severity="Info"))
    bad, good = (json.loads(body) for _, _, body in web.requests)
    assert bad["text"] == "Task/plant/add: Failed (3 times)"
    assert bad["attachments"][0]["color"] == "danger"
    assert bad["attachments"][0]["text"] == "failed on press: trap &lt;!channel&gt; &amp; more"
    assert good["text"] == "Task/plant/add is fine again (was Failed for 1 min)"
    assert good["attachments"][0]["color"] == "good"


def test_a_topic_gets_the_same_json(sinks):
    """Through the reconciler's own connection."""
    sinks.deliver(MqttSink(topic="plant/alarms"))
    ((topic, body),) = sinks.published
    assert topic == "plant/alarms"
    assert json.loads(body)["reason"] == "Failed"
    sinks.publish.takes = False
    with pytest.raises(Later, match="broker"):
        sinks.deliver(MqttSink(topic="plant/alarms"))


def smtp(server, **more):
    fields = {"tls": Tls.NONE, "username": None, "password_ref": None}
    return SmtpSink(
        server=server.address,
        sender="propeller@example.org",
        to=("ops@example.org", "ana@example.org"),
        **{**fields, **more},
    )


def test_mail_has_a_subject_and_plain_text(sinks, mail_server):
    """One letter for all recipients; a line break in a text breaks no header."""
    sinks.deliver(smtp(mail_server), message(subject="Task/plant/add\r\nBcc: x@y"))
    (raw,) = mail_server.letters
    letter = message_from_string(raw, policy=policy.default)
    assert letter["Subject"] == "[plant/fleet] Task/plant/add Bcc: x@y: Failed (3 times)"
    assert letter["To"] == "ops@example.org, ana@example.org"
    assert letter["Bcc"] is None
    assert letter["Auto-Submitted"] == "auto-generated"
    assert "message: failed on press: trap" in letter.get_content()


def test_a_mail_server_is_logged_into_where_asked(sinks, mail_server):
    """The password is that of the file."""
    (sinks.secrets / "mail").write_text("hunter2")
    sinks.deliver(smtp(mail_server, username="propeller", password_ref="mail"))
    assert len(mail_server.logins) == 1
    assert len(mail_server.letters) == 1


def test_a_password_is_not_sent_in_plain_text_to_elsewhere(sinks, mail_server, monkeypatch):
    """The schema says so, and the door says it again."""
    (sinks.secrets / "mail").write_text("hunter2")
    monkeypatch.setattr("propeller.writeback.sinks.is_loopback", lambda host: False)
    with pytest.raises(Refused, match="plain text"):
        sinks.deliver(smtp(mail_server, username="propeller", password_ref="mail"))
    assert mail_server.logins == []


def test_starttls_that_the_server_does_not_know_is_a_refusal(sinks, mail_server):
    """Never a letter in plain text instead."""
    with pytest.raises(Refused, match="SMTPNotSupportedError"):
        sinks.deliver(smtp(mail_server, tls=Tls.START_TLS))
    assert mail_server.letters == []


@pytest.mark.parametrize(("code", "kind"), [(450, Later), (550, Refused)])
def test_what_a_mail_server_says_decides_whether_to_try_again(sinks, mail_server, code, kind):
    """4xx is later, 5xx is never."""
    mail_server.codes = [code]
    with pytest.raises(kind, match=str(code)):
        sinks.deliver(smtp(mail_server))


@pytest.mark.parametrize(
    ("status", "kind"), [(429, Later), (503, Later), (400, Refused), (302, Refused), (404, Refused)]
)
def test_what_a_web_server_says_decides_whether_to_try_again(sinks, web, status, kind):
    """Redirects are not followed: the address is wrong."""
    web.answers = [(status, {"Retry-After": "7", "Location": f"{web.url}/elsewhere"})]
    with pytest.raises(kind, match=str(status)) as caught:
        sinks.deliver(WebhookSink(url=web.url))
    assert len(web.requests) == 1
    if kind is Later:
        assert caught.value.after == 7


def test_trouble_is_told_without_the_address(sinks):
    """A webhook's URL is a secret as good as a password."""
    (sinks.secrets / "ops").write_text("http://127.0.0.1:1/services/hunter2")
    with pytest.raises(Later) as caught:
        sinks.deliver(SlackSink(url_ref="ops"))
    assert str(caught.value) == "127.0.0.1:1: no connection"
    (sinks.secrets / "ops").write_text("http://hooks.example/services/hunter2")
    with pytest.raises(Refused) as refused:
        sinks.deliver(SlackSink(url_ref="ops"))
    assert "plain text" in str(refused.value)
    assert "hunter2" not in str(refused.value)
    (sinks.secrets / "ops").write_text("file:///etc/hunter2")
    with pytest.raises(Refused) as refused:
        sinks.deliver(SlackSink(url_ref="ops"))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", ".hidden", "a/b", ""])
def test_a_spec_cannot_name_a_file_outside_the_secrets(sinks, name):
    """Or whoever writes specs could have any file of the machine sent to themselves."""
    (sinks.secrets.parent / "outside").write_text("http://127.0.0.1:1/")
    with pytest.raises(Later, match="no file name"):
        sinks.deliver(SlackSink(url_ref=name))


def test_a_secret_that_is_missing_or_empty_is_waited_for(sinks, web):
    """It may be put there any time."""
    with pytest.raises(Later, match="ops"):
        sinks.deliver(SlackSink(url_ref="ops"))
    (sinks.secrets / "ops").write_text("\n")
    with pytest.raises(Later, match="empty"):
        sinks.deliver(SlackSink(url_ref="ops"))
    (sinks.secrets / "ops").write_text(f"{web.url}/x\n")
    sinks.deliver(SlackSink(url_ref="ops"))
    assert len(web.requests) == 1
