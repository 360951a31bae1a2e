"""Messages made by hand, with the keys that only a test has."""

from __future__ import annotations

from dataclasses import replace

from propeller.rehearse.fleet import CHANNEL, Sim
from propeller.wire.codec import decode, encode, tasks_digest
from propeller.wire.frame import peek_body, seal
from propeller.wire.messages import Desired, Entry, Observed, Report
from propeller.wire.signing import SigningKey


def retained_desired(sim: Sim, proplet: str) -> Desired:
    """The document that the broker holds for a proplet."""
    return decode(Desired, peek_body(sim.broker.retained[CHANNEL.desired(proplet)]))


def sealed(document: Desired, key: SigningKey) -> bytes:
    """A document as it is sent."""
    return seal("desired", encode(document), key)


def with_tasks(document: Desired, *entries: Entry, **changes: int) -> Desired:
    """The document with another list of tasks."""
    return replace(
        document,
        tasks=entries,
        body=None,
        digest=tasks_digest(entries),
        **changes,  # type: ignore[arg-type]  # fence, gen and iat by name
    )


def report_of(
    sim: Sim, proplet: str, *, inst: str = "", seq: int = 1_000_000, fence: int = 0
) -> bytes:
    """A report of a proplet, signed by its key, with an inventory of nothing."""
    seen = sim.seen(proplet)
    report = Report(
        id=proplet,
        inst=inst or seen.inst,
        boot=seen.boot,
        seq=seq,
        conn=seen.conn,
        observed=Observed(fence=fence, gen=1, digest="sha256:" + "0" * 64) if fence else Observed(),
        inventory="sha256:" + "0" * 64,
    )
    return seal("report", encode(report), sim.device_key(proplet))
