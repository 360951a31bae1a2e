"""The fleet's keys on disk: made once, kept apart from the database, never replaced by accident.

`up`, `serve` and `reconcile --once` open this at start. Keys are not state (deleting the database
keeps them), and whether they were there before tells an empty fleet from a lost database. Layout:

    DIR/                      0700
      root.pem, root.pub      signs trust documents, nothing else; root.pem may be kept elsewhere
      root-p256.*             the same for devices that know only P-256
      manager.*, manager-p256.*, gateway.*
      trust.json, *.frame     the newest trust document, and as signed: its version must
                              outlive everything
      release.pub             signs release lists; its private half is never here
      releases.frame          the newest release list, as signed
      secrets.key             names and seals secret values; with another, what uses them runs anew
      devices/ID.pem, ID.pub  private keys of proplets that run on this machine
      devices/ID.box.*        the same for secrets that are sealed to them
      enrolled/ID.pub         public keys of devices enrolled from elsewhere, ID.box.pub for secrets

Private keys are PKCS#8 PEM (0600), public keys one line of text. A pair is replaced by removing its
files: the next `trust()` then has a higher version, without the old key.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from propeller.errors import Unavailable, UsageError, WireError
from propeller.wire.boxes import BoxKey, BoxPublic
from propeller.wire.codec import decode, encode
from propeller.wire.frame import open_frame, seal
from propeller.wire.keyring import Keyring, trusted
from propeller.wire.messages import Releases, Trust, TrustedKey
from propeller.wire.releases import read_releases
from propeller.wire.signing import ED25519, P256, SigningKey, VerifyKey
from propeller.wire.topics import is_id

_MAX_FILE = 64 * 1024
SECRETS_KEY = "secrets.key"
RELEASE_KEY, RELEASE_LIST = "release.pub", "releases.frame"


class Keys:
    """The keys in one directory, made as needed. Safe to open from several processes at once.

    created: whether this call made the fleet's root key, so that nothing of the fleet can be older.
    Raises Unavailable when the directory cannot be written, UsageError when a file in it is broken.
    """

    def __init__(self, directory: Path) -> None:
        self._dir = directory
        self.created = not self._path("root.pub").exists()
        for place in (directory, directory / "devices", directory / "enrolled"):
            _make_private(place)
        self._managers = (self._pair("manager", ED25519), self._pair("manager-p256", P256))
        self.gateway = self._pair("gateway", ED25519)
        if self.created:
            self._pair("root-p256", P256)
            self._pair("root", ED25519)  # last: root.pub says that all of them were made
        self._roots = (self._public("root"), self._public("root-p256"))

    # -- who signs ---------------------------------------------------------------------------
    @property
    def roots(self) -> tuple[VerifyKey, VerifyKey]:
        """The public keys a device is set up with, by algorithm: Ed25519, P-256."""
        return self._roots

    def root(self, alg: int = ED25519) -> SigningKey:
        """The offline root. Raises UsageError when its private half is kept elsewhere."""
        name = _named("root", alg)
        if not self._path(f"{name}.pem").exists():
            raise UsageError(
                f"{self._path(name)}.pem is not here, and the fleet's trust must be signed anew",
                hint="bring the root's private key for as long as this command runs",
            )
        return self._pair(name, alg)

    def manager(self, alg: int = ED25519) -> SigningKey:
        """What signs desired documents and operations for devices that know `alg`."""
        return self._managers[alg - 1]

    def device(self, proplet: str) -> SigningKey:
        """The key of a proplet on this machine, made at first use."""
        return self._pair(f"devices/{_checked(proplet)}", ED25519)

    # -- secrets -----------------------------------------------------------------------------
    def fleet_secret(self) -> bytes:
        """32 bytes that only this fleet's managers have, made at first use."""
        path = self._path(SECRETS_KEY)
        if not path.exists():
            _write(path, secrets.token_hex(32).encode("ascii") + b"\n", replace=False)
        return _fleet_secret(path)

    def device_box(self, proplet: str) -> BoxKey:
        """The encryption key of a proplet on this machine, made at first use."""
        name = f"devices/{_checked(proplet)}.box"
        path = self._path(f"{name}.pem")
        if not path.exists():
            _write(path, BoxKey.generate().to_pem(), replace=False)
        try:
            key = BoxKey.from_pem(_read(path))
        except WireError as error:
            raise UsageError(f"{path}: {error.what}") from error
        public = self._path(f"{name}.pub")
        line = key.public.text.encode("ascii") + b"\n"
        if not public.exists() or _read(public) != line:
            _write(public, line, replace=True)
        return key

    def enroll_box(self, proplet: str, key: BoxPublic) -> None:
        """Seal secrets for this device to `key` from now on."""
        path = self._path(f"enrolled/{_checked(proplet)}.box.pub")
        _write(path, key.text.encode("ascii") + b"\n", replace=True)

    def enrolled_box(self, proplet: str) -> BoxPublic | None:
        """The device's encryption key: enrolled, or that of its key on this machine."""
        for place in ("enrolled", "devices"):
            path = self._path(f"{place}/{_checked(proplet)}.box.pub")
            if path.exists():
                try:
                    return BoxPublic.parse(_read(path).decode("ascii").strip())
                except (WireError, UnicodeDecodeError) as error:
                    raise UsageError(f"{path}: not an encryption key: {error}") from error
        return None

    # -- whom to believe ---------------------------------------------------------------------
    def enroll(self, proplet: str, key: VerifyKey) -> None:
        """Believe `key` for this device from now on, in place of what was enrolled before."""
        path = self._path(f"enrolled/{_checked(proplet)}.pub")
        _write(path, key.text.encode("ascii") + b"\n", replace=True)

    def forget(self, proplet: str) -> None:
        """Believe no key of this device any more, and seal nothing to it."""
        for place in ("enrolled", "devices"):
            for end in ("pub", "box.pub", "pem", "box.pem"):
                self._path(f"{place}/{_checked(proplet)}.{end}").unlink(missing_ok=True)

    def enrolled(self, proplet: str) -> VerifyKey | None:
        """The device's public key: enrolled, or that of its key on this machine; None: unknown."""
        for place in ("enrolled", "devices"):
            name = f"{place}/{_checked(proplet)}"
            if self._path(f"{name}.pub").exists():
                return self._public(name)
        return None

    def enrolled_all(self) -> dict[str, VerifyKey]:
        """Every device with a key here, by id."""
        ids = {
            path.stem
            for place in ("devices", "enrolled")
            for path in (self._dir / place).glob("*.pub")
            if is_id(path.stem)
        }
        found = {proplet: self.enrolled(proplet) for proplet in sorted(ids)}
        return {proplet: key for proplet, key in found.items() if key is not None}

    def ring_of(self, proplet: str) -> Keyring:
        """What opens the frames of one device; empty when it has no key here."""
        key = self.enrolled(proplet)
        return Keyring() if key is None else Keyring.of_device(key)

    # -- the trust document ------------------------------------------------------------------
    def trust(self) -> Trust:
        """The trust document of the keys as they are: the last one, or one with a higher version
        if the keys changed since. Version 1 is the first."""
        keys: tuple[TrustedKey, ...] = (
            trusted(self._managers[0].public, "manager"),
            trusted(self._managers[1].public, "manager"),
            trusted(self.gateway.public, "gateway"),
        )
        if self._path(RELEASE_KEY).exists():
            keys = (*keys, trusted(self._public("release"), "release"))
        last = self._last_trust()
        if last is not None and _same(last.keys, keys):
            return last
        self.root()  # a new document that nobody could sign must not take a version
        fresh = Trust(version=1 if last is None else last.version + 1, keys=keys)
        _write(self._path("trust.json"), encode(fresh) + b"\n", replace=True)
        return fresh

    def trust_frame(self, alg: int = ED25519) -> bytes:
        """`trust()` signed by the root of that algorithm, as it is published."""
        kept = self._path(f"{_named('trust', alg)}.frame")
        body = encode(self.trust())
        if kept.exists():
            try:
                opened = open_frame("trust", _read(kept), Keyring.of_roots(*self._roots))
            except WireError:
                opened = None  # by a root that was replaced since
            if opened is not None and opened.body == body:
                return _read(kept)
        frame = seal("trust", body, self.root(alg))
        _write(kept, frame, replace=True)
        return frame

    # -- which modules exist -----------------------------------------------------------------
    def release_key(self) -> VerifyKey | None:
        """What signs release lists; None where any module may be started."""
        return self._public("release") if self._path(RELEASE_KEY).exists() else None

    def releases(self) -> tuple[bytes, Releases | None]:
        """The newest release list, as it is published and as data; none before the first."""
        key, path = self.release_key(), self._path(RELEASE_LIST)
        if key is None or not path.exists():
            return b"", None
        frame = _read(path)
        return frame, read_releases(frame, key, where=str(path))

    def require_releases(self, key: VerifyKey, frame: bytes) -> Releases:
        """From now on only what `key` lists exists; the root says so in a new trust document.

        frame: the list to begin with. Raises UsageError when it is none of that key's, or when the
        root's private half is not here.
        """
        first = read_releases(frame, key, where="the release list")
        self.root()
        self.root(P256)
        _write(self._path(RELEASE_LIST), frame, replace=True)
        _write(self._path(RELEASE_KEY), key.text.encode("ascii") + b"\n", replace=True)
        for alg in (ED25519, P256):
            self.trust_frame(alg)
        return first

    def take_releases(self, frame: bytes) -> Releases:
        """Carry this list from now on. Raises UsageError for one that is not newer, or not good."""
        key = self.release_key()
        if key is None:
            raise UsageError(
                f"{self._dir}: no key signs release lists here",
                hint="`propeller release require` begins it",
            )
        fresh, (held, last) = read_releases(frame, key, where="the release list"), self.releases()
        if last is not None and (fresh.version < last.version or held == frame):
            raise UsageError(
                f"release list {fresh.version} is not newer than {last.version}, which is carried",
                hint="devices refuse to go back; add to the newest list",
            )
        if last is not None and fresh.version == last.version:
            raise UsageError(f"another release list {fresh.version} is carried already")
        _write(self._path(RELEASE_LIST), frame, replace=True)
        return fresh

    def _last_trust(self) -> Trust | None:
        path = self._path("trust.json")
        if not path.exists():
            return None
        try:
            return decode(Trust, _read(path))
        except WireError as error:
            raise UsageError(f"{path}: {error.what}", hint="restore it from a backup") from error

    # -- files -------------------------------------------------------------------------------
    def _path(self, name: str) -> Path:
        return self._dir / name

    def _pair(self, name: str, alg: int) -> SigningKey:
        path = self._path(f"{name}.pem")
        if not path.exists():
            _write(path, SigningKey.generate(alg).to_pem(), replace=False)
        try:
            key = SigningKey.from_pem(_read(path))
        except WireError as error:
            raise UsageError(f"{path}: {error.what}") from error
        if key.alg != alg:
            raise UsageError(f"{path}: a key of the wrong algorithm")
        public = self._path(f"{name}.pub")
        line = key.public.text.encode("ascii") + b"\n"
        if not public.exists() or _read(public) != line:
            _write(public, line, replace=True)
        return key

    def _public(self, name: str) -> VerifyKey:
        path = self._path(f"{name}.pub")
        try:
            return VerifyKey.parse(_read(path).decode("ascii").strip())
        except (WireError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: not a public key: {error}") from error


def peek_fleet_secret(directory: Path) -> bytes | None:
    """What `Keys(directory).fleet_secret()` gives, without making anything; None before it is."""
    path = directory / SECRETS_KEY
    return _fleet_secret(path) if path.exists() else None


def _fleet_secret(path: Path) -> bytes:
    try:
        data = bytes.fromhex(_read(path).decode("ascii").strip())
    except ValueError:
        data = b""
    if len(data) != 32:
        raise UsageError(f"{path}: not 64 hex digits", hint="restore it from a backup")
    return data


def _named(name: str, alg: int) -> str:
    return name if alg == ED25519 else f"{name}-p256"


def _same(left: Sequence[TrustedKey], right: Sequence[TrustedKey]) -> bool:
    return sorted(left, key=lambda one: one.kid) == sorted(right, key=lambda one: one.kid)


def _checked(proplet: str) -> str:
    if not is_id(proplet):
        raise UsageError(f"{proplet!r} is not a proplet id: letters, digits, _ and -, at most 64")
    return proplet


def _make_private(place: Path) -> None:
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"{place}: cannot make the key directory: {error}") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE)
    except OSError as error:
        raise Unavailable(f"{path}: cannot read: {error}") from error


def _write(path: Path, data: bytes, *, replace: bool) -> None:
    """All of it or none, durable, 0600. Without `replace`, whoever was first wins."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                draft.replace(path)
            else:
                _link_first(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        _sync_directory(path.parent)
    except OSError as error:
        raise Unavailable(f"{path}: cannot write: {error}") from error


def _link_first(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        return  # another process made it in between: its key is the key
    except PermissionError:  # a file system without hard links
        if not path.exists():
            draft.replace(path)


def _sync_directory(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
