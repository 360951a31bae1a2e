"""Who signed a commit, by keys that were named and by no others.

`trust` asks. git does the checking (`verify-commit --raw`), with an allowed-signers file for SSH
signatures and a keyring made for the occasion for OpenPGP ones; the user's own keys count nowhere.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from propeller.errors import Unavailable
from propeller.sources.gitcli import Git
from propeller.sources.nodes import printable

_GOOD_SSH = re.compile(r'Good "git" signature for (.+) with (\S+) key (SHA256:\S+)\Z')
_SOME_SSH = re.compile(r'Good "git" signature with (\S+) key (SHA256:\S+)\Z')
_GNUPG: Final = "[GNUPG:] "
_GPG_CONF: Final = (
    "batch\nno-autostart\nno-greeting\nno-auto-check-trustdb\nno-auto-key-retrieve\n"
    "no-auto-key-import\ndisable-dirmngr\ntrust-model always\n"
)
_GPG_TROUBLE: Final = {
    "EXPSIG": "by {who}, but the signature has expired",
    "EXPKEYSIG": "by {who}, whose key has expired",
    "REVKEYSIG": "by {who}, whose key was revoked",
    "BADSIG": "in the name of {who}, but the signature does not fit the commit",
}


@dataclass(frozen=True, slots=True)
class Signed:
    """A good signature. signer: name and key, for people."""

    signer: str


@dataclass(frozen=True, slots=True)
class NotSigned:
    """Why there is no good one, as the end of "commit X by Y is ..."."""

    words: str


class Keys:
    """The keys that count, ready to check with. `ring`: a GNUPGHOME, None without GPG keys."""

    def __init__(self, allowed_signers: Path | None, gpg_keys: Path | None, ring: Path | None):
        self.allowed_signers = allowed_signers
        self.gpg_keys = gpg_keys
        self.ring = ring

    def check(self, git: Git, mirror: Path, commit: str) -> Signed | NotSigned:
        """What the signature of `commit` says. Raises Unavailable when it cannot be looked at."""
        raw = git.run("cat-file", "commit", commit, repository=mirror)
        head = raw.partition(b"\n\n")[0]
        found = re.search(rb"^gpgsig(?:-sha256)? -----BEGIN (\S+) ", head, re.MULTILINE)
        if found is None:
            return NotSigned("not signed")
        match found[1]:
            case b"SSH":
                return self._ssh(git, mirror, commit)
            case b"PGP":
                return self._gpg(git, mirror, commit)
            case other:
                kind = printable(other.decode("utf-8", "replace")[:20])
                return NotSigned(f"signed in a way that is not taken ({kind}); use SSH or OpenPGP")

    def _ssh(self, git: Git, mirror: Path, commit: str) -> Signed | NotSigned:
        if self.allowed_signers is None:
            return NotSigned("signed with an SSH key, and git.allowedSigners names no signers")
        said, code = self._verify(git, mirror, commit)
        for line in said:
            good = _GOOD_SSH.match(line)
            if good is not None and code == 0:
                return Signed(f"{printable(good[1])} {good[3]}")
            some = _SOME_SSH.match(line)
            if some is not None:
                return NotSigned(
                    f"signed by the key {some[2]}, which is not among the allowed signers of"
                    f" {self.allowed_signers} (for the time of the commit)"
                )
        return NotSigned(
            f"signed, but the signature does not fit the commit ({printable(_last(said))})"
        )

    def _gpg(self, git: Git, mirror: Path, commit: str) -> Signed | NotSigned:
        if self.gpg_keys is None or self.ring is None:
            return NotSigned("signed with an OpenPGP key, and git.gpgKeys names no keys")
        said, code = self._verify(git, mirror, commit)
        status: dict[str, list[str]] = {}
        for line in said:
            if line.startswith(_GNUPG):
                word, *rest = line.removeprefix(_GNUPG).split(" ")
                status.setdefault(word, rest)
        for word, words in _GPG_TROUBLE.items():
            if word in status:
                who = printable(" ".join(status[word][1:]) or status[word][0])
                return NotSigned("signed " + words.format(who=who))
        good, valid = status.get("GOODSIG"), status.get("VALIDSIG")
        if code == 0 and good and valid:
            return Signed(f"{printable(' '.join(good[1:]))} {printable(valid[-1])}")
        if "NO_PUBKEY" in status:
            key = printable(status["NO_PUBKEY"][0])
            return NotSigned(
                f"signed by the key {key}, which is not among those of {self.gpg_keys}"
            )
        return NotSigned(f"signed, but the signature cannot be verified ({printable(_last(said))})")

    def _verify(self, git: Git, mirror: Path, commit: str) -> tuple[list[str], int]:
        settings = ["gpg.minTrustLevel=undefined", "gpg.program=gpg", "gpg.x509.program=false"]
        if self.allowed_signers is not None:
            settings.append(f"gpg.ssh.allowedSignersFile={self.allowed_signers.absolute()}")
        answer = git.ask(
            "verify-commit",
            "--raw",
            commit,
            repository=mirror,
            settings=settings,
            extra={"GNUPGHOME": str(self.ring)} if self.ring is not None else {},
        )
        for program, needs in (("gpg", "gnupg"), ("ssh-keygen", "openssh-client")):
            if f"cannot run {program}" in answer.said:
                raise Unavailable(
                    f"a signature cannot be looked at: there is no {program}",
                    hint=f"install {needs}",
                )
        return answer.said.splitlines(), answer.code


@contextlib.contextmanager
def keys(allowed_signers: Path | None, gpg_keys: Path | None, *, path: str) -> Iterator[Keys]:
    """The keys of these files, for as long as the block lasts. Raises Unavailable.

    allowed_signers: as of ssh-keygen. gpg_keys: public keys, armored or not.
    path: where programs are looked for.
    """
    for file in (allowed_signers, gpg_keys):
        if file is not None and not file.is_file():
            raise Unavailable(f"{file}: no such file", hint="it names whose commits are taken")
    if gpg_keys is None:
        yield Keys(allowed_signers, None, None)
        return
    with tempfile.TemporaryDirectory(prefix="propeller-keys-") as folder:
        ring = Path(folder)
        (ring / "gpg.conf").write_text(_GPG_CONF, encoding="utf-8")
        _import(ring, gpg_keys, path)
        yield Keys(allowed_signers, gpg_keys, ring)


def _import(ring: Path, gpg_keys: Path, path: str) -> None:
    try:
        done = subprocess.run(
            ["gpg", "--homedir", str(ring), "--quiet", "--import", str(gpg_keys.absolute())],
            capture_output=True,
            timeout=60,
            check=False,
            env={"PATH": path, "LC_ALL": "C", "HOME": str(ring)},
        )
    except OSError as error:
        raise Unavailable(
            f"gpg cannot be started: {error.strerror}", hint="install gnupg"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"gpg takes too long to read {gpg_keys}") from error
    if done.returncode != 0:
        words = _last(done.stderr.decode("utf-8", "replace").splitlines())
        raise Unavailable(f"{gpg_keys}: gpg cannot read it: {printable(words)}")


def _last(said: list[str]) -> str:
    lines = [line for line in said if line.strip() and not line.startswith(_GNUPG)]
    return lines[-1].strip()[:200] if lines else "no reason given"
