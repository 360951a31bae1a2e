"""Hearing everyone after a connect: the state machine by itself."""

from __future__ import annotations

from itertools import pairwise

from propeller.model.ids import PropletId
from propeller.reconcile.bootstrap import (
    GRACE,
    SLICE,
    Bootstrap,
    Command,
    Marker,
    Stage,
    Subscribe,
    Unsubscribe,
)
from propeller.wire.topics import Channel

CHANNEL = Channel("d", "c")
NOW = 1_000_000


def devices(count: int) -> list[PropletId]:
    return [PropletId(f"p{index:04d}") for index in range(count)]


def markers(commands: list[Command]) -> list[int]:
    return [command.n for command in commands if isinstance(command, Marker)]


def filters(commands: list[Command], kind: type[Subscribe] | type[Unsubscribe]) -> set[str]:
    return {text for command in commands if isinstance(command, kind) for text in command.filters}


def test_it_listens_to_itself_and_to_everyone_first() -> None:
    """Our own echo is subscribed before anything is sent to it."""
    boot = Bootstrap(CHANNEL, "m")
    first, *rest = boot.begin(devices(2), NOW)
    assert isinstance(first, Subscribe)
    assert first.filters[0] == CHANNEL.manager_echo("m")
    assert set(CHANNEL.control_filters()) <= set(first.filters)
    assert markers(rest) == [1]
    assert not boot.done


def test_without_devices_the_first_marker_is_enough() -> None:
    """Nobody is known, so nobody is read by id."""
    boot = Bootstrap(CHANNEL, "m")
    (n,) = markers(boot.begin([], NOW))
    assert boot.marker(n, (), NOW + 5) == []
    assert boot.done
    assert boot.due() is None


def test_every_known_device_is_read_by_id_in_slices() -> None:
    """UNSUBSCRIBE after each slice, a marker behind each, and each device in exactly one."""
    boot = Bootstrap(CHANNEL, "m")
    known = devices(SLICE * 2 + 1)
    commands = boot.begin(known, NOW)
    read: list[str] = []
    slices = 0
    while not boot.done:
        (n,) = markers(commands)
        commands = boot.marker(n, known, NOW)
        asked = filters(commands, Subscribe)
        read += [device for device in known if CHANNEL.report(device) in asked]
        for device in known:
            if CHANNEL.report(device) in asked:
                wanted = {*CHANNEL.retained_of(device), CHANNEL.desired(device)}
                assert wanted <= asked
        slices += bool(asked)
    assert slices == 3
    assert sorted(read) == known


def test_a_held_filter_is_given_back_before_the_next_slice() -> None:
    """What is subscribed once resends nothing: the last slice is unsubscribed, too (ruling 6)."""
    boot = Bootstrap(CHANNEL, "m")
    known = devices(SLICE + 1)
    (n,) = markers(boot.begin(known, NOW))
    first = boot.marker(n, known, NOW)
    (n,) = markers(first)
    second = boot.marker(n, known, NOW)
    assert filters(second, Unsubscribe) == filters(first, Subscribe)
    (n,) = markers(second)
    assert filters(boot.marker(n, known, NOW), Unsubscribe) == filters(second, Subscribe)
    assert boot.done


def test_a_marker_that_overtakes_the_retained_gets_a_grace() -> None:
    """A device of the slice was not heard: wait a little; after that it is not waited for."""
    boot = Bootstrap(CHANNEL, "m")
    known = devices(2)
    (n,) = markers(boot.begin(known, NOW))
    (n,) = markers(boot.marker(n, (), NOW))
    assert boot.marker(n, known[:1], NOW) == []
    assert not boot.done
    assert boot.due() == NOW + GRACE
    assert boot.tick(known[:1], NOW + GRACE - 1) == []
    boot.tick(known[:1], NOW + GRACE)
    assert boot.done


def test_the_grace_ends_when_the_last_one_is_heard() -> None:
    """Nothing is waited for that is there."""
    boot = Bootstrap(CHANNEL, "m")
    known = devices(2)
    (n,) = markers(boot.begin(known, NOW))
    (n,) = markers(boot.marker(n, (), NOW))
    boot.marker(n, (), NOW)
    boot.tick(known, NOW + 1)
    assert boot.done


def test_a_lost_marker_is_sent_again_ever_later_and_any_of_the_stage_will_do() -> None:
    """On a way longer than the first wait, the first marker still counts when it comes at last."""
    boot = Bootstrap(CHANNEL, "m")
    (first,) = markers(boot.begin(devices(1), NOW))
    times = [NOW]
    for _ in range(8):
        due = boot.due()
        assert due is not None
        assert boot.tick((), due - 1) == []
        assert len(markers(boot.tick((), due))) == 1
        times.append(due)
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps == [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000, 8_000]
    boot.marker(first, (), times[-1])
    assert boot.stage is Stage.BY_ID


def test_a_marker_of_an_earlier_stage_or_connection_says_nothing() -> None:
    """It proves nothing about what was subscribed after it."""
    boot = Bootstrap(CHANNEL, "m")
    (first,) = markers(boot.begin(devices(1), NOW))
    boot.marker(first, (), NOW)
    assert boot.marker(first, devices(1), NOW) == []
    assert boot.stage is Stage.BY_ID
    boot.lost()
    assert boot.due() is None
    (again,) = markers(boot.begin(devices(1), NOW))
    assert boot.marker(first, (), NOW) == []
    assert boot.stage is Stage.WILDCARD
    boot.marker(again, (), NOW)
    assert boot.stage is Stage.BY_ID
