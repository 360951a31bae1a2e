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
import pwd
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from propeller.errors import Unavailable, UsageError
from propeller.provision.authority import Authority
from propeller.provision.bundle import manager_settings, proplet_settings
from propeller.provision.mosquitto import MANAGER, Listener, access, configuration
from propeller.provision.record import Issued, Record, read_record, text_of, write_record
from propeller.state.files import make_directory, replace_file
from propeller.state.keys import Keys
from propeller.wire import certificates as x509
from propeller.wire.topics import Channel, is_id

DAY_S = 86_400
AUTHORITY_DAYS = 3650
RENEW_WITHIN = 0.25
"""A certificate is made anew in the last quarter of its life."""

_PRIVATE = 0o700
_LOCK_S = 30
_LOCAL = ("localhost", "127.0.0.1", "::1")


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

    record: as it is by now. changes: what was made so far.
    """

    path: Path
    record: Record
    now: int
    dry: bool = False
    changes: list[Change] = field(default_factory=list)
    _loaded: dict[str, Authority] = field(default_factory=dict)
    _keys: Keys | None = None

    # -- everything that stands in the folder ----------------------------------------------------
    def settle(self) -> None:
        """Authority, broker, manager, keys, and each device's own files. Raises UsageError,
        Unavailable."""
        self._authority()
        self._server()
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
            self._put(f"ca/{made.id}.key", made.key_pem, why, mode=0o600)
        self._put(f"ca/{made.id}.pem", made.pem, why)
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

    def _authority(self) -> None:
        if not self.record.authorities:
            name = f"Propeller {self.record.domain}/{self.record.channel}"
            made = Authority.make(name, now=self.now, days=AUTHORITY_DAYS)
            self.add_authority(made, "a certificate authority for this fleet")

    # -- broker and manager ----------------------------------------------------------------------
    def _server(self) -> None:
        hosts = [self.record.host, *self.record.hosts]
        if self.record.host in _LOCAL:
            hosts += _LOCAL
        wanted = tuple(dict.fromkeys(hosts))
        self._certificate("broker/server", self.record.host, hosts=wanted)
        self._put("broker/ca.pem", self.believed(), "who may sign devices' certificates")
        revoked = self._revocations()
        here = (self.path / "broker").absolute()
        folder = PurePath(self.record.broker_folder) if self.record.broker_folder else here
        # Started by root it becomes user `mosquitto`, who cannot read what is private to us.
        store = PurePath("/var/lib/mosquitto") if self.record.broker_folder else folder / "store"
        if not self.record.broker_folder and not self.dry:
            make_directory(self.path / "broker" / "store", mode=_PRIVATE)
        user = "" if self.record.broker_folder else pwd.getpwuid(os.getuid()).pw_name
        address = self.record.host if self.record.host in ("127.0.0.1", "::1") else ""
        if self.record.host == "localhost":
            address = "127.0.0.1"
        listener = Listener(
            address=address, port=self.record.port, folder=folder, store=store, user=user
        )
        conf = configuration(listener, revoked=revoked)
        self._put("broker/mosquitto.conf", conf.encode(), "the broker's configuration")
        rights = access(
            Channel(self.record.domain, self.record.channel),
            revoked=self.record.revoked_devices(),
        )
        self._put("broker/acl", rights.encode(), "who may say and hear what", mode=0o600)

    def _revocations(self) -> bool:
        """Write the lists, one an authority; whether there are any."""
        lists = []
        for one in self.record.authorities:
            serials = self.record.revoked(one)
            if serials:
                lists.append((one, serials))
        if not lists:
            return False
        said = "\n".join(f"{one} {sorted(serials.items())}" for one, serials in lists)
        if self._same("broker/revoked.txt", said.encode()):
            return True
        made = b"".join(
            self.authority(one).revocations(
                self.record.revoked(one), now=self.now, days=AUTHORITY_DAYS
            )
            # OpenSSL wants a list of every authority once it looks at lists at all.
            for one in self.record.authorities
        )
        self._put("broker/revoked.pem", made, "certificates that were taken back")
        self._put("broker/revoked.txt", said.encode(), "the same for people")
        return True

    def _manager(self) -> None:
        self._certificate("manager/cert", MANAGER, hosts=())
        self._put("manager/ca.pem", self.believed(), "who may sign the broker's certificate")
        self._put("manager/propeller.yaml", manager_settings(self.record), "the manager's way")
        if not self.dry:
            keys = self.keys()
            keys.trust()
            if keys.created:
                self.changes.append(Change("keys", "what signs documents for this fleet"))

    def _certificate(self, stem: str, name: str, *, hosts: tuple[str, ...]) -> None:
        """`stem`.pem and .key, made anew where they do not say what they should."""
        pem, key = self.path / f"{stem}.pem", self.path / f"{stem}.key"
        why = self._stale(pem, key, name=name, hosts=hosts)
        if not why:
            return
        private = x509.new_key()
        made = self.authority().issue(
            private.public_key(), name=name, now=self.now, days=self.record.days, hosts=hosts
        )
        self._put(f"{stem}.key", x509.private_pem(private), why, mode=0o600)
        self._put(f"{stem}.pem", made, why)

    def _stale(self, pem: Path, key: Path, *, name: str, hosts: tuple[str, ...]) -> str:
        """Why a certificate must be made anew; "" when it is right."""
        if not pem.exists() or not key.exists():
            return f"a certificate for {name}"
        try:
            found = x509.facts(pem.read_bytes(), where=str(pem))
            private = x509.private_key(key.read_bytes(), where=str(key))
        except UsageError as error:
            return f"it cannot be read ({error.what})"
        if x509.key_digest(private.public_key()) != found.key:
            return "its key is another one's"
        if found.issuer != self.record.signing:
            return "another authority signs now"
        if found.name != name or set(found.hosts) != set(hosts):
            return f"it named {', '.join((found.name, *found.hosts))}"
        if self.now > found.ends - (found.ends - found.begins) * RENEW_WITHIN:
            return "it ends soon"
        return ""

    # -- devices ---------------------------------------------------------------------------------
    def enroll(self, devices: Iterable[str]) -> None:
        """Certificates, keys and a folder for devices that never had any. Raises UsageError."""
        for device in sorted(set(devices)):
            check_id(device)
            if device not in self.record.devices:
                self.renew(device, "a new device")

    def renew(self, device: str, why: str) -> None:
        """A new certificate with a new key for a device of which the folder is here."""
        private = x509.new_key()
        pem = self.authority().issue(
            private.public_key(), name=device, now=self.now, days=self.record.days
        )
        self._note(device, pem, kept=True)
        self._put(f"devices/{device}/cert.key", x509.private_pem(private), why, mode=0o600)
        self._put(f"devices/{device}/cert.pem", pem, why)

    def sign(self, device: str, csr: bytes) -> bytes:
        """A certificate for the key of a device's own request. Raises UsageError."""
        public = x509.requested_key(csr)
        pem = self.authority().issue(public, name=device, now=self.now, days=self.record.days)
        self._note(device, pem, kept=False)
        return pem

    def revoke(self, device: str) -> None:
        """Take back every certificate of a device. Raises UsageError when it has none."""
        held = self.record.devices.get(device, ())
        if not held:
            raise UsageError(f"{device} was never given a certificate")
        taken = tuple(one if one.revoked else replace(one, revoked=self.now) for one in held)
        self.record = replace(self.record, devices={**self.record.devices, device: taken})
        if not self.dry:
            self.keys().forget(device)
        self.changes.append(Change(f"devices/{device}", "its certificates are taken back"))

    def _note(self, device: str, pem: bytes, *, kept: bool) -> None:
        found = x509.facts(pem, where=device)
        issued = Issued(
            serial=found.serial, issuer=found.issuer, key=found.key, ends=found.ends, kept=kept
        )
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
        if not (self.path / place / "cert.pem").exists() and not self.dry:
            return  # handed over
        self._put(f"{place}/ca.pem", self.believed(), "who may sign the broker's certificate")
        self._put(f"{place}/proplet.yaml", proplet_settings(self.record, device), "its settings")
        if self.dry:
            return
        keys = self.keys()
        signing = keys.device(device)
        self._put(f"{place}/root.pub", _line(keys.roots[0].text), "what it believes")
        self._put(f"{place}/device.pem", signing.to_pem(), "its identity", mode=0o600)
        box = keys.device_box(device)
        self._put(f"{place}/box.pem", box.to_pem(), "what its secrets are sealed to", mode=0o600)

    # -- files -----------------------------------------------------------------------------------
    def _same(self, name: str, data: bytes) -> bool:
        path = self.path / name
        return path.exists() and path.read_bytes() == data

    def _put(self, name: str, data: bytes, why: str, *, mode: int = 0o644) -> None:
        if self._same(name, data):
            return
        if not self.dry:
            path = self.path / name
            make_directory(path.parent, mode=_PRIVATE)
            replace_file(path, data, mode=mode)
        self.changes.append(Change(name, why))


@contextlib.contextmanager
def opened(
    path: Path, now: int, *, dry: bool = False, new: Record | None = None
) -> Iterator[Folder]:
    """One run over the folder at `path`, alone: another one waits its turn.

    new: the record of a folder that is none yet. Raises UsageError where there is no fleet,
    Unavailable when another run does not end.
    """
    record = read_record(path) or new
    if record is None:
        raise UsageError(f"no fleet in {path}", hint="`propeller provision fleet` sets one up")
    if dry:
        yield Folder(path, record, now, dry=True)
        return
    make_directory(path, mode=_PRIVATE)
    handle = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(handle, path)
        yield Folder(path, read_record(path) or record, now)
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
