"""The table of the agent's settings: a row each, with how its text is read.

`config` reads flags, environment and file by it; `settingwords` has readers of longer words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from propeller.capabilities import CAPABILITIES
from propeller.outgoing import parse_rule
from proplet import externals, outlets, points
from proplet.settingwords import (
    existing_file,
    read_attester,
    read_directory,
    read_label,
    read_mount,
    read_path,
    read_secret,
    read_url,
)
from proplet.words import read_milliseconds, read_size

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Value = str | list[str]
Read = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Address:
    """A broker: `host`, `port`, and whether TLS is spoken."""

    host: str
    port: int
    tls: bool = False


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: the field, how its text is read, its default, other environment names, its help.

    file: it names a file, which the settings file may name relative to itself.
    """

    field: str
    read: Read
    default: str | None
    aliases: tuple[str, ...]
    help: str
    many: bool = False
    flag: str = ""
    file: bool = False

    @property
    def option(self) -> str:
        return self.flag or "--" + self.field.replace("_", "-")

    @property
    def variable(self) -> str:
        return "PROPLET_" + self.field.upper()

    @property
    def key(self) -> str:
        """Its name in the file."""
        return _camel(self.field)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name it may have in the file: its own, and those of SuperMQ and the first Propeller
        (`client_id`, `clientId`)."""
        old = [alias.removeprefix("PROPLET_").lower() for alias in self.aliases]
        return (self.key, *old, *(_camel(name) for name in old))


def _id(text: str) -> str:
    if _ID.fullmatch(text) is None:
        raise ValueError(f"{text[:80]!r} is not made of 1 to 64 letters, digits, _ or -")
    return text


def _address(text: str) -> Address:
    found = re.fullmatch(
        r"(?:(tcp|mqtt|ssl|tls|mqtts)://)?(\[[^]]+\]|[^:/\[\]]+)(?::(\d{1,5}))?/?", text
    )
    if found is None:
        raise ValueError(f"{text[:80]!r} is not host:port or mqtts://host:port")
    tls = found[1] in ("ssl", "tls", "mqtts")
    port = int(found[3] or (8883 if tls else 1883))
    if not 0 < port < 65536:
        raise ValueError(f"port {port} is not between 1 and 65535")
    return Address(found[2].strip("[]"), port, tls)


def _listen(text: str) -> Address:
    found = re.fullmatch(r"(\[[^]]+\]|[^:/\[\]]+):(\d{1,5})", text)
    if found is None or int(found[2]) > 65_535:
        raise ValueError(f"{text[:80]!r} is not host:port")
    return Address(found[1].strip("[]"), int(found[2]))


def _one_of(*words: str) -> Read:
    def read(text: str) -> str:
        for word in words:
            if text.lower() == word.lower():
                return word
        raise ValueError(f"{text[:80]!r} is none of {', '.join(words)}")

    return read


def _number(low: int, high: int) -> Read:
    def read(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"{text[:40]!r} is not a number between {low} and {high}")
        return int(text)

    return read


_OLD_TLS = "PROPLET_MQTT_TLS_"
SETTINGS = (
    Setting(
        "id",
        _id,
        None,
        ("PROPLET_ENTITY_ID", "PROPLET_CLIENT_ID"),
        "name of this proplet in its channel",
    ),
    Setting(
        "domain", _id, "local", ("PROPLET_DOMAIN_ID", "PROPLET_TENANT_ID"), "domain of the fleet"
    ),
    Setting("channel", _id, "fleet", ("PROPLET_CHANNEL_ID",), "channel of the fleet"),
    Setting(
        "broker", _address, "127.0.0.1:1883", ("PROPLET_MQTT_ADDRESS",), "host:port or mqtts://..."
    ),
    Setting("mqtt", _one_of("3.1.1", "5"), "3.1.1", (), "MQTT version: 3.1.1 or 5"),
    Setting(
        "username", str, None, ("PROPLET_ENTITY_ID", "PROPLET_CLIENT_ID"), "user at the broker"
    ),
    Setting(
        "password",
        str,
        None,
        ("PROPLET_API_KEY", "PROPLET_CLIENT_KEY"),
        "password at the broker (better a file)",
    ),
    Setting("password_file", read_secret, None, (), "file holding the password", file=True),
    Setting("tls_ca", str, None, (f"{_OLD_TLS}CA_CERT",), "PEM file of the broker's CA", file=True),
    Setting(
        "tls_cert", str, None, (f"{_OLD_TLS}CLIENT_CERT",), "PEM file of our certificate", file=True
    ),
    Setting("tls_key", str, None, (f"{_OLD_TLS}CLIENT_KEY",), "PEM file of its key", file=True),
    Setting(
        "keepalive", _number(1, 3600), "30", ("PROPLET_MQTT_KEEP_ALIVE",), "MQTT keepalive, seconds"
    ),
    Setting(
        "data", read_path, "/var/lib/proplet", (), "directory that survives reboots", file=True
    ),
    Setting("trust", existing_file, None, (), "file with the fleet's root public key", file=True),
    Setting(
        "key",
        existing_file,
        None,
        (),
        "PEM file with this device's key (default: made in --data)",
        file=True,
    ),
    Setting(
        "box_key",
        existing_file,
        None,
        (),
        "PEM file with the key secrets are sealed to (default: as key)",
        file=True,
    ),
    Setting(
        "group_keys",
        str,
        None,
        (),
        "PEM file with the key of a group this device is in, as often as needed",
        many=True,
        flag="--group-key",
    ),
    Setting(
        "encrypted",
        _one_of("Allowed", "Required"),
        "Allowed",
        (),
        "Required: run only modules that come encrypted",
    ),
    Setting(
        "key_service",
        read_url,
        None,
        ("PROPLET_KBS_URI",),
        "http(s) address of the service that has keys of encrypted modules",
    ),
    Setting("key_service_ca", str, None, (), "PEM file of its CA", file=True),
    Setting(
        "attester",
        read_attester,
        None,
        (),
        "TEE:COMMAND that makes evidence for it (default: a signature by this device's key)",
    ),
    Setting(
        "labels", read_label, None, (), "name=value, as often as needed", many=True, flag="--label"
    ),
    Setting(
        "mounts",
        read_mount,
        None,
        (),
        "name=directory[:rw] offered to guests, as often as needed",
        many=True,
        flag="--mount",
    ),
    Setting(
        "sensors",
        points.read_sensor,
        None,
        (),
        "NAME=FILE scale=0.001: a number guests may read, as often as needed",
        many=True,
        flag="--sensor",
    ),
    Setting(
        "outputs",
        points.read_output,
        None,
        (),
        "NAME=FILE min=0 max=1 safe=0: one they may drive, as often as needed",
        many=True,
        flag="--output",
    ),
    Setting("fetch", _one_of("Mqtt", "Direct"), "Mqtt", (), "Direct: pull from registries first"),
    Setting(
        "oci_layout",
        read_directory,
        None,
        (),
        "OCI layout directory to pull from (implies Direct)",
        file=True,
    ),
    Setting("plain_http", str, None, (), "registry host allowed without TLS", many=True),
    Setting(
        "heartbeat", read_milliseconds, "30s", ("PROPLET_LIVELINESS_INTERVAL",), "between reports"
    ),
    Setting("grace", read_milliseconds, "2s", (), "a task may go on so long at SIGTERM"),
    Setting("tasks", _number(1, 1024), "64", (), "guests at one time"),
    Setting("memory", read_size, "1GiB", (), "memory of all guests"),
    Setting("guest_memory", read_size, None, (), "most memory one guest may ask for"),
    Setting("guest_fuel", _number(1, 1 << 62), None, (), "most fuel one guest may ask for"),
    Setting("guest_timeout", read_milliseconds, None, (), "longest a run may be asked to take"),
    Setting("guest_output", read_size, None, (), "most output one guest may ask for"),
    Setting(
        "deny", _one_of(*CAPABILITIES), None, (), "Clock, Random or Sleep: given to no guest", True
    ),
    Setting(
        "http_allow",
        parse_rule,
        None,
        (),
        "[METHODS ]http(s)://HOST[:PORT][/PATH] guests may send requests to, as often as needed",
        many=True,
    ),
    Setting(
        "http_networks",
        outlets.read_network,
        None,
        (),
        "local network that names in httpAllow may lead to, as 192.168.7.0/24",
        many=True,
        flag="--http-network",
    ),
    Setting(
        "http_ca",
        existing_file,
        None,
        (),
        "PEM file of a CA for these besides the system's",
        file=True,
    ),
    Setting(
        "externals",
        externals.read_engine,
        None,
        (),
        "NAME=COMMAND of an engine besides ours, as often as needed",
        many=True,
        flag="--external",
    ),
    Setting(
        "external_imports",
        externals.read_import,
        None,
        (),
        "NAME=MODULE an engine has besides WASI, as wasmedge=wasi-nn",
        many=True,
        flag="--external-import",
    ),
    Setting(
        "external_env",
        externals.read_variable,
        None,
        (),
        "variables that tasks may set for engines, as APP_*",
        many=True,
    ),
    Setting("storage", read_size, "1GiB", (), "modules and results kept on disk"),
    Setting("max_module", read_size, "256MiB", (), "largest module taken"),
    Setting("max_payload", read_size, "256KiB", (), "largest MQTT payload taken"),
    Setting("fl_samples", _number(1, 1 << 32), None, (), "samples this device trains on"),
    Setting(
        "site",
        read_path,
        None,
        (),
        "socket of the reconciler whose fleet trains in this proplet's place: a gateway",
        file=True,
    ),
    Setting(
        "fl_logs", _one_of("Keep", "Ship"), "Keep", (), "Ship: tell what a failed trainer wrote"
    ),
    Setting(
        "log_level", _one_of("debug", "info", "warning", "error"), "info", (), "how much is said"
    ),
    Setting(
        "log_format",
        _one_of("auto", "text", "json"),
        "auto",
        (),
        "text or json, a record a line; auto: text at a terminal",
    ),
    Setting("metrics", _listen, None, (), "host:port where Prometheus finds /metrics"),
    Setting(
        "traces",
        read_url,
        None,
        (),
        "OTLP collector, as http://127.0.0.1:4318/v1/traces (extra: otel)",
    ),
)
