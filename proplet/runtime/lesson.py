"""One step of a round as a worker sees it: what the round says, the model, the device's data.

Made by `worker` from its job. numpy and `propeller.fl` are imported here and not before, so that an
agent that never trains never loads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from proplet.runtime.control import Control, control_of
from proplet.runtime.private import Veil, veil_of

if TYPE_CHECKING:
    import numpy as np

    from propeller.fl.layout import Layout

MAX_COUNT = 1 << 26
"""Parameters of the largest model a device takes: 256 MiB of f32."""

DECLINED = 75
"""The exit status of a trainer that has nothing to train on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """See the module. data: the directory of samples, None where the device offers none.

    seed: 8 bytes. version: digest of the model, "" without one. samples: as the device's owner set
    them. base: f32 in layout order, None where no model and no layout is given: then the first
    round's updates decide how many parameters there are. error: what earlier top-k updates of this
    job left out, f32 in layout order. veil: what becomes of the update before it leaves.
    control: control variates of the job, None where the strategy has none.
    """

    proplet: str
    job: str
    round: int
    attempt: int
    step: str
    format: str
    guest: str
    seed: bytes
    params: tuple[tuple[str, str], ...]
    version: str
    data: Path | None
    samples: int | None
    base: np.ndarray | None
    layout: Layout | None
    error: np.ndarray | None = None
    veil: Veil | None = None
    control: Control | None = None

    @property
    def count(self) -> int | None:
        """Parameters of the model, None while nobody knows."""
        return None if self.layout is None else self.layout.count


def read_lesson(told: Mapping[str, object]) -> Lesson:
    """The lesson of a job. Raises WireError (model or layout), ValueError and OSError."""
    base, layout = _start(cast("str | None", told["model"]), cast("str | None", told["layout"]))
    data = cast("str | None", told["data"])
    left = _left(cast("str | None", told["error"]), layout)
    params = tuple((name, value) for name, value in cast("list[list[str]]", told["params"]))
    return Lesson(
        proplet=str(told["proplet"]),
        job=str(told["job"]),
        round=cast(int, told["round"]),
        attempt=cast(int, told["attempt"]),
        step=str(told["step"]),
        format=str(told["format"]),
        guest=str(told["guest"]),
        seed=bytes.fromhex(str(told["seed"])),
        params=params,
        version=str(told["version"]),
        data=None if data is None else Path(data),
        samples=cast("int | None", told["samples"]),
        base=base,
        layout=layout,
        error=left,
        control=control_of(params, cast("str | None", told["control"]), left, layout),
        veil=veil_of(cast("str | None", told["clip"]), cast("str | None", told["noise"])),
    )


def _left(path: str | None, layout: Layout | None) -> np.ndarray | None:
    """What was left out, unless the layout is another one by now."""
    import numpy as np

    if path is None or layout is None or Path(path).stat().st_size != 4 * layout.count:
        return None
    return np.fromfile(path, "<f4").astype(np.float32)


def _start(model: str | None, layout: str | None) -> tuple[np.ndarray | None, Layout | None]:
    import numpy as np

    from propeller.errors import WireError
    from propeller.fl.layout import Layout
    from propeller.fl.model import read_model

    given = None if layout is None else Layout.parse(Path(layout).read_bytes())
    if given is not None and given.count > MAX_COUNT:
        raise WireError("too_large", f"a layout of {given.count} parameters, at most {MAX_COUNT}")
    if model is None:
        return (None if given is None else np.zeros(given.count, np.float32)), given
    own, base = read_model(Path(model).read_bytes(), max_count=MAX_COUNT)
    if given is not None and given.count != own.count:
        raise WireError(
            "other_layout", f"the model has {own.count} parameters, the layout {given.count}"
        )
    return base, given or own
