"""The agent's side of training: what a worker is told of a round, and the update it signs.

Owned by the supervisor. The device's key is here and never in a worker: the guest hands over a body
and some numbers, and the envelope that says whose they are, for which round and from which model is
made and signed by the agent.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast
from uuid import UUID

from propeller.errors import PropellerError, Unavailable
from propeller.wire.messages import INLINE_LIMIT, Entry, WireTraining
from propeller.wire.signing import SigningKey
from propeller.wire.updates import NONE, SIGNATURE_SIZE, Flag, Update, pack, signed_bytes, update_id
from proplet.blobs import Blobs
from proplet.effects import Outcome
from proplet.leftovers import Leftovers
from proplet.outcomes import outcome_of
from proplet.runtime.talk import Words
from proplet.secure import Secure

_log = logging.getLogger("proplet")

UPDATE_FILE, LEFT_FILE = "update", "left"
DECLINED = 75


class Trainer:
    """See the module. state: directory of what top-k updates leave out, None to forget it.

    samples: of this device, as its owner says, None to count them.

    ship: whether the words a guest's failure leaves may go to the manager.
    """

    def __init__(
        self,
        proplet: str,
        key: SigningKey,
        blobs: Blobs,
        *,
        state: Path | None = None,
        samples: int | None = None,
        ship: bool = False,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._proplet = proplet
        self._key = key
        self._blobs = blobs
        self._leftovers = None if state is None else Leftovers(state)
        self._samples = samples
        self._ship = ship
        self._secure = Secure(proplet, entropy)

    def lesson(self, fl: WireTraining, data: Path | None) -> dict[str, object]:
        """What `lesson.read_lesson` reads. data: the directory of samples. room: bytes of private
        memory for the model, besides those of any worker."""
        model, layout = fl.model, fl.layout
        return {
            "proplet": self._proplet,
            "job": fl.job,
            "round": fl.round,
            "attempt": fl.attempt,
            "step": fl.step,
            # What is masked was numbers before, and the agent masks it.
            "format": fl.format if fl.secure is None else "f32-delta",
            "guest": fl.guest,
            "seed": fl.seed,
            "params": fl.params,
            "version": "" if model is None else model.digest,
            "model": None if model is None else str(self._blobs.path(model.digest)),
            "layout": None if layout is None else str(self._blobs.path(layout.digest)),
            "data": None if data is None else str(data),
            "error": None if self._leftovers is None else self._leftovers.before(fl),
            "samples": self._samples,
            "control": None if fl.control is None else str(self._blobs.path(fl.control.digest)),
            "clip": fl.clip,
            "noise": fl.noise,
            "room": (128 << 20) + (0 if model is None else 24 * model.size),
        }

    def talk(self, fl: WireTraining) -> Outcome:
        """What this device answers by itself, to its peers by way of the manager."""
        try:
            kept = self._blobs.keep(self._secure.answer(fl, self._letter(fl)))
            return Outcome(ok=True, exit=0, blob=kept)
        except Unavailable as error:
            return Outcome(ok=False, error=f"its answer could not be kept: {error.what}")
        except (PropellerError, OSError) as error:
            return Outcome(ok=False, error=f"it will not answer: {error}")

    def _letter(self, fl: WireTraining) -> bytes:
        if fl.secure is None or fl.secure.blob is None:
            return b""
        return self._blobs.path(fl.secure.blob.digest).read_bytes()

    def outcome(self, entry: Entry, told: Words, logs: Path) -> Outcome:
        """The end of a run that trained. Nothing a guest wrote goes along, unless `ship`."""
        try:
            return self._outcome(entry, told, logs)
        finally:
            with contextlib.suppress(OSError):
                (logs / UPDATE_FILE).unlink(missing_ok=True)
                (logs / LEFT_FILE).unlink(missing_ok=True)
            shutil.rmtree(logs / "model", ignore_errors=True)

    def _outcome(self, entry: Entry, told: Words, logs: Path) -> Outcome:
        made = told.get("fl")
        if told.get("ok") is not True or not isinstance(made, dict):
            return self._failed(entry, told, logs)
        assert entry.fl is not None
        try:
            if entry.fl.step == "evaluate":
                data = json.dumps(made, sort_keys=True, separators=(",", ":")).encode()
                if len(data) <= INLINE_LIMIT:
                    return Outcome(ok=True, exit=0, result=data.decode())
                return Outcome(ok=True, exit=0, blob=self._blobs.keep(data))
            body = (logs / UPDATE_FILE).read_bytes()
            if entry.fl.secure is not None:
                body = self._masked(entry.fl, made, body)
            kept = self._blobs.keep(self._signed(entry, made, body))
            if made["feedback"] and self._leftovers is not None:
                self._leftovers.keep(entry.fl, logs / LEFT_FILE)
            return Outcome(ok=True, exit=0, blob=kept)
        except Unavailable as error:
            return Outcome(ok=False, error=f"its update could not be kept: {error.what}")
        except (PropellerError, OSError, ValueError) as error:
            return Outcome(ok=False, error=f"its update could not be made: {error}")

    def _failed(self, entry: Entry, told: Words, logs: Path) -> Outcome:
        if told.get("cause") == "output":
            return Outcome(ok=False, error="rejected: wrote more to stdout than an update has")
        known = outcome_of(entry, told, logs=logs, blobs=self._blobs, most=0)
        detail = None if told.get("cause") else told.get("detail")
        words = known.error
        if isinstance(detail, str) and detail:
            _log.warning("%s: %s (%s)", entry.ref, words, detail)
            words = detail if self._ship else words
        code = known.exit
        if code not in (None, 0, DECLINED) and not self._ship:
            code = 1
        return Outcome(ok=False, exit=code, error=words)

    def _masked(self, fl: WireTraining, made: Mapping[str, object], body: bytes) -> bytes:
        import numpy as np

        delta = np.frombuffer(body, "<f4").astype(np.float32)
        samples = cast(int, made["samples"])
        return self._secure.mask(fl, self._letter(fl), delta, samples)

    def _signed(self, entry: Entry, made: Mapping[str, object], body: bytes) -> bytes:
        fl = entry.fl
        assert fl is not None
        samples = cast(int, made["samples"])
        if fl.samples is not None:
            samples = min(samples, fl.samples)
        metrics = cast("Mapping[str, str]", made["metrics"])
        meta: dict[str, int | str] = {**metrics, "@module": entry.module.digest}
        if made["assumed"]:
            _log.warning("%s: nobody said how many samples there are; 1 is assumed", entry.ref)
            meta["@samples.assumed"] = 1
        meta |= cast("Mapping[str, int | str]", made.get("site", {}))
        if fl.secure is not None:  # its weight is in the masked vector, its metrics stay here
            samples, meta = 1, {"@module": entry.module.digest}
        update = Update(
            encoding=fl.format,
            flags=_flags(fl, made),
            job=UUID(fl.job).bytes,
            round=fl.round,
            attempt=fl.attempt,
            steps=cast(int, made["steps"]),
            samples=samples,
            count=cast(int, made["count"]),
            base="" if fl.model is None else fl.model.digest,
            layout=str(made["layout"]),
            meta=meta,
            body=body,
            signature=bytes(SIGNATURE_SIZE),
        )
        text = signed_bytes(update_id(pack(update)), fl.nonce)
        return pack(replace(update, signature=self._key.sign(text)))


def _flags(fl: WireTraining, made: Mapping[str, object]) -> Flag:
    flags = NONE if fl.clip is None else Flag.CLIPPED
    if fl.secure is not None:
        return flags | Flag.SECURE
    if fl.format == "f32-full":
        return flags | Flag.FULL
    return flags | (Flag.FEEDBACK if made["feedback"] and fl.format.startswith("topk") else NONE)
