"""The fleet as the broker shows it: connecting, hearing, judging silence, recovering.

Owns the conversation up to "who is there and what do they hold"; what they should hold is
`deliver`'s. Answers the lettered rules of docs/reference/protocol.md: (a) instances, (c) fences,
(f) an empty store starts nothing, (i) the bootstrap; `silence` answers (h), `retained` (j).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from propeller.errors import WireError
from propeller.model.ids import PropletId
from propeller.model.seen import Presence, Seen
from propeller.reconcile.bootstrap import Bootstrap, Command, Marker, Subscribe, Unsubscribe
from propeller.reconcile.events import BlobStored
from propeller.reconcile.hear import Hearing
from propeller.reconcile.ownwords import OwnWords
from propeller.reconcile.retained import Retained
from propeller.reconcile.sighting import known_devices
from propeller.reconcile.silence import Silence
from propeller.reconcile.world import World
from propeller.state.records import Event
from propeller.transport.base import Received, Will
from propeller.wire.codec import decode, encode
from propeller.wire.frame import open_frame, seal
from propeller.wire.messages import Echo
from propeller.wire.topics import Heard, Kind

if TYPE_CHECKING:
    from propeller.reconcile.surroundings import Surroundings

ECHO_EVERY = 10_000
FIRST_ECHO = 1_000_000_000
"""Numbers below are markers of the bootstrap, from here on plain echoes."""

SUSPECT_TIMEOUT = 5_000
"""ms to wait for a device's retained document before a foreign fence is called one."""


class Fleet:
    """See the module. Owned by the loop."""

    def __init__(self, world: World, around: Surroundings, fence: int) -> None:
        self._world = world
        self._around = around
        self._fence = fence
        self.hearing = Hearing(world, around.channel, around.devices, around.read_blob)
        self.bootstrap = Bootstrap(around.channel, around.source_id)
        self.heard = False
        self.fenced_out = False
        self.connected_now = False
        self.silence = Silence(world)
        self.echo_ms: int | None = None
        """How long our own word took to the broker and back, last time."""
        self._echo_n = 0
        self._echo_at = 0
        self._conn = 0
        self._own = OwnWords(
            around.channel,
            around.key,
            around.devices.trust,
            releases=around.devices.releases,
            fence=fence,
            source_id=around.source_id,
        )
        self._voices = {"": self._own}
        if around.key_p256 is not None and around.devices.trust_p256 is not None:
            self._voices["p256"] = OwnWords(
                around.channel,
                around.key_p256,
                around.devices.trust_p256,
                fence=fence,
                source_id=around.source_id,
            )
        self._outbox: list[tuple[str, bytes, bool]] = []
        self._commands: list[Command] = []
        self._broker_lost = False
        self.retained = Retained(world, around)
        self._suspects: dict[PropletId, tuple[int, int]] = {}
        self._recovering = world.store.meta("recovering") == "1"

    # -- what others ask ----------------------------------------------------------------------

    @property
    def hold(self) -> str:
        """Why nothing may start or move anywhere, or ""."""
        if self._recovering:
            missing: list[str] = [*self.unheard()] or ["the first revision"]
            return (
                "the store was empty and the fleet has not all been heard: waiting for "
                f"{', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}; "
                "`propeller confirm fleet` goes on without them"
            )
        return ""

    def begin_recovery(self) -> None:
        """Rule (f): an empty store, though there may be a fleet: nothing starts until it spoke."""
        self._recovering = True
        self._world.store.set_meta("recovering", "1")

    def unheard(self) -> list[PropletId]:
        """Declared proplets that have not reported to this store."""
        return sorted(
            PropletId(proplet.meta.key.name)
            for proplet in self._world.relations.declared()
            if not self._reported(PropletId(proplet.meta.key.name))
        )

    def _reported(self, proplet: PropletId) -> bool:
        seen = self._world.proplets.get(proplet)
        return seen is not None and seen.reported

    def refresh(self) -> None:
        """Declared proplets, labels and holds changed: bring every Seen in line."""
        declared = {
            PropletId(proplet.meta.key.name): proplet
            for proplet in self._world.relations.declared()
        }
        self._world.declared_now = declared
        others = [name for name in self._world.proplets if name not in declared]
        for proplet_id in [*declared, *others]:
            seen = self._world.proplets.get(proplet_id)
            if seen is None:
                seen = Seen(id=proplet_id, declared=True, presence=Presence.UNKNOWN)
            self._world.put_seen(self._around.devices.resolve(seen, self._world))

    # -- the broker ---------------------------------------------------------------------------

    def will(self) -> Will:
        """What the broker says for us when we vanish."""
        status = self._own.status("offline", self._conn + 1)
        return Will(self._around.channel.manager_status(), encode(status))

    def connected(self, now: int) -> None:
        """(Re)connected: say so, listen, read everything retained again."""
        self.connected_now = True
        if self._broker_lost:
            self._broker_lost = False
            self._event(now, "Info", "BrokerBack", "the broker takes us in again", None)
        self._conn += 1
        self._world.handings.connected(now)
        for voice in self._voices.values():
            voice.begin(self._conn, now)
        self.retained.begin()
        self.hearing.heard_since_connect = set()
        self.silence.reconnected(now)
        self._echo_at = now
        self._commands += self.bootstrap.begin(list(known_devices(self._world)), now)
        self._commands.append(Subscribe((self._around.channel.poke,)))

    def disconnected(self, reason: str, now: int) -> None:
        """The broker is gone. Nobody's silence counts until it is back."""
        if self.connected_now:
            self._broker_lost = True
            self._event(now, "Warning", "BrokerLost", reason, None)
            self._world.handings.lost(reason, now)
        self.connected_now = False
        self.silence.lost(now)
        self.bootstrap.lost()
        for voice in self._voices.values():
            voice.lost()
        self._outbox, self._commands = [], []

    def received(self, heard: Heard, received: Received, now: int) -> None:
        """Anything but an answer to an operation."""
        if heard.kind is Kind.MANAGER_ECHO:
            if heard.extra == self._around.source_id:
                self._echoed(received.payload, now)
        elif heard.kind in (Kind.MANAGER_STATUS, Kind.TRUST, Kind.RELEASES):
            voice = self._voices.get(heard.extra)
            if voice is not None:
                voice.heard(heard.kind, received.payload, now)
        elif heard.kind is Kind.DESIRED:
            self._desired(PropletId(heard.proplet), received, now)
        elif heard.proplet:
            self.hearing.take(received, heard.kind, PropletId(heard.proplet), now)
            self._grant_wishes(now)

    def reword(self, now: int) -> None:
        """The root or the release key said something new: devices are told, everything planned."""
        devices = self._around.devices
        self._world.entries.release(devices.released)
        self._own.reword(devices.trust, devices.releases, now)
        other = self._voices.get("p256")
        if other is not None and devices.trust_p256 is not None:
            other.reword(devices.trust_p256, b"", now)
        self._world.touched.everything = True

    def stored(self, event: BlobStored, now: int) -> None:
        """An upload became whole."""
        self.hearing.stored(event.proplet, event.digest, now)
        self._grant_wishes(now)

    def _echoed(self, payload: bytes, now: int) -> None:
        try:
            opened = open_frame("echo", payload, self._around.devices.manager_keys)
            echo = decode(Echo, opened.body)
        except WireError as error:
            self.hearing.dropped[f"echo_{error.reject}"] += 1
            return
        if echo.conn != self._conn:
            return
        self.silence.echoed(now)
        self.echo_ms = max(0, now - echo.at)
        self._world.handings.echoed(echo.at, now)
        if echo.n < FIRST_ECHO:
            self._commands += self.bootstrap.marker(echo.n, self.hearing.heard_since_connect, now)
            self._after_bootstrap()

    def _grant_wishes(self, now: int) -> None:
        wishes = self.hearing.wishes
        for event in wishes.events:
            self._world.store.add_event(event)
        wishes.events = []
        for proplet in sorted(wishes.reread):
            # Its hello is retained; reading it again tells us who this is.
            topic = self._around.channel.hello(proplet)
            self._commands += [Unsubscribe((topic,)), Subscribe((topic,))]
        for proplet in sorted(wishes.missed):
            topic = self._around.channel.report(proplet)
            self._commands += [Unsubscribe((topic,)), Subscribe((topic,))]
        for proplet in sorted(wishes.refused):
            # The broker may hold what is not ours: see, and say ours again (rules b and j).
            topic = self._around.channel.desired(proplet)
            self._commands += [Unsubscribe((topic,)), Subscribe((topic,))]
        wishes.reread, wishes.missed, wishes.refused = set(), set(), set()
        if wishes.parting:
            self.silence.look()
        wishes.parting = False
        for proplet, fence in wishes.fence_seen.items():
            if fence <= self._known_fence(proplet):
                self._trust_again(proplet, now)
            elif proplet not in self._suspects:
                self._suspects[proplet] = (fence, now)
                topic = self._around.channel.desired(proplet)
                self._commands += [Unsubscribe((topic,)), Subscribe((topic,))]
        wishes.fence_seen = {}
        if wishes.distrusted:
            for voice in self._voices.values():
                voice.distrusted(now)
        wishes.distrusted = False

    def _desired(self, proplet: PropletId, received: Received, now: int) -> None:
        """A desired document as the broker holds it: ours, an older one of ours, or foreign."""
        try:
            fence = self.retained.look(proplet, received.payload, max_fence=self._fence, now=now)
        except WireError as error:
            self.hearing.dropped[f"desired_{error.reject}"] += 1
            return
        if fence is None:
            return
        self._suspects.pop(proplet, None)
        if fence > self._known_fence(proplet) and not self.fenced_out:
            self.fenced_out = True
            self._event(
                now,
                "Warning",
                "FencedOut",
                f"another reconciler of this fleet wrote fence {fence} for {proplet}; "
                f"ours is {self._fence}: this one stops writing",
                proplet,
            )

    def _known_fence(self, proplet: PropletId) -> int:
        asked = self._world.asked.get(proplet)
        return max(self._fence, asked.fence if asked else 0)

    # -- time ---------------------------------------------------------------------------------

    def tick(self, now: int) -> None:
        """Bootstrap graces, echoes, silence, suspects."""
        self._commands += self.bootstrap.tick(self.hearing.heard_since_connect, now)
        self._after_bootstrap()
        for voice in self._voices.values():
            self._outbox += [(topic, payload, True) for topic, payload in voice.take(now)]
        if self.connected_now and now >= self._echo_at + ECHO_EVERY:
            self._echo_at = now
            self._echo_n += 1
            self._say_to_ourselves(FIRST_ECHO + self._echo_n, now)
        self.silence.tick(now)
        for proplet, (fence, since) in list(self._suspects.items()):
            if now >= since + SUSPECT_TIMEOUT:
                del self._suspects[proplet]
                self._foreign(proplet, fence, now)
        if self._recovering and self.heard and self._declared_known() and not self.unheard():
            self.end_recovery("every declared proplet was heard", now)

    def _declared_known(self) -> bool:
        """Whether a revision said who is declared: before one, nobody to wait for means nothing."""
        return bool(self._world.store.meta("revision"))

    def confirm(self, by: str, now: int) -> None:
        """An operator says: go on without those that are not heard."""
        self.silence.confirm(now)
        self.end_recovery(f"confirmed by {by}", now)

    def end_recovery(self, why: str, now: int) -> None:
        """Rule (f) is met: runs may start and move again."""
        if self._recovering:
            self._recovering = False
            self._world.store.set_meta("recovering", "0")
            self._world.touched.everything = True
            self._event(now, "Info", "Recovered", why, None)

    def _after_bootstrap(self) -> None:
        if not self.bootstrap.done or not self.connected_now:
            return
        if not self.heard:
            self.heard = True
            self._world.touched.everything = True
        self.retained.all_read()

    def _foreign(self, proplet: PropletId, fence: int, now: int) -> None:
        seen = self._world.proplets.get(proplet)
        if seen is not None and seen.quarantine != "ForeignFence":
            self._world.put_seen(replace(seen, quarantine="ForeignFence"))
            self._event(
                now,
                "Warning",
                "ForeignFence",
                f"{proplet} reports fence {fence}, which no key of this fleet signed; "
                "it gets no work",
                proplet,
            )

    def _trust_again(self, proplet: PropletId, now: int) -> None:
        """It follows our fence: whatever it followed before is over."""
        seen = self._world.proplets.get(proplet)
        if seen is not None and seen.quarantine == "ForeignFence":
            self._world.put_seen(replace(seen, quarantine=""))
            self._event(now, "Info", "OwnFence", f"{proplet} follows this fleet again", proplet)

    def due(self) -> int | None:
        """When `tick` has something to do (Unix ms)."""
        dues = [self.bootstrap.due(), self.silence.due]
        dues += [voice.due() for voice in self._voices.values()]
        if self.connected_now:
            dues.append(self._echo_at + ECHO_EVERY)
        dues += [since + SUSPECT_TIMEOUT for _, since in self._suspects.values()]
        return min((due for due in dues if due is not None), default=None)

    # -- out ----------------------------------------------------------------------------------

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with the next `publish`."""
        self._outbox.append((topic, payload, retain))

    def collectable(self) -> list[Seen]:
        """Proplets whose full inventory has to be asked for. Forgets them."""
        wanted, self.hearing.wishes.collect = self.hearing.wishes.collect, set()
        return [
            self._world.proplets[name] for name in sorted(wanted) if name in self._world.proplets
        ]

    def take_welcomed(self) -> set[PropletId]:
        """Proplets that came online or said hello since the last call."""
        welcomed, self.hearing.wishes.welcomed = self.hearing.wishes.welcomed, set()
        return welcomed

    def publish(self) -> None:
        """Carry out what was decided; what the transport does not take waits for the next turn."""
        transport = self._around.transport
        commands, self._commands = self._commands, []
        for command in commands:
            match command:
                case Subscribe(filters):
                    transport.subscribe(filters)
                case Unsubscribe(filters):
                    transport.unsubscribe(filters)
                case Marker(n):
                    self._say_to_ourselves(n, self._around.clock())
                case _:
                    assert_never(command)
        while self._outbox:
            topic, payload, retain = self._outbox[0]
            if not transport.publish(topic, payload, retain=retain):
                break
            self._outbox.pop(0)

    def _say_to_ourselves(self, n: int, now: int) -> None:
        echo = Echo(src=self._around.source_id, conn=self._conn, n=n, at=now)
        topic = self._around.channel.manager_echo(self._around.source_id)
        frame = seal("echo", encode(echo), self._around.key)
        self._outbox.append((topic, frame, False))

    def _event(
        self, now: int, severity: str, reason: str, message: str, proplet: PropletId | None
    ) -> None:
        self._world.store.add_event(
            Event(at=now, severity=severity, reason=reason, message=message, proplet=proplet)
        )
