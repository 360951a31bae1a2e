"""Topics and topic filters as MQTT spells them: what is allowed, and what matches what.

Used by every transport before anything is sent, so that a forbidden topic is a ValueError here and
never a broker that hangs up. Knows nothing of Propeller's own topics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_LONGEST = 65_535


def check_topic(topic: str) -> None:
    """ValueError unless `topic` may be published to."""
    _check_text("topic", topic)
    if "+" in topic or "#" in topic:
        raise ValueError(f"a topic to publish to has no wildcard: {topic!r}")


def check_filter(text: str) -> None:
    """ValueError unless `text` may be subscribed to."""
    _check_text("filter", text)
    levels = text.split("/")
    for place, level in enumerate(levels):
        if "#" in level and (level != "#" or place != len(levels) - 1):
            raise ValueError(f"'#' stands alone and last in a filter: {text!r}")
        if "+" in level and level != "+":
            raise ValueError(f"'+' stands alone in its level of a filter: {text!r}")


def is_wildcard(text: str) -> bool:
    """Whether a (valid) filter can match more than one topic."""
    return "+" in text or "#" in text


def matches(text: str, topic: str) -> bool:
    """Whether a valid filter matches a topic. Wildcards do not reach `$SYS` and its like."""
    wanted, levels = text.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for place, want in enumerate(wanted):
        if want == "#":
            return True
        if place >= len(levels) or want not in ("+", levels[place]):
            return False
    return len(wanted) == len(levels)


def slices(filters: Sequence[str], *, count: int, size: int) -> Iterator[list[str]]:
    """Cut a long list so that each SUBSCRIBE stays under `count` filters and about `size` bytes.

    Brokers drop a client whose packet is above their bound, and that bound is not known before.
    """
    part: list[str] = []
    used = 0
    for text in filters:
        cost = len(text.encode()) + 3
        if part and (len(part) >= count or used + cost > size):
            yield part
            part, used = [], 0
        part.append(text)
        used += cost
    if part:
        yield part


def _check_text(what: str, text: str) -> None:
    if not text:
        raise ValueError(f"an empty {what}")
    if "\0" in text:
        raise ValueError(f"a {what} holds no NUL: {text!r}")
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"a {what} is text that UTF-8 can carry: {text!r}") from error
    if length > _LONGEST:
        raise ValueError(f"a {what} has at most {_LONGEST} bytes, this one {length}")
