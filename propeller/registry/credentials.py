"""Who we are to a registry: an explicit function, or what `docker login` left behind.

Secrets live in `Login`, whose repr shows none, and go nowhere but into the header of the registry
(or its token server) they are for. Only callers choose the file; this module reads what it is told.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from propeller.errors import UsageError

_HELPER = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
MAX_CONFIG = 1 << 20
HELPER_SECONDS = 10
DOCKER_HUB = "https://index.docker.io/v1/"


@dataclass(frozen=True, slots=True)
class Login:
    """User and password, or an identity token that is exchanged for access tokens."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    def basic(self) -> str:
        """The value of an `Authorization: Basic` header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


Credentials = Callable[[str], Login | None]
"""From `host[:port]` to a login; None: go without."""


def anonymous(_host: str) -> Login | None:
    """No credentials for anybody."""
    return None


def docker_credentials(config: Path) -> Credentials:
    """Logins as docker keeps them in `config.json`: `auths`, `credHelpers`, `credsStore`.

    The file is read on every call, so a new `docker login` counts at once; a missing file means
    anonymous. Raises UsageError (from the returned function) for a file that cannot be read.
    """

    def find(host: str) -> Login | None:
        document = _read(config)
        names = [host, f"https://{host}", f"https://{host}/v1/", f"https://{host}/v2/"]
        if host in {"docker.io", "index.docker.io", "registry-1.docker.io"}:
            names.append(DOCKER_HUB)
        helpers = _section(document, "credHelpers")
        store = document.get("credsStore")
        for name in names:
            helper = helpers.get(name)
            if isinstance(helper, str):
                return _ask_helper(helper, name, config)
        auths = _section(document, "auths")
        for name in names:
            login = _stored(auths.get(name), config)
            if login is not None:
                return login
        if isinstance(store, str) and store:
            return _ask_helper(store, DOCKER_HUB if DOCKER_HUB in names else host, config)
        return None

    return find


def _read(config: Path) -> Mapping[str, object]:
    try:
        with config.open("rb") as stream:
            body = stream.read(MAX_CONFIG + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{config}: {error.strerror}") from error
    try:
        document = json.loads(body) if len(body) <= MAX_CONFIG else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UsageError(f"{config}: not a JSON object", hint="run `docker login` again")
    return document


def _section(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    section = document.get(name)
    return section if isinstance(section, dict) else {}


def _stored(entry: object, config: Path) -> Login | None:
    """One entry of `auths`; an empty one means that a helper has it."""
    if not isinstance(entry, dict):
        return None
    if entry.get("identitytoken"):
        return Login(identity_token=str(entry["identitytoken"]))
    if entry.get("username"):
        return Login(str(entry["username"]), str(entry.get("password") or ""))
    if not entry.get("auth"):
        return None
    try:
        text = base64.b64decode(str(entry["auth"]), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise UsageError(f"{config}: an `auth` that is not base64") from error
    user, _, password = text.partition(":")
    return Login(user, password)


def _ask_helper(helper: str, host: str, config: Path) -> Login | None:
    """`docker-credential-<helper> get`; None when it knows no login for `host`."""
    if not _HELPER.match(helper):
        raise UsageError(f"{config}: {helper[:64]!r} is no credential helper")
    try:
        done = subprocess.run(
            [f"docker-credential-{helper}", "get"],
            input=host.encode(),
            capture_output=True,
            timeout=HELPER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(
            f"docker-credential-{helper} named by {config} does not work: {type(error).__name__}"
        ) from error
    if done.returncode != 0:
        return None
    try:
        answer = json.loads(done.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"docker-credential-{helper} answered something else") from error
    if user == "<token>":
        return Login(identity_token=secret)
    return Login(user, secret)
