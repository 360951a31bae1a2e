"""From one certificate authority to the next, without a device that cannot connect in between.

Three steps, each taken by running `propeller provision rotate` again, in the order that never asks
anybody to believe what he was not told of:

    One       an authority signs, and is believed
    Announced a second one is believed everywhere, the first still signs
    Signing   the second one signs; certificates of the first still count
    One       the first is no longer believed: no device has only a certificate of it

Which step a folder is at is read off its record.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from propeller.errors import UsageError
from propeller.provision.authority import Authority
from propeller.provision.folder import Change, Folder
from propeller.provision.identity import AUTHORITY_DAYS
from propeller.provision.record import Record

_NAMED = 8


class Step(StrEnum):
    """Where a change of authority is."""

    ONE = "One"
    ANNOUNCED = "Announced"
    SIGNING = "Signing"


def step_of(record: Record) -> Step:
    """Read off the record: how many authorities count, and which of them signs."""
    if len(record.authorities) < 2:
        return Step.ONE
    return Step.SIGNING if record.signing == record.authorities[-1] else Step.ANNOUNCED


def left_behind(record: Record, now: int) -> list[str]:
    """Devices that would be locked out if only the signing authority counted."""
    found = []
    for device, held in sorted(record.devices.items()):
        good = [one for one in held if not one.revoked and one.ends > now]
        if good and all(one.issuer != record.signing for one in good):
            found.append(device)
    return found


def advance(folder: Folder, *, handed_out: bool) -> str:
    """Take the next step; what a person has to do before the one after it.

    handed_out: the person says that everybody has the certificates of both authorities. Raises
    UsageError where the step would lock somebody out.
    """
    record = folder.record
    match step_of(record):
        case Step.ONE:
            name = f"Propeller {record.domain}/{record.channel} {len(record.authorities) + 1}"
            made = Authority.make(name, now=folder.now, days=AUTHORITY_DAYS)
            folder.add_authority(made, "the next certificate authority")
            return (
                "the next authority is believed, the old one still signs\n"
                "restart the broker, restart the manager, and give every device its new ca.pem "
                "(`proplet renew` fetches it)\n"
                "then run: propeller provision rotate --handed-out"
            )
        case Step.ANNOUNCED:
            if not handed_out:
                raise UsageError(
                    "the next authority is announced; a device that does not have it in its ca.pem "
                    "would refuse the broker",
                    hint="once every device, broker and manager has the new ca.pem, "
                    "say --handed-out",
                )
            folder.record = replace(record, signing=record.authorities[-1])
            again = 0
            for device in sorted(record.devices):
                current = folder.record.current(device)
                pem = folder.path / "devices" / device / "cert.pem"
                if current is not None and current.kept and pem.exists():
                    folder.renew(device, "the next authority signs")
                    again += 1
            return (
                f"the next authority signs; {again} devices have new certificates in the folder\n"
                "restart the broker and the manager, hand the certificates out "
                "(`proplet renew` fetches them)\n"
                "then run: propeller provision rotate"
            )
        case Step.SIGNING:
            behind = left_behind(record, folder.now)
            if behind:
                shown = ", ".join(behind[:_NAMED])
                more = f" and {len(behind) - _NAMED} more" if len(behind) > _NAMED else ""
                raise UsageError(
                    f"{len(behind)} devices only have a certificate of the old authority: "
                    f"{shown}{more}",
                    hint="let them run `proplet renew`, renew them here, or revoke them",
                )
            if not handed_out and any(
                (current := record.current(device)) is not None and current.kept
                for device in record.devices
            ):
                raise UsageError(
                    "devices whose certificates lie in this folder may still use the old ones",
                    hint="once every device has its new certificate, say --handed-out",
                )
            old = record.authorities[:-1]
            folder.record = replace(record, authorities=(record.signing,))
            folder.changes += [
                Change(f"ca/{one}.pem", "no longer believed; remove it") for one in old
            ]
            return "the old authority no longer counts; restart the broker and the manager"
