"""What workers are asked to do for federated jobs, and what they answer. Data only.

A worker never writes the store: it reads blobs, writes blobs, and posts one of the events here to
the inbox. Each answer but one with noise in it is a pure function of the work (same blobs, same
answer), so whatever was under way when the process died is simply asked again and comes to the same
bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from propeller.model.federated import ModelSpec, Pairs, Terms
from propeller.model.ids import Digest, PropletId, Uid
from propeller.model.rounds import NO_BLOB, Blob, Fold, Mail, Origin, Part, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """Have the model that a job starts from at hand: its blob and its layout."""

    uid: Uid
    job: str
    model: ModelSpec | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Look at what one invited proplet made. inline: a measurement that came in the report. about:
    what the proplet was told for this step. origin: where it was asked, None for this round."""

    uid: Uid
    job: str
    number: int
    attempt: int
    step: Step
    proplet: PropletId
    update: Blob
    terms: Terms
    base: Blob
    layout: Blob
    nonce: str
    inline: str | None = None
    about: Blob = NO_BLOB
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What devices have told each other so far, for a sum of `members` updates at most."""

    members: int
    roster: Blob = NO_BLOB
    keys: tuple[Part, ...] = ()
    shares: tuple[Part, ...] = ()
    opened: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Make what devices are told with `step`. survivors: whose update is in the sum."""

    uid: Uid
    job: str
    number: int
    attempt: int
    step: Step
    exchange: Exchange
    survivors: tuple[PropletId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """Fold the accepted updates into the next model. clients: who could ever take part. bound: the
    clipping norm of this round, where it follows updates. origins: of the parts that an earlier
    round asked for. range: the first and last proplet id of the cohort where the fleet above is
    told the sums, () where it is not.

    With noise in the terms the answer is another one each time it is asked for, and each asking is
    paid for.
    """

    uid: Uid
    job: str
    number: int
    attempt: int
    terms: Terms
    base: Blob
    layout: Blob
    state: Blob
    parts: tuple[Part, ...]
    clients: int = 0
    bound: str = ""
    exchange: Exchange | None = None
    origins: tuple[Origin, ...] = ()
    range: tuple[str, ...] = ()


Work = Prepare | Look | Relay | Gather


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The model a job starts from. trouble: why it cannot be had. again: trying again may help."""

    work: Prepare
    model: Blob = NO_BLOB
    layout: Blob = NO_BLOB
    trouble: str = ""
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a worker says of an update. why: what is wrong with it, "" when it is good.

    samples as capped by the terms; metrics decimal text; body: digest without the envelope.
    """

    work: Look
    why: str = ""
    samples: int = 0
    metrics: Pairs = ()
    body: Digest = Digest("")
    norm: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What came of folding."""

    work: Gather
    fold: Fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Relayed:
    """What devices are told. why: what stood in the way, "" when nothing did."""

    work: Relay
    mail: tuple[Mail, ...] = ()
    why: str = ""


Answer = Prepared | Looked | Relayed | Gathered
