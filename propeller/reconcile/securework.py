"""Secure aggregation in a worker: what devices are told, what they say, and their sum unmasked.

Each is a pure function of blobs, so that whatever was under way when the process died is done again
and comes to the same. Nothing here, or anywhere in the reconciler, has a single update in clear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from propeller.model.federated import Terms
from propeller.model.ids import sha256_digest
from propeller.model.rounds import Blob, Mail, Part, Step
from propeller.reconcile.learning import Gather, Look, Looked, Relay, Relayed
from propeller.registry.blobs import BlobStore

if TYPE_CHECKING:
    from propeller.fl.fold import Contribution
    from propeller.fl.layout import Layout
    from propeller.fl.secagg.masks import Grid

RANGE = "8"
"""Of a weighted number, where devices do not bound their updates: what is beyond is cut."""

EVERYBODY = ""


def relay(work: Relay, blobs: BlobStore) -> Relayed:
    """The letters of a step. Raises WireError, OSError."""
    from propeller.fl.secagg import letters

    match work.step:
        case Step.SHARES:
            keys = (
                letters.read_keys(_read(blobs, part), part.proplet) for part in work.exchange.keys
            )
            letter = letters.roster_letter(keys)
        case Step.TRAIN:
            return _mail(work, blobs)
        case _:
            letter = letters.sum_letter(work.survivors)
    return Relayed(work=work, mail=(Mail(work.step, EVERYBODY, _keep(blobs, letter)),))


def _mail(work: Relay, blobs: BlobStore) -> Relayed:
    """To each who shared, what the others sealed for it."""
    from propeller.fl.secagg import letters

    boxes: dict[str, dict[str, bytes]] = {part.proplet: {} for part in work.exchange.shares}
    for part in work.exchange.shares:
        for receiver, sealed in letters.read_shares(_read(blobs, part)).items():
            if receiver in boxes:
                boxes[receiver][part.proplet] = sealed
    return Relayed(
        work=work,
        mail=tuple(
            Mail(work.step, name, _keep(blobs, letters.shares_letter(box)))
            for name, box in boxes.items()
        ),
    )


def look(work: Look, blobs: BlobStore) -> Looked:
    """What one device said in a step of talk. Raises WireError, OSError."""
    from propeller.fl.errors import Refusal, Why
    from propeller.fl.secagg import letters

    size = blobs.size(work.update.digest)
    if size != work.update.size or size > letters.LARGEST:
        return Looked(work=work, why=f"{size} bytes, at most {letters.LARGEST} and as reported")
    data = blobs.read(work.update.digest)
    match work.step:
        case Step.KEYS:
            letters.read_keys(data, work.proplet)
        case Step.SHARES:
            roster = letters.read_roster(blobs.read(work.about.digest))
            if letters.read_shares(data).keys() != roster.keys() - {work.proplet}:
                raise Refusal(Why.MALFORMED, "shares that are not for each of the others")
        case _:
            survivors = letters.read_sum(blobs.read(work.about.digest))
            if letters.read_opened(data, work.proplet).seeds.keys() != survivors:
                raise Refusal(Why.MALFORMED, "shares of others than of those in the sum")
    return Looked(work=work, body=sha256_digest(data))


def range_of(terms: Terms) -> str:
    """How large a weighted number may be, as text: what a device's own bound leaves, with room for
    eight deviations of its noise."""
    local = terms.local
    if local is None:
        return RANGE
    return f"{float(local.norm) * (1 + 8 * float(local.multiplier or 0)):.9f}"


def grid_of(terms: Terms, members: int) -> Grid:
    """How numbers are quantised, so that a sum of `members` does not wrap. Raises UsageError."""
    from propeller.fl.secagg.masks import Grid
    from propeller.fl.secagg.messages import bits_of

    return Grid(
        clip=float(range_of(terms)),
        bits=bits_of(members),
        most=terms.samples or 1,
        members=members,
    )


def unmasked(work: Gather, blobs: BlobStore, layout: Layout) -> tuple[Contribution, int]:
    """The weighted mean of the updates in the sum as the only contribution, and its weight.

    Raises Refusal where the sum cannot be opened; then nothing of it is known.
    """
    import numpy as np

    from propeller.fl.fold import Contribution, Held
    from propeller.fl.secagg import letters
    from propeller.fl.secagg.messages import Terms as SumTerms
    from propeller.fl.secagg.messages import threshold_of
    from propeller.fl.secagg.server import Server
    from propeller.wire.updates import unpack

    exchange = work.exchange
    assert exchange is not None
    roster = letters.read_roster(blobs.read(exchange.roster.digest))
    server = Server(
        SumTerms(
            job=work.job,
            round=work.number,
            attempt=work.attempt,
            cohort=tuple(sorted(roster)),
            threshold=threshold_of(len(roster)),
            count=layout.count + 1,
        )
    )
    server.roster(roster.values())
    server.route(
        {part.proplet: letters.read_shares(_read(blobs, part)) for part in exchange.shares}
    )
    for part in work.parts:
        update = unpack(_read(blobs, part), max_body=part.update.size)
        server.add(part.proplet, np.frombuffer(update.body, "<u4").astype(np.uint32))
    survivors = server.close()
    total = server.unmask(
        letters.read_opened(_read(blobs, part), part.proplet) for part in exchange.opened
    )
    mean, weight = grid_of(work.terms, exchange.members).mean(total, len(survivors))
    return Contribution(proplet="", samples=1, deltas=Held(mean.astype(np.float32))), weight


def _read(blobs: BlobStore, part: Part) -> bytes:
    return blobs.read(part.update.digest)


def _keep(blobs: BlobStore, data: bytes) -> Blob:
    return Blob(blobs.put(data), len(data))
