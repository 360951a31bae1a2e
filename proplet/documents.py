"""Which desired document is the one to hold: accepted, refused, or awaiting its body. Pure.

Decides by the lettered rules of the protocol, on documents whose signature was verified, and keeps
what was accepted last. Called by `agent` with every document, and with the body of one that came as
a blob. Leaves frames and keys to `seals`, fetching to `downloads`, when a refusal is told to
`reporting`, and what becomes of the entries to `runs`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from propeller.errors import WireError
from propeller.wire.messages import BlobRef, Desired, Entry, Observed, Refused
from proplet.effects import Effect, Fetch, Now, Purpose, SaveDesired, Say
from proplet.records import AgentConfig, Stored
from proplet.reporting import Reporting
from proplet.runs import Runs
from proplet.seals import read_entries


@dataclass(frozen=True, slots=True)
class _Incoming:
    """A document accepted in all but its body, which is on its way (unless it was given up)."""

    document: Desired
    signer: str
    body: BlobRef
    given_up: bool = False


class Documents:
    """See the module. `observed` is what was accepted last, `trace` its traceparent (never stored);
    `counts` counts what is dropped.
    """

    def __init__(
        self,
        config: AgentConfig,
        stored: Stored,
        *,
        runs: Runs,
        reporting: Reporting,
        counts: Counter[str],
    ) -> None:
        self._config = config
        self._hello = config.hello
        self._runs = runs
        self._reporting = reporting
        self._counts = counts
        self._floor = stored.iat
        self._incoming: _Incoming | None = None
        self._signer = stored.signer or ""
        self._disowned = False
        self._held = stored.observed
        self.trace = ""

    @property
    def awaited(self) -> frozenset[str]:
        """The digest of the body that is still needed, if there is one."""
        return frozenset() if self._incoming is None else frozenset({self._incoming.body.digest})

    @property
    def observed(self) -> Observed:
        """The last document accepted; as if there were none once its signer was taken back."""
        return Observed() if self._disowned else self._held

    def synced(self, now: Now) -> bool:
        """Whether the clock is set, and not far behind what was signed."""
        return now.synced and now.wall + 300_000 >= self._floor

    def trusted_anew(self, believed: Callable[[str], bool], now: Now) -> None:
        """The keys that are believed have changed. believed: whether a kid still is.

        What a stolen key signed must not outbid its successor for ever (fast-forward): once the
        root took that key back, neither its fence nor its time counts, and the report names no
        document, so that the manager sends its own. What runs goes on until that comes.
        """
        if not self._config.disown:
            return
        self._disowned = bool(self._signer) and not believed(self._signer)
        if self._disowned and now.synced:
            self._floor = min(self._floor, now.wall)
        if self._incoming is not None and not believed(self._incoming.signer):
            self._incoming = None

    def hear(self, document: Desired, signer: str, now: Now, out: list[Effect]) -> None:
        """A verified document came: accept it, refuse it, or ask for its body.

        signer: kid of the key that signed it.
        """
        reason = self._why_not(document, now)
        if reason == "same":
            self._reporting.asked_again(now)
            return
        if reason == "foreign":
            self._counts[reason] += 1
            return
        if reason:
            self._counts[reason] += 1
            self.refuse(_refused(document, reason), now, out)
            return
        if document.body is None:
            assert document.tasks is not None
            self._accept(document, document.tasks, signer, now, out)
            return
        incoming = self._incoming
        if incoming is None or incoming.given_up or incoming.document != document:
            self._incoming = _Incoming(document, signer, document.body)
            out.append(Fetch(document.body.digest, document.body.size, Purpose.BODY))

    def refuse(self, refused: Refused, now: Now, out: list[Effect]) -> None:
        """Have it told that a document is not accepted."""
        if self._reporting.refuse(refused, now):
            which = f"{refused.fence}/{refused.gen} " if refused.fence else ""
            words = f"refused a desired document {which}({refused.reason})"
            out.append(Say("warning", words))

    def ask_again(self, out: list[Effect]) -> None:
        """Fetch the body that is still needed, even if it was given up."""
        if self._incoming is not None:
            body = self._incoming.body
            out.append(Fetch(body.digest, body.size, Purpose.BODY))

    def take_body(self, digest: str, data: bytes, now: Now, out: list[Effect]) -> bool:
        """A blob came. False when it is not the body that is awaited."""
        incoming = self._incoming
        if incoming is None or incoming.body.digest != digest:
            return False
        document = incoming.document
        self._incoming = None
        try:
            entries = read_entries(data, document.digest)
        except WireError as error:
            self._counts[error.reject] += 1
            self.refuse(_refused(document, error.reject), now, out)
            return True
        if len(entries) > self._config.max_entries:
            self.refuse(_refused(document, "too_many"), now, out)
            return True
        self._accept(document, entries, incoming.signer, now, out)
        return True

    def give_up(self, digest: str, now: Now, out: list[Effect]) -> bool:
        """A blob cannot be had for now. False when it is not the body that is awaited."""
        incoming = self._incoming
        if incoming is None or incoming.body.digest != digest:
            return False
        self._incoming = replace(incoming, given_up=True)
        self.refuse(_refused(incoming.document, "body_unavailable"), now, out)
        return True

    def _why_not(self, document: Desired, now: Now) -> str:
        """Why a verified document is not taken: "" takes it, "same" is what we hold already."""
        if document.to != self._hello.id:
            return "foreign"
        if document.inst != self._hello.inst:
            return "other_inst"
        held = self.observed
        pair, ours = (document.fence, document.gen), (held.fence, held.gen)
        if pair == ours and held.digest:
            return "same" if document.digest == held.digest else "other_digest"
        if pair < ours:
            return "stale"
        incoming = self._incoming
        if incoming is not None:
            awaited = incoming.document
            if pair < (awaited.fence, awaited.gen):
                return "stale"
            if pair == (awaited.fence, awaited.gen) and document.digest != awaited.digest:
                return "other_digest"
        if document.not_after is not None and self.time(now) > document.not_after:
            return "expired"
        if document.body is not None and document.body.size > self._config.max_desired:
            return "too_big"
        if document.tasks is not None and len(document.tasks) > self._config.max_entries:
            return "too_many"
        return ""

    def time(self, now: Now) -> int:
        """Unix ms as far as can be known: without a set clock, no earlier than what was signed."""
        return max(now.wall, self._floor) if self.synced(now) else self._floor

    def _accept(
        self,
        document: Desired,
        entries: tuple[Entry, ...],
        signer: str,
        now: Now,
        out: list[Effect],
    ) -> None:
        keys = {(entry.uid, entry.run) for entry in entries}
        if len(keys) != len(entries):
            self.refuse(_refused(document, "repeated_run"), now, out)
            return
        self._incoming = None
        self._held = Observed(fence=document.fence, gen=document.gen, digest=document.digest)
        self._floor = max(self._floor, document.iat)
        self.trace = document.trace
        self._signer, self._disowned = signer, False
        out.append(SaveDesired(self.observed, self._floor, entries, signer))
        self._runs.want(entries, out.append)
        self._reporting.accepted()
        words = f"accepted {document.fence}/{document.gen}: {len(entries)} tasks"
        out.append(Say("info", words))


def _refused(document: Desired, reason: str) -> Refused:
    return Refused(fence=document.fence, gen=document.gen, digest=document.digest, reason=reason)
