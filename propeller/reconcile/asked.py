"""What a gateway asks of its site (`upstream`)."""

from __future__ import annotations

from dataclasses import dataclass

from propeller.model.ids import Key
from propeller.model.rounds import Order


@dataclass(frozen=True, slots=True)
class Asked:
    """A round of the fleet above. module: digest of what that fleet trains with."""

    key: Key
    order: Order
    module: str
