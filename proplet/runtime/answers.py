"""What a trainer answered, and the body of the update that is made of it. Pure.

Called by `training` with what came through `submit` or stdout. Everything a guest says is checked
here or in `propeller.fl`: sizes against the layout, every number finite, counts within bounds.
"""

from __future__ import annotations

import hmac
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from propeller.errors import PropellerError
from proplet.runtime.control import Control
from proplet.runtime.lesson import Lesson
from proplet.runtime.private import veiled
from proplet.runtime.virtual import Refusal

if TYPE_CHECKING:
    import numpy as np

    from propeller.fl.layout import Layout

MAX_METRICS = 16
MAX_NAME = 64
MAX_SAMPLES = 1 << 53
_NAMES = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """delta: f32, model after training minus model before. body: it in the round's own encoding,
    where the guest made that itself. samples: None where the guest did not say."""

    delta: np.ndarray
    body: bytes | None = None
    samples: int | None = None
    steps: int = 0


class Metrics:
    """At most 16 named numbers of one run; a name told again takes the newer value."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}

    def tell(self, name: str, value: float) -> None:
        """Raises Refusal."""
        if not 0 < len(name) <= MAX_NAME or not _NAMES.issuperset(name):
            raise Refusal(
                f"rejected: a metric's name is 1 to {MAX_NAME} letters, digits, '_', '.' or '-'"
            )
        if not math.isfinite(value):
            raise Refusal("rejected: a metric that is no finite number")
        if name not in self._values and len(self._values) >= MAX_METRICS:
            raise Refusal(f"rejected: more than {MAX_METRICS} metrics")
        self._values[name] = value

    def texts(self) -> dict[str, str]:
        """Each as the shortest decimal text that reads back as the same number."""
        return {name: repr(value) for name, value in sorted(self._values.items())}


def checked_samples(value: object) -> int:
    """A number of samples a guest gave. Raises Refusal."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refusal("rejected: num_samples is not a whole number")
    if not 0 < value <= MAX_SAMPLES:
        raise Refusal("rejected: num_samples must be at least 1")
    return value


def layout_of(lesson: Lesson, count: int) -> Layout:
    """The layout of the round; without one, a flat one of as many parameters as came."""
    from propeller.fl.layout import Layout

    return lesson.layout if lesson.layout is not None else Layout.flat(count)


def base_of(lesson: Lesson, count: int) -> np.ndarray:
    """Where training started; zeros without a model."""
    import numpy as np

    return lesson.base if lesson.base is not None else np.zeros(count, np.float32)


def from_body(lesson: Lesson, name: str, body: bytes) -> Answer:
    """An answer in a binary encoding of federated.md, by name. Raises Refusal."""
    from propeller.fl.encodings import decode

    count = lesson.count
    if name in ("f32-delta", "f32-full"):
        wanted = None if count is None else 4 * count
        if wanted is None and (len(body) % 4 or not body):
            raise Refusal(f"rejected: {len(body)} bytes, not a list of f32")
        if wanted is not None and len(body) != wanted:
            raise Refusal(f"rejected: {len(body)} bytes, expected {wanted}")
        count = len(body) // 4
    if count is None:
        raise Refusal(f"rejected: {name} needs a model or a layout to start from")
    try:
        delta = decode(name, body, layout=layout_of(lesson, count), base=base_of(lesson, count))
    except PropellerError as error:
        raise Refusal(f"rejected: {error.what}") from None
    return Answer(delta=delta, body=body if name == lesson.format else None)


def from_numbers(lesson: Lesson, values: object, *, full: bool) -> Answer:
    """An answer as numbers in layout order, as JSON has them. Raises Refusal.

    Full weights become a delta by f32(f64(y) - f64(x)).
    """
    import numpy as np

    if not isinstance(values, list):
        raise Refusal("rejected: the update is not a list of numbers")
    if lesson.count is not None and len(values) != lesson.count:
        raise Refusal(f"rejected: {len(values)} numbers, expected {lesson.count}")
    if not values:
        raise Refusal("rejected: an update without numbers")
    if not all(type(value) in (int, float) for value in values):
        raise Refusal("rejected: the update is not a list of numbers")
    try:
        numbers = np.array(values, dtype=np.float64)
        if full:
            numbers = numbers - base_of(lesson, len(values)).astype(np.float64)
        with np.errstate(over="ignore"):
            delta = numbers.astype(np.float32)
    except OverflowError:
        raise Refusal("rejected: a number that is not finite") from None
    if not bool(np.isfinite(delta).all()):
        raise Refusal("rejected: a number that is not finite")
    return Answer(delta=delta)


def encoded(lesson: Lesson, answer: Answer, steps: int = 0) -> dict[str, object]:
    """The body in the encoding of the round and what an envelope says about it. Raises Refusal.

    Stochastic rounding takes its numbers from the seed of the round. A top-k form keeps one number
    in ten, or what the hyperparameter `topk` says; `left` is what it leaves out for later rounds.
    """
    import numpy as np

    from propeller.fl.encodings import encode

    if lesson.control is not None:
        return _controlled(lesson, lesson.control, answer.delta, steps)
    count = len(answer.delta)
    layout = layout_of(lesson, count)
    delta, body, left, error = answer.delta, answer.body, None, lesson.error
    if lesson.veil is not None:
        try:
            # What the guest encoded itself has not been looked at, and what earlier rounds left
            # out would come on top.
            delta, body, error = veiled(delta, lesson.veil, os.urandom), None, None
        except PropellerError as problem:
            raise Refusal(f"rejected: {problem.what}") from None
    if body is None:
        key = hmac.digest(lesson.seed, b"propeller-fl-rounding-v1", "sha256")
        uniform = np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "little")))
        try:
            sent = encode(
                lesson.format,
                delta,
                base=base_of(lesson, count),
                layout=layout,
                uniform=uniform,
                keep=_kept(lesson, count),
                error=error,
            )
            body, left = sent.body, None if lesson.veil is not None else sent.error
        except PropellerError as problem:
            raise Refusal(f"rejected: {problem.what}") from None
    known = "" if lesson.layout is None else layout.digest
    rest = None if left is None else left.astype("<f4").tobytes()
    return {"body": body, "left": rest, "count": count, "layout": known}


def _controlled(
    lesson: Lesson, control: Control, delta: np.ndarray, steps: int
) -> dict[str, object]:
    """An update of two halves, and what the device keeps for the next round."""
    from propeller.fl.encodings import encode

    assert lesson.layout is not None
    try:
        both, own = control.after(delta, steps)
        body = encode("f32-delta", both).body
    except ValueError as error:
        raise Refusal(f"rejected: {error}") from None
    except PropellerError as problem:
        raise Refusal(f"rejected: {problem.what}") from None
    left = own.astype("<f4").tobytes()
    return {"body": body, "left": left, "count": len(both), "layout": lesson.layout.digest}


def _kept(lesson: Lesson, count: int) -> int:
    """How many numbers a top-k form sends."""
    try:
        share = float(dict(lesson.params).get("topk", "0.1"))
    except ValueError:
        share = math.nan
    if not 0 < share <= 1:
        raise Refusal("rejected: the hyperparameter topk is a share above 0 and up to 1")
    return max(1, min(count, round(share * count)))


def measured(metrics: Mapping[str, str], samples: int) -> dict[str, object]:
    """The result of an evaluation."""
    return {"metrics": dict(metrics), "samples": samples}
