"""The configuration: flags over environment over `propeller.yaml`, each value with its origin.

`propeller.yaml` stands at the root of the spec tree or is named by `--config`; its shape is
`schemas/config.schema.json`. Passwords are files, never values.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from propeller.errors import Fault, SpecError, UsageError
from propeller.transport.endpoint import Endpoint, MqttVersion, Tls

if TYPE_CHECKING:
    from propeller.registry.registries import Registries
    from propeller.state.layout import StateDir

CONFIG_FILE = "propeller.yaml"

LOCAL_HOST = "local"
"""Images of this host live in the state directory's own OCI layout: `local/add:1`."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value and where it came from: `flag`, an environment name, a file and line, `default`."""

    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a command knows of the fleet. `values` has everything by dotted name."""

    values: Mapping[str, Value]
    registries: Mapping[str, Mapping[str, Any]]
    base: Path

    def text(self, name: str) -> str:
        """The value of `name`, "" when nothing was said."""
        return self.values[name].value

    @property
    def domain(self) -> str:
        """The first id of every topic."""
        return self.text("domain")

    @property
    def channel(self) -> str:
        """The second id of every topic."""
        return self.text("channel")


_DEFAULTS = {
    "domain": "propeller",
    "channel": "fleet",
    "broker.address": "",
    "broker.protocol": "3.1.1",
    "broker.username": "",
    "broker.passwordFile": "",
    "broker.ca": "",
    "broker.cert": "",
    "broker.key": "",
}


def add_fleet(parser: argparse.ArgumentParser) -> None:
    """The options about the fleet that running verbs take."""
    parser.add_argument("--config", metavar="FILE", help="configuration (default: propeller.yaml)")
    parser.add_argument("--domain", help="domain id in the topics")
    parser.add_argument("--channel", help="channel id in the topics")
    parser.add_argument(
        "--broker", metavar="HOST:PORT", help="the MQTT broker (up: also embedded, mosquitto)"
    )
    parser.add_argument("--mqtt", choices=("3.1.1", "5"), help="MQTT version (default 3.1.1)")


def fleet_of(args: argparse.Namespace, *, tree: Path | None = None) -> Fleet:
    """The configuration of a command. Raises SpecError for a bad file, UsageError for bad values."""
    values = {name: Value(text, "default") for name, text in _DEFAULTS.items()}
    path = _config_path(args, tree)
    registries: Mapping[str, Mapping[str, Any]] = {}
    if path is not None:
        document = _read(path)
        registries = document.get("registries", {})
        for name, text in _flat(document):
            values[name] = Value(text, str(path))
    for name in values:
        variable = "PROPELLER_" + _snake(name)
        if variable in os.environ:
            values[name] = Value(os.environ[variable], variable)
    flags = {
        "domain": getattr(args, "domain", None),
        "channel": getattr(args, "channel", None),
        "broker.address": getattr(args, "broker", None),
        "broker.protocol": getattr(args, "mqtt", None),
    }
    for name, given in flags.items():
        if given is not None:
            values[name] = Value(given, "flag")
    if values["broker.protocol"].value not in ("3.1.1", "5"):
        raise UsageError(f"broker.protocol must be 3.1.1 or 5, not {values['broker.protocol'].value!r}")
    return Fleet(values, registries, path.parent if path is not None else Path())


def _snake(name: str) -> str:
    """`broker.passwordFile` as `BROKER_PASSWORD_FILE`."""
    spaced = "".join(f"_{letter}" if letter.isupper() else letter for letter in name)
    return spaced.replace(".", "_").upper()


def _config_path(args: argparse.Namespace, tree: Path | None) -> Path | None:
    given = getattr(args, "config", None) or os.environ.get("PROPELLER_CONFIG")
    if given:
        path = Path(given)
        if not path.is_file():
            raise UsageError(f"no configuration file {path}")
        return path
    candidate = (tree if tree is not None and tree.is_dir() else Path()) / CONFIG_FILE
    return candidate if candidate.is_file() else None


def _read(path: Path) -> Mapping[str, Any]:
    from propeller.sources.config import read_config

    document, faults = read_config(path.name, path.read_bytes())
    if faults:
        raise SpecError(Fault(str(path), f.line, f.path, f.message) for f in faults)
    return document


def _flat(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in document.items():
        if prefix + name == "registries":
            continue
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}.")
        elif f"{prefix}{name}" in _DEFAULTS and value is not None:
            found.append((f"{prefix}{name}", str(value)))
    return found


def endpoint_of(fleet: Fleet, client_id: str) -> Endpoint:
    """The way to the configured broker for one client. Raises UsageError when none is configured."""
    address = fleet.text("broker.address")
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise UsageError(
            f"broker {address!r} is not HOST:PORT" if address else "no broker is configured",
            hint="say --broker HOST:PORT, or broker.address in propeller.yaml",
        )
    password = None
    password_file = fleet.text("broker.passwordFile")
    if password_file:
        try:
            password = Path(password_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UsageError(f"broker.passwordFile {password_file}: {error.strerror}") from error
    ca, cert, key = (fleet.text(f"broker.{name}") for name in ("ca", "cert", "key"))
    tls = Tls(ca=ca or None, cert=cert or None, key=key or None) if ca or cert else None
    return Endpoint(
        host=host.strip("[]"),
        port=int(port),
        client_id=client_id,
        protocol=cast(MqttVersion, fleet.text("broker.protocol")),
        username=fleet.text("broker.username") or None,
        password=password,
        tls=tls,
    )


def registries_of(fleet: Fleet, state: StateDir) -> Registries:
    """Where images are looked for: as configured, the state's own layout for `local/...`."""
    from propeller.registry.credentials import docker_credentials
    from propeller.registry.registries import Registries

    raw = {LOCAL_HOST: {"layout": str(state.oci.absolute())}, **fleet.registries}
    return Registries.parse(raw, base=fleet.base, credentials=docker_credentials(_docker_config()))


def _docker_config() -> Path:
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"
