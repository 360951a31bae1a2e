"""What a device or the manager is handed: a folder, with settings that name the files beside them.

Pure text. `proplet --config FOLDER/proplet.yaml` and `propeller serve SOURCE --config
FOLDER/propeller.yaml` need nothing else.
"""

from __future__ import annotations

import json

from propeller.provision.record import Record


def proplet_settings(record: Record, device: str) -> bytes:
    """`proplet.yaml` of one device."""
    lines = [
        "# Written by `propeller provision`. Add labels and mounts as you like; the rest is",
        "# written anew when the fleet's broker moves.",
        f"id: {device}",
        f"domain: {record.domain}",
        f"channel: {record.channel}",
        f"broker: mqtts://{authority_part(record)}",
        "trust: root.pub",
        "tlsCa: ca.pem",
        "tlsCert: cert.pem",
        "tlsKey: cert.key",
        "key: device.pem",
        "boxKey: box.pem",
    ]
    return ("\n".join(lines) + "\n").encode()


def manager_settings(record: Record) -> bytes:
    """`propeller.yaml` of the manager, in the folder `manager/` beside `keys/`."""
    lines = [
        "# Written by `propeller provision`.",
        f"domain: {record.domain}",
        f"channel: {record.channel}",
        "keys: ../keys",
        "broker:",
        f"  address: {json.dumps(authority_part(record))}",
        "  ca: ca.pem",
        "  cert: cert.pem",
        "  key: cert.key",
    ]
    return ("\n".join(lines) + "\n").encode()


def member_settings(record: Record, device: str, *, user: str) -> bytes:
    """`proplet.yaml` of a device that a SuperMQ knows as `user`, with its key in `password`."""
    where = record.supermq
    assert where is not None
    lines = [
        "# Written by `propeller provision`. Add labels and mounts as you like; the rest is",
        "# written anew when the fleet's broker moves.",
        f"id: {device}",
        f"domain: {record.domain}",
        f"channel: {record.channel}",
        f"broker: {'mqtts' if where.tls else 'mqtt'}://{authority_part(record)}",
        f"username: {user}",
        "passwordFile: password",
        *(["tlsCa: ca.pem"] if where.tls else []),
        "trust: root.pub",
        "key: device.pem",
        "boxKey: box.pem",
    ]
    return ("\n".join(lines) + "\n").encode()


def member_manager_settings(record: Record) -> bytes:
    """`propeller.yaml` of a manager that a SuperMQ knows."""
    where = record.supermq
    assert where is not None
    lines = [
        "# Written by `propeller provision`.",
        f"domain: {record.domain}",
        f"channel: {record.channel}",
        "keys: ../keys",
        "broker:",
        f"  address: {json.dumps(authority_part(record))}",
        f"  username: {where.manager}",
        "  passwordFile: password",
        *(["  ca: ca.pem"] if where.tls else []),
    ]
    return ("\n".join(lines) + "\n").encode()


def authority_part(record: Record) -> str:
    """HOST:PORT, an IPv6 address in brackets."""
    host = f"[{record.host}]" if ":" in record.host else record.host
    return f"{host}:{record.port}"
