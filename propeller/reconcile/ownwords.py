"""What this manager keeps retained at the broker for all: that it is online, the keys, what exists.

Both are read back like everything else retained (protocol rules i and j): the broker may have lost
them, may return older ones after a crash, or publish the will of our last connection after we said
that we are online, and then devices would ask nobody for blobs. A manager of a higher fence is left
its word: it took over, and the devices' documents tell whether it may (rule c).

Owned by `fleet`. Time comes in, messages go out; nothing waits.
"""

from __future__ import annotations

from propeller.errors import WireError
from propeller.wire.codec import decode, encode
from propeller.wire.frame import is_framed, peek_body, seal
from propeller.wire.messages import ManagerStatus, Releases, Trust
from propeller.wire.signing import SigningKey
from propeller.wire.topics import Channel, Kind

FIRST, CAP = 500, 60_000
"""ms until a word that did not come back is said again: doubling, capped."""

TRUST_EVERY = 2_000
"""ms between two publications of the trust document when devices do not know our key."""


class OwnWords:
    """See the module. `trust`: the trust document as the root of `key`'s algorithm sealed it.

    releases: the release list as sealed, b"" for none. Devices that know only P-256 hear on topics
    of their own, by an instance with such a key.
    """

    def __init__(
        self,
        channel: Channel,
        key: SigningKey,
        trust: bytes,
        *,
        releases: bytes = b"",
        fence: int,
        source_id: str,
    ) -> None:
        self._channel = channel
        self._key = key
        self._fence = fence
        self._source_id = source_id
        self._wanted = {Kind.TRUST: trust}
        self._topics = {
            Kind.MANAGER_STATUS: channel.manager_status(key.alg),
            Kind.TRUST: channel.trust(key.alg),
        }
        if releases:
            self._carry(releases)
        self._unsaid: set[Kind] = set()
        self._due: int | None = None
        self._tries = 0
        self._trust_at = 0

    def _carry(self, releases: bytes) -> None:
        self._wanted[Kind.RELEASES] = releases
        self._topics[Kind.RELEASES] = self._channel.releases()

    def reword(self, trust: bytes, releases: bytes, now: int) -> None:
        """The root or the release key said something new: pass it on."""
        before = dict(self._wanted)
        self._wanted[Kind.TRUST] = trust
        if releases:
            self._carry(releases)
        news = {kind for kind, payload in self._wanted.items() if before.get(kind) != payload}
        if news and Kind.MANAGER_STATUS in self._wanted:  # else all is said on the first connection
            self._unsaid |= news
            self._tries, self._due = 0, now

    def status(self, state: str, conn: int) -> ManagerStatus:
        """The word about a connection of ours."""
        return ManagerStatus(state=state, fence=self._fence, src=self._source_id, conn=conn)

    def begin(self, conn: int, now: int) -> None:
        """The broker took us in, for the `conn`-th time: say everything."""
        self._wanted[Kind.MANAGER_STATUS] = seal(
            "manager", encode(self.status("online", conn)), self._key
        )
        self._unsaid = set(self._topics)
        self._due, self._tries = now, 0
        self._trust_at = now

    def lost(self) -> None:
        """The connection is gone."""
        self._due = None

    def heard(self, kind: Kind, payload: bytes, now: int) -> None:
        """What the broker holds on a topic of ours. Never raises for what may come there."""
        wanted = self._wanted.get(kind)
        if wanted is None:
            return
        if payload == wanted:
            self._unsaid.discard(kind)
            if not self._unsaid:
                self._due = None
            return
        if self._newer(kind, payload):
            return
        if kind not in self._unsaid:
            self._unsaid.add(kind)
            self._tries = 0
            self._due = now + FIRST

    def _newer(self, kind: Kind, payload: bytes) -> bool:
        """Whether it is another's word that stands above ours, so that nobody outbids anybody.

        Not verified: whoever may write here could as well contradict us for ever.
        """
        if not payload:
            return False
        try:
            body = peek_body(payload) if is_framed(payload) else payload
            if kind is Kind.TRUST:
                ours = decode(Trust, peek_body(self._wanted[kind])).version
                return decode(Trust, body).version > ours
            if kind is Kind.RELEASES:
                carried = decode(Releases, peek_body(self._wanted[kind])).version
                return decode(Releases, body).version > carried
            return decode(ManagerStatus, body).fence > self._fence
        except WireError:
            return False

    def distrusted(self, now: int) -> None:
        """A device does not know our key: say the trust document again, not too often."""
        if now >= self._trust_at + TRUST_EVERY:
            self._trust_at = now
            self._unsaid.add(Kind.TRUST)
            self._tries, self._due = 0, now

    def take(self, now: int) -> list[tuple[str, bytes]]:
        """(topic, payload) of what has to be said now, retained."""
        if self._due is None or now < self._due:
            return []
        self._due = now + min(CAP, FIRST << min(self._tries, 20))
        self._tries += 1
        return [
            (topic, self._wanted[kind])
            for kind, topic in self._topics.items()
            if kind in self._unsaid
        ]

    def due(self) -> int | None:
        """When `take` has something to give (Unix ms)."""
        return self._due
