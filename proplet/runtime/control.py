"""Control variates on a device (SCAFFOLD, Karimireddy et al. 2020): kept by the host.

A trainer adds the correction c - c_k to each gradient, which it reads through `correction_read`.
What becomes of c_k is worked out here from what it submitted: c_k+ - c_k = -c - D / (K lr). So a
guest keeps nothing between rounds, and cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from propeller.fl.layout import Layout


@dataclass(frozen=True, slots=True)
class Control:
    """server: c. own: c_k. Both f32 in layout order. rate: of a local step."""

    server: np.ndarray
    own: np.ndarray
    rate: float

    @property
    def correction(self) -> np.ndarray:
        """What a trainer adds to each gradient, f32."""
        import numpy as np

        return np.asarray(self.server - self.own, np.float32)

    def after(self, delta: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """The whole update, of two halves, and the c_k of the next round. Raises ValueError where
        it cannot be: a trainer has to say its steps."""
        import numpy as np

        from propeller.fl.strategies.stateful import change_of

        if steps < 1:
            raise ValueError("a trainer with control variates has to say its steps")
        change = change_of(self.server, delta, steps=steps, rate=self.rate)
        return np.concatenate((delta, change)), np.asarray(self.own + change, np.float32)


def control_of(
    params: tuple[tuple[str, str], ...],
    path: str | None,
    own: np.ndarray | None,
    layout: Layout | None,
) -> Control | None:
    """Where the round's strategy asks for it. path: of the strategy's state, None in the first
    round. Raises WireError, ValueError, OSError."""
    import numpy as np

    from propeller.fl.strategies.stateful import CONTROLLED, Scaffold

    told = dict(params)
    if CONTROLLED not in told:
        return None
    if layout is None:
        raise ValueError("control variates need a model")
    state = None if path is None else Path(path).read_bytes()
    rate = float(told.get("learningRate", ""))
    if not rate > 0:
        raise ValueError("control variates need a learningRate above 0")
    zeros = np.zeros(layout.count, np.float32)
    server = Scaffold().control(state, layout.count)
    return Control(server, zeros if own is None else own, rate)
