"""Every topic of the protocol, spelled once, and its inverse.

Used by the reconciler, the blob server and the agents. A Channel makes topics; `parse` says what a
topic is. Topics of another domain or channel, or with an id that is none, are None: foreign, to be
dropped and counted. Filters are what each side subscribes to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from propeller.wire.call_messages import Call, CallAnswer
from propeller.wire.messages import (
    BlobAck,
    BlobChunk,
    BlobGet,
    BlobPut,
    Desired,
    Echo,
    Hello,
    Log,
    ManagerStatus,
    Message,
    Metrics,
    Op,
    OpAnswer,
    Releases,
    Report,
    Status,
    Trust,
)
from propeller.wire.reject import Reject, refusal

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Kind(StrEnum):
    """What a topic carries. The value is the end of a proplet's topic where there is one."""

    DESIRED = "desired"
    REPORT = "report"
    STATUS = "status"
    HELLO = "hello"
    OP = "op"
    OP_ANSWER = "op/answer"
    CALL = "call"
    CALL_ANSWER = "call/answer"
    BLOB_GET = "blob/get"
    BLOB_DATA = "blob/data"
    BLOB_PUT = "blob/put"
    BLOB_ACK = "blob/ack"
    METRICS = "metrics"
    LOG = "log"
    TRUST = "trust"
    RELEASES = "releases"
    MANAGER_STATUS = "manager/status"
    MANAGER_ECHO = "manager/echo"


MESSAGE_OF: dict[Kind, type[Message]] = {
    Kind.DESIRED: Desired,
    Kind.REPORT: Report,
    Kind.STATUS: Status,
    Kind.HELLO: Hello,
    Kind.OP: Op,
    Kind.OP_ANSWER: OpAnswer,
    Kind.CALL: Call,
    Kind.CALL_ANSWER: CallAnswer,
    Kind.BLOB_GET: BlobGet,
    Kind.BLOB_DATA: BlobChunk,
    Kind.BLOB_PUT: BlobPut,
    Kind.BLOB_ACK: BlobAck,
    Kind.METRICS: Metrics,
    Kind.LOG: Log,
    Kind.TRUST: Trust,
    Kind.RELEASES: Releases,
    Kind.MANAGER_STATUS: ManagerStatus,
    Kind.MANAGER_ECHO: Echo,
}
"""The class to decode what came on a topic of this kind."""

_PLAIN = {
    kind.value: kind
    for kind in Kind
    if kind
    not in (
        Kind.OP_ANSWER,
        Kind.CALL_ANSWER,
        Kind.TRUST,
        Kind.RELEASES,
        Kind.MANAGER_STATUS,
        Kind.MANAGER_ECHO,
    )
}


def is_id(text: str) -> bool:
    """Whether `text` may stand as a level of a topic."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Heard:
    """What a topic is. `proplet` is "" for the fleet-wide ones.

    extra: the operation of an answer, the gateway that a call's answer is for, the sender of an
    echo, the algorithm of trust and manager status (`p256`, or "" for Ed25519).
    """

    kind: Kind
    proplet: str = ""
    extra: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """One fleet: a channel of a domain. Raises WireError (bad_id) when either is no id."""

    domain: str
    channel: str

    def __post_init__(self) -> None:
        _check(self.domain, "domain")
        _check(self.channel, "channel")

    @property
    def base(self) -> str:
        """What every topic of this fleet begins with."""
        return f"m/{self.domain}/c/{self.channel}/control/"

    def _of(self, proplet: str, rest: str) -> str:
        return f"{self.base}proplet/{_check(proplet, 'proplet')}/{rest}"

    # -- one proplet -------------------------------------------------------------------------
    def desired(self, proplet: str) -> str:
        """Manager to device, retained."""
        return self._of(proplet, "desired")

    def report(self, proplet: str) -> str:
        """Device to manager; retained when it is the full one."""
        return self._of(proplet, "report")

    def status(self, proplet: str) -> str:
        """Device to manager, retained, and its will."""
        return self._of(proplet, "status")

    def hello(self, proplet: str) -> str:
        """Device to manager, retained."""
        return self._of(proplet, "hello")

    def op(self, proplet: str) -> str:
        """Manager or gateway to device."""
        return self._of(proplet, "op")

    def op_answer(self, proplet: str, op: str) -> str:
        """Device to whoever asked operation `op`."""
        return self._of(proplet, f"op/{_check(op, 'operation')}")

    def call(self, proplet: str) -> str:
        """Gateway to device."""
        return self._of(proplet, "call")

    def call_answer(self, proplet: str, src: str) -> str:
        """Device to the gateway `src`."""
        return self._of(proplet, f"call/{_check(src, 'source')}")

    def blob_get(self, proplet: str) -> str:
        """Device to blob server."""
        return self._of(proplet, "blob/get")

    def blob_data(self, proplet: str) -> str:
        """Blob server to device."""
        return self._of(proplet, "blob/data")

    def blob_put(self, proplet: str) -> str:
        """Device to manager."""
        return self._of(proplet, "blob/put")

    def blob_ack(self, proplet: str) -> str:
        """Manager to device."""
        return self._of(proplet, "blob/ack")

    def metrics(self, proplet: str) -> str:
        """Device to whoever listens, QoS 0."""
        return self._of(proplet, "metrics")

    def log(self, proplet: str) -> str:
        """Device to whoever listens, QoS 0."""
        return self._of(proplet, "log")

    # -- the fleet ---------------------------------------------------------------------------
    def trust(self, alg: int = 1) -> str:
        """Root to everyone, retained; one topic an algorithm, as a device may know only one."""
        return f"{self.base}trust{_ALG_END[alg]}"

    def releases(self) -> str:
        """The release role to everyone, retained; carried by the manager."""
        return f"{self.base}releases"

    def manager_status(self, alg: int = 1) -> str:
        """Manager to everyone, retained, and its will; one topic an algorithm."""
        return f"{self.base}manager/status{_ALG_END[alg]}"

    def manager_echo(self, src: str) -> str:
        """A manager to itself: markers behind its subscriptions, proof that its path works."""
        return f"{self.base}manager/echo/{_check(src, 'source')}"

    @property
    def poke(self) -> str:
        """Anyone who may, to the manager: look at the source now. What it carries is not read."""
        return f"{self.base}manager/poke"

    def own_words(self, alg: int = 1) -> tuple[str, ...]:
        """What a manager keeps retained about itself, for devices that know this algorithm."""
        return self.trust(alg), self.manager_status(alg)

    # -- filters -----------------------------------------------------------------------------
    def control_filters(self) -> tuple[str, ...]:
        """What the manager's control connection hears of every proplet."""
        return tuple(f"{self.base}proplet/+/{end}" for end in ("report", "status", "hello", "op/+"))

    def blob_filters(self) -> tuple[str, ...]:
        """What the blob connection hears of every proplet."""
        return tuple(f"{self.base}proplet/+/{end}" for end in ("blob/get", "blob/put"))

    def telemetry_filters(self) -> tuple[str, ...]:
        """What the telemetry connection hears of every proplet."""
        return tuple(f"{self.base}proplet/+/{end}" for end in ("metrics", "log"))

    def call_filters(self, src: str) -> tuple[str, ...]:
        """What the gateway `src` hears: who is there, and the answers to its calls."""
        answers = f"{self.base}proplet/+/call/{_check(src, 'source')}"
        return f"{self.base}proplet/+/status", answers

    def data(self, below: str) -> str:
        """A topic of the channel that is none of ours. ValueError below `control/`."""
        if below.split("/", maxsplit=1)[0] in ("control", "+", "#", ""):
            raise ValueError(f"{below[:80]!r} is not below the channel, or may be control/")
        return f"{self.base.removesuffix('control/')}{below}"

    def below(self, topic: str) -> str:
        """The inverse of `data`, "" for a topic that is of another channel or of control."""
        root = self.base.removesuffix("control/")
        rest = topic[len(root) :] if topic.startswith(root) else ""
        return "" if rest.startswith("control/") else rest

    def retained_of(self, proplet: str) -> tuple[str, ...]:
        """What a bootstrap reads of one proplet by id: hello, report, status."""
        return self.hello(proplet), self.report(proplet), self.status(proplet)

    def device_filters(self, proplet: str, alg: int = 1) -> tuple[str, ...]:
        """What a device hears: its own topics and the fleet's. Trust comes first, it is needed to
        believe the rest."""
        return (
            self.trust(alg),
            self.manager_status(alg),
            self.desired(proplet),
            self.op(proplet),
            self.call(proplet),
            self.blob_data(proplet),
            self.blob_ack(proplet),
        )

    def parse(self, topic: str) -> Heard | None:
        """What `topic` is, or None when it is not one of this fleet's."""
        base = self.base
        if not topic.startswith(base):
            return None
        return _parse_rest(topic[len(base) :])


_ALG_END = {1: "", 2: "/p256"}
_FLEET = {
    "trust": Heard(Kind.TRUST),
    "trust/p256": Heard(Kind.TRUST, "", "p256"),
    "releases": Heard(Kind.RELEASES),
    "manager/status": Heard(Kind.MANAGER_STATUS),
    "manager/status/p256": Heard(Kind.MANAGER_STATUS, "", "p256"),
}


def parse(channel: Channel, topic: str) -> Heard | None:
    """`channel.parse(topic)`."""
    return channel.parse(topic)


def _parse_rest(rest: str) -> Heard | None:
    level, _, end = rest.partition("/")
    if level == "proplet":
        proplet, _, end = end.partition("/")
        if _ID.fullmatch(proplet) is None:
            return None
        kind = _PLAIN.get(end)
        if kind is not None:
            return Heard(kind, proplet)
        if end.startswith("op/") and _ID.fullmatch(end[3:]):
            return Heard(Kind.OP_ANSWER, proplet, end[3:])
        if end.startswith("call/") and _ID.fullmatch(end[5:]):
            return Heard(Kind.CALL_ANSWER, proplet, end[5:])
        return None
    if rest.startswith("manager/echo/") and _ID.fullmatch(rest[13:]):
        return Heard(Kind.MANAGER_ECHO, "", rest[13:])
    return _FLEET.get(rest)


def _check(text: str, what: str) -> str:
    if _ID.fullmatch(text) is None:
        raise refusal(Reject.BAD_ID, f"{what} {text[:80]!r} is not [A-Za-z0-9_-]{{1,64}}")
    return text
