"""A message as each kind of place wants it: JSON for webhooks and topics, Slack's blocks, e-mail.

Texts come in part from devices: they are cut, and can neither mention people nor break a header.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Final

from propeller.model.conditions import moment
from propeller.writeback.router import ALERT, OVERFLOW, RECOVERY, Message

MAX_TEXT: Final = 2_000
MAX_LINE: Final = 200
SIGNATURE_HEADER: Final = "X-Signature"


def plain(message: Message) -> dict[str, object]:
    """The message as one JSON object; what is empty is left out."""
    fields: dict[str, object] = {
        "apiVersion": "propeller.dev/v1alpha1",
        "type": message.kind,
        "alert": message.alert,
        "severity": message.severity,
        "object": message.subject,
        "reason": message.reason,
        "message": _cut(message.text, MAX_TEXT),
        "at": moment(message.at),
        "since": moment(message.since),
        "count": message.count,
        "proplet": message.proplet,
        "revision": message.revision,
    }
    return {name: value for name, value in fields.items() if value != ""}


def json_body(message: Message, fleet: str) -> bytes:
    """For webhooks and topics. fleet: `domain/channel`."""
    return json.dumps({**plain(message), "fleet": fleet}, ensure_ascii=False).encode()


def signature(body: bytes, key: str) -> str:
    """What stands in `X-Signature`."""
    return "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def headline(message: Message) -> str:
    """One line that says what happened."""
    match message.kind:
        case _ if message.kind == RECOVERY:
            words = f"{message.subject} is fine again (was {message.reason}"
            words += f" for {_length(message.at - message.since)})"
        case _ if message.kind == OVERFLOW:
            words = message.text
        case _:
            times = f" ({message.count} times)" if message.count > 1 else ""
            words = f"{message.subject}: {message.reason}{times}"
    return _cut(" ".join(words.split()), MAX_LINE)


def slack_body(message: Message, fleet: str) -> bytes:
    """Slack's incoming webhook: a text and one attachment with a colour."""
    colours = {ALERT: "danger" if message.severity == "Warning" else "#888888", RECOVERY: "good"}
    fields = [("fleet", fleet), ("proplet", message.proplet), ("revision", message.revision)]
    body: Mapping[str, object] = {
        "text": _escaped(headline(message)),
        "attachments": [
            {
                "color": colours.get(message.kind, "warning"),
                "text": _escaped(_cut(message.text, MAX_TEXT)),
                "ts": message.at // 1000,
                "fields": [
                    {"title": name, "value": _escaped(value), "short": True}
                    for name, value in fields
                    if value
                ],
            }
        ],
    }
    return json.dumps(body, ensure_ascii=False).encode()


def mail(message: Message, fleet: str, *, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """An e-mail of plain text."""
    out = EmailMessage()
    out["Subject"] = f"[{fleet}] {headline(message)}"
    out["From"] = sender
    out["To"] = ", ".join(to)
    out["Auto-Submitted"] = "auto-generated"  # nobody's absence should answer it
    lines = [f"{name}: {value}" for name, value in plain(message).items() if name != "apiVersion"]
    out.set_content("\n".join([headline(message), "", *lines, f"fleet: {fleet}"]) + "\n")
    return out


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _escaped(text: str) -> str:
    """Slack's own rule: without these three, nothing in a text is a mention or a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _length(ms: int) -> str:
    seconds = max(1, ms // 1000)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
