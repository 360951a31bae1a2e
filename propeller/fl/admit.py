"""What an update must be before it may touch a model. Pure; called by the round's worker.

The order is that of cost: the envelope against the assignment, then sizes, then the signature, then
the numbers. Each refusal has a word that status files count. Looking at how long an update is needs
the others of its round, so that is asked at the end of it (`far_out`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from propeller.errors import WireError
from propeller.fl.encodings import decode, largest
from propeller.fl.errors import Refusal, Why
from propeller.fl.layout import Layout
from propeller.fl.partial import Range, from_body, mean_of
from propeller.wire.updates import Flag, Update, signed_bytes, unpack, update_id

Vector = NDArray[np.float32]

MAX_SAMPLES: Final = 1 << 32
"""Samples believed where the spec sets no cap. (1e12 from one client is a lie or a bug.)"""

FAR: Final = 10.0
"""An update longer than so many times the median of its round is refused."""

LANES: Final = 4096

FEW: Final = 3
"""With fewer updates than this there is no median to speak of."""


LEAF: Final = Range(first="a", last="a")
"""Which range a site has does not matter where its gateway says who it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a proplet was asked. job: UUID text. base, layout: digests, "" for none.

    most_samples: what the spec believes. signed_by: verifies 64 bytes over a message; None where
    the fleet signs nothing.
    """

    job: str
    round: int
    attempt: int
    nonce: str
    base: str
    layout: str
    encoding: str
    most_samples: int = MAX_SAMPLES
    signed_by: Callable[[bytes, bytes], bool] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """An update that may take part. norm: L2 of the delta."""

    update: Update
    identifier: str
    delta: Vector
    norm: float


def admit(data: bytes, assignment: Assignment, layout: Layout, base: Vector | None) -> Admitted:
    """The update in `data`, if it is the answer to `assignment`. Raises Refusal."""
    update, identifier = _opened(data, assignment, layout)
    delta = decode(update.encoding, update.body, layout=layout, base=base)
    norm = length(delta)
    return Admitted(update=update, identifier=identifier, delta=delta, norm=norm)


def admit_masked(data: bytes, assignment: Assignment, layout: Layout) -> Update:
    """An update that is only ever seen in a sum, if it is the answer to `assignment`: all but its
    numbers is looked at, and those nobody can. Raises Refusal."""
    update, _ = _opened(data, assignment, layout)
    if not update.flags & Flag.SECURE:
        raise Refusal(Why.MALFORMED, "its envelope does not say that it is masked")
    if len(update.body) != largest(assignment.encoding, layout.count):
        raise Refusal(Why.WRONG_SIZE, f"{len(update.body)} bytes of a masked update")
    return update


def admit_sums(data: bytes, assignment: Assignment, layout: Layout) -> Admitted:
    """The sums of a site (`f64-partial`), if they are the answer to `assignment`; `delta` is their
    mean. Raises Refusal."""
    update, identifier = _opened(data, assignment, layout)
    partial = from_body(update.body, LEAF, layout.count)
    if partial.samples != update.samples:
        raise Refusal(Why.MALFORMED, "its header and its sums disagree about samples")
    mean = mean_of([partial], layout.count)
    return Admitted(update=update, identifier=identifier, delta=mean, norm=length(mean))


def length(delta: Vector) -> float:
    """The L2 norm, in f64 and element by element so that it is the same everywhere. Raises Refusal
    (not-finite) where f64 cannot hold its square: no trainer means that."""
    norm = math.sqrt(squares(delta))
    if not math.isfinite(norm):
        raise Refusal(Why.NOT_FINITE, "a delta longer than f64 can say")
    return norm


def far_out(norms: Mapping[str, float], *, times: float = FAR) -> frozenset[str]:
    """Who of a round sent an update longer than `times` the median of all; nobody among few."""
    if len(norms) < FEW:
        return frozenset()
    ranked = sorted(norms.values())
    half = len(ranked) // 2
    median = ranked[half] if len(ranked) % 2 else (ranked[half - 1] + ranked[half]) / 2
    if median <= 0:
        return frozenset()
    return frozenset(one for one, norm in norms.items() if norm > times * median)


def _signed(update: Update, identifier: str, asked: Assignment) -> None:
    """Raises Refusal where it is not signed as the fleet signs."""
    if asked.signed_by is not None and (
        update.signature is None
        or not asked.signed_by(update.signature, signed_bytes(identifier, asked.nonce))
    ):
        raise Refusal(Why.BAD_SIGNATURE, "not signed by the proplet it came from")


def _opened(data: bytes, assignment: Assignment, layout: Layout) -> tuple[Update, str]:
    """What came as an answer to `assignment`, signed by whom it was asked of, and its digest."""
    try:
        update = unpack(data, max_body=largest(assignment.encoding, layout.count))
    except WireError as error:
        raise Refusal(Why.ENVELOPE, str(error)) from error
    _matches(update, assignment, layout)
    identifier = update_id(data)
    _signed(update, identifier, assignment)
    return update, identifier


def _matches(update: Update, asked: Assignment, layout: Layout) -> None:
    """Raises Refusal where the header answers another assignment."""
    if update.job.hex() != asked.job.replace("-", ""):
        raise Refusal(Why.WRONG_JOB, f"of job {update.job.hex()[:8]}...")
    if (update.round, update.attempt) != (asked.round, asked.attempt):
        raise Refusal(Why.WRONG_ROUND, f"of round {update.round}, attempt {update.attempt}")
    if update.encoding != asked.encoding:
        raise Refusal(Why.WRONG_FORMAT, f"{update.encoding}, expected {asked.encoding}")
    if update.layout != asked.layout:
        raise Refusal(Why.WRONG_LAYOUT, f"of layout {update.layout or 'none'}")
    if update.count != layout.count:
        raise Refusal(Why.WRONG_SIZE, f"{update.count} elements, expected {layout.count}")
    if update.base != asked.base:
        raise Refusal(Why.WRONG_BASE, f"trained from {update.base or 'no model'}")
    if (update.encoding == "f32-full") != bool(update.flags & Flag.FULL):
        raise Refusal(Why.MALFORMED, "its flag and its encoding disagree about full weights")
    if update.samples < 1:
        raise Refusal(Why.ZERO_SAMPLES, "trained on no sample")
    if update.samples > asked.most_samples:
        raise Refusal(
            Why.TOO_MANY_SAMPLES, f"{update.samples} samples, at most {asked.most_samples}"
        )


def squares(delta: Vector) -> float:
    """The sum of squares in f64: lanes added element by element, then the lanes exactly. No order
    of a library or processor is in it, because what is clipped by it is in a digest."""
    lanes = np.zeros(min(LANES, max(len(delta), 1)), np.float64)
    for at in range(0, len(delta), LANES):
        part = delta[at : at + LANES].astype(np.float64)
        lanes[: len(part)] += part * part
    return math.fsum(lanes.tolist())
