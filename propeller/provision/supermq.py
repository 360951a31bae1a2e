"""Members known to SuperMQ or Magistrala: domain, channel, clients and their connections.

The fleet's topics are `m/{domain}/c/{channel}/...` with the ids given there. A member's user is the
id of its client, its password the client's key, which is made here and lies in the bundle. All
clients of a channel may use all of it: what keeps devices apart is what they sign, see
docs/how-to/supermq.md.

A key is on disk before its client is made. Asked again after a crash, a client of ours whose key
lies here is given that key once more; one that is not ours is left alone, unless told to adopt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from propeller.errors import UsageError
from propeller.provision.bundle import member_manager_settings, member_settings
from propeller.provision.mosquitto import MANAGER
from propeller.provision.record import Issued, Record, SuperMq
from propeller.provision.supermq_api import SuperMqApi

if TYPE_CHECKING:
    from propeller.provision.folder import Folder

NEVER = 32_503_680_000
"""The end of what does not end: the year 3000, in Unix seconds."""


class SuperMqMembers:
    """An IdentityService. new_secret: a fresh key of a client.

    adopt: clients that bear the name of a member and are not ours are given a new key and become
    ours.
    """

    credential = "password"

    def __init__(
        self, api: SuperMqApi, *, new_secret: Callable[[], str], adopt: bool = False
    ) -> None:
        self._api = api
        self._new_secret = new_secret
        self._adopt = adopt
        self._known: dict[str, str] | None = None

    def prepare(self, folder: Folder) -> None:
        """Domain, channel, and the manager's client."""
        where = _where(folder.record)
        domain = self._api.domain(where.domain)
        if domain is None:
            self._say(folder, f"domain {where.domain}", "a domain for this fleet")
            if folder.dry:
                return
            domain = self._api.make_domain(where.domain)
        channel = self._api.channel(domain, where.channel)
        if channel is None:
            self._say(folder, f"channel {where.channel}", "a channel for this fleet")
            if folder.dry:
                return
            channel = self._api.make_channel(domain, where.channel)
        ids = (domain, channel)
        if where.manager and ids != (folder.record.domain, folder.record.channel):
            raise UsageError(
                f"the domain {where.domain} or its channel {where.channel} is another one now",
                hint="names and runs depend on their ids; set another fleet up in another folder",
            )
        folder.record = replace(folder.record, domain=domain, channel=channel)
        if where.tls:
            pem = (folder.path / "broker" / "ca.pem").read_bytes()
            folder.put("manager/ca.pem", pem, "who may sign the broker's certificate")
        if not where.manager or not self._has(folder, "manager"):
            client = self._members(folder, {MANAGER: "manager"}).get(MANAGER, "")
            folder.record = replace(folder.record, supermq=replace(where, manager=client))
        self._connect(folder)

    def admit(self, folder: Folder, devices: Sequence[str]) -> None:
        """A client each, with a key that lies in its bundle."""
        if not devices:
            return
        made = self._members(folder, {device: f"devices/{device}" for device in devices})
        for device, client in made.items():
            self._note(folder, device, client)
        self._connect(folder)

    def renew(self, folder: Folder, device: str, why: str) -> None:
        """Another key for the device's client."""
        current = folder.record.current(device)
        if current is None:
            raise UsageError(f"{device} was taken back")
        folder.put(f"devices/{device}/password", self._new_secret().encode(), why, mode=0o600)
        if not folder.dry:
            self._api.set_secret(folder.record.domain, current.serial, self._key(folder, device))
            self._note(folder, device, current.serial)

    def complete(self, folder: Folder, device: str) -> None:
        """The broker's CA file, where it has one of its own."""
        if _where(folder.record).tls:
            pem = (folder.path / "broker" / "ca.pem").read_bytes()
            folder.put(f"devices/{device}/ca.pem", pem, "who may sign the broker's certificate")

    def revoke(self, folder: Folder, device: str) -> None:
        """Disable its client."""
        if not folder.dry:
            client = folder.record.devices[device][-1].serial
            self._api.disable(folder.record.domain, client)

    def proplet_settings(self, record: Record, device: str) -> bytes:
        """Part of the interface."""
        current = record.current(device)
        assert current is not None
        return member_settings(record, device, user=current.serial)

    def manager_settings(self, record: Record) -> bytes:
        """Part of the interface."""
        return member_manager_settings(record)

    # -- clients ---------------------------------------------------------------------------------

    def _members(self, folder: Folder, members: Mapping[str, str]) -> dict[str, str]:
        """Clients for members, given with the folder of each; name -> id."""
        domain = folder.record.domain
        if self._known is None:
            self._known = self._api.clients(domain)
        there = {name: self._known[name] for name in members if name in self._known}
        foreign = [name for name in there if not self._has(folder, members[name])]
        if foreign and not self._adopt:
            raise UsageError(
                f"a client {foreign[0]} is in the domain already, and its key is not in the folder",
                hint="--adopt gives it another key and makes it a member of this fleet",
            )
        for name, place in members.items():
            if not self._has(folder, place):
                secret = self._new_secret().encode()
                folder.put(f"{place}/password", secret, f"a client for {name}", mode=0o600)
        if folder.dry:
            return {}
        for name, client in there.items():
            self._api.set_secret(domain, client, self._key(folder, name))
        secrets = {name: self._key(folder, name) for name in members if name not in there}
        made = self._api.make_clients(domain, secrets, f"{domain}/{folder.record.channel}")
        self._known.update(made)
        return {**there, **made}

    def _connect(self, folder: Folder) -> None:
        """Everybody who counts may use the channel."""
        if folder.dry:
            return
        record = folder.record
        wanted = {_where(record).manager}
        wanted |= {one.serial for device in record.devices if (one := record.current(device))}
        there = self._api.connected(record.domain, record.channel)
        missing = sorted(wanted - there - {""})
        if missing:
            self._api.connect(record.domain, record.channel, missing)
            self._say(folder, "connections", f"{len(missing)} clients may use the channel")

    @staticmethod
    def _has(folder: Folder, place: str) -> bool:
        return (folder.path / place / "password").exists()

    @staticmethod
    def _key(folder: Folder, name: str) -> str:
        place = "manager" if name == MANAGER else f"devices/{name}"
        return (folder.path / place / "password").read_text("ascii").strip()

    def _note(self, folder: Folder, device: str, client: str) -> None:
        digest = hashlib.sha256(self._key(folder, device).encode()).hexdigest()
        issued = Issued(serial=client, issuer="supermq", key=digest, ends=NEVER, kept=True)
        held = tuple(one for one in folder.record.devices.get(device, ()) if one.revoked)
        devices = {**folder.record.devices, device: (*held, issued)}
        folder.record = replace(folder.record, devices=devices)

    @staticmethod
    def _say(folder: Folder, what: str, why: str) -> None:
        from propeller.provision.folder import Change

        folder.changes.append(Change(what, why))


def _where(record: Record) -> SuperMq:
    assert record.supermq is not None, "a fleet of certificates has no SuperMQ"
    return record.supermq
