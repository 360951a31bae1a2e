"""What keys that are not here have signed, read again now and then: trust and the release list.

Owned by `service`. A list that `propeller release take` laid into the key directory reaches devices
without a restart; one that cannot be used changes nothing and is said once.
"""

from __future__ import annotations

import logging

from propeller.errors import PropellerError
from propeller.reconcile.devices import DeviceKeys, OfflineSaid
from propeller.state.keys import Keys
from propeller.wire.signing import P256

log = logging.getLogger("propeller.reconcile")

EVERY = 2_000
"""ms between two looks."""


class OfflineWords:
    """See the module."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._next = 0
        self._said = ""

    def due(self, now: int) -> bool:
        """Whether it is time to look. now: Unix ms."""
        if now < self._next <= now + EVERY:
            return False
        self._next = now + EVERY
        return True

    def read(self, devices: DeviceKeys) -> bool:
        """Whether what devices are told has changed."""
        try:
            trust = self._keys.trust_frame()
            twin = self._p256(devices)
            frame, releases = self._keys.releases()
            required = self._keys.release_key() is not None
        except PropellerError as error:
            if self._said != error.what:
                self._said = error.what
                log.warning("the newest word of an offline key is not taken: %s", error)
            return False
        self._said = ""
        names = frozenset(releases.modules) if releases is not None else frozenset()
        return devices.reword(
            OfflineSaid(
                trust=trust,
                trust_p256=twin,
                releases=frame,
                released=names if required else None,
            )
        )

    def _p256(self, devices: DeviceKeys) -> bytes | None:
        """The trust document for devices without Ed25519; None where that root never signed one."""
        return None if devices.trust_p256 is None else self._keys.trust_frame(P256)
