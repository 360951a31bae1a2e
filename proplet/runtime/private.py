"""What a device does to its own update before anything leaves it: shorten it, add noise to it.

Called by `answers` where the round asks for it, whatever the guest did. The noise is of entropy
that is drawn here and kept nowhere: no two runs give the same bytes, nobody can take it off again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SEED = 32


@dataclass(frozen=True, slots=True)
class Veil:
    """norm: the largest L2 norm. multiplier: of it, the noise's standard deviation; 0: none."""

    norm: float
    multiplier: float = 0.0


def veil_of(clip: str | None, noise: str | None) -> Veil | None:
    """Out of the words of a round; None where it asks for nothing. Raises ValueError."""
    if clip is None:
        if noise is not None:
            raise ValueError("noise without a norm to measure it by")
        return None
    veil = Veil(float(clip), float(noise or 0))
    if not veil.norm > 0:
        raise ValueError("a largest norm of nothing")
    return veil


def veiled(delta: np.ndarray, veil: Veil, entropy: Callable[[int], bytes]) -> np.ndarray:
    """`delta`, f32, no longer than the norm, with noise on every number. Raises WireError where a
    number is not finite any more."""
    import numpy as np

    from propeller.fl.errors import Refusal, Why
    from propeller.fl.privacy.clipping import clipped
    from propeller.fl.privacy.noise import Fresh

    found = clipped(delta, veil.norm)
    if not veil.multiplier:
        return found
    deviation = veil.norm * veil.multiplier
    draw = Fresh(entropy(SEED)).standard_normal(len(found))
    with np.errstate(over="ignore"):
        noised = (found.astype(np.float64) + deviation * draw).astype(np.float32)
    if not np.isfinite(noised).all():
        raise Refusal(Why.NOT_FINITE, "an update that its noise makes infinite")
    return noised
