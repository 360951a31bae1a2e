"""MQTT packets as the embedded broker reads and writes them, versions 3.1.1 and 5. Bytes only.

Reading is strict: whatever is not a packet of the standard is Malformed, and the broker closes the
connection it came from. Called by `serve`; clients of ours use paho instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from propeller.transport.base import Will
from propeller.transport.filters import check_filter, check_topic

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 10, 11, 12, 13, 14

_BYTE, _TWO, _FOUR, _VARINT, _DATA, _PAIR = range(6)
_PROPERTIES = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), _BYTE),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), _TWO),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), _FOUR),
    0x0B: _VARINT,
    **dict.fromkeys((0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F), _DATA),
    0x26: _PAIR,
}
RECEIVE_MAXIMUM, MAXIMUM_PACKET, TOPIC_ALIAS = 0x21, 0x27, 0x23


class Malformed(Exception):
    """Not a packet of the standard. `reason` is MQTT 5's code for it."""

    def __init__(self, what: str, reason: int = 0x81) -> None:
        super().__init__(what)
        self.reason = reason


class Connect(NamedTuple):
    """Who wants in."""

    version: int
    client_id: str
    keepalive: int
    will: Will | None
    username: str | None
    password: bytes | None
    numbers: dict[int, int]


class Publish(NamedTuple):
    """A message. `properties` are the bytes after their length, empty in 3.1.1."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    packet_id: int
    properties: bytes


class Wish(NamedTuple):
    """One filter of a SUBSCRIBE, with the options of MQTT 5."""

    text: str
    qos: int
    no_local: bool
    as_published: bool
    retained: int
    """0: send what is retained, 1: only if the filter is new, 2: do not."""


class Reader:
    """Reads one packet's body from front to back."""

    __slots__ = ("_body", "_end", "_pos")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._pos = 0
        self._end = len(body)

    @property
    def more(self) -> bool:
        """Whether bytes are left."""
        return self._pos < self._end

    def take(self, size: int) -> bytes:
        """The next bytes."""
        start = self._pos
        self._pos = start + size
        if self._pos > self._end:
            raise Malformed("a field reaches past the end of its packet")
        return self._body[start : self._pos]

    def number(self, size: int) -> int:
        """A big-endian number."""
        return int.from_bytes(self.take(size), "big")

    def data(self) -> bytes:
        """Bytes with their length before them."""
        return self.take(self.number(2))

    def text(self) -> str:
        """UTF-8 with its length before it."""
        try:
            return self.data().decode()
        except UnicodeDecodeError as error:
            raise Malformed("text that is not UTF-8") from error

    def varint(self) -> int:
        """MQTT's number of one to four bytes."""
        value = 0
        for place in range(4):
            byte = self.number(1)
            value |= (byte & 127) << (7 * place)
            if byte < 128:
                return value
        raise Malformed("a length of more than four bytes")

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self._end - self._pos)

    def property_block(self) -> bytes:
        """The properties' own bytes."""
        return self.take(self.varint())


def numbers(block: bytes) -> dict[int, int]:
    """The numeric properties of a block; every property must be one of the standard's."""
    found: dict[int, int] = {}
    reader = Reader(block)
    while reader.more:
        name = reader.varint()
        match _PROPERTIES.get(name):
            case 0:
                found[name] = reader.number(1)
            case 1:
                found[name] = reader.number(2)
            case 2:
                found[name] = reader.number(4)
            case 3:
                found[name] = reader.varint()
            case 4:
                reader.data()
            case 5:
                reader.data()
                reader.data()
            case _:
                raise Malformed(f"no property of MQTT 5: {name}")
    return found


def read_connect(body: bytes) -> Connect:
    """CONNECT."""
    reader = Reader(body)
    if reader.text() != "MQTT":
        raise Malformed("not MQTT", 0x84)
    version = reader.number(1)
    if version not in (4, 5):
        raise Malformed(f"version {version} of the protocol", 0x84)
    flags = reader.number(1)
    if flags & 1:
        raise Malformed("the reserved flag of CONNECT is set")
    keepalive = reader.number(2)
    found = numbers(reader.property_block()) if version == 5 else {}
    if found.get(RECEIVE_MAXIMUM) == 0 or found.get(MAXIMUM_PACKET) == 0:
        raise Malformed("a maximum of zero", 0x82)
    client_id = reader.text()
    will = None
    if flags & 0x04:
        if version == 5:
            numbers(reader.property_block())
        topic, payload = reader.text(), reader.data()
        _allowed(check_topic, topic)
        will = Will(topic, payload, retain=bool(flags & 0x20))
    username = reader.text() if flags & 0x80 else None
    password = reader.data() if flags & 0x40 else None
    if reader.more:
        raise Malformed("bytes after the end of CONNECT")
    return Connect(version, client_id, keepalive, will, username, password, found)


def read_publish(flags: int, body: bytes, version: int) -> Publish:
    """PUBLISH. Topic aliases are refused: we never said that we take any."""
    reader = Reader(body)
    topic = reader.text()
    _allowed(check_topic, topic)
    qos = flags >> 1 & 3
    if qos == 3:
        raise Malformed("QoS 3")
    packet_id = reader.number(2) if qos else 0
    if qos and not packet_id:
        raise Malformed("a packet id of zero")
    block = b""
    if version == 5:
        block = reader.property_block()
        if block and TOPIC_ALIAS in numbers(block):
            raise Malformed("a topic alias", 0x94)
    return Publish(topic, reader.rest(), qos, bool(flags & 1), packet_id, block)


def read_subscribe(body: bytes, version: int) -> tuple[int, list[Wish]]:
    """SUBSCRIBE: its packet id and its filters."""
    reader = Reader(body)
    packet_id = reader.number(2)
    if version == 5:
        numbers(reader.property_block())
    wishes = []
    while reader.more:
        text = reader.text()
        _allowed(check_filter, text)
        options = reader.number(1)
        if options & 3 == 3 or (version == 4 and options > 2):
            raise Malformed("options of a subscription that mean nothing")
        wishes.append(
            Wish(text, options & 3, bool(options & 4), bool(options & 8), options >> 4 & 3)
        )
    if not wishes:
        raise Malformed("a SUBSCRIBE without filters", 0x82)
    return packet_id, wishes


def read_unsubscribe(body: bytes, version: int) -> tuple[int, list[str]]:
    """UNSUBSCRIBE: its packet id and its filters."""
    reader = Reader(body)
    packet_id = reader.number(2)
    if version == 5:
        numbers(reader.property_block())
    filters = []
    while reader.more:
        filters.append(reader.text())
    return packet_id, filters


def packet_id_of(body: bytes) -> int:
    """The packet id that an acknowledgement begins with."""
    return Reader(body).number(2)


def packet(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    """A whole packet."""
    return bytes((kind << 4 | flags,)) + varint(len(body)) + body


def acknowledge(kind: int, packet_id: int, flags: int = 0) -> bytes:
    """PUBACK and its like, with success."""
    return packet(kind, packet_id.to_bytes(2, "big"), flags)


def publish(
    topic: str,
    payload: bytes,
    *,
    qos: int,
    retain: bool,
    packet_id: int,
    properties: bytes,
    version: int,
) -> bytes:
    """PUBLISH."""
    name = topic.encode()
    head = len(name).to_bytes(2, "big") + name
    if qos:
        head += packet_id.to_bytes(2, "big")
    if version == 5:
        head += varint(len(properties)) + properties
    size = varint(len(head) + len(payload))
    return b"".join((bytes((PUBLISH << 4 | qos << 1 | retain,)), size, head, payload))


def varint(value: int) -> bytes:
    """MQTT's number of one to four bytes."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 127
        out.append(low | 128 if value else low)
        if not value:
            return bytes(out)


def _allowed(check: Callable[[str], None], text: str) -> None:
    try:
        check(text)
    except ValueError as error:
        raise Malformed(str(error), 0x90) from error
