"""The agent as a pure state machine: what is heard goes in, what must be done comes out.

The twin of the C core on microcontrollers. No I/O, no clock, no threads: `now` and chance come in,
every method returns the effects of one turn, and the shell carries them out (first what must be
persisted, then the rest in order). Frames are verified before anything in them is read; `documents`
decides on desired documents, `runs` on guests, `downloads` and `uploads` on blobs, `operations` on
ops, `reporting` on when to tell.
"""

from __future__ import annotations

import random
from collections import Counter

from propeller.errors import WireError
from propeller.wire.messages import BlobAck, BlobChunk, Entry, ManagerStatus, Op, Refused, Status
from proplet.autonomy import Autonomy
from proplet.documents import Documents
from proplet.downloads import Downloads
from proplet.effects import (
    DropUpload,
    Effect,
    FreeBlob,
    InUse,
    Now,
    Outcome,
    Publish,
    Quit,
    SaveSilence,
    SaveTrust,
    SaveUpload,
    Say,
    Subscribe,
    Topic,
    Wake,
)
from proplet.live import Phase
from proplet.operations import Operations
from proplet.records import AgentConfig, Key, Stored
from proplet.releases import Releases
from proplet.reporting import Reporting
from proplet.runs import Runs
from proplet.seals import Seals
from proplet.turns import Named, Turns
from proplet.uploads import Uploads

HEARD = tuple(topic for topic in Topic if topic is not Topic.RELEASES)
"""What every device hears; release lists only where trust names who signs them."""
TRUST_EVERY = 2_000
"""Ms between two requests for the trust document."""

DRAIN_MARGIN = 1500
"""Ms past the grace after which a drain no longer waits for guests."""


class Agent:
    """See the module. `seals` holds the pinned root and opens frames; `rng` serves jitter only."""

    def __init__(
        self, config: AgentConfig, stored: Stored, *, seals: Seals, rng: random.Random
    ) -> None:
        self._config = config
        self._hello = config.hello
        self._seals = seals
        self._stored = stored
        self._conn = 0
        self._connected = False
        self._manager: ManagerStatus | None = None
        self._manager_at = 0
        self._present = False
        self._autonomy = Autonomy(stored.silence)
        self._drain_by: int | None = None
        self._trust_asked = -TRUST_EVERY
        self._in_use: frozenset[str] = frozenset()
        self._storage = 0
        self._vitals: Named = ()
        self._turns = Turns()
        self.counts: Counter[str] = Counter()
        self._releases = Releases(stored.releases, stored.held)
        self._runs = Runs(config, rng, may=self._may)
        self._held = self._runs.held
        self._downloads = Downloads(config.hello.id, config.chunk, rng)
        self._uploads = Uploads(config.chunk, rng)
        self._operations = Operations(config.hello, ship_training=config.ship_training)
        self._reporting = Reporting(config)
        self._documents = Documents(
            config, stored, runs=self._runs, reporting=self._reporting, counts=self.counts
        )

    @property
    def trace(self) -> str:
        """The traceparent of the document accepted last, "" where it had none."""
        return self._documents.trace

    # -- the life of the agent --------------------------------------------------------------------

    def boot(self, now: Now) -> tuple[Effect, ...]:
        """Take up what was stored: runs go on without any network."""
        out: list[Effect] = []
        stored = self._stored
        self._autonomy.booted(now)
        if stored.trust:
            try:
                self._seals.trust(stored.trust)
            except WireError as error:
                self._say(out, "warning", f"the stored keys are not taken: {error.what}")
        self._documents.trusted_anew(self._seals.believed, now)
        self._releases.trusted_anew(self._seals)
        for blob in stored.uploads:
            self._uploads.add(blob, lasting=True)
        self._held.load(stored.entries, stored.runs, now, out.append, stored.times)
        return self._turn(now, out)

    def connected(self, conn: int, now: Now) -> tuple[Effect, ...]:
        """The broker took us in; `conn` counts connections of this boot from 1."""
        lists = (Topic.RELEASES,) if self._releases.required else ()
        out: list[Effect] = [Subscribe((*HEARD, *lists))]
        self._conn, self._connected = conn, True
        self._operations.forget_connection()
        self._announce(now, out)
        return self._turn(now, out)

    def disconnected(self, now: Now) -> tuple[Effect, ...]:
        """The connection is gone. Guests go on, each as long as its entry says."""
        self._connected = self._present = False
        return self._turn(now, [])

    def drain(self, now: Now) -> tuple[Effect, ...]:
        """Stop guests, tell it, and `Quit`."""
        out: list[Effect] = []
        if self._drain_by is None:
            self._drain_by = now.mono + self._config.grace + DRAIN_MARGIN
            self._runs.drain(out.append)
        return self._turn(now, out)

    def tick(self, now: Now) -> tuple[Effect, ...]:
        """Time has passed."""
        return self._turn(now, [])

    def vitals(self, *, storage: int, metrics: tuple[tuple[str, int], ...]) -> None:
        """Bytes of storage left, and named integers for the next report."""
        self._storage, self._vitals = storage, metrics

    def status(self, state: str, conn: int) -> Status:
        """The word about a connection: published as `online`, left with the broker as `offline`."""
        hello = self._hello
        return Status(id=hello.id, state=state, inst=hello.inst, boot=hello.boot, conn=conn)

    def holding(self) -> tuple[Entry, ...]:
        """Entries whose guests run or may come to run: what is granted to guests is theirs."""
        return self._held.holding()

    # -- what is heard ----------------------------------------------------------------------------

    def hear(self, topic: Topic, payload: bytes, now: Now) -> tuple[Effect, ...]:
        """A message came. Whatever is wrong with it is counted and goes no further."""
        out: list[Effect] = []
        try:
            match topic:
                case Topic.DESIRED:
                    self._hear_desired(payload, now, out)
                case Topic.TRUST:
                    self._hear_trust(payload, now, out)
                case Topic.RELEASES:
                    self._hear_releases(payload, out)
                case Topic.OP:
                    self._hear_op(self._seals.op(payload), now, out)
                case Topic.MANAGER:
                    self._hear_manager(self._seals.manager(payload), now, out)
                case Topic.BLOB_DATA:
                    self._hear_chunk(self._seals.chunk(payload), now, out)
                case Topic.BLOB_ACK:
                    self._hear_ack(self._seals.ack(payload), now, out)
        except WireError as error:
            self._drop(error.reject)
            if error.reject == "unknown_kid":
                self._ask_for_trust(now, out)
        return self._turn(now, out)

    def _ask_for_trust(self, now: Now, out: list[Effect]) -> None:
        """Someone signs with a key we were not told of: the trust document may have been lost."""
        if now.mono >= self._trust_asked + TRUST_EVERY:
            self._trust_asked = now.mono
            out.append(Subscribe((Topic.TRUST,), again=True))

    def _drop(self, reason: str) -> None:
        self.counts[reason] += 1

    def _hear_desired(self, payload: bytes, now: Now, out: list[Effect]) -> None:
        if not payload:
            return  # (d): the broker's slot was freed; nothing is removed by silence
        try:
            document, kid = self._seals.desired(payload)
        except WireError as error:
            self._drop(error.reject)
            nameless = Refused(fence=0, gen=0, digest="", reason=error.reject)
            self._documents.refuse(nameless, now, out)
            if error.reject == "unknown_kid":
                self._ask_for_trust(now, out)
            return
        self._documents.hear(document, kid, now, out)

    def _hear_trust(self, payload: bytes, now: Now, out: list[Effect]) -> None:
        if payload and self._seals.trust(payload):
            out.append(SaveTrust(payload))
            out.append(Subscribe((Topic.DESIRED, Topic.MANAGER), again=True))
            self._say(out, "info", f"trust is now version {self._seals.version}")
            before = self._documents.observed
            self._documents.trusted_anew(self._seals.believed, now)
            if self._documents.observed != before:
                self._reporting.at_once(now)
            self._releases.trusted_anew(self._seals)
            if self._releases.required:
                out.append(Subscribe((Topic.RELEASES,), again=True))

    def _hear_releases(self, payload: bytes, out: list[Effect]) -> None:
        """Without one that counts nothing starts, so an empty slot or a bad list frees nothing."""
        if not payload or not self._releases.required:
            return
        try:
            saved = self._releases.hear(payload, self._seals)
        except WireError as error:
            self._say(out, "warning", f"refused a release list: {error.what}")
            raise
        if saved is not None:
            out.append(saved)
            self._say(out, "info", f"release list is now {self._releases.version}")

    def _may(self, digest: str, now: Now) -> str:
        """Why no module of this digest may be started, "" where it may."""
        return self._releases.why_not(digest, self._documents.time(now))

    def _hear_op(self, op: Op, now: Now, out: list[Effect]) -> None:
        dropped = self._operations.hear(op, conn=self._conn, now=now, runs=self._runs, out=out)
        if dropped:
            self._drop(dropped)
        if self._operations.collect:
            self._operations.collect = False
            self._reporting.at_once(now)

    def _hear_manager(self, status: ManagerStatus, now: Now, out: list[Effect]) -> None:
        known = self._manager
        if status.state != "online":
            if known is None or (status.fence, status.conn) >= (known.fence, known.conn):
                self._manager = status  # an older one's will does not speak for a newer one
                self._present = False
            return
        self._manager, self._present = status, True
        if known == status and now.mono - self._manager_at < 1000:
            return
        self._manager_at = now.mono
        self._runs.retry_fetches()
        self._documents.ask_again(out)
        self._announce(now, out)

    def _announce(self, now: Now, out: list[Effect]) -> None:
        """Say who we are and what we hold, and ask again for all that is open."""
        out.append(Publish(self._hello, retain=True))
        out.append(Publish(self.status("online", self._conn), retain=True))
        self._reporting.at_once(now)
        self._reporting.announced()
        self._downloads.reopen(now)
        self._uploads.reopen(now)

    def _hear_chunk(self, chunk: BlobChunk, now: Now, out: list[Effect]) -> None:
        if not self._downloads.hear(chunk, now, out):
            self._drop("unasked")

    def _hear_ack(self, ack: BlobAck, now: Now, out: list[Effect]) -> None:
        if ack.id != self._hello.id:
            self._drop("foreign")
            return
        lasting = self._uploads.lasting(ack.digest)
        if self._uploads.hear(ack, now):
            if lasting:
                out.append(DropUpload(ack.digest))
            out.append(FreeBlob(ack.digest))

    # -- answers of the shell ---------------------------------------------------------------------

    def fetch_from(self, digest: str, size: int, have: int, now: Now) -> tuple[Effect, ...]:
        """The blob must come over MQTT; `have` bytes of it are on disk."""
        self._downloads.begin(digest, size, have, now)
        return self._turn(now, [])

    def fetched(self, digest: str, now: Now, data: bytes | None = None) -> tuple[Effect, ...]:
        """The blob is on disk and verified; `data` for a document's body."""
        out: list[Effect] = []
        self._downloads.forget(digest)
        if data is None or not self._documents.take_body(digest, data, now, out):
            self._runs.fetched(digest)
        return self._turn(now, out)

    def fetch_failed(self, digest: str, words: str, now: Now) -> tuple[Effect, ...]:
        """The blob cannot be had for now (or proved to be something else), and why."""
        out: list[Effect] = []
        self._give_up(digest, words, now, out)
        return self._turn(now, out)

    def _give_up(self, digest: str, words: str, now: Now, out: list[Effect]) -> None:
        self._downloads.forget(digest)
        if not self._documents.give_up(digest, now, out):
            self._runs.fetch_failed(digest, words, now)
        self._say(out, "warning", f"gave up fetching {digest}: {words}")

    def prepared(self, key: Key, digest: str, now: Now) -> tuple[Effect, ...]:
        """The module fits the entry `digest` of the run and is ready to start."""
        self._runs.prepared(key, digest)
        return self._turn(now, [])

    def unfit(self, key: Key, digest: str, words: str, now: Now) -> tuple[Effect, ...]:
        """The module cannot do what the entry `digest` says."""
        self._runs.unfit(key, digest, words)
        return self._turn(now, [])

    def ended(self, key: Key, outcome: Outcome, now: Now) -> tuple[Effect, ...]:
        """A guest is gone."""
        out: list[Effect] = []
        if outcome.blob is not None:
            out.append(SaveUpload(outcome.blob))
            self._uploads.add(outcome.blob, lasting=True)
        self._runs.ended(key, outcome, now, out.append)
        return self._turn(now, out)

    def upload_lost(self, digest: str, now: Now) -> tuple[Effect, ...]:
        """The bytes of an upload are not on disk any more."""
        out: list[Effect] = []
        if self._uploads.forget(digest):
            out.append(DropUpload(digest))
        return self._turn(now, out)

    def untold(self, now: Now) -> tuple[Effect, ...]:
        """A report was not taken for sending (the queue is full): tell everything in a while."""
        self._reporting.again(now)
        return self._turn(now, [])

    def alive(self, key: Key) -> bool:
        """Whether a guest of this run may still write."""
        live = self._held.find(key)
        return live is not None and live.phase is not Phase.ENDED

    def log_piece(
        self, op: str, now: Now, *, stream: str = "", text: str = "", dropped: int = 0, last: bool
    ) -> tuple[Effect, ...]:
        """Text of a log an op asked for; `last` closes the op."""
        out: list[Effect] = []
        self._operations.log_piece(
            op, stream=stream, text=text, dropped=dropped, last=last, out=out
        )
        return self._turn(now, out)

    # -- the end of every turn --------------------------------------------------------------------

    def _turn(self, now: Now, out: list[Effect]) -> tuple[Effect, ...]:
        """Look at the whole state, whatever happened, and ask for what is due."""
        if self._releases.required:
            held = self._releases.hold(self._held.modules(), self._documents.time(now))
            if held is not None:
                out.append(held)
        self._autonomy.contact(self._connected and self._present, now)
        self._runs.settle(now, out.append, silence=self._autonomy.silence(now))
        unsaved = self._autonomy.save(self._held.budgets(), now)
        if unsaved is not None:
            out.append(SaveSilence(unsaved))
        self._spare(out)
        self._operations.settle(self._runs, out)
        if self._held.changed:
            self._held.changed = False
            self._reporting.mark(now)
        if not self._held.moving:
            self._reporting.settled(now)
        away = self._manager is not None and self._manager.state != "online"
        served = self._connected and not away
        for digest, words in self._downloads.tick(now, online=served, out=out):
            self._give_up(digest, words, now, out)
        self._finish_drain(now, out)
        if self._connected:
            self._report(now, out)
        self._uploads.tick(now, online=served, out=out)
        out.append(Wake(self._due(now, served=served)))
        return tuple(out)

    def _spare(self, out: list[Effect]) -> None:
        """Blobs that something still needs; transfers of all others end."""
        for at, effect in enumerate(out):
            if isinstance(effect, InUse):
                self._in_use = effect.digests
                body = self._documents.awaited
                out[at] = InUse(effect.digests | frozenset(self._uploads) | body)
        self._downloads.keep_only(self._in_use | self._documents.awaited)

    def _report(self, now: Now, out: list[Effect]) -> None:
        if now.mono < self._reporting.due():
            return
        self._reporting.tick(
            now,
            conn=self._conn,
            observed=self._documents.observed,
            runs=self._held.reports(),
            free=self._held.free(self._storage),
            metrics=self._numbers,
            clock="Synced" if self._documents.synced(now) else "Unsynced",
            uploads=self._uploads,
            out=out,
        )

    def _numbers(self) -> Named:
        return self._turns.numbers(self._vitals, self.counts)

    def _finish_drain(self, now: Now, out: list[Effect]) -> None:
        if self._drain_by is None:
            return
        if self._held.idle or now.mono >= self._drain_by:
            if self._connected:
                self._reporting.at_once(now)
                self._report(now, out)
                out.append(Publish(self.status("offline", self._conn), retain=True))
                self._connected = False
            self._drain_by = None
            out.append(Quit())

    def _due(self, now: Now, *, served: bool) -> int:
        times = [self._runs.due()]
        if self._connected:
            times.append(self._reporting.due())
        if served:
            times += [self._downloads.due(), self._uploads.due()]
        times.append(self._drain_by)
        times.append(self._autonomy.due(self._held.budgets()))
        left = self._runs.spent_in()
        if left is not None and not self._autonomy.there:
            times.append(now.mono + left)
        at = min((time for time in times if time is not None), default=now.mono + 60_000)
        return max(at, now.mono)

    @staticmethod
    def _say(out: list[Effect], level: str, text: str) -> None:
        out.append(Say(level, text))
