"""A device's part in rounds whose updates are only ever seen as a sum.

Owned by `Trainer`. Four exchanges an attempt: keys, shares, the masked update, what opens the sum.
The secrets of an attempt live in this process's memory and nowhere else: a proplet that is started
anew has lost them, and its peers' shares let the round go on without it. Entropy is an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from propeller.errors import WireError
from propeller.wire.messages import WireTraining

if TYPE_CHECKING:
    import numpy as np

    from propeller.fl.secagg.client import Client, Secrets

TALKS = frozenset({"keys", "shares", "open"})
"""Steps that the device answers by itself, without a guest."""

MOST = 32
"""Attempts whose secrets are held; the oldest goes first."""

Entropy = Callable[[int], bytes]
Name = tuple[str, int, int]


@dataclass(slots=True)
class _Attempt:
    secrets: Secrets
    client: Client | None = None


class Secure:
    """See the module. me: the device's own id."""

    def __init__(self, me: str, entropy: Entropy) -> None:
        self._me = me
        self._entropy = entropy
        self._attempts: dict[Name, _Attempt] = {}

    def answer(self, fl: WireTraining, letter: bytes) -> bytes:
        """What this device says in a step of `TALKS`; letter: what the step is about.

        Raises WireError where it cannot, or must not say it again.
        """
        from propeller.fl.secagg import letters

        match fl.step:
            case "keys":
                return letters.keys_letter(self._keys(fl).keys(self._me))
            case "shares":
                return letters.shares_letter(self._share(fl, letter))
            case _:
                client = self._client(fl)
                return letters.opened_letter(client.reveal(letters.read_sum(letter)))

    def mask(self, fl: WireTraining, letter: bytes, delta: np.ndarray, samples: int) -> bytes:
        """The body of a masked update. letter: the shares that peers sealed for this device.

        delta: f32, as long as the model. Raises WireError.
        """
        import numpy as np

        from propeller.fl.secagg import letters
        from propeller.fl.secagg.masks import Grid

        secure, client = fl.secure, self._client(fl)
        assert secure is not None
        try:
            grid = Grid(
                clip=float(secure.range),
                bits=secure.bits,
                most=secure.most,
                members=secure.members,
            )
        except ValueError as error:
            raise WireError("malformed", f"a range of {secure.range[:40]!r}") from error
        seed = int.from_bytes(self._entropy(16), "little")
        uniform = np.random.Generator(np.random.Philox(key=seed))
        vector = grid.quantised(delta, min(samples, secure.most), uniform)
        return client.mask(letters.read_shares(letter), vector).astype("<u4").tobytes()

    def _keys(self, fl: WireTraining) -> Secrets:
        from propeller.fl.secagg.client import Secrets

        name = _name(fl)
        known = self._attempts.get(name)
        if known is None:
            known = self._attempts[name] = _Attempt(Secrets.drawn(self._entropy))
            for other in list(self._attempts):
                older = other[0] == name[0] and other[1:] < name[1:]
                if older or len(self._attempts) > MOST:
                    del self._attempts[other]
        if known.client is not None:
            raise WireError("malformed", "keys that have been used already")
        return known.secrets

    def _share(self, fl: WireTraining, letter: bytes) -> dict[str, bytes]:
        from propeller.errors import UsageError
        from propeller.fl.secagg import letters
        from propeller.fl.secagg.client import Client
        from propeller.fl.secagg.messages import Terms, threshold_of

        known = self._attempts.get(_name(fl))
        if known is None:
            raise WireError("malformed", "its keys of this round are gone")
        if known.client is not None:
            raise WireError("malformed", "its shares were told already")
        roster = letters.read_roster(letter)
        try:
            # The threshold is not the manager's to choose.
            terms = Terms(
                job=fl.job,
                round=fl.round,
                attempt=fl.attempt,
                cohort=tuple(sorted(roster)),
                threshold=threshold_of(len(roster)),
            )
        except UsageError as error:
            raise WireError("malformed", error.what) from error
        known.client = client = Client(self._me, terms, self._entropy, known.secrets)
        return dict(client.share(roster))

    def _client(self, fl: WireTraining) -> Client:
        known = self._attempts.get(_name(fl))
        if known is None or known.client is None:
            raise WireError("malformed", "its keys of this round are gone")
        return known.client


def _name(fl: WireTraining) -> Name:
    return fl.job, fl.round, fl.attempt
