"""What the folder of a fleet remembers: how it was set up, what was issued, what was taken back.

`fleet.json` at the top of the folder, replaced whole. Nothing in it is secret: a token is kept as
its SHA-256. Files that can be made again from it and the keys are not listed here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from propeller.errors import UsageError
from propeller.state.files import replace_file
from propeller.wire.topics import is_id

FILE = "fleet.json"
MAX_FILE = 64 * 1024 * 1024
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate that was given out, or taken back at `revoked` (0: it counts).

    Times in Unix seconds. issuer: the key identifier of its authority. key: SHA-256 of its key.
    kept: its private key was made here and lies in the folder until it was handed over.
    """

    serial: str
    issuer: str
    key: str
    ends: int
    kept: bool = False
    revoked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One device's right to fetch its certificate once. used: digest of the key it was for."""

    sha256: str
    ends: int
    used: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperMq:
    """Where members are known instead of by certificates of ours (`supermq`).

    url: of all its services, but for those named in `services`. domain, channel: their names there;
    the ids are the fleet's. manager: the manager's id. tls: whether the broker speaks TLS; then
    broker/ca.pem signs its certificate.
    """

    url: str
    domain: str
    channel: str
    services: Mapping[str, str] = field(default_factory=dict)
    manager: str = ""
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """See the module. host, port: the broker as devices reach it; hosts: its other names.

    broker_folder: where the broker's files will lie on its machine, "" for the folder itself.
    authorities: key identifiers that count, in the order they came. signing: the one that issues.
    devices: id -> its certificates, the newest last. publish, hear: topics below the channel that
    guests of devices may publish to and hear, as the broker's rights have them.
    """

    domain: str
    channel: str
    host: str
    port: int
    hosts: tuple[str, ...] = ()
    days: int = 730
    broker_folder: str = ""
    authorities: tuple[str, ...] = ()
    signing: str = ""
    devices: Mapping[str, tuple[Issued, ...]] = field(default_factory=dict)
    tokens: Mapping[str, Token] = field(default_factory=dict)
    supermq: SuperMq | None = None
    publish: tuple[str, ...] = ()
    hear: tuple[str, ...] = ()

    def current(self, device: str) -> Issued | None:
        """The device's newest certificate, unless that was taken back."""
        held = self.devices.get(device, ())
        return held[-1] if held and not held[-1].revoked else None

    def revoked_devices(self) -> tuple[str, ...]:
        """Devices of which the newest certificate was taken back."""
        return tuple(
            device for device, held in sorted(self.devices.items()) if held and held[-1].revoked
        )

    def revoked(self, issuer: str) -> dict[str, int]:
        """Serial -> when, of what `issuer` gave out and took back."""
        return {
            one.serial: one.revoked
            for held in self.devices.values()
            for one in held
            if one.revoked and one.issuer == issuer
        }

    def with_certificate(self, device: str, issued: Issued) -> Record:
        """The device has `issued` from now on; earlier ones stay until they end."""
        held = (*self.devices.get(device, ()), issued)
        return replace(self, devices={**self.devices, device: held})


def read_record(folder: Path) -> Record | None:
    """What the folder remembers, None in a new one. Raises UsageError for a broken file."""
    path = folder / FILE
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    try:
        if len(data) > MAX_FILE:
            raise ValueError("too large")
        return _record(json.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path}: not what `propeller provision` wrote: {error}",
            hint="restore it from a backup; without it nobody knows what was issued",
        ) from error


def write_record(folder: Path, record: Record) -> None:
    """Replace it, durably. Raises Unavailable."""
    replace_file(folder / FILE, text_of(record), mode=0o600)


def text_of(record: Record) -> bytes:
    """The bytes of the file."""
    document = {"version": VERSION, **asdict(record)}
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def _record(document: Mapping[str, Any]) -> Record:
    if document.get("version") != VERSION:
        raise ValueError(f"version {document.get('version')!r}, this Propeller knows {VERSION}")
    devices = {
        device: tuple(Issued(**one) for one in held) for device, held in document["devices"].items()
    }
    tokens = {device: Token(**one) for device, one in document["tokens"].items()}
    for device in (*devices, *tokens):
        if not is_id(device):
            raise ValueError(f"{device!r} is no device id")
    plain = {
        name: value
        for name, value in document.items()
        if name not in ("version", "devices", "tokens", "supermq")
    }
    elsewhere = document.get("supermq")
    if elsewhere is not None:
        plain["supermq"] = SuperMq(**elsewhere)
    for name in ("hosts", "authorities", "publish", "hear"):
        plain[name] = tuple(plain.get(name, ()))
    return Record(**plain, devices=devices, tokens=tokens)
