"""The disk of a simulated proplet: what survives a kill, as the agent's `Store` keeps it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from propeller.wire.messages import BlobRef, Entry, Observed
from proplet.records import RunRecord, Silence, Times
from proplet.switchboard import Discard, Keep, Outgoing


@dataclass(slots=True)
class Disk:
    """What survives a kill."""

    inst: str
    boots: int = 0
    observed: Observed = field(default_factory=Observed)
    iat: int = 0
    entries: tuple[Entry, ...] = ()
    runs: dict[tuple[str, str], RunRecord] = field(default_factory=dict)
    trust: bytes = b""
    signer: str = ""
    silence: Silence | None = None
    times: dict[tuple[str, str], Times] = field(default_factory=dict)
    releases: bytes = b""
    held: tuple[str, ...] = ()
    uploads: dict[str, BlobRef] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, bytes] = field(default_factory=dict)
    outgoing: dict[int, Outgoing] = field(default_factory=dict)

    def keep_times(self, key: tuple[str, str], times: Times | None) -> None:
        """A schedule, as `Store.save` has it."""
        if times is None:
            self.times.pop(key, None)
        else:
            self.times[key] = times

    def keep(self, acts: Iterable[Keep | Discard]) -> None:
        """Messages of guests, as `Store.keep` has them."""
        for act in acts:
            if isinstance(act, Keep):
                self.outgoing[act.message.seq] = act.message
            else:
                for seq in act.seqs:
                    self.outgoing.pop(seq, None)
