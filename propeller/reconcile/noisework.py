"""Central differential privacy in a worker: the noised mean of a round, and the next clipping norm.

What a strategy is given under noise is this one mean in place of the updates; whatever it makes of
it costs nothing more. Entropy is an argument and is kept nowhere. The loop has paid before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from propeller.reconcile.learning import Gather

if TYPE_CHECKING:
    from propeller.fl.fold import Contribution

Entropy = Callable[[int], bytes]

SEED = 32


def noised_mean(
    work: Gather, contributions: tuple[Contribution, ...], count: int, entropy: Entropy
) -> Contribution:
    """The mean over `clientsPerRound`, clipped and noised, as the only contribution of a round.

    Each update weighs its samples in parts of `maxSamples`, at most 1, or 1 without a cap: the
    denominator is fixed, whoever came. Raises Refusal.
    """
    import numpy as np

    from propeller.fl.fold import Contribution, Held
    from propeller.fl.privacy.clipping import count_noise, split
    from propeller.fl.privacy.noise import Fresh, Mechanism

    terms = work.terms
    assert terms.noise is not None
    multiplier = float(terms.noise.multiplier)
    if terms.adapt is not None:
        multiplier = split(multiplier, counts=count_noise(terms.target))
    mechanism = Mechanism(
        bound=float(work.bound or terms.clip),
        multiplier=multiplier,
        weight=float(terms.target),
        cap=terms.samples,
    )
    mean = mechanism.mean(contributions, count, Fresh(entropy(SEED)))
    return Contribution(proplet="", samples=1, deltas=Held(mean.astype(np.float32)))


def next_bound(work: Gather, entropy: Entropy) -> str:
    """The clipping norm of the next round, "" where it does not follow updates."""
    from propeller.fl.privacy.clipping import AdaptiveBound, count_noise
    from propeller.fl.privacy.noise import Fresh

    terms = work.terms
    if terms.adapt is None:
        return ""
    bound = AdaptiveBound(
        bound=float(work.bound),
        rate=float(terms.adapt.rate),
        quantile=float(terms.adapt.quantile),
    )
    norms = [float(part.norm) for part in work.parts]
    if terms.noise is None:
        return repr(bound.after(norms).bound)
    draw = float(Fresh(entropy(SEED)).standard_normal(1)[0]) * count_noise(terms.target)
    return repr(bound.after(norms, noise=draw, members=terms.target).bound)
