"""Whether a proplet has to be asked for something, again, or at all.

Called for one proplet at a time. There is no outbox: what was asked is a row with a due time, and
while the proplet does not report that it holds it, it is asked again, ever less often. A document
keeps its fence and gen until its content changes, so that a restart republishes nothing (protocol
rules b, c, j).
"""

from __future__ import annotations

from dataclasses import dataclass

from propeller.model.seen import Presence, Seen
from propeller.model.specs import Backoff

AGAIN = Backoff(base=5_000, cap=300_000)
"""Between two asks of one document while a proplet is online and does not take it (ms)."""

EVEN = 4
"""How often it is asked again before the wait begins to double: what is lost once is rarely lost
five times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a proplet should hold. inst: its instance, "" before its hello. digest: of the tasks."""

    inst: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The document last asked of it. due: when to ask again; attempts: asks of this one so far."""

    inst: str
    fence: int
    gen: int
    digest: str
    due: int
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """Ask nothing now; look again at `until` (Unix ms), None: only news can change it."""

    until: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Ask for this document. new: it has to be composed and signed; else the last one is repeated.

    due: when to look again if nothing is heard (Unix ms).
    """

    fence: int
    gen: int
    new: bool
    reason: str
    due: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFence:
    """The proplet follows a fence above ours: read its retained document before anything else.

    If a key of this fleet signed it, another manager took over and this one stops writing; if not,
    the proplet is quarantined. `until` is None: only reading it helps.
    """

    fence: int
    until: None = None


Decision = Nothing | Ask | ForeignFence


def decide(
    wanted: Wanted,
    held: Held | None,
    seen: Seen,
    *,
    fence: int,
    now: int,
    broker_differs: bool = False,
    welcomed: bool = False,
    backoff: Backoff = AGAIN,
) -> Decision:
    """What to ask of the proplet now.

    fence: that of this manager's lease. broker_differs: the broker's retained document is known to
    be another than `held`. welcomed: it has just come online or said hello.
    """
    if not wanted.inst or seen.inst != wanted.inst:
        return Nothing()
    observed = (seen.observed_fence, seen.observed_gen)
    if seen.observed_fence > fence:
        return ForeignFence(fence=seen.observed_fence)
    if held is None or (held.inst, held.digest) != (wanted.inst, wanted.digest):
        reason = "first document" if held is None else "its content changed"
        return _new(held, observed, fence, reason, now + backoff.base)
    asked = (held.fence, held.gen)
    if observed > asked:
        reason = f"it holds a later one ({observed[0]}/{observed[1]})"
        return _new(held, observed, fence, reason, now + backoff.base)
    if observed == asked and seen.observed_digest != held.digest:
        reason = "it holds another one of the same number"
        return _new(held, observed, fence, reason, now + backoff.base)
    if broker_differs:
        return _again(held, "the broker lost it", now, backoff)
    if observed == asked:
        return Nothing()
    if seen.presence is not Presence.ONLINE:
        return Nothing()  # the broker keeps it; its hello or its coming online wakes us
    if held.due <= now or (welcomed and held.attempts > 1):
        return _again(held, "not taken yet", now, backoff)
    return Nothing(until=held.due)


def _new(held: Held | None, observed: tuple[int, int], fence: int, reason: str, due: int) -> Ask:
    """A document above everything asked or observed under our fence."""
    gens = [0]
    if held is not None and held.fence == fence:
        gens.append(held.gen)
    if observed[0] == fence:
        gens.append(observed[1])
    return Ask(fence=fence, gen=max(gens) + 1, new=True, reason=reason, due=due)


def _again(held: Held, reason: str, now: int, backoff: Backoff) -> Ask:
    wait = min(backoff.cap, backoff.base << max(0, min(held.attempts, 30) - EVEN))
    return Ask(fence=held.fence, gen=held.gen, new=False, reason=reason, due=now + wait)
