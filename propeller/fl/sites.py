"""A site's update: what a fleet of its own made of its round, as one update of encoding 10.

A site is a reconciler with its own broker and proplets. It holds a round of the same
`FederatedTask`, folds it as one leaf (`partial`), and signs the sums with its manager's key.
Whoever joins the sites checks each update against the model it must start from, its siblings and
the keys it was told, and takes one step of FedAvg. The meta of such an update:

    @first, @last    the range of proplet ids that the site owns
    @members         how many updates are in the sums
    @contributors    digest over (proplet, body digest, samples) of each, as the site's round has it
    @record          digest of that round's record
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import numpy as np

from propeller.errors import WireError
from propeller.fl.admit import MAX_SAMPLES, far_out, length
from propeller.fl.encodings import largest
from propeller.fl.errors import Refusal, Why
from propeller.fl.fold import Vector
from propeller.fl.layout import Layout
from propeller.fl.partial import (
    MOST_SAMPLES,
    Partial,
    Range,
    checked,
    from_body,
    mean_of,
    mean_tiles,
    to_body,
)
from propeller.fl.strategies.base import moved
from propeller.wire.updates import (
    NONE,
    SIGNATURE_SIZE,
    Update,
    pack,
    signed_bytes,
    unpack,
    update_id,
)

ENCODING: Final = "f64-partial"
NO_NONCE: Final = "0" * 32
"""Nobody assigned it: job, round and base in the header are what ties it to its time."""

MAX_ID: Final = 256
"""Bytes of an end of a range."""

Verify = Callable[[bytes, bytes], bool]
"""(signature, message) -> whether it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What a site's round came to. base: "" for zeros. contributors, record: digests."""

    job: str
    round: int
    attempt: int
    base: str
    layout: str
    partial: Partial
    members: int
    contributors: str
    record: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An update that may be joined. signer: which of the keys. norm: L2 of the site's mean."""

    update: Update
    identifier: str
    partial: Partial
    members: int
    contributors: str
    record: str
    signer: int
    norm: float


def packed(folded: Folded, sign: Callable[[bytes], bytes]) -> bytes:
    """The file of a site's update. Raises WireError for what no reader would take."""
    partial = folded.partial
    update = Update(
        encoding=ENCODING,
        flags=NONE,
        job=UUID(folded.job).bytes,
        round=folded.round,
        attempt=folded.attempt,
        samples=partial.samples,
        count=len(partial.sums),
        base=folded.base,
        layout=folded.layout,
        meta={
            "@first": partial.range.first,
            "@last": partial.range.last,
            "@members": folded.members,
            "@contributors": folded.contributors,
            "@record": folded.record,
        },
        body=to_body(partial),
        signature=bytes(SIGNATURE_SIZE),
    )
    text = signed_bytes(update_id(pack(update)), NO_NONCE)
    return pack(replace(update, signature=sign(text)))


def read_site(data: bytes, *, base: str, layout: Layout, keys: Sequence[Verify]) -> Site:
    """The update in `data`, of that base ("" for zeros) and layout, signed by one of `keys`.

    Raises Refusal.
    """
    try:
        update = unpack(data, max_body=largest(ENCODING, layout.count))
    except WireError as error:
        raise Refusal(Why.ENVELOPE, str(error)) from error
    if update.encoding != ENCODING:
        raise Refusal(Why.WRONG_FORMAT, f"{update.encoding}, expected {ENCODING}")
    if update.layout != layout.digest:
        raise Refusal(Why.WRONG_LAYOUT, f"of layout {update.layout or 'none'}")
    if update.count != layout.count:
        raise Refusal(Why.WRONG_SIZE, f"{update.count} elements, expected {layout.count}")
    if update.base != base:
        raise Refusal(Why.WRONG_BASE, f"trained from {update.base or 'zeros'}")
    identifier = update_id(data)
    signer = _signer(update, identifier, keys)
    range_ = _range(update.meta)
    partial = from_body(update.body, range_, layout.count)
    members = _number(update.meta, "@members")
    if update.samples != partial.samples:
        raise Refusal(Why.MALFORMED, "its header and its sums disagree about samples")
    if not 1 <= members <= partial.samples:
        raise Refusal(Why.MALFORMED, f"{members} members with {partial.samples} samples")
    if partial.samples > members * MAX_SAMPLES:
        words = f"{partial.samples} samples of {members} members"
        raise Refusal(Why.TOO_MANY_SAMPLES, words)
    return Site(
        update=update,
        identifier=identifier,
        partial=partial,
        members=members,
        contributors=_text(update.meta, "@contributors"),
        record=_text(update.meta, "@record"),
        signer=signer,
        norm=length(mean_of([partial], layout.count)),
    )


def joined(base: Vector, sites: Sequence[Site]) -> Vector:
    """`base + sum n_k D_k / sum n_k` over the members of all sites, rounded once.

    Raises Refusal: siblings of another job or round, two of one key, ranges that overlap, more
    samples than f64 counts, a site far longer than the others, a model that is not finite.
    """
    agree(sites)
    model = np.empty(len(base), np.float32)
    for at, mean in mean_tiles([one.partial for one in sites], len(base)):
        part = slice(at, at + len(mean))
        model[part] = moved(base[part], mean)
    return model


def agree(sites: Sequence[Site]) -> None:
    """Raises Refusal where these cannot be of one round."""
    if not sites:
        raise Refusal(Why.ZERO_WEIGHT, "no site has sent anything")
    first = sites[0].update
    signers: set[int] = set()
    for one in sites:
        name = one.partial.range.first
        if one.update.job != first.job:
            raise Refusal(Why.WRONG_JOB, f"the site of {name} trained another job")
        if one.update.round != first.round:
            raise Refusal(Why.WRONG_ROUND, f"the site of {name} sent round {one.update.round}")
        if one.signer in signers:
            raise Refusal(Why.DUPLICATE, f"the site of {name} signed two of them")
        signers.add(one.signer)
    checked(one.partial.range for one in sites)
    if sum(one.partial.samples for one in sites) > MOST_SAMPLES:
        raise Refusal(Why.TOO_MANY_SAMPLES, "more samples than f64 counts exactly")
    far = far_out({one.identifier: one.norm for one in sites})
    for one in sites:
        if one.identifier in far:
            words = f"the site of {one.partial.range.first} is far longer than the others"
            raise Refusal(Why.HUGE_NORM, words)


def _signer(update: Update, identifier: str, keys: Sequence[Verify]) -> int:
    signature = update.signature
    if signature is not None:
        message = signed_bytes(identifier, NO_NONCE)
        for index, verify in enumerate(keys):
            if verify(signature, message):
                return index
    raise Refusal(Why.BAD_SIGNATURE, "not signed by the manager of a site that was named")


def _range(meta: Mapping[str, int | str]) -> Range:
    range_ = Range(first=_text(meta, "@first"), last=_text(meta, "@last"))
    return checked([range_])[0]


def _text(meta: Mapping[str, int | str], name: str) -> str:
    found = meta.get(name)
    if not isinstance(found, str) or len(found.encode(errors="replace")) > MAX_ID:
        raise Refusal(Why.MALFORMED, f"its meta has no {name}")
    return found


def _number(meta: Mapping[str, int | str], name: str) -> int:
    found = meta.get(name)
    if not isinstance(found, int):
        raise Refusal(Why.MALFORMED, f"its meta has no {name}")
    return found
