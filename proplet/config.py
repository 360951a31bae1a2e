"""What the agent is told when it starts: flags over environment over `proplet.yaml` over defaults.

Called by `__main__` with argv and the environment. Every setting has one row in `settings`; the
names of the first Propeller's environment are aliases. All faults are told at once, each with where
the value came from and what is allowed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from propeller.errors import Fault, SpecError
from propeller.outgoing import Network, Rule
from proplet import externals, outlets, points
from proplet.settings import SETTINGS, Address, Setting
from proplet.settingsfile import read_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Checked settings. Durations in ms, sizes in bytes. mounts: name -> (directory, writable)."""

    id: str
    domain: str
    channel: str
    broker: Address
    mqtt: str
    username: str | None
    password: str | None
    tls_ca: str | None
    tls_cert: str | None
    tls_key: str | None
    keepalive: int
    data: Path
    trust: Path
    key: Path | None
    box_key: Path | None
    group_keys: tuple[str, ...]
    encrypted: str
    key_service: str | None
    key_service_ca: str | None
    attester: tuple[str, str] | None
    labels: Mapping[str, str]
    mounts: Mapping[str, tuple[Path, bool]]
    fetch: str
    oci_layout: Path | None
    plain_http: tuple[str, ...]
    heartbeat: int
    grace: int
    tasks: int
    memory: int
    guest_memory: int | None
    guest_fuel: int | None
    guest_timeout: int | None
    guest_output: int | None
    deny: tuple[str, ...]
    http_allow: tuple[Rule, ...]
    http_networks: tuple[Network, ...]
    http_ca: Path | None
    externals: Mapping[str, externals.External]
    sensors: Sequence[points.Point]
    outputs: Sequence[points.Point]
    storage: int
    max_module: int
    max_payload: int
    fl_samples: int | None
    site: Path | None
    fl_logs: str
    log_level: str
    log_format: str
    metrics: Address | None
    traces: str | None


def parser() -> argparse.ArgumentParser:
    """The command line. Values are checked later, with those of the file and the environment."""
    made = argparse.ArgumentParser(
        prog="proplet",
        description="Runs the WebAssembly a fleet's manager signed for this device.",
        epilog="Every flag --some-thing is also PROPLET_SOME_THING and someThing in the file.",
        allow_abbrev=False,
    )
    made.add_argument("--config", metavar="FILE", help="settings file (default: PROPLET_CONFIG)")
    made.add_argument("--check-config", action="store_true", help="check, print, and leave")
    made.add_argument("--version", action="store_true", help="print the version and leave")
    for setting in SETTINGS:
        shown = f" ({setting.default})" if setting.default else ""
        made.add_argument(
            setting.option,
            dest=setting.field,
            metavar="VALUE",
            action="append" if setting.many else "store",
            help=setting.help + shown,
        )
    return made


def load(flags: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """The settings. Raises SpecError with every fault, UsageError for an unreadable file."""
    faults: list[Fault] = []
    path = flags.config or environment.get("PROPLET_CONFIG")
    file = read_file(Path(path), SETTINGS, faults) if path else {}
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        where, line, given = _given(setting, flags, environment, file, path or "")
        read: list[Any] = []
        for text in given:
            try:
                read.append(setting.read(text))
            except (ValueError, OSError) as error:
                faults.append(Fault(where, line, setting.key, str(error)))
        values[setting.field] = tuple(read) if setting.many else (read[0] if read else None)
    for needed, why in (
        ("id", "this proplet needs a name"),
        ("trust", "without the root's public key no document could be believed"),
    ):
        if values[needed] is None and not any(fault.path == needed for fault in faults):
            faults.append(Fault("command line", 0, needed, f"missing: {why}"))
    if (values["tls_cert"] is None) != (values["tls_key"] is None):
        faults.append(
            Fault("command line", 0, "tlsCert", "a certificate and its key come together")
        )
    if values["password"] is None:
        values["password"] = values["password_file"]
    if values["password"] is not None and values["username"] is None:
        faults.append(Fault("command line", 0, "username", "missing: a password needs a user"))
    told = (values.pop("externals"), values.pop("external_imports"), values.pop("external_env"))
    try:
        values["externals"] = externals.together(*told)
    except ValueError as error:
        faults.append(Fault("command line", 0, "externals", str(error)))
    try:
        points.together(values["sensors"], values["outputs"])
    except ValueError as error:
        faults.append(Fault("command line", 0, "sensors", str(error)))
    if len(values["http_allow"]) > outlets.MOST:
        faults.append(Fault("command line", 0, "httpAllow", f"more than {outlets.MOST} rules"))
    if faults:
        raise SpecError(faults)
    del values["password_file"]
    values["labels"], values["mounts"] = dict(values["labels"]), dict(values["mounts"])
    return Settings(**values)


def _given(
    setting: Setting,
    flags: argparse.Namespace,
    environment: Mapping[str, str],
    file: Mapping[str, tuple[int, list[str]]],
    path: str,
) -> tuple[str, int, list[str]]:
    """Where the value is from, in which line, and its texts."""
    flag = getattr(flags, setting.field)
    if flag is not None:
        return "command line", 0, flag if isinstance(flag, list) else [flag]
    for name in (setting.variable, *setting.aliases):
        text = environment.get(name)
        if text:
            return f"environment {name}", 0, text.split(",") if setting.many else [text]
    if setting.key in file:
        line, texts = file[setting.key]
        if setting.file:
            texts = [str(Path(path).parent / Path(text).expanduser()) for text in texts]
        return path, line, texts
    return "default", 0, [setting.default] if setting.default is not None else []


def total_memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def shown(settings: Settings) -> Sequence[str]:
    """Lines for `--check-config`; the password is not among them."""
    lines = []
    for setting in SETTINGS:
        if setting.field in ("password_file", "external_imports", "external_env"):
            continue  # shown with what they belong to
        value = getattr(settings, setting.field)
        if setting.field == "password" and value is not None:
            value = "(set)"
        if setting.field == "externals":
            value = ", ".join(externals.shown(value))
        if setting.field in ("sensors", "outputs"):
            value = ", ".join(points.shown(value))
        if setting.field in ("http_allow", "http_networks"):
            value = ", ".join(str(one) for one in value)
        if isinstance(value, Address):
            where = f"{value.host}:{value.port}"
            scheme = "mqtts://" if value.tls else "mqtt://"
            value = where if setting.field == "metrics" else scheme + where
        lines.append(f"{setting.key}: {value}")
    return lines
