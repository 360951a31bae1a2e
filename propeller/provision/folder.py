"""The folder of a fleet, brought to what its record says. Running it again changes nothing right.

    DIR/
      fleet.json            what was set up, issued and taken back
      ca/ID.pem, ID.key     an authority by its key identifier; the key may be kept elsewhere
      broker/               ca.pem server.pem server.key revoked.pem acl mosquitto.conf
      manager/              propeller.yaml ca.pem cert.pem cert.key
      keys/                 what signs documents (see state.keys); devices' public keys
      devices/ID/           what a device is handed: proplet.yaml, certificate, keys, root.pub

A device's folder may be removed once it was handed over: it is not made again unless asked for.
Every file is written whole or not at all, and the record last: a crash leaves at worst a
certificate that nobody knows of and nobody has.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from propeller.errors import Unavailable, UsageError
from propeller.provision.authority import Authority
from propeller.provision.identity import AUTHORITY_DAYS, Certificates, IdentityService
from propeller.provision.mosquitto import MANAGER
from propeller.provision.record import Issued, Record, read_record, text_of, write_record
from propeller.state.files import make_directory, replace_file
from propeller.state.keys import Keys
from propeller.wire import certificates as x509
from propeller.wire.topics import is_id

DAY_S = 86_400
_PRIVATE = 0o700
_LOCK_S = 30


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was (or would be) made: a path below the folder, and why."""

    path: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


@dataclass(slots=True)
class Folder:
    """One run over the folder. now: Unix seconds. dry: nothing is written.

    record: as it is by now. identity: who knows members at the broker. changes: what was made so
    far.
    """

    path: Path
    record: Record
    now: int
    dry: bool = False
    identity: IdentityService = field(default_factory=Certificates)
    changes: list[Change] = field(default_factory=list)
    _loaded: dict[str, Authority] = field(default_factory=dict)
    _keys: Keys | None = None

    # -- everything that stands in the folder ----------------------------------------------------
    def settle(self) -> None:
        """Authority, broker, manager, keys, and each device's own files. Raises UsageError,
        Unavailable."""
        self.identity.prepare(self)
        self._manager()
        for device in sorted(self.record.devices):
            self._bundle(device)
        self.remember()

    def remember(self) -> None:
        """Keep the record, if it says something new."""
        path = self.path / "fleet.json"
        if self.dry or (path.exists() and path.read_bytes() == text_of(self.record)):
            return
        write_record(self.path, self.record)

    def keys(self) -> Keys:
        """What signs documents, and whom it believes."""
        if self._keys is None:
            self._keys = Keys(self.path / "keys")
        return self._keys

    # -- authorities -----------------------------------------------------------------------------
    def add_authority(self, made: Authority, why: str, *, key: bool = True) -> None:
        """Believe `made` from now on; it does not sign yet unless it is the first."""
        self._loaded[made.id] = made
        if key:
            self.put(f"ca/{made.id}.key", made.key_pem, why, mode=0o600)
        self.put(f"ca/{made.id}.pem", made.pem, why)
        signing = self.record.signing or made.id
        known = (*self.record.authorities, made.id)
        self.record = replace(self.record, authorities=known, signing=signing)

    def authority(self, identifier: str = "") -> Authority:
        """One of ours with its key, the one that signs unless said otherwise. Raises UsageError
        when its key is kept elsewhere."""
        wanted = identifier or self.record.signing
        if wanted not in self._loaded:
            path = self.path / "ca" / f"{wanted}.key"
            if not path.exists():
                raise UsageError(
                    f"{path} is not here, and a certificate must be signed",
                    hint="bring it back for as long as this command runs",
                )
            pem = (self.path / "ca" / f"{wanted}.pem").read_bytes()
            self._loaded[wanted] = Authority.load(pem, path.read_bytes(), where=str(path))
        return self._loaded[wanted]

    def believed(self) -> bytes:
        """The certificates of every authority that counts, the signing one first."""
        order = sorted(self.record.authorities, key=lambda one: one != self.record.signing)
        return b"".join(self._authority_pem(one) for one in order)

    def _authority_pem(self, identifier: str) -> bytes:
        if identifier in self._loaded:
            return self._loaded[identifier].pem
        try:
            return (self.path / "ca" / f"{identifier}.pem").read_bytes()
        except OSError as error:
            raise UsageError(f"ca/{identifier}.pem: {error.strerror}") from error

    def first_authority(self) -> None:
        """Make one where there is none."""
        if not self.record.authorities:
            name = f"Propeller {self.record.domain}/{self.record.channel}"
            made = Authority.make(name, now=self.now, days=AUTHORITY_DAYS)
            self.add_authority(made, "a certificate authority for this fleet")

    # -- manager ---------------------------------------------------------------------------------
    def _manager(self) -> None:
        settings = self.identity.manager_settings(self.record)
        self.put("manager/propeller.yaml", settings, "the manager's way")
        if not self.dry:
            keys = self.keys()
            keys.trust()
            if keys.created:
                self.changes.append(Change("keys", "what signs documents for this fleet"))

    # -- devices ---------------------------------------------------------------------------------
    def enroll(self, devices: Iterable[str]) -> None:
        """Certificates, keys and a folder for devices that never had any. Raises UsageError."""
        new = sorted(set(devices) - set(self.record.devices))
        for device in new:
            check_id(device)
        self.identity.admit(self, new)

    def renew(self, device: str, why: str) -> None:
        """New credentials for a device of which the folder is here. Raises UsageError."""
        self.identity.renew(self, device, why)

    def sign(self, device: str, csr: bytes) -> bytes:
        """A certificate for the key of a device's own request. Raises UsageError."""
        public = x509.requested_key(csr)
        pem = self.authority().issue(public, name=device, now=self.now, days=self.record.days)
        self.note_certificate(device, pem, kept=False)
        return pem

    def revoke(self, device: str) -> None:
        """Take back every certificate of a device. Raises UsageError when it has none."""
        held = self.record.devices.get(device, ())
        if not held:
            raise UsageError(f"{device} was never given a certificate")
        taken = tuple(one if one.revoked else replace(one, revoked=self.now) for one in held)
        self.record = replace(self.record, devices={**self.record.devices, device: taken})
        self.identity.revoke(self, device)
        if not self.dry:
            self.keys().forget(device)
        self.changes.append(Change(f"devices/{device}", "its certificates are taken back"))

    def note_certificate(self, device: str, pem: bytes, *, kept: bool) -> None:
        """Remember a certificate that was made for a device."""
        found = x509.facts(pem, where=device)
        self.note(
            device,
            Issued(
                serial=found.serial, issuer=found.issuer, key=found.key, ends=found.ends, kept=kept
            ),
        )

    def note(self, device: str, issued: Issued) -> None:
        """Remember what a device was given; what ended before goes."""
        before = tuple(
            one for one in self.record.devices.get(device, ()) if one.ends > self.now or one.revoked
        )
        devices = {**self.record.devices, device: (*before, issued)}
        self.record = replace(self.record, devices=devices)

    def _bundle(self, device: str) -> None:
        """The files beside a device's certificate, while its folder is here."""
        place = f"devices/{device}"
        current = self.record.current(device)
        if current is None or not current.kept:
            return
        if not (self.path / place / self.identity.credential).exists() and not self.dry:
            return  # handed over
        self.identity.complete(self, device)
        settings = self.identity.proplet_settings(self.record, device)
        self.put(f"{place}/proplet.yaml", settings, "its settings")
        if self.dry:
            return
        keys = self.keys()
        signing = keys.device(device)
        self.put(f"{place}/root.pub", _line(keys.roots[0].text), "what it believes")
        self.put(f"{place}/device.pem", signing.to_pem(), "its identity", mode=0o600)
        box = keys.device_box(device)
        self.put(f"{place}/box.pem", box.to_pem(), "what its secrets are sealed to", mode=0o600)

    # -- files -----------------------------------------------------------------------------------
    def same(self, name: str, data: bytes) -> bool:
        """Whether the file has these bytes already."""
        path = self.path / name
        return path.exists() and path.read_bytes() == data

    def put(self, name: str, data: bytes, why: str, *, mode: int = 0o644) -> None:
        """Write a file below the folder, if it says something else, and note why."""
        if self.same(name, data):
            return
        if not self.dry:
            path = self.path / name
            make_directory(path.parent, mode=_PRIVATE)
            replace_file(path, data, mode=mode)
        self.changes.append(Change(name, why))


@contextlib.contextmanager
def opened(
    path: Path,
    now: int,
    *,
    dry: bool = False,
    new: Record | None = None,
    identity: IdentityService | None = None,
) -> Iterator[Folder]:
    """One run over the folder at `path`, alone: another one waits its turn.

    new: the record of a folder that is none yet. identity: who knows its members at the broker
    (certificates, when nobody is named). Raises UsageError where there is no fleet,
    Unavailable when another run does not end.
    """
    identity = identity or Certificates()
    record = read_record(path) or new
    if record is None:
        raise UsageError(f"no fleet in {path}", hint="`propeller provision fleet` sets one up")
    if dry:
        yield Folder(path, record, now, dry=True, identity=identity)
        return
    make_directory(path, mode=_PRIVATE)
    handle = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(handle, path)
        yield Folder(path, read_record(path) or record, now, identity=identity)
    finally:
        os.close(handle)


def _lock(handle: int, path: Path) -> None:
    until = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise Unavailable(
                    f"{path}: another `propeller provision` is at work", hint="try again later"
                ) from None
            time.sleep(0.05)
        else:
            return


def check_id(device: str) -> None:
    """Raises UsageError for what cannot name a device."""
    if not is_id(device):
        raise UsageError(
            f"{device!r} is not a proplet id", hint="letters, digits, _ and -, at most 64"
        )
    if device == MANAGER:
        raise UsageError(f"{MANAGER} is the manager's own name")


def _line(text: str) -> bytes:
    return text.encode("ascii") + b"\n"
