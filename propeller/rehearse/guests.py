"""The guests of a simulated proplet: what they return, after how long, and how they fail.

No module is executed. What a trainer would send is made by `trainer`, and what devices say to each
other in a masked round by the agent's own code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from propeller.errors import PropellerError
from propeller.rehearse.disk import Disk
from propeller.rehearse.trainer import HONEST, Trainer
from propeller.wire.messages import BlobRef, Entry, WireTraining
from propeller.wire.signing import SigningKey
from proplet import effects as fx
from proplet.secure import TALKS, Secure

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Guests:
    """How guests behave. run_ms: least and most time a once-run takes. failing: its odds to fail.

    dying: the odds of a daemon to end by itself, each time it was started. result: bytes of what a
    once-run returns; above 256 it travels as a blob. traps: whether this guest traps at once.
    writes: what a once-run returns, None for the usual words.
    """

    run_ms: tuple[int, int] = (20, 400)
    failing: float = 0.0
    dying: float = 0.0
    result: int = 0
    traps: Callable[[Entry], bool] = lambda _entry: False
    writes: Callable[[Entry], str | None] = lambda _entry: None
    trainer: Trainer = HONEST


@dataclass(frozen=True, slots=True)
class Played:
    """What a guest that runs once does on one device. id: its name, key: what it signs with."""

    id: str
    key: SigningKey
    guests: Guests
    disk: Disk
    secure: Secure

    def result(self, entry: Entry) -> fx.Outcome:
        """How it ends, where it does not fail."""
        if entry.fl is not None:
            return self._trained(entry)
        text = self.guests.writes(entry)
        if text is not None:
            data = text.encode()
            return (
                fx.Outcome(ok=True, exit=0, result=text) if len(data) <= 256 else self._blob(data)
            )
        if self.guests.result <= 256:
            return fx.Outcome(ok=True, exit=0, result=f"ran on {self.id}")
        data = entry.run.encode() * (self.guests.result // len(entry.run) + 1)
        return self._blob(data[: self.guests.result])

    def _trained(self, entry: Entry) -> fx.Outcome:
        trainer = self.guests.trainer
        assert entry.fl is not None
        if entry.fl.step in TALKS:
            return self._talked(entry.fl)
        if self.id in trainer.declines:
            return fx.Outcome(ok=False, exit=75, error="exit status 75")
        if entry.fl.step == "evaluate":
            return fx.Outcome(ok=True, exit=0, result=trainer.measurement(entry, self.id))
        try:
            update = trainer.update(entry, self.id, self.key, self.disk.blobs, masked=self._masked)
        except PropellerError as error:
            return fx.Outcome(ok=False, error=f"its update could not be made: {error}")
        return self._blob(update)

    def _talked(self, fl: WireTraining) -> fx.Outcome:
        """What the device itself says to its peers."""
        try:
            return self._blob(self.secure.answer(fl, self._letter(fl)))
        except PropellerError as error:
            return fx.Outcome(ok=False, error=f"it will not answer: {error}")

    def _masked(self, fl: WireTraining, delta: np.ndarray, samples: int) -> bytes:
        return self.secure.mask(fl, self._letter(fl), delta, samples)

    def _letter(self, fl: WireTraining) -> bytes:
        if fl.secure is None or fl.secure.blob is None:
            return b""
        return self.disk.blobs[fl.secure.blob.digest]

    def _blob(self, data: bytes) -> fx.Outcome:
        blob = BlobRef(digest="sha256:" + hashlib.sha256(data).hexdigest(), size=len(data))
        self.disk.blobs[blob.digest] = data
        return fx.Outcome(ok=True, exit=0, blob=blob)
