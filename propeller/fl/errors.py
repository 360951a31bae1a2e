"""Why an update, a model or a round is refused: one closed list of words.

The words are counters in status files and `outcome` of invited proplets, so they are only ever
added. `Refusal` is a WireError: the other side said something wrong.
"""

from __future__ import annotations

from enum import StrEnum

from propeller.errors import WireError


class Why(StrEnum):
    """The words. The comment says what was wrong."""

    ENVELOPE = "envelope"  # not a PFU1 envelope of this version
    WRONG_JOB = "wrong-job"  # of another run of this or another object
    WRONG_ROUND = "wrong-round"  # of another round or attempt
    WRONG_BASE = "wrong-base"  # trained from another model
    WRONG_LAYOUT = "wrong-layout"  # tensors of other names or shapes
    WRONG_FORMAT = "wrong-format"  # an encoding the spec does not ask for
    WRONG_SIZE = "wrong-size"  # a body that does not fit its encoding and count
    MALFORMED = "malformed"  # a body that breaks its encoding's rules
    NOT_FINITE = "not-finite"  # a NaN or an infinity
    ZERO_SAMPLES = "zero-samples"  # trained on nothing
    TOO_MANY_SAMPLES = "too-many-samples"  # more than the spec believes
    HUGE_NORM = "huge-norm"  # far longer than the others of its round
    BAD_SIGNATURE = "bad-signature"  # not signed by the proplet it came from
    DUPLICATE = "duplicate"  # the proplet's update of this round is in already
    ZERO_WEIGHT = "zero-weight"  # no update of a round carries any weight
    UNCLIPPED = "unclipped"  # the device did not do to it what the round asked for
    NO_STEPS = "no-steps"  # a strategy weighs by local steps and it does not say them
    BUDGET = "budget"  # a round would spend more privacy than the spec allows
    LEDGER = "ledger"  # what was spent is not known, so nothing may be
    THRESHOLD = "threshold"  # too few are left of a secure sum
    MODEL = "model"  # not a model file of the layout


class Refusal(WireError):
    """An input of a round that is not taken. `why` is the word for counters."""

    def __init__(self, why: Why, what: str) -> None:
        super().__init__(why.value, what)
        self.why = why
