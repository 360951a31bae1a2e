"""A trainer's side of secure aggregation: advertise, share, mask, reveal; each once, in order.

The rule that everything hangs on is in `reveal`: of one peer a client gives its share of the seed
or its share of the mask key, once, and never the other. With both a server could open that peer's
update. Order is enforced here, not by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from propeller.fl.errors import Refusal, Why
from propeller.fl.secagg.masks import Ring, agreed, commitment, mask, public_of
from propeller.fl.secagg.messages import Keys, Revealed, Terms, enough
from propeller.fl.secagg.shamir import SECRET_SIZE, SHARE_SIZE, Draw, split

_NONCE = bytes(12)  # every sealing key is derived for one message


class Stage(IntEnum):
    """What was done last."""

    ADVERTISED = 0
    SHARED = 1
    MASKED = 2
    REVEALED = 3


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """Private halves for sealing and for masks, and the seed of one's own mask; never told."""

    seal: bytes
    mask: bytes
    seed: bytes

    @classmethod
    def drawn(cls, draw: Draw) -> Secrets:
        """Of an attempt that begins."""
        return cls(*(draw(SECRET_SIZE) for _ in range(3)))

    def keys(self, me: str) -> Keys:
        """R0: what is told of them."""
        return Keys(
            proplet=me,
            seal=public_of(self.seal),
            mask=public_of(self.mask),
            seed=commitment(self.seed),
        )


class Client:
    """One proplet in one attempt of one round. Keys are never used again."""

    def __init__(self, me: str, terms: Terms, draw: Draw, secrets: Secrets | None = None) -> None:
        """secrets: those whose keys were advertised; drawn where there are none yet."""
        terms.place(me)
        self._me, self._terms, self._draw = me, terms, draw
        self._secrets = secrets or Secrets.drawn(draw)
        self._roster: Mapping[str, Keys] = {}
        self._held: dict[str, tuple[bytes, bytes]] = {}
        self._stage = Stage.ADVERTISED

    @property
    def keys(self) -> Keys:
        """R0."""
        return self._secrets.keys(self._me)

    def share(self, roster: Mapping[str, Keys]) -> Mapping[str, bytes]:
        """R1: for each other of `roster` its sealed shares of my two secrets. Raises Refusal."""
        self._at(Stage.ADVERTISED)
        enough(len(roster), self._terms, "have advertised keys")
        if roster.get(self._me) != self.keys:
            raise Refusal(Why.MALFORMED, "the roster has other keys of mine than I sent")
        publics = [key for one in roster.values() for key in (one.seal, one.mask)]
        if len(set(publics)) != len(publics) or any(
            name != one.proplet for name, one in roster.items()
        ):
            raise Refusal(Why.MALFORMED, "a roster with a key twice")
        holders = len(self._terms.cohort)
        keys, seeds = (
            split(secret, threshold=self._terms.threshold, holders=holders, draw=self._draw)
            for secret in (self._secrets.mask, self._secrets.seed)
        )
        out = {}
        for peer in roster:
            x = self._terms.place(peer) - 1
            if peer == self._me:
                self._held[peer] = (keys[x], seeds[x])
                continue
            key = self._sealing(roster[peer], self._me, peer)
            out[peer] = ChaCha20Poly1305(key).encrypt(_NONCE, keys[x] + seeds[x], None)
        self._roster, self._stage = dict(roster), Stage.SHARED
        return out

    def mask(self, inbox: Mapping[str, bytes], vector: Ring) -> Ring:
        """R2: `vector` hidden. inbox: what each peer that is still there sealed for me.

        Raises Refusal (threshold, malformed); then nothing was sent and nothing is lost.
        """
        self._at(Stage.SHARED)
        expected = self._terms.count or len(vector)
        if vector.shape != (expected,) or vector.dtype != np.uint32:
            raise Refusal(Why.WRONG_SIZE, f"{vector.shape}, expected {expected} elements")
        enough(len(inbox) + 1, self._terms, "have shared")
        opened = {peer: self._opened(peer, sealed) for peer, sealed in inbox.items()}
        hidden: Ring = vector + mask(self._secrets.seed, len(vector))
        for peer in opened:
            pair = mask(self._pair(peer), len(vector))
            hidden = hidden + pair if peer > self._me else hidden - pair
        self._held |= opened
        self._stage = Stage.MASKED
        return hidden

    def reveal(self, survivors: Set[str]) -> Revealed:
        """R3, once: shares that let the sum of `survivors` be unmasked, and nothing else.

        Raises Refusal (threshold, malformed). A second call is refused whoever it names.
        """
        self._at(Stage.MASKED)
        enough(len(survivors), self._terms, "are left")
        if self._me not in survivors or not survivors <= self._held.keys():
            raise Refusal(Why.MALFORMED, "survivors that are not of those who shared")
        self._stage = Stage.REVEALED
        return Revealed(
            proplet=self._me,
            seeds={one: self._held[one][1] for one in sorted(survivors)},
            keys={one: self._held[one][0] for one in sorted(self._held.keys() - survivors)},
        )

    def _at(self, stage: Stage) -> None:
        if self._stage is not stage:
            raise Refusal(Why.WRONG_ROUND, f"asked after {self._stage.name}, not {stage.name}")

    def _opened(self, peer: str, sealed: bytes) -> tuple[bytes, bytes]:
        if peer == self._me or peer not in self._roster:
            raise Refusal(Why.MALFORMED, f"shares of {peer[:60]!r}, who advertised nothing")
        key = self._sealing(self._roster[peer], peer, self._me)
        try:
            both = ChaCha20Poly1305(key).decrypt(_NONCE, sealed, None)
        except InvalidTag as error:
            raise Refusal(Why.MALFORMED, f"shares that {peer} did not seal for me") from error
        if len(both) != 2 * SHARE_SIZE:
            raise Refusal(Why.MALFORMED, f"shares of {len(both)} bytes from {peer}")
        return both[:SHARE_SIZE], both[SHARE_SIZE:]

    def _sealing(self, peer: Keys, sender: str, receiver: str) -> bytes:
        return agreed(self._secrets.seal, peer.seal, self._terms.context("share", sender, receiver))

    def _pair(self, peer: str) -> bytes:
        return agreed(
            self._secrets.mask, self._roster[peer].mask, pair_context(self._terms, self._me, peer)
        )


def pair_context(terms: Terms, one: str, other: str) -> bytes:
    """The same from both ends."""
    return terms.context("mask", *sorted((one, other)))
