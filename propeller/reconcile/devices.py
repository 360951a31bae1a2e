"""Which key speaks for which device, and opening what devices signed.

A device is known by the key enrolled for it (in the key directory or in its Proplet spec); where
there is none, by the first key it said hello with, and by that one from then on. A device with
another key is `IdentityMismatch`, never believed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from propeller.errors import WireError
from propeller.model.ids import PropletId
from propeller.model.seen import Seen
from propeller.model.specs import Proplet
from propeller.reconcile.world import World, resolved_proplet
from propeller.wire.codec import decode
from propeller.wire.frame import is_framed, open_frame, peek_body
from propeller.wire.keyring import Keyring
from propeller.wire.messages import Hello, Status
from propeller.wire.signing import VerifyKey


@dataclass(frozen=True, slots=True)
class FleetKeys:
    """The fleet's public side: manager keys that sign documents, the trust document as sealed.

    enrolled: the public key enrolled for a device in the key directory, or None.
    """

    manager: Keyring
    trust: bytes
    enrolled: Callable[[PropletId], VerifyKey | None]


class DeviceKeys:
    """Opens what devices signed. Reads the world, never writes it."""

    def __init__(self, fleet: FleetKeys) -> None:
        self._fleet = fleet
        self._rings: dict[str, Keyring] = {}
        self._enrolled: dict[PropletId, str] = {}

    @property
    def manager_keys(self) -> Keyring:
        """Keys that may have signed documents of this fleet."""
        return self._fleet.manager

    @property
    def trust(self) -> bytes:
        """The retained trust document, sealed by the root."""
        return self._fleet.trust

    def known(self, proplet: PropletId, world: World) -> str | None:
        """The text of the key `proplet` is known by, or None before its first hello."""
        text = self._enrolled.get(proplet)
        if text is None:
            enrolled = self._fleet.enrolled(proplet)
            if enrolled is not None:
                text = self._enrolled[proplet] = enrolled.text
        if text is not None:
            return text
        declared = world.declared_proplet(proplet)
        if declared is not None and declared.public_key is not None:
            return declared.public_key
        seen = world.proplets.get(proplet)
        if seen is not None and seen.facts is not None and seen.facts.public_key:
            return seen.facts.public_key
        return None

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
        """`seen` with labels, scheduling and capacities of spec and runtime holds."""
        declared: Proplet | None = world.declared_proplet(seen.id)
        return resolved_proplet(seen, declared=declared, hold=world.holds.get(seen.id))

    def _ring(self, text: str) -> Keyring:
        ring = self._rings.get(text)
        if ring is None:
            if len(self._rings) > 50_000:
                self._rings.clear()
            ring = self._rings[text] = Keyring.of_device(VerifyKey.parse(text))
        return ring
