"""Which key speaks for which device, and opening what devices signed.

A device is known by the key enrolled for it (in the key directory or in its Proplet spec); where
there is none, by the first key it said hello with, and by that one from then on. A device with
another key is `IdentityMismatch`, never believed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from propeller.errors import WireError
from propeller.model.ids import PropletId
from propeller.model.seen import Box, Seen
from propeller.model.specs import Proplet
from propeller.reconcile.sighting import resolved_proplet
from propeller.reconcile.world import World
from propeller.wire.boxes import BoxPublic
from propeller.wire.codec import decode
from propeller.wire.frame import is_framed, open_frame, peek_body
from propeller.wire.keyring import Keyring
from propeller.wire.messages import Hello, Status
from propeller.wire.signing import VerifyKey


def _no_box(_: PropletId) -> BoxPublic | None:
    return None


@dataclass(frozen=True, slots=True)
class FleetKeys:
    """The fleet's public side: manager keys that sign documents, the trust document as sealed.

    trust_p256: the same signed by the root that devices without Ed25519 know; None: there is none.
    enrolled: the public key enrolled for a device in the key directory, or None. boxes: the same
    for its encryption key. releases: the release list as sealed, b"" where there is none; released:
    the modules it names, None where any may be started.
    """

    manager: Keyring
    trust: bytes
    enrolled: Callable[[PropletId], VerifyKey | None]
    boxes: Callable[[PropletId], BoxPublic | None] = _no_box
    trust_p256: bytes | None = None
    releases: bytes = b""
    released: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineSaid:
    """What keys that are not here signed last: fields as in FleetKeys."""

    trust: bytes
    trust_p256: bytes | None
    releases: bytes
    released: frozenset[str] | None


class DeviceKeys:
    """Opens what devices signed. Reads the world, never writes it."""

    def __init__(self, fleet: FleetKeys) -> None:
        self._fleet = fleet
        self._rings: dict[str, Keyring] = {}
        self._enrolled: dict[PropletId, str] = {}
        self._boxes: dict[PropletId, str] = {}

    @property
    def manager_keys(self) -> Keyring:
        """Keys that may have signed documents of this fleet."""
        return self._fleet.manager

    @property
    def trust(self) -> bytes:
        """The retained trust document, sealed by the root."""
        return self._fleet.trust

    @property
    def trust_p256(self) -> bytes | None:
        """The same for devices that know only P-256."""
        return self._fleet.trust_p256

    @property
    def releases(self) -> bytes:
        """The retained release list, b"" where there is none."""
        return self._fleet.releases

    @property
    def released(self) -> frozenset[str] | None:
        """The modules that may be started, None where any may."""
        return self._fleet.released

    def reword(self, words: OfflineSaid) -> bool:
        """What the root and the release key say now; whether that is news."""
        fleet = replace(
            self._fleet,
            trust=words.trust,
            trust_p256=words.trust_p256,
            releases=words.releases,
            released=words.released,
        )
        moved, self._fleet = fleet != self._fleet, fleet
        return moved

    def known(self, proplet: PropletId, world: World) -> str | None:
        """The text of the key `proplet` is known by, or None before its first hello."""
        text = self._enrolled.get(proplet)
        if text is None:
            enrolled = self._fleet.enrolled(proplet)
            if enrolled is not None:
                text = self._enrolled[proplet] = enrolled.text
        if text is not None:
            return text
        declared = world.relations.declared_proplet(proplet)
        if declared is not None and declared.public_key is not None:
            return declared.public_key
        seen = world.proplets.get(proplet)
        if seen is not None and seen.facts is not None and seen.facts.public_key:
            return seen.facts.public_key
        return None

    def key_of(self, proplet: PropletId, world: World) -> VerifyKey | None:
        """The key `proplet` is known by, None before its first hello."""
        known = self.known(proplet, world)
        return VerifyKey.parse(known) if known is not None else None

    def open_signed(self, purpose: str, proplet: PropletId, payload: bytes, world: World) -> bytes:
        """The body of a frame signed by `proplet`'s own key. Raises WireError."""
        known = self.known(proplet, world)
        if known is None:
            raise WireError("unknown_kid", f"no key is known for {proplet}")
        return open_frame(purpose, payload, self._ring(known)).body

    def open_hello(self, proplet: PropletId, payload: bytes, world: World) -> tuple[bytes, str]:
        """The body of a hello and the key that signed it.

        The only message that may bring its own key: when none is known, the one inside is used to
        verify the frame it came in (proof that the device holds it), and pinned by the caller.
        """
        known = self.known(proplet, world)
        if known is None:
            known = decode(Hello, peek_body(payload)).key
        return open_frame("hello", payload, self._ring(known)).body, known

    def open_status(self, proplet: PropletId, payload: bytes, world: World) -> bytes:
        """`online` is signed; the will that says `offline` cannot be (it is fixed at CONNECT)."""
        if is_framed(payload):
            return self.open_signed("status", proplet, payload, world)
        if decode(Status, payload).state != "offline":
            raise WireError("not_framed", "an unsigned online")
        return payload

    def resolve(self, seen: Seen, world: World) -> Seen:
        """`seen` with labels, scheduling and capacities of spec and runtime holds, and its box."""
        declared: Proplet | None = world.relations.declared_proplet(seen.id)
        seen = resolved_proplet(seen, declared=declared, hold=world.holds.get(seen.id))
        box = self._box(seen, declared)
        return seen if box == seen.box else replace(seen, box=box)

    def _box(self, seen: Seen, declared: Proplet | None) -> Box:
        """What secrets may be sealed to: a key that somebody of the fleet vouches for.

        That is a declared or enrolled one; else the first one that came in a hello, if the key
        that signed this is declared or enrolled. Never another one that a later hello brings.
        """
        box = seen.box
        if not box.announced:
            return replace(box, believed="", trouble="")
        try:
            BoxPublic.parse(box.announced)
        except WireError:
            words = "it announces an encryption key of a kind that is not known here"
            return replace(box, believed="", trouble=words)
        vouched = declared.encryption_key if declared is not None else None
        if vouched is None:
            vouched = self._enrolled_box(seen.id)
        if vouched is None:
            if not self._is_vouched_for(seen.id, declared):
                words = "nobody vouches for it: declare spec.publicKey or spec.encryptionKey"
                return replace(box, believed="", trouble=words)
            vouched = box.pinned or box.announced
        if box.announced != vouched:
            words = f"it announces {box.announced}, known is {vouched}: see spec.encryptionKey"
            return replace(box, believed="", trouble=words)
        return replace(box, believed=vouched, trouble="")

    def _enrolled_box(self, proplet: PropletId) -> str | None:
        text = self._boxes.get(proplet)
        if text is None:
            enrolled = self._fleet.boxes(proplet)
            if enrolled is not None:
                text = self._boxes[proplet] = enrolled.text
        return text

    def _is_vouched_for(self, proplet: PropletId, declared: Proplet | None) -> bool:
        if declared is not None and declared.public_key is not None:
            return True
        return proplet in self._enrolled or self._fleet.enrolled(proplet) is not None

    def _ring(self, text: str) -> Keyring:
        ring = self._rings.get(text)
        if ring is None:
            if len(self._rings) > 50_000:
                self._rings.clear()
            ring = self._rings[text] = Keyring.of_device(VerifyKey.parse(text))
        return ring
