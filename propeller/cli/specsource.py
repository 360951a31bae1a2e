"""From what a person typed and configured to the source that is read: one way for every verb.

Reads `source`, `git` and `repositories` of the configuration, and the environment for secrets.
Who is trusted must not stand in the repository that is to be judged.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from propeller.cli.settings import Fleet, registries_of
from propeller.errors import UsageError

if TYPE_CHECKING:
    from propeller.registry.registries import Registries
    from propeller.sources.access import Access, Login
    from propeller.sources.address import GitAddress
    from propeller.sources.open import Source
    from propeller.sources.trust import History, Trust, Verify
    from propeller.state.layout import StateDir

WHAT = "a directory, any git URL or oci://HOST/REPOSITORY:TAG"

TOKEN = "PROPELLER_GIT_TOKEN"  # noqa: S105 - the name of a variable, no secret
USERNAME = "PROPELLER_GIT_USERNAME"
TOKEN_FILE = "PROPELLER_GIT_TOKEN_FILE"  # noqa: S105 - so is this one
SSH_KEY = "PROPELLER_GIT_SSH_KEY"
KNOWN_HOSTS = "PROPELLER_GIT_KNOWN_HOSTS"

_TRUST = ("git.verify", "git.history", "git.allowedSigners", "git.gpgKeys", "git.trustedCommit")


def add_overlay(parser: argparse.ArgumentParser) -> None:
    """The option that chooses an overlay."""
    parser.add_argument(
        "--overlay", metavar="PATH", help="the folder with the overlay.yaml that is meant"
    )


def open_specs(
    text: str,
    fleet: Fleet,
    state: StateDir,
    *,
    cache: Path | None = None,
    ref: str | None = None,
    git: bool = False,
    overlay: str | None = None,
) -> Source:
    """The source `text` means. Nothing is read yet. Raises UsageError.

    cache: where bare clones go; the state's own folder if None.
    """
    from propeller.registry.specs import SpecShelf
    from propeller.sources.open import open_source

    where = cache or state.git

    def registries() -> Registries:
        return registries_of(fleet, state)

    return open_source(
        text,
        cache=where,
        ref=ref,
        git=git,
        exclude=(state.path,),
        interval=_interval(fleet),
        access=_access(fleet, text, ref, git=git),
        trust=_trust(fleet, text, ref, git=git),
        shelf=SpecShelf(registries),
        overlay=overlay if overlay is not None else fleet.text("source.overlay"),
    )


def _interval(fleet: Fleet) -> float | None:
    text = fleet.text("source.interval")
    if not text:
        return None
    from propeller.model.quantities import duration_ms

    try:
        seconds = duration_ms(text) / 1000
    except ValueError as error:
        raise UsageError(f"source.interval {text!r}: {error}") from error
    if seconds < 1:
        raise UsageError(f"source.interval {text!r}: must be at least 1s")
    return seconds


def _address(text: str, ref: str | None, *, git: bool) -> GitAddress | None:
    from propeller.sources.address import GitAddress, parse_address
    from propeller.sources.oci import SCHEMES

    if text.startswith(SCHEMES):
        return None
    address = parse_address(text, ref=ref, git=git)
    return address if isinstance(address, GitAddress) else None


def access_of(fleet: Fleet, url: str) -> Access:
    """Logins for a repository that is written to."""
    return _access(fleet, url, None, git=True)


def _access(fleet: Fleet, text: str, ref: str | None, *, git: bool) -> Access:
    """Logins by host: those of the configuration, and for the host of `text` the environment's."""
    from propeller.sources.access import Access, host_of

    hosts = {host: _login(entry, fleet.base) for host, entry in fleet.repositories.items()}
    address = _address(text, ref, git=git)
    host = host_of(address.url) if address is not None else ""
    given = {
        name: os.environ[name]
        for name in (TOKEN, USERNAME, TOKEN_FILE, SSH_KEY, KNOWN_HOSTS)
        if os.environ.get(name)
    }
    if host and given:
        hosts[host] = _from_environment(given)
    return Access(hosts)


def _login(entry: Mapping[str, Any], base: Path) -> Login:
    from propeller.sources.access import Login

    def file(name: str) -> Path | None:
        return base / str(entry[name]) if name in entry else None

    return Login(
        ssh_key=file("sshKey"),
        known_hosts=file("knownHosts"),
        username=str(entry.get("username", "")),
        token_file=file("tokenFile"),
        ca=file("ca"),
    )


def _from_environment(given: Mapping[str, str]) -> Login:
    from propeller.sources.access import Login

    def file(name: str) -> Path | None:
        return Path(given[name]) if name in given else None

    return Login(
        ssh_key=file(SSH_KEY),
        known_hosts=file(KNOWN_HOSTS),
        username=given.get(USERNAME, ""),
        token=given.get(TOKEN, ""),
        token_file=file(TOKEN_FILE),
    )


def _trust(fleet: Fleet, text: str, ref: str | None, *, git: bool) -> Trust:
    from propeller.sources.trust import Trust

    _not_judging_itself(fleet, text, ref, git=git)

    def file(name: str) -> Path | None:
        return Path(fleet.text(name)) if fleet.text(name) else None

    return Trust(
        verify=cast("Verify", _one_of(fleet, "git.verify", ("Disabled", "Head", "Range"))),
        history=cast("History", _one_of(fleet, "git.history", ("FastForward", "Any"))),
        allowed_signers=file("git.allowedSigners"),
        gpg_keys=file("git.gpgKeys"),
        trusted_commit=fleet.text("git.trustedCommit") or None,
    )


def _one_of(fleet: Fleet, name: str, words: tuple[str, ...]) -> str:
    """A word of the configuration; the environment is not checked by the schema."""
    value = fleet.values[name]
    if value.value not in words:
        raise UsageError(
            f"{name} must be one of {', '.join(words)}, not {value.value!r} ({value.origin})"
        )
    return value.value


def _not_judging_itself(fleet: Fleet, text: str, ref: str | None, *, git: bool) -> None:
    """Whoever may push must not be able to say whose pushes count."""
    if fleet.path is None:
        return
    said = [name for name in _TRUST if fleet.values[name].origin.startswith(f"{fleet.path}:")]
    address = _address(text, ref, git=git)
    if not said or address is None or not address.local:
        return
    from urllib.parse import unquote, urlsplit

    repository = Path(unquote(urlsplit(address.url).path)).resolve()
    if fleet.path.resolve().is_relative_to(repository):
        raise UsageError(
            f"{said[0]} stands in {fleet.path}, inside the repository it is about",
            hint="keep that file elsewhere and name it with --config or PROPELLER_CONFIG",
        )
