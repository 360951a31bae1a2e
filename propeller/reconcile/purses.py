"""What each FederatedTask has spent of its privacy budget, paid before any noise is drawn.

Owned by `LearningBook`, called by the loop. A ledger belongs to the object and not to its job: the
same devices' data are trained on again by another module or runKey, and what was learned of them
adds up. It outlives the object for the same reason. `propeller.fl` is imported with the first one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from propeller.errors import WireError
from propeller.model.federated import Pairs
from propeller.model.ids import Uid
from propeller.model.privacy import Noise, Purse
from propeller.state.base import Store

if TYPE_CHECKING:
    from propeller.fl.privacy.accounting import Ledger

NAME = "fl.spent."
"""Of a ledger among the facts of the store, before the object's uid."""

FINE = Purse()


class Purses:
    """See the module."""

    def __init__(self, store: Store, told: Callable[[Uid], int]) -> None:
        """told: rounds of noise that the object's job knows of."""
        self._store = store
        self._told = told
        self._ledgers: dict[Uid, Ledger] = {}
        self._looked: dict[Uid, tuple[tuple[object, ...], Purse]] = {}

    def look(self, uid: Uid, noise: Noise) -> Purse:
        """Whether one more round of such noise may begin."""
        name = (noise, self._ledgers.get(uid))
        known = self._looked.get(uid)
        if known is None or known[0] != name:
            try:
                self.after(uid, noise)
                found = FINE
            except WireError as error:
                found = Purse(error.what)
            name = (noise, self._ledgers.get(uid))
            known = self._looked[uid] = (name, found)
        return known[1]

    def after(self, uid: Uid, noise: Noise) -> Ledger:
        """The ledger with one round more. Raises WireError where the budget does not have it, or
        where the ledger cannot be read: what is not known may have been spent."""
        from propeller.fl.privacy.accounting import Budget

        budget = Budget(epsilon=float(noise.most), delta=float(noise.delta))
        return self._ledger(uid).pay(budget, multiplier=float(noise.multiplier))

    def keep(self, uid: Uid, text: str) -> None:
        """The ledger as the journal has it. Inside a transaction. Raises WireError."""
        from propeller.fl.privacy.accounting import Ledger

        self._ledgers[uid] = Ledger.parse(text.encode(), job=uid, rounds=0)
        self._store.set_meta(NAME + uid, text)

    def _ledger(self, uid: Uid) -> Ledger:
        from propeller.fl.privacy.accounting import Ledger

        known = self._ledgers.get(uid)
        if known is None:
            text = self._store.meta(NAME + uid)
            data = None if text is None else text.encode()
            known = self._ledgers[uid] = Ledger.parse(data, job=uid, rounds=self._told(uid))
        return known


def facts(ledger: Ledger, noise: Noise) -> Pairs:
    """What status files say of a ledger."""
    told = ledger.facts(float(noise.delta))
    return tuple(sorted({**told, "rounds": str(ledger.spent)}.items()))
