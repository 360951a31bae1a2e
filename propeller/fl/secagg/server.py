"""The reconciler's side: it passes sealed shares on, adds masked vectors, and unmasks the sum.

It never asks for both shares of one proplet: whose vector is in the sum, of those it asks for the
seed; whose is not, for the mask key; and who is in the sum is fixed when it asks. What it restores
it compares with what was advertised, so a wrong share is noticed and no wrong sum is passed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from propeller.fl.errors import Refusal, Why
from propeller.fl.secagg.client import pair_context
from propeller.fl.secagg.masks import Ring, agreed, commitment, mask, public_of
from propeller.fl.secagg.messages import Keys, Revealed, Terms, enough
from propeller.fl.secagg.shamir import Recovery


class Server:
    """One attempt of one round. Each exchange is closed by the call that answers it."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._roster: dict[str, Keys] = {}
        self._sharers: frozenset[str] = frozenset()
        self._total: Ring | None = None
        self._masked: set[str] = set()
        self._survivors: frozenset[str] | None = None

    def roster(self, keys: Iterable[Keys]) -> Mapping[str, Keys]:
        """R0: what everybody who answered is told. Raises Refusal."""
        for one in keys:
            self._terms.place(one.proplet)
            if one.proplet in self._roster:
                raise Refusal(Why.DUPLICATE, f"keys of {one.proplet} twice")
            if not len(one.seal) == len(one.mask) == len(one.seed) == 32:
                raise Refusal(Why.MALFORMED, f"keys of another length from {one.proplet}")
            self._roster[one.proplet] = one
        enough(len(self._roster), self._terms, "have advertised keys")
        return dict(sorted(self._roster.items()))

    def route(self, sealed: Mapping[str, Mapping[str, bytes]]) -> Mapping[str, Mapping[str, bytes]]:
        """R1: sender -> receiver -> bytes becomes receiver -> sender -> bytes, among those who
        sent shares for everybody. Raises Refusal (threshold)."""
        everybody = self._roster.keys()
        self._sharers = frozenset(
            name
            for name, out in sealed.items()
            if name in everybody and out.keys() == everybody - {name}
        )
        enough(len(self._sharers), self._terms, "have shared")
        return {
            receiver: {
                sender: sealed[sender][receiver]
                for sender in sorted(self._sharers)
                if sender != receiver
            }
            for receiver in sorted(self._sharers)
        }

    def add(self, proplet: str, vector: Ring) -> None:
        """R2: one masked vector into the sum; memory is one vector. Raises Refusal."""
        if self._survivors is not None:
            raise Refusal(Why.WRONG_ROUND, f"{proplet[:60]} came after the sum was closed")
        if proplet not in self._sharers:
            raise Refusal(Why.WRONG_JOB, f"{proplet[:60]!r} has shared nothing")
        if proplet in self._masked:
            raise Refusal(Why.DUPLICATE, f"a vector of {proplet} twice")
        expected = self._terms.count or len(vector)
        if vector.shape != (expected,) or vector.dtype != np.uint32:
            raise Refusal(Why.WRONG_SIZE, f"{vector.shape}, expected {expected} elements")
        self._total = vector.copy() if self._total is None else self._total + vector
        self._masked.add(proplet)

    def close(self) -> frozenset[str]:
        """R3: whose vectors are in the sum; from here on that is fixed. Raises Refusal
        (threshold)."""
        if self._survivors is None:
            enough(len(self._masked), self._terms, "have sent a vector")
            self._survivors = frozenset(self._masked)
        return self._survivors

    def unmask(self, revealed: Iterable[Revealed]) -> Ring:
        """The sum of the survivors' vectors, mod 2^32. Raises Refusal (threshold, malformed)."""
        survivors, total = self._survivors, self._total
        if survivors is None or total is None:
            raise Refusal(Why.WRONG_ROUND, "the sum is not closed")
        dropped = self._sharers - survivors
        helpers = {
            one.proplet: one
            for one in revealed
            if one.proplet in survivors
            and one.seeds.keys() == survivors
            and one.keys.keys() == dropped
        }
        enough(len(helpers), self._terms, "have revealed their shares")
        chosen = sorted(helpers)[: self._terms.threshold]
        place = {name: self._terms.place(name) for name in chosen}
        recovery = Recovery(list(place.values()))
        for one in sorted(survivors):
            seed = recovery.secret({place[name]: helpers[name].seeds[one] for name in chosen})
            if commitment(seed) != self._roster[one].seed:
                raise Refusal(Why.MALFORMED, f"the shares of {one} do not give its seed")
            total = total - mask(seed, len(total))
        for one in sorted(dropped):
            key = recovery.secret({place[name]: helpers[name].keys[one] for name in chosen})
            if public_of(key) != self._roster[one].mask:
                raise Refusal(Why.MALFORMED, f"the shares of {one} do not give its key")
            for peer in sorted(survivors):
                seed = agreed(key, self._roster[peer].mask, pair_context(self._terms, one, peer))
                pair = mask(seed, len(total))
                # `peer` added it where the other's name is greater than its own.
                total = total - pair if one > peer else total + pair
        return total
