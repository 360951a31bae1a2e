"""The broker in memory: as bad as it is told to be, and the same every time."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from propeller.transport.base import Connected, Disconnected, Received, Will
from propeller.transport.memory import MemoryBroker

MINUTE = 60_000


class Peer:
    """A client that remembers, and subscribes whenever it is connected."""

    def __init__(self, broker, name, *filters, will=None, **options):
        self.name = name
        self.filters = filters
        self.events = []
        self.transport = broker.client(name, **options)
        self.transport.start(self.hear, will)

    def hear(self, event):
        self.events.append(event)
        if isinstance(event, Connected):
            self.transport.subscribe(self.filters)

    @property
    def payloads(self):
        return [event.payload for event in self.events if isinstance(event, Received)]

    def count(self, kind):
        return sum(isinstance(event, kind) for event in self.events)


def pass_time(broker, ms):
    broker.advance(broker.now + ms)


def a_broker(seed=1, **options):
    return MemoryBroker(random.Random(seed), **options)


def a_noisy_hour(seed):
    """Ten devices that answer what they hear, under every fault there is; the trace."""
    trace = []
    broker = a_broker(
        seed, loss=0.3, duplicate=0.2, reorder=0.2, delay=(1, 400), retained_cap=3, trace=trace
    )
    manager = Peer(broker, "manager", "+/report", "+/status")
    devices = [
        Peer(broker, f"d{n}", f"d{n}/desired", will=Will(f"d{n}/status", b"off")) for n in range(10)
    ]
    for minute in range(60):
        pass_time(broker, MINUTE)
        for device in devices:
            manager.transport.publish(f"{device.name}/desired", b"%d" % minute, retain=True)
            device.transport.publish(f"{device.name}/report", b"%d" % minute, retain=True)
        chosen = devices[minute % 10].name
        if minute % 3 == 0:
            broker.cut(chosen)
        if minute % 3 == 1:
            broker.heal(chosen)
        if minute % 20 == 10:
            broker.restart(keep_retained=minute % 40 == 10, away=5_000)
    return trace


def test_the_same_seed_gives_the_same_trace():
    """Every delivery, loss and reconnect is a function of the seed and the calls."""
    assert a_noisy_hour(1) == a_noisy_hour(1)


def test_another_seed_gives_another_trace():
    """The faults do come from the generator."""
    assert a_noisy_hour(1) != a_noisy_hour(2)


def test_nothing_happens_but_in_advance():
    """No event comes from inside `start`, `publish` or `subscribe`."""
    broker = a_broker()
    peer = Peer(broker, "a", "x")
    assert peer.events == []
    pass_time(broker, 100)
    assert peer.events == [Connected(1)]
    assert peer.transport.publish("x", b"1")
    assert peer.events == [Connected(1)]
    pass_time(broker, 100)
    assert peer.payloads == [b"1"]


def test_the_next_event_is_known():
    """A scenario may jump from event to event instead of ticking."""
    broker = a_broker(delay=(7, 7))
    assert broker.next_at() is None
    Peer(broker, "a", "x")
    assert broker.next_at() == 7
    while (at := broker.next_at()) is not None:
        broker.advance(at)
    assert broker.now == 14


def test_time_never_goes_back():
    """An earlier `now` leaves the clock where it is."""
    broker = a_broker()
    broker.advance(500)
    broker.advance(100)
    assert broker.now == 500


@pytest.mark.parametrize("loss", [0.1, 0.3, 0.6])
def test_loss_is_the_chance_from_one_end_to_the_other(loss):
    """Of many messages about that part does not arrive, QoS 1 or not."""
    broker = a_broker(loss=loss)
    Peer(broker, "pub")
    listener = Peer(broker, "sub", "x")
    publisher = Peer(broker, "pub2")
    pass_time(broker, 100)
    for _ in range(10_000):
        assert publisher.transport.publish("x", b"")
    pass_time(broker, 100_000)
    assert len(listener.payloads) == pytest.approx(10_000 * (1 - loss), rel=0.05)


def test_a_retained_document_can_be_lost_before_the_broker_has_it():
    """Half of the loss strikes on the way in: publishing once is never enough."""
    broker = a_broker(loss=0.5)
    peer = Peer(broker, "a")
    pass_time(broker, 100)
    for number in range(1_000):
        peer.transport.publish(f"x/{number}", b"kept", retain=True)
    pass_time(broker, 10_000)
    assert 600 < len(broker.retained) < 800


def test_duplicates_strike_qos_1_only():
    """At least once may be twice; at most once never is."""
    broker = a_broker(duplicate=1.0)
    peer = Peer(broker, "a", "x")
    pass_time(broker, 100)
    peer.transport.publish("x", b"once", qos=0)
    peer.transport.publish("x", b"twice", qos=1)
    pass_time(broker, 100)
    assert sorted(peer.payloads) == [b"once", b"twice", b"twice"]


def test_order_holds_without_reordering_whatever_the_delay():
    """Each link delivers in the order it was given."""
    broker = a_broker(delay=(1, 1_000))
    peer = Peer(broker, "a", "x")
    pass_time(broker, 5_000)
    wanted = [b"%d" % number for number in range(200)]
    for payload in wanted:
        peer.transport.publish("x", payload)
    pass_time(broker, MINUTE)
    assert peer.payloads == wanted


def test_reordering_lets_later_messages_pass():
    """Some come after ones that were sent later; none is lost."""
    broker = a_broker(reorder=0.3)
    peer = Peer(broker, "a", "x")
    pass_time(broker, 100)
    for number in range(200):
        peer.transport.publish("x", b"%03d" % number)
    pass_time(broker, MINUTE)
    assert peer.payloads != sorted(peer.payloads)
    assert len(set(peer.payloads)) == 200


def test_a_client_and_the_broker_notice_a_partition_in_their_own_time():
    """The client after a keepalive, the broker after one and a half: then it says the will."""
    broker = a_broker(keepalive=30_000)
    watcher = Peer(broker, "w", "status")
    peer = Peer(broker, "a", will=Will("status", b"off"))
    pass_time(broker, 1_000)
    broker.cut("a")
    assert peer.transport.publish("x", b"into the void", retain=True)
    pass_time(broker, 29_000)
    assert peer.count(Disconnected) == 0
    pass_time(broker, 2_000)
    assert peer.count(Disconnected) == 1
    assert not peer.transport.publish("x", b"")
    assert watcher.payloads == []
    pass_time(broker, 15_000)
    assert watcher.payloads == [b"off"]
    assert broker.retained == {"status": b"off"}


def test_a_short_partition_is_noticed_by_nobody():
    """What was sent meanwhile is gone, and the connection goes on."""
    broker = a_broker()
    peer = Peer(broker, "a", "x", will=Will("status", b"off"))
    pass_time(broker, 1_000)
    broker.cut("a")
    peer.transport.publish("x", b"lost")
    pass_time(broker, 10_000)
    broker.heal("a")
    peer.transport.publish("x", b"heard")
    pass_time(broker, 2 * MINUTE)
    assert peer.payloads == [b"heard"]
    assert peer.events[0] == Connected(1)
    assert peer.count(Connected) == 1
    assert broker.retained == {}


def test_a_healed_client_comes_back_and_its_old_session_ends():
    """Between a client's and the broker's patience the will is said by the new connection."""
    broker = a_broker(keepalive=30_000)
    watcher = Peer(broker, "w", "status")
    peer = Peer(broker, "a", will=Will("status", b"off"))
    pass_time(broker, 1_000)
    broker.cut("a")
    pass_time(broker, 31_000)
    broker.heal("a")
    pass_time(broker, 13_000)
    assert peer.count(Connected) == 2
    assert watcher.payloads == [b"off"]
    assert broker.connects["a"] == 2
    pass_time(broker, 10 * MINUTE)
    assert list(broker.sessions) == ["w", "a"]


def test_a_broker_that_restarted_behind_a_partition_resets_the_client():
    """After the heal the client learns that its connection is long gone."""
    broker = a_broker()
    peer = Peer(broker, "a", "x")
    pass_time(broker, 1_000)
    broker.cut("a")
    broker.restart()
    pass_time(broker, 5_000)
    assert peer.count(Disconnected) == 0
    broker.heal("a")
    pass_time(broker, 5_000)
    assert peer.count(Disconnected) == 1
    assert peer.count(Connected) == 2


def test_a_crash_behind_a_partition_shows_after_the_keepalive():
    """Power loss: nobody resets the connection, so the will takes its time."""
    broker = a_broker(keepalive=30_000)
    watcher = Peer(broker, "w", "status")
    peer = Peer(broker, "a", will=Will("status", b"off"))
    pass_time(broker, 1_000)
    broker.cut("a")
    peer.transport.abort()
    broker.heal("a")
    pass_time(broker, 40_000)
    assert watcher.payloads == []
    pass_time(broker, 6_000)
    assert watcher.payloads == [b"off"]


def test_a_restart_may_forget_what_was_retained():
    """The broker's store is not ours: it may come back empty, full or old."""
    broker = a_broker()
    peer = Peer(broker, "a")
    pass_time(broker, 100)
    peer.transport.publish("x", b"1", retain=True)
    pass_time(broker, 100)
    old = dict(broker.retained)
    peer.transport.publish("x", b"2", retain=True)
    pass_time(broker, 100)
    broker.restart(keep_retained=True)
    assert broker.retained == {"x": b"2"}
    broker.restart(retained=old)
    assert broker.retained == {"x": b"1"}
    broker.restart(keep_retained=False)
    assert broker.retained == {}


def test_a_crashing_broker_says_no_wills_and_a_stopping_one_may():
    """mosquitto says them on SIGTERM; after a crash nobody can."""
    broker = a_broker()
    Peer(broker, "a", will=Will("status", b"off"))
    pass_time(broker, 100)
    broker.restart()
    pass_time(broker, 5_000)
    assert broker.retained == {}
    broker.restart(wills=True)
    assert broker.retained == {"status": b"off"}


def test_what_is_in_flight_dies_with_its_connection():
    """A delivery of the old connection never appears on the new one."""
    broker = a_broker(delay=(500, 500))
    peer = Peer(broker, "a", "x")
    pass_time(broker, 2_000)
    peer.transport.publish("x", b"in flight")
    pass_time(broker, 600)
    broker.restart()
    pass_time(broker, 20_000)
    assert peer.payloads == []
    assert peer.count(Connected) == 2


def test_a_fleet_does_not_come_back_in_step():
    """Full jitter spreads the reconnects over time."""
    trace = []
    broker = a_broker(trace=trace)
    for number in range(100):
        Peer(broker, f"d{number}")
    pass_time(broker, 1_000)
    trace.clear()
    broker.restart(away=10_000)
    pass_time(broker, 5 * MINUTE)
    times = [at for at, what, *_ in trace if what == "connect"]
    assert len(times) == 100
    assert max(times) - min(times) > 5_000
    assert len(set(times)) > 80


def test_a_wildcard_may_be_answered_in_part():
    """`retained_cap` models iotcore, and mosquitto's cut queue; filters by id are complete."""
    broker = a_broker(retained_cap=100)
    broker.retained = {f"d{n}/report": b"r" for n in range(1_000)}
    wild = Peer(broker, "wild", "+/report")
    exact = Peer(broker, "exact", *(f"d{n}/report" for n in range(1_000)))
    pass_time(broker, 10_000)
    assert len(wild.payloads) == 100
    assert len(exact.payloads) == 1_000


def test_a_client_that_never_stops_answering_is_caught():
    """Answers without end and without delay are a mistake, not an endless test."""
    broker = a_broker(delay=(0, 0))
    client = broker.client("a")
    client.start(lambda event: client.subscribe(["x"]) or client.publish("x", b""))
    with pytest.raises(AssertionError, match="without end"):
        broker.advance(10)


def test_a_mistake_in_a_listener_fails_the_test():
    """Unlike a real transport this one hides nothing."""
    broker = a_broker()
    broker.client("a").start(lambda event: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        broker.advance(100)


def test_waits_grow_while_the_broker_is_away():
    """Attempts come less and less often, up to half a minute apart."""
    broker = a_broker()
    broker.stop()
    peer = Peer(broker, "a")
    times = []
    for _ in range(400):
        at = broker.next_at()
        broker.advance(at)
        times.append(at)
    assert peer.transport.stats().failed_connects == 400
    waits = [after - before for before, after in pairwise(times)]
    assert sum(waits[:4]) < sum(waits[10:14])
    assert max(waits) <= 30_001
