"""Who we are to a git host: an ssh key with pinned host keys, or a token over HTTPS.

Made by the command line from `propeller.yaml` and the environment, used by `git`. Files are read
when they are needed, so a token that was renewed counts at once. A secret goes to git through a
pipe: it stands in no argument, no environment and no file of ours, and is given to one host only.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from propeller.errors import Unavailable, UsageError

MAX_SECRET: Final = 64 << 10
DEFAULT_USER: Final = "git"
FD_VARIABLE: Final = "PROPELLER_SECRET_FD"
USER_VARIABLE: Final = "PROPELLER_SECRET_USER"
HELPER: Final = f"""#!/bin/sh
# Answers git's question for a password with what Propeller put into a pipe.
[ "$1" = get ] || exit 0
printf 'username=%s\\npassword=' "${USER_VARIABLE}"
cat "/dev/fd/${FD_VARIABLE}"
"""
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_SCP_HOST = re.compile(r"(?:[^@/:]+@)?([^:/]+):")


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How one host is spoken to; all of it optional.

    ssh_key, known_hosts: files of ssh, always together. username, token_file or token: for HTTPS.
    ca: certificates (PEM) that may sign the host's.
    """

    ssh_key: Path | None = None
    known_hosts: Path | None = None
    username: str = ""
    token_file: Path | None = None
    token: str = field(default="", repr=False)
    ca: Path | None = None

    def check(self, where: str) -> None:
        """Raises UsageError for what cannot work. `where` names the host in the configuration."""
        if (self.ssh_key is None) != (self.known_hosts is None):
            raise UsageError(
                f"{where}: sshKey and knownHosts come together",
                hint="ssh-keyscan HOST > known_hosts, compared with what the host publishes",
            )
        if self.token and self.token_file is not None:
            raise UsageError(f"{where}: a token from a file or from the environment, not both")

    @property
    def has_token(self) -> bool:
        """Whether there is a token to give."""
        return bool(self.token) or self.token_file is not None

    def secret(self) -> str:
        """The token as it is now. Raises Unavailable."""
        if self.token_file is None:
            return self.token
        try:
            with self.token_file.open("rb") as file:
                text = file.read(MAX_SECRET + 1).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            words = getattr(error, "strerror", None) or "must be UTF-8"
            raise Unavailable(f"the token in {self.token_file}: {words}") from error
        if not text or len(text) > MAX_SECRET or "\n" in text:
            raise Unavailable(f"the token in {self.token_file}: must be one line of text")
        return text

    def ssh_command(self) -> str | None:
        """`GIT_SSH_COMMAND`: this key only, these host keys only, no question to anybody."""
        if self.ssh_key is None or self.known_hosts is None:
            return None
        for file in (self.ssh_key, self.known_hosts):
            if not file.is_file():
                raise Unavailable(f"{file}: no such file", hint="it is named for this git host")
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "IdentityFile": _ssh_path(self.ssh_key),
            "UserKnownHostsFile": _ssh_path(self.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "ForwardAgent": "no",
            "ConnectTimeout": "20",
        }
        words = ["ssh", "-F", "/dev/null"]
        for name, value in options.items():
            words += ["-o", f"{name}={value}"]
        return shlex.join(words)


@dataclass(frozen=True, slots=True)
class Access:
    """Logins by `host` or `host:port`."""

    hosts: Mapping[str, Login] = field(default_factory=dict)

    def of(self, url: str) -> Login | None:
        """The login for the host of a git URL. Raises UsageError for one that must not be used."""
        host = host_of(url)
        login = self.hosts.get(host) or self.hosts.get(host.rpartition(":")[0] or host)
        if login is None:
            return None
        login.check(f"repositories.{host}")
        scheme = urlsplit(url).scheme if "://" in url else "ssh"
        if scheme == "http" and login.has_token and urlsplit(url).hostname not in _LOOPBACK:
            raise UsageError(
                f"{host}: a token is not sent without TLS", hint="use https:// for this repository"
            )
        return login


def host_of(url: str) -> str:
    """`host` or `host:port` of a git URL, "" for one on this machine."""
    if "://" in url:
        split = urlsplit(url)
        return split.netloc.rpartition("@")[2].lower() if split.scheme != "file" else ""
    scp = _SCP_HOST.match(url)
    return scp[1].lower() if scp else ""


def split_secret(url: str) -> tuple[str, Login | None]:
    """The URL without a password, and the login that was in it."""
    if "://" not in url:
        return url, None
    split = urlsplit(url)
    if split.scheme not in ("http", "https") or not split.password:
        return url, None
    bare = urlunsplit(split._replace(netloc=split.netloc.rpartition("@")[2]))
    return bare, Login(username=unquote(split.username or ""), token=unquote(split.password))


def credential_settings(url: str, helper: Path) -> tuple[str, ...]:
    """Settings of git that let `helper`, and nothing else, answer for the host of `url`."""
    split = urlsplit(url)
    base = f"{split.scheme}://{split.netloc.rpartition('@')[2]}"
    return (f"credential.{base}.helper=!{shlex.quote(str(helper))}",)


def _ssh_path(path: Path) -> str:
    """A path as ssh_config takes it: quoted, and no token in it expanded."""
    text = str(path.absolute()).replace("%", "%%")
    if '"' in text or "\n" in text:
        raise UsageError(f"{path}: ssh cannot be given this name")
    return f'"{text}"'
