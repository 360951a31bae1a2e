"""What mosquitto is told: TLS with certificates both ways, and who may say and hear what.

Pure text. The user of a connection is the CN of its certificate; the pattern lines give a device
its own topics and the fleet's announcements, nothing else. `docs/reference/protocol.md` has the
topics; they are spelled by `wire.topics` here as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from propeller.wire.topic_messages import PROPLET
from propeller.wire.topics import Channel

MANAGER = "propeller-manager"
"""The CN of the manager's certificate. `ids` of devices may not be it."""

MAX_MESSAGE = 1 << 20
_PACKET_ROOM = 70_000
_USER = "%u"
_STAND_IN = "DEVICE-ID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where the broker listens, the folder of its files and that of its retained messages.

    address "" is every interface. user: whom it should run as when root starts it, "" for its own
    choice (`mosquitto`).
    """

    address: str
    port: int
    folder: PurePath
    store: PurePath
    user: str = ""


def configuration(listener: Listener, *, revoked: bool) -> str:
    """`mosquitto.conf`. revoked: there is a revocation list to be read."""
    folder = listener.folder
    lines = [
        "# Written by `propeller provision`; what it finds changed here is written anew.",
        *([f"user {listener.user}"] if listener.user else []),
        f"listener {listener.port} {listener.address}".rstrip(),
        f"cafile {folder / 'ca.pem'}",
        f"certfile {folder / 'server.pem'}",
        f"keyfile {folder / 'server.key'}",
        *([f"crlfile {folder / 'revoked.pem'}"] if revoked else []),
        "tls_version tlsv1.2",
        "require_certificate true",
        "use_identity_as_username true",
        "allow_anonymous false",
        f"acl_file {folder / 'acl'}",
        "",
        "# A retained document reaches its device 40 ms sooner.",
        "set_tcp_nodelay true",
        "# The manager hears of every device at once: its queue must not be cut at 1,000.",
        "max_queued_messages 100000",
        "max_queued_bytes 268435456",
        "max_inflight_messages 100",
        f"max_packet_size {MAX_MESSAGE + _PACKET_ROOM}",
        "max_keepalive 3600",
        "persistent_client_expiration 1d",
        "persistence true",
        f"persistence_location {listener.store}/",
        "autosave_interval 60",
    ]
    return "\n".join(lines) + "\n"


def access(
    channel: Channel,
    *,
    revoked: Iterable[str] = (),
    publish: Iterable[str] = (),
    hear: Iterable[str] = (),
) -> str:
    """The access list. Devices are told apart by their certificate, so one pattern serves all.

    revoked: ids that may do nothing, also those of which a certificate is still valid: mosquitto
    takes this in at SIGHUP, a revocation list only at its next start. publish, hear: topics of the
    channel for guests of devices (`run.topics`); `{proplet}` is a device's own id. Raises
    ValueError for one that is none, or may be `control/`.
    """
    says = (
        channel.report,
        channel.status,
        channel.hello,
        channel.blob_get,
        channel.blob_put,
        channel.metrics,
        channel.log,
    )
    own = _STAND_IN
    hears = (
        channel.desired(own),
        channel.op(own),
        channel.call(own),
        channel.blob_data(own),
        channel.blob_ack(own),
    )
    fleet = (
        channel.trust(1),
        channel.trust(2),
        channel.releases(),
        channel.manager_status(1),
        channel.manager_status(2),
    )
    lines = [
        "# Written by `propeller provision`.",
        f"user {MANAGER}",
        # The whole channel: triggers of Functions hear and answer outside of control/.
        f"topic readwrite {channel.base.removesuffix('control/')}#",
        "",
    ]
    for one in sorted(revoked):
        lines += [f"user {one}", "topic deny #", ""]
    lines += [f"pattern write {_pattern(topic(own))}" for topic in says]
    for answers in (channel.op_answer(own, "any"), channel.call_answer(own, "any")):
        lines.append(f"pattern write {_pattern(answers).removesuffix('any')}+")
    lines += [f"pattern read {_pattern(topic)}" for topic in hears]
    lines += [f"pattern read {topic}" for topic in fleet]
    for way, topics in (("write", publish), ("read", hear)):
        lines += [f"pattern {way} {channel.data(one.replace(PROPLET, _USER))}" for one in topics]
    return "\n".join(lines) + "\n"


def _pattern(topic: str) -> str:
    return topic.replace(_STAND_IN, _USER)
