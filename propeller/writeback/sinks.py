"""Delivers one message to one sink: web, Slack, topic or mail server, each with a deadline.

What went wrong is said without secrets: no URL of a webhook, no password, no body.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

from propeller.errors import PropellerError, Unavailable, UsageError
from propeller.model.specs import MqttSink, Sink, SlackSink, SmtpSink, Tls, WebhookSink
from propeller.writeback.post import Answer, check_url, is_loopback, post
from propeller.writeback.router import Message
from propeller.writeback.secrets import Secrets
from propeller.writeback.shapes import SIGNATURE_HEADER, json_body, mail, signature, slack_body

if TYPE_CHECKING:
    import smtplib

MAIL_TIMEOUT: Final = 10.0
"""Seconds a mail server may take for each of its answers."""


class Refused(PropellerError):
    """The sink will not take this message, today or tomorrow."""


class Later(PropellerError):
    """The sink may take it later. `after`: seconds it asked for, None when it did not."""

    def __init__(self, what: str, *, after: int | None = None) -> None:
        super().__init__(what)
        self.after = after


@dataclass(frozen=True, slots=True, kw_only=True)
class Sinks:
    """What delivering needs.

    publish: put a body on a topic of the fleet's broker; False when that cannot be done now.
    tls: makes the context for mail servers.
    """

    fleet: str
    secrets: Secrets
    publish: Callable[[str, bytes], bool]
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context

    def deliver(self, sink: Sink, message: Message) -> None:
        """Returns once the sink has taken it. Raises Later or Refused."""
        way = sink.way
        try:
            match way:
                case WebhookSink():
                    self._webhook(way, message)
                case SlackSink():
                    self._web(self.secrets.get(way.url_ref), slack_body(message, self.fleet))
                case MqttSink():
                    if not self.publish(way.topic, json_body(message, self.fleet)):
                        raise Later("the broker cannot be reached")
                case SmtpSink():
                    self._mail(way, message)
                case _:
                    assert_never(way)
        except UsageError as error:
            raise Refused(error.what) from error
        except Unavailable as error:
            raise Later(error.what) from error

    def _webhook(self, way: WebhookSink, message: Message) -> None:
        body = json_body(message, self.fleet)
        headers = {}
        if way.hmac_ref is not None:
            headers[SIGNATURE_HEADER] = signature(body, self.secrets.get(way.hmac_ref))
        if way.url is not None:
            self._web(way.url, body, headers, secret=False)
        else:
            assert way.url_ref is not None
            self._web(self.secrets.get(way.url_ref), body, headers)

    @staticmethod
    def _web(
        url: str, body: bytes, headers: dict[str, str] | None = None, *, secret: bool = True
    ) -> None:
        check_url(url, secret=secret)
        answer = post(url, body, {"Content-Type": "application/json", **(headers or {})})
        if not answer.good:
            _raise(answer)

    def _mail(self, way: SmtpSink, message: Message) -> None:
        import smtplib

        host, _, port = way.server.rpartition(":")
        host = host.strip("[]")
        letter = mail(message, self.fleet, sender=way.sender, to=way.to)
        try:
            with self._server(way, host, int(port)) as server:
                if way.username is not None and way.password_ref is not None:
                    if way.tls is Tls.NONE and not is_loopback(host):
                        raise Refused("a password would be sent in plain text")
                    server.login(way.username, self.secrets.get(way.password_ref))
                server.send_message(letter)
        except (smtplib.SMTPAuthenticationError, smtplib.SMTPNotSupportedError) as error:
            raise Refused(f"{way.server}: {type(error).__name__}") from None
        except smtplib.SMTPResponseException as error:
            words = f"{way.server} answered {error.smtp_code}"
            raise (Refused(words) if error.smtp_code >= 500 else Later(words)) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            words = f"{way.server} takes no mail for these recipients: {codes}"
            raise (Refused(words) if min(codes) >= 500 else Later(words)) from None
        except (OSError, smtplib.SMTPException) as error:
            raise Later(f"{way.server}: {error.__class__.__name__}") from None

    def _server(self, way: SmtpSink, host: str, port: int) -> smtplib.SMTP:
        import smtplib

        us = socket.gethostname()  # said by ourselves: the library would ask DNS first
        if way.tls is Tls.TLS:
            return smtplib.SMTP_SSL(host, port, us, timeout=MAIL_TIMEOUT, context=self.tls())
        server = smtplib.SMTP(host, port, us, timeout=MAIL_TIMEOUT)
        if way.tls is Tls.START_TLS:
            try:
                server.starttls(context=self.tls())
            except BaseException:
                server.close()
                raise
        return server


def _raise(answer: Answer) -> None:
    words = f"answered {answer.status}"
    if answer.worth_retrying:
        raise Later(words, after=answer.retry_after)
    raise Refused(words)
