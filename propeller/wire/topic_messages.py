"""What an entry grants its guest of the channel: topics to publish to and to hear. Pure data.

A guest knows a topic by the name its spec gave it and by nothing else. docs/reference/guest.md.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_TOPICS = 16
"""Topics of one guest."""

MAX_TOPIC = 256
"""Bytes of a topic or filter, below the channel."""

MAX_MESSAGE = 64 * 1024
"""Bytes of one message of a guest."""

MAX_RATE = 1000
"""Messages a second that a grant may allow."""

MAX_KEPT = 4096
"""Messages that a grant may have kept."""

PROPLET = "{proplet}"
"""A level that stands for the id of the device the guest runs on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireTopic:
    """One name. Exactly one of publish (a topic) and subscribe (a filter), below the channel.

    size: bytes of a message at most. rate: messages a second that the guest may publish. keep:
    messages kept while there is no link, or until the guest takes them; the oldest go first.
    """

    name: str
    publish: str | None = None
    subscribe: str | None = None
    size: int = 4096
    rate: int = 10
    keep: int = 256
