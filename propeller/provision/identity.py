"""Who says at the broker which connection is whose: the interface, and the one with certificates.

A fleet's folder (`folder`) has one. `Certificates` is an authority of our own and mosquitto, all in
the folder; `supermq` asks a SuperMQ or Magistrala. Another identity service needs these seven
answers and nothing else.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Protocol

from propeller.errors import UsageError
from propeller.provision.bundle import manager_settings, proplet_settings
from propeller.provision.mosquitto import MANAGER, Listener, access, configuration
from propeller.state.files import make_directory
from propeller.wire import certificates as x509
from propeller.wire.topics import Channel

if TYPE_CHECKING:
    from propeller.provision.folder import Folder
    from propeller.provision.record import Record

AUTHORITY_DAYS = 3650
RENEW_WITHIN = 0.25
"""A certificate is made anew in the last quarter of its life."""

_PRIVATE = 0o700
_LOCAL = ("localhost", "127.0.0.1", "::1")


class IdentityService(Protocol):
    """What a fleet's folder asks. Every answer may be asked for again and changes nothing right.

    Raises UsageError for what a person must mend, Unavailable for what may be tried again.
    """

    credential: str
    """The file of a device's bundle that goes first: a bundle without it was handed over."""

    def prepare(self, folder: Folder) -> None:
        """What must be there before anybody is admitted, and the manager's own credentials."""

    def admit(self, folder: Folder, devices: Sequence[str]) -> None:
        """Devices that were never admitted: their credentials in the folder and in the record."""

    def renew(self, folder: Folder, device: str, why: str) -> None:
        """Other credentials for a device that was admitted."""

    def complete(self, folder: Folder, device: str) -> None:
        """What else of the service a bundle needs."""

    def revoke(self, folder: Folder, device: str) -> None:
        """The device connects no more (the record says so already)."""

    def proplet_settings(self, record: Record, device: str) -> bytes:
        """`proplet.yaml` of a bundle."""

    def manager_settings(self, record: Record) -> bytes:
        """`propeller.yaml` of the manager."""


class Certificates:
    """Members are told apart by certificates of an authority in the folder; mosquitto has the list
    of who may do what."""

    credential = "cert.pem"

    def prepare(self, folder: Folder) -> None:
        """Authority, broker's files, manager's certificate."""
        folder.first_authority()
        self._server(folder)
        self._certificate(folder, "manager/cert", MANAGER, hosts=())
        folder.put("manager/ca.pem", folder.believed(), "who may sign the broker's certificate")

    def admit(self, folder: Folder, devices: Sequence[str]) -> None:
        """A certificate each."""
        for device in devices:
            self.renew(folder, device, "a new device")

    def renew(self, folder: Folder, device: str, why: str) -> None:
        """A new certificate with a new key for a device of which the folder is here."""
        private = x509.new_key()
        pem = folder.authority().issue(
            private.public_key(), name=device, now=folder.now, days=folder.record.days
        )
        folder.note_certificate(device, pem, kept=True)
        folder.put(f"devices/{device}/cert.key", x509.private_pem(private), why, mode=0o600)
        folder.put(f"devices/{device}/cert.pem", pem, why)

    def complete(self, folder: Folder, device: str) -> None:
        """Whom the device believes the broker's certificate of."""
        why = "who may sign the broker's certificate"
        folder.put(f"devices/{device}/ca.pem", folder.believed(), why)

    def revoke(self, folder: Folder, device: str) -> None:
        """The lists of the broker say it, which `prepare` writes."""

    def proplet_settings(self, record: Record, device: str) -> bytes:
        """Part of the interface."""
        return proplet_settings(record, device)

    def manager_settings(self, record: Record) -> bytes:
        """Part of the interface."""
        return manager_settings(record)

    # -- the broker's files ----------------------------------------------------------------------

    def _server(self, folder: Folder) -> None:
        hosts = [folder.record.host, *folder.record.hosts]
        if folder.record.host in _LOCAL:
            hosts += _LOCAL
        wanted = tuple(dict.fromkeys(hosts))
        self._certificate(folder, "broker/server", folder.record.host, hosts=wanted)
        folder.put("broker/ca.pem", folder.believed(), "who may sign devices' certificates")
        revoked = self._revocations(folder)
        here = (folder.path / "broker").absolute()
        place = PurePath(folder.record.broker_folder) if folder.record.broker_folder else here
        # Started by root it becomes user `mosquitto`, who cannot read what is private to us.
        store = PurePath("/var/lib/mosquitto") if folder.record.broker_folder else place / "store"
        if not folder.record.broker_folder and not folder.dry:
            make_directory(folder.path / "broker" / "store", mode=_PRIVATE)
        user = "" if folder.record.broker_folder else pwd.getpwuid(os.getuid()).pw_name
        address = folder.record.host if folder.record.host in ("127.0.0.1", "::1") else ""
        if folder.record.host == "localhost":
            address = "127.0.0.1"
        listener = Listener(
            address=address, port=folder.record.port, folder=place, store=store, user=user
        )
        conf = configuration(listener, revoked=revoked)
        folder.put("broker/mosquitto.conf", conf.encode(), "the broker's configuration")
        rights = access(
            Channel(folder.record.domain, folder.record.channel),
            revoked=folder.record.revoked_devices(),
            publish=folder.record.publish,
            hear=folder.record.hear,
        )
        folder.put("broker/acl", rights.encode(), "who may say and hear what", mode=0o600)

    def _revocations(self, folder: Folder) -> bool:
        """Write the lists, one an authority; whether there are any."""
        lists = []
        for one in folder.record.authorities:
            serials = folder.record.revoked(one)
            if serials:
                lists.append((one, serials))
        if not lists:
            return False
        said = "\n".join(f"{one} {sorted(serials.items())}" for one, serials in lists)
        if folder.same("broker/revoked.txt", said.encode()):
            return True
        made = b"".join(
            folder.authority(one).revocations(
                folder.record.revoked(one), now=folder.now, days=AUTHORITY_DAYS
            )
            # OpenSSL wants a list of every authority once it looks at lists at all.
            for one in folder.record.authorities
        )
        folder.put("broker/revoked.pem", made, "certificates that were taken back")
        folder.put("broker/revoked.txt", said.encode(), "the same for people")
        return True

    def _certificate(self, folder: Folder, stem: str, name: str, *, hosts: tuple[str, ...]) -> None:
        """`stem`.pem and .key, made anew where they do not say what they should."""
        pem, key = folder.path / f"{stem}.pem", folder.path / f"{stem}.key"
        why = self._stale(folder, pem, key, name=name, hosts=hosts)
        if not why:
            return
        private = x509.new_key()
        made = folder.authority().issue(
            private.public_key(), name=name, now=folder.now, days=folder.record.days, hosts=hosts
        )
        folder.put(f"{stem}.key", x509.private_pem(private), why, mode=0o600)
        folder.put(f"{stem}.pem", made, why)

    def _stale(
        self, folder: Folder, pem: Path, key: Path, *, name: str, hosts: tuple[str, ...]
    ) -> str:
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
        if found.issuer != folder.record.signing:
            return "another authority signs now"
        if found.name != name or set(found.hosts) != set(hosts):
            return f"it named {', '.join((found.name, *found.hosts))}"
        if folder.now > found.ends - (found.ends - found.begins) * RENEW_WITHIN:
            return "it ends soon"
        return ""
