"""What the shell tells whoever watches this device: spans of traces, and numbers for Prometheus.

Called on the shell's thread at the few places where something happened; nothing it is told changes
what the agent does.
"""

from __future__ import annotations

from collections import Counter

from propeller.wire.call_messages import Call
from propeller.wire.messages import Entry, Report
from proplet.effects import SaveDesired, Start
from proplet.pending import Result
from proplet.records import Key
from proplet.tracing import Tracing


class Signs:
    """Plain numbers: one thread writes them, any may read. dropped: messages, by why."""

    def __init__(self, dropped: Counter[str]) -> None:
        self.dropped = dropped
        self.connected = False
        self.connects = 0
        self.documents = 0
        self.starts = 0
        self.calls: Counter[str] = Counter()
        self.runs: dict[str, int] = {}
        self.storage_free = 0
        self.vitals: dict[str, int] = {}


class Witness:
    """See the module."""

    def __init__(self, signs: Signs, tracing: Tracing) -> None:
        self._signs = signs
        self._tracing = tracing

    def connected(self, yes: bool) -> None:
        """The broker took us in, or is gone."""
        self._signs.connected = yes
        self._signs.connects += yes

    def heard(self) -> None:
        """A message came that may be a document."""
        self._tracing.heard()

    def saw(self, effect: object, trace: str) -> None:
        """The agent wants something done. trace: of the document accepted last."""
        if isinstance(effect, SaveDesired):
            self._signs.documents += 1
        elif isinstance(effect, Start):
            self._signs.starts += 1
        self._tracing.saw(effect, trace)

    def fetched(self, digest: str) -> None:
        """A blob is here."""
        self._tracing.fetched(digest)

    def prepared(self, key: Key, error: str = "") -> None:
        """A module was compiled for a run, or cannot do what it should."""
        self._tracing.prepared(key, error)

    def started(self, entry: Entry) -> None:
        """A guest was handed to its process."""
        self._tracing.started(entry)

    def told(self, message: object) -> None:
        """A message was sent."""
        if isinstance(message, Report) and message.tasks is not None:
            self._signs.runs = dict(Counter(run.state for run in message.tasks))
        self._tracing.told(message)

    def called(self, call: Call, result: Result) -> None:
        """A call was answered."""
        self._signs.calls[result.state] += 1
        self._tracing.called(call, result)

    def looked(self, metrics: tuple[tuple[str, int], ...], *, storage: int) -> None:
        """What process and guests take was measured. storage: bytes left."""
        self._signs.vitals, self._signs.storage_free = dict(metrics), storage
