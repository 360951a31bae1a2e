"""The configuration: flags over environment over `propeller.yaml`, each value with its origin.

`propeller.yaml` stands at the root of the spec tree or is named by `--config`; its shape is
`schemas/config.schema.json`. Passwords are files, never values.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from propeller.errors import Fault, SpecError, UsageError

if TYPE_CHECKING:
    from propeller.registry.registries import Registries
    from propeller.secrets.age import Identities
    from propeller.state.layout import StateDir
    from propeller.transport.endpoint import Endpoint, MqttVersion

CONFIG_FILE = "propeller.yaml"

MAX_PASSWORD_FILE = 64 * 1024

LOCAL_HOST = "local"
"""Images of this host live in the state directory's own OCI layout: `local/add:1`."""

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Value:
    """One value and where it came from: `flag`, an environment name, `FILE:LINE`, `default`."""

    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a command knows of the fleet.

    values: everything by dotted name; paths are already relative to the current folder.
    registries, repositories, receivers, grants, module_policies, quotas: as the file has them.
    base: the folder of the file. path: the file, None for none.
    """

    values: Mapping[str, Value]
    registries: Mapping[str, Mapping[str, Any]]
    base: Path
    path: Path | None = None
    receivers: Sequence[Mapping[str, str]] = ()
    grants: Sequence[Mapping[str, Any]] = ()
    repositories: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    module_policies: Sequence[Mapping[str, Any]] = ()
    quotas: Sequence[Mapping[str, Any]] = ()

    def text(self, name: str) -> str:
        """The value of `name`, "" when nothing was said."""
        return self.values[name].value

    def file(self, name: str) -> str:
        """The path `name` means, "" when nothing was said. One that stands in a configuration file
        is relative to that file, and was joined to its folder when it was read."""
        return self.values[name].value

    def keyed(self, state: StateDir) -> StateDir:
        """`state` with its keys where the configuration says they are."""
        keys = self.file("keys")
        return replace(state, keys_at=Path(keys)) if keys else state

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
    "keys": "",
    "source.overlay": "",
    "source.interval": "",
    "git.verify": "Disabled",
    "git.history": "FastForward",
    "git.allowedSigners": "",
    "git.gpgKeys": "",
    "git.trustedCommit": "",
    "broker.address": "",
    "broker.protocol": "3.1.1",
    "broker.username": "",
    "broker.passwordFile": "",
    "broker.ca": "",
    "broker.cert": "",
    "broker.key": "",
    "statusBranch.remote": "",
    "statusBranch.branch": "",
    "statusBranch.interval": "1m",
    "statusBranch.signingKey": "",
    "commitStatus.provider": "",
    "commitStatus.url": "",
    "commitStatus.tokenFile": "",
    "hooks.address": "",
    "dashboard.address": "",
    "access.anonymous": "",
    "access.publicUrl": "",
    "access.cert": "",
    "access.key": "",
    "access.oidc.issuer": "",
    "access.oidc.clientId": "",
    "access.oidc.clientSecretFile": "",
    "access.oidc.audience": "",
    "access.oidc.groupsClaim": "groups",
    "access.oidc.ca": "",
    "alerts.secrets": "",
    "secrets.ageKeyFile": "",
    "traces.endpoint": "",
    "log.format": "Text",
}

_FILES = (
    "keys",
    "git.allowedSigners",
    "git.gpgKeys",
    "broker.passwordFile",
    "broker.ca",
    "broker.cert",
    "broker.key",
    "statusBranch.signingKey",
    "commitStatus.tokenFile",
    "access.cert",
    "access.key",
    "access.oidc.clientSecretFile",
    "access.oidc.ca",
    "alerts.secrets",
    "secrets.ageKeyFile",
)


def add_config(parser: argparse.ArgumentParser) -> None:
    """The option that names the configuration."""
    parser.add_argument("--config", metavar="FILE", help="configuration (default: propeller.yaml)")


def add_fleet(parser: argparse.ArgumentParser) -> None:
    """The options about the fleet that running verbs take."""
    add_config(parser)
    parser.add_argument("--domain", help="domain id in the topics")
    parser.add_argument("--channel", help="channel id in the topics")
    parser.add_argument(
        "--broker", metavar="HOST:PORT", help="the MQTT broker (up: also embedded, mosquitto)"
    )
    parser.add_argument("--mqtt", choices=("3.1.1", "5"), help="MQTT version (default 3.1.1)")
    parser.add_argument("--keys", metavar="DIR", help="key directory (default: in the state)")
    add_age_key(parser)


def add_age_key(parser: argparse.ArgumentParser) -> None:
    """The option that says what opens Secrets."""
    parser.add_argument(
        "--age-key",
        metavar="FILE",
        help="age identities that open Secrets (default: secrets.ageKeyFile, SOPS_AGE_KEY_FILE"
        " or SOPS_AGE_KEY)",
    )


def fleet_of(args: argparse.Namespace, *, tree: Path | None = None) -> Fleet:
    """The configuration of a command. Raises SpecError (a bad file), UsageError (bad values)."""
    values = {name: Value(text, DEFAULT) for name, text in _DEFAULTS.items()}
    path = _config_path(args, tree)
    registries: Mapping[str, Mapping[str, Any]] = {}
    repositories: Mapping[str, Mapping[str, Any]] = {}
    receivers: Sequence[Mapping[str, str]] = ()
    grants: Sequence[Mapping[str, Any]] = ()
    policies: Sequence[Mapping[str, Any]] = ()
    quotas: Sequence[Mapping[str, Any]] = ()
    base = path.parent if path is not None else Path()
    if path is not None:
        document = _read(path)
        registries = _without_nulls(document.get("registries"))
        repositories = _without_nulls(document.get("repositories"))
        receivers = document.get("receivers") or ()
        grants = ((document.get("access") or {}).get("oidc") or {}).get("grants") or ()
        policies = document.get("modulePolicies") or ()
        quotas = document.get("quotas") or ()
        for name, text, line in _flat(document):
            shown = str(base / text) if name in _FILES else text
            values[name] = Value(shown, f"{path}:{line}")
    for name in values:
        variable = variable_of(name)
        if variable in os.environ:
            values[name] = Value(os.environ[variable], variable)
    flags = {
        "domain": getattr(args, "domain", None),
        "channel": getattr(args, "channel", None),
        "broker.address": getattr(args, "broker", None),
        "broker.protocol": getattr(args, "mqtt", None),
        "secrets.ageKeyFile": getattr(args, "age_key", None),
        "hooks.address": getattr(args, "hooks", None),
        "dashboard.address": getattr(args, "dashboard", None),
        "keys": getattr(args, "keys", None),
        "traces.endpoint": getattr(args, "traces", None),
        "log.format": getattr(args, "log_format", None),
    }
    for name, given in flags.items():
        if given is not None:
            values[name] = Value(given, "flag")
    _check(values)
    return Fleet(values, registries, base, path, receivers, grants, repositories, policies, quotas)


def variable_of(name: str) -> str:
    """`broker.passwordFile` is `PROPELLER_BROKER_PASSWORD_FILE` in the environment."""
    spaced = "".join(f"_{letter}" if letter.isupper() else letter for letter in name)
    return "PROPELLER_" + spaced.replace(".", "_").upper()


def _check(values: Mapping[str, Value]) -> None:
    from propeller.model.ids import is_wire_id

    for name in ("domain", "channel"):
        if not is_wire_id(values[name].value):
            raise UsageError(
                f"{name} {values[name].value!r} ({values[name].origin}) is no id",
                hint="1 to 64 of letters, digits, '-' and '_'",
            )
    protocol = values["broker.protocol"]
    if protocol.value not in ("3.1.1", "5"):
        raise UsageError(
            f"broker.protocol must be 3.1.1 or 5, not {protocol.value!r} ({protocol.origin})"
        )
    form = values["log.format"]
    if form.value not in ("Text", "Json"):
        raise UsageError(f"log.format must be Text or Json, not {form.value!r} ({form.origin})")


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
    from propeller.sources.config import MAX_CONFIG_BYTES, read_config
    from propeller.sources.nodes import dotted

    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    document, flaws = read_config(data)
    if flaws:
        raise SpecError(Fault(str(path), f.line, dotted(f.path), f.message) for f in flaws)
    return document


def _without_nulls(registries: Mapping[str, Any] | None) -> Mapping[str, Mapping[str, Any]]:
    return {
        host: {name: value for name, value in (entry or {}).items() if value is not None}
        for host, entry in (registries or {}).items()
    }


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, int]]:
    """Dotted names with values and lines; what is null was not said."""
    lines: Mapping[str, int] = getattr(document, "lines", {})
    for name, value in document.items():
        if isinstance(value, Mapping) and prefix + name != "registries":
            yield from _flat(value, f"{prefix}{name}.")
        elif f"{prefix}{name}" in _DEFAULTS and value is not None:
            yield f"{prefix}{name}", str(value), lines.get(name, 0)


def endpoint_of(fleet: Fleet, client_id: str) -> Endpoint:
    """The way to the configured broker for one client. Raises UsageError when there is none."""
    from propeller.transport.endpoint import Endpoint, Tls

    address = fleet.text("broker.address")
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise UsageError(
            f"broker {address!r} is not HOST:PORT" if address else "no broker is configured",
            hint="say --broker HOST:PORT, or broker.address in propeller.yaml",
        )
    ca, cert, key = (fleet.file(f"broker.{name}") for name in ("ca", "cert", "key"))
    if bool(cert) != bool(key):
        raise UsageError("broker.cert and broker.key come together")
    password, username = _password(fleet), fleet.text("broker.username")
    if password is not None and not username:
        raise UsageError("broker.passwordFile needs broker.username")
    return Endpoint(
        host=host.strip("[]"),
        port=int(port),
        client_id=client_id,
        protocol=cast("MqttVersion", fleet.text("broker.protocol")),
        username=username or None,
        password=password,
        tls=Tls(ca=ca or None, cert=cert or None, key=key or None) if ca or cert else None,
    )


_taken: dict[str, str] = {}
"""What was taken out of the environment, should it be asked for again."""


def identities_of(fleet: Fleet) -> Identities:
    """What opens Secrets: the configured file, else what SOPS looks for in the environment.

    `SOPS_AGE_KEY` is taken out of the environment, so that no process we start inherits it.
    """
    from propeller.secrets.age import Identities

    text = os.environ.pop("SOPS_AGE_KEY", "") or _taken.get("SOPS_AGE_KEY", "")
    _taken["SOPS_AGE_KEY"] = text
    value = fleet.values["secrets.ageKeyFile"]
    if value.value:
        return Identities(file=Path(value.value), named=f"{value.value} ({value.origin})")
    file = os.environ.get("SOPS_AGE_KEY_FILE", "")
    named = " and ".join(
        name for name, said in (("SOPS_AGE_KEY_FILE", file), ("SOPS_AGE_KEY", text)) if said
    )
    return Identities(file=Path(file) if file else None, text=text, named=named)


def _password(fleet: Fleet) -> str | None:
    name = fleet.text("broker.passwordFile")
    if not name:
        return None
    try:
        with Path(name).open("rb") as file:
            return file.read(MAX_PASSWORD_FILE).decode().strip()
    except OSError as error:
        raise UsageError(f"broker.passwordFile {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"broker.passwordFile {name}: must be UTF-8") from error


def registries_of(fleet: Fleet, state: StateDir) -> Registries:
    """Where images are looked for: as configured, the state's own layout for `local/...`."""
    from propeller.registry.credentials import docker_credentials
    from propeller.registry.registries import Registries

    raw = {LOCAL_HOST: {"layout": str(state.oci.absolute())}, **fleet.registries}
    return Registries.parse(raw, base=fleet.base, credentials=docker_credentials(_docker_config()))


def _docker_config() -> Path:
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"
