"""The desk: which copy gets a call, and what becomes of it. No threads, no broker, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from propeller.gateway.calls import Copy, End, Outcome, Request, Route
from propeller.gateway.desk import (
    AGAIN,
    MARGIN,
    PATIENCE,
    RECENT,
    Desk,
    Effect,
    Ended,
    Logged,
    Send,
)
from propeller.model.functions import Calls
from propeller.wire.call_messages import CallAnswer
from propeller.wire.messages import Status

NAME = "plant-a/f"
INST = "a" * 32


@dataclass
class World:
    """A desk, its clock, and everything it said."""

    desk: Desk = field(default_factory=lambda: Desk("gateway"))
    now: int = 1_000_000
    sent: list[Send] = field(default_factory=list)
    over: dict[str, Outcome] = field(default_factory=dict)
    logged: list[tuple[str, str, int]] = field(default_factory=list)

    def take(self, effects: list[Effect] | None) -> None:
        for effect in effects or ():
            match effect:
                case Send():
                    self.sent.append(effect)
                case Logged(id_, text, lost):
                    self.logged.append((id_, text, lost))
                case Ended(id_, outcome):
                    assert id_ not in self.over, "a call ends once"
                    self.over[id_] = outcome

    def knows(
        self, *proplets: str, shut: str = "", hold: int = 0, most: int = 0, **calls: int
    ) -> Route:
        route = Route(
            uid="u1",
            name=NAME,
            timeout=10_000,
            calls=Calls(**calls),
            copies=tuple(Copy(proplet, f"run-{proplet}") for proplet in proplets),
            shut=shut,
            hold=hold,
            most=most,
        )
        self.take(self.desk.learn({NAME: route}, self.now))
        return route

    def status(self, proplet: str, state: str = "online", boot: int = 1, conn: int = 1) -> None:
        word = Status(id=proplet, state=state, inst=INST, boot=boot, conn=conn)
        self.take(self.desk.hear_status(word, self.now))

    def call(self, id_: str, *, patient: int = 0, durable: bool = False, **request: object) -> None:
        made = replace(Request(), **request)  # type: ignore[arg-type]  # fields by name
        self.take(self.desk.begin(id_, NAME, made, self.now, patient=patient, durable=durable))

    def answers(self, state: str, cause: str = "", to: Send | None = None, **more: object) -> None:
        send = to or self.runs[-1]
        answer = CallAnswer(
            id=send.place.proplet,
            call=send.place.wire,
            inst=send.place.inst,
            boot=send.place.boot,
            state=state,
            cause=cause,
            status=200,
            error=cause,
            **more,  # type: ignore[arg-type]  # fields by name
        )
        self.take(self.desk.hear(answer, self.now))

    def later(self, ms: int) -> None:
        self.now += ms
        self.take(self.desk.tick(self.now))

    @property
    def runs(self) -> list[Send]:
        return [one for one in self.sent if one.call.verb == "run"]

    @property
    def places(self) -> list[str]:
        return [one.place.proplet for one in self.runs]


@pytest.fixture
def world() -> World:
    made = World()
    for proplet in ("p1", "p2"):
        made.status(proplet)
    made.knows("p1", "p2", concurrency=1, queue=1)
    return made


def test_a_call_goes_to_one_copy_and_its_answer_ends_it(world: World) -> None:
    """Sent once, answered once; a second answer changes nothing."""
    world.call("c1")
    (send,) = world.runs
    assert (send.call.id, send.call.run, send.call.timeout) == (
        "c1",
        f"run-{send.place.proplet}",
        10_000,
    )
    world.answers("done")
    assert world.over["c1"].end is End.DONE
    world.answers("failed", to=send)
    assert world.over["c1"].end is End.DONE
    assert world.desk.open == 0


def test_a_followed_call_tells_what_it_logs_and_is_not_over_by_that(world: World) -> None:
    """Each piece once and in order, from the copy that runs it; nothing after the end."""
    world.call("c1", follow=1000)
    (send,) = world.runs
    assert send.call.follow == 1000
    world.answers("running", n=1, log="a")
    world.answers("running", n=1, log="a")
    world.answers("running", n=3, log="c", lost=5)
    world.answers("running", n=2, log="b")
    assert world.logged == [("c1", "a", 0), ("c1", "c", 5)]
    assert world.over == {}
    world.answers("done")
    world.answers("running", n=4, log="d", to=send)
    assert len(world.logged) == 2


def test_what_nobody_follows_is_told_nobody(world: World) -> None:
    """Whatever a proplet sends."""
    world.call("c1")
    world.answers("running", n=1, log="a")
    assert world.logged == []


def test_calls_go_where_there_is_least_to_do(world: World) -> None:
    """Two copies, two calls: one each; two more fill both, the fifth is told to come later."""
    for number in range(5):
        world.call(f"c{number}")
    assert sorted(world.places) == ["p1", "p1", "p2", "p2"]
    assert set(world.places[:2]) == {"p1", "p2"}
    refused = world.over["c4"]
    assert (refused.end, refused.cause) == (End.REFUSED, "busy")
    assert refused.retry_after > 0


def test_no_copy_no_function_and_a_suspended_one_are_told_apart(world: World) -> None:
    """Each with a word that says what the caller can do."""
    world.knows()
    world.call("c1")
    assert "c1" not in world.over  # a copy was there a moment ago: one is about to be again
    world.later(PATIENCE)
    assert (world.over["c1"].cause, world.over["c1"].retry_after) == ("absent", 2)
    world.later(RECENT)
    world.call("c4")
    assert world.over["c4"].cause == "absent"
    world.knows("p1", shut="suspended by ana: line 3")
    world.call("c2")
    assert (world.over["c2"].error, world.over["c2"].retry_after) == ("suspended by ana: line 3", 0)
    world.take(world.desk.learn({}, world.now))
    world.call("c3")
    assert world.over["c3"].cause == "notFound"


def test_a_copy_on_a_silent_proplet_is_passed_over(world: World) -> None:
    """The will came: nothing is sent there until it is back."""
    world.status("p1", "offline")
    world.call("c1")
    world.call("c2")
    assert world.places == ["p2", "p2"]
    world.status("p1", conn=2)
    world.call("c3")
    assert world.runs[-1].call.conn == 2


@pytest.mark.parametrize("cause", ["absent", "stopping", "busy"])
def test_what_never_began_goes_to_another_copy(world: World, cause: str) -> None:
    """A refusal says that it did not run: asking elsewhere is always safe."""
    world.call("c1")
    first = world.places[0]
    world.answers("refused", cause)
    assert len(world.runs) == 2
    assert world.places[1] != first
    world.answers("done")
    assert world.over["c1"].end is End.DONE


def test_refused_by_all_it_waits_a_moment_and_then_says_so(world: World) -> None:
    """While a version changes copies come and go within the second."""
    world.call("c1")
    world.answers("refused", "stopping")
    world.answers("refused", "stopping")
    assert "c1" not in world.over
    world.later(200)
    assert len(world.runs) == 3
    world.answers("refused", "stopping")
    for _ in range(PATIENCE // 100 + 5):
        world.later(100)
        if world.desk.open and len(world.runs) > len(world.over):
            world.answers("refused", "stopping")
    assert world.over["c1"].end is End.REFUSED


def test_busy_everywhere_is_429_at_once(world: World) -> None:
    """A caller that can wait is told to, instead of waiting here."""
    world.call("c1")
    world.answers("refused", "busy")
    world.answers("refused", "busy")
    assert (world.over["c1"].end, world.over["c1"].cause) == (End.REFUSED, "busy")


def test_a_bad_request_is_not_tried_elsewhere(world: World) -> None:
    """It would be as bad there."""
    world.call("c1")
    world.answers("refused", "request")
    assert len(world.runs) == 1
    assert world.over["c1"].cause == "request"


def test_a_proplet_that_was_started_anew_leaves_the_fate_unknown(world: World) -> None:
    """It may have run: told as it is, and never made again."""
    world.call("c1")
    proplet = world.places[0]
    world.status(proplet, "offline")
    assert "c1" not in world.over  # the line may come back, and the answer with it
    world.status(proplet, boot=2)
    outcome = world.over["c1"]
    assert (outcome.end, outcome.cause, outcome.proplet) == (End.UNKNOWN, "interrupted", proplet)
    assert len(world.runs) == 1


def test_an_idempotent_call_is_made_again_elsewhere_at_once(world: World) -> None:
    """As soon as its proplet is gone, so often as the spec says, under another name."""
    world.knows("p1", "p2", concurrency=1, queue=1, retries=1)
    world.call("c1")
    first = world.places[0]
    world.status(first, "offline")
    assert world.places[1] != first
    assert [one.call.id for one in world.runs] == ["c1", "c1-2"]
    world.answers("failed", "interrupted")
    assert world.over["c1"].end is End.UNKNOWN


def test_a_second_attempt_that_is_refused_does_not_make_the_first_one_unbegun(world: World) -> None:
    """The first may have run: its fate stays unknown, whatever the others say."""
    world.knows("p1", "p2", concurrency=1, queue=1, retries=2)
    world.call("c1")
    world.status(world.places[0], "offline")
    world.answers("refused", "request")
    outcome = world.over["c1"]
    assert (outcome.end, outcome.cause) == (End.UNKNOWN, "interrupted")


def test_a_connection_that_came_back_is_asked_what_became_of_it(world: World) -> None:
    """Same boot, another connection: the answer may have been lost on the way."""
    world.call("c1")
    send = world.runs[0]
    world.status(send.place.proplet, "offline")
    world.status(send.place.proplet, conn=2)
    recall = world.sent[-1].call
    assert (recall.verb, recall.id, recall.conn) == ("recall", "c1", 2)
    world.answers("done", to=send)
    assert world.over["c1"].end is End.DONE


def test_our_own_new_connection_asks_for_every_open_call(world: World) -> None:
    """Answers came while we were away."""
    world.call("c1")
    world.call("c2")
    world.take(world.desk.connected(world.now))
    assert sorted(one.call.id for one in world.sent if one.call.verb == "recall") == ["c1", "c2"]


def test_a_proplet_that_knows_nothing_of_a_call_leaves_its_fate_unknown(world: World) -> None:
    """It may be forgotten there, so it is not made again."""
    world.call("c1")
    world.answers("unknown")
    assert world.over["c1"].end is End.UNKNOWN


def test_an_answer_that_never_comes_is_not_waited_for(world: World) -> None:
    """Past its limit and a margin it is cancelled there, and told here."""
    world.call("c1", timeout=500)
    world.later(500 + MARGIN - 1)
    assert "c1" not in world.over
    world.later(1)
    assert (world.over["c1"].end, world.over["c1"].cause) == (End.UNKNOWN, "timeout")
    assert world.sent[-1].call.verb == "cancel"


def test_the_caller_shortens_the_limit_and_never_lengthens_it(world: World) -> None:
    """The Function's own is the most."""
    world.call("c1", timeout=300)
    world.call("c2", timeout=99_000)
    assert [one.call.timeout for one in world.runs] == [300, 10_000]


def test_a_waiting_call_begins_when_a_copy_comes(world: World) -> None:
    """An asynchronous one may wait; its limit counts from when it is sent."""
    world.knows()
    world.call("c1", patient=60_000, durable=True)
    world.later(30_000)
    assert world.runs == []
    world.knows("p1")
    (send,) = world.runs
    assert (send.call.timeout, send.durable) == (10_000, True)


def test_a_cancelled_call_ends_where_it_stands(world: World) -> None:
    """Waiting: it never began. Sent: its proplet is told, and says how it ended."""
    world.call("c1")
    world.take(world.desk.cancel("c1"))
    assert world.sent[-1].call.verb == "cancel"
    world.answers("failed", "cancelled")
    assert world.over["c1"].cause == "cancelled"
    world.knows()
    world.call("c2", patient=60_000)
    world.take(world.desk.cancel("c2"))
    assert (world.over["c2"].end, world.over["c2"].cause) == (End.REFUSED, "cancelled")
    assert world.desk.cancel("c2") is None


def test_a_request_that_a_proplet_cannot_take_goes_to_none(world: World) -> None:
    """Its messages are smaller than that."""
    copies = (Copy("p1", "r", 4096), Copy("p2", "r", 1 << 20))
    route = Route(uid="u1", name=NAME, timeout=1000, calls=Calls(), copies=copies)
    world.take(world.desk.learn({NAME: route}, world.now))
    for number in range(3):
        world.call(f"c{number}", body="A" * 8000)
    assert world.places == ["p2", "p2", "p2"]


def test_an_older_word_about_a_connection_changes_nothing(world: World) -> None:
    """The will of a connection that was replaced comes late."""
    world.status("p1", conn=3)
    world.status("p1", "offline", conn=2)
    world.call("c1")
    world.call("c2")
    assert set(world.places) == {"p1", "p2"}


def test_an_answer_in_anothers_name_is_none(world: World) -> None:
    """Only the proplet that was asked, in the boot that was asked, answers."""
    world.call("c1")
    send = world.runs[0]
    for wrong in (
        replace(send.place, proplet="p9"),
        replace(send.place, boot=9),
        replace(send.place, inst="b" * 32),
        replace(send.place, wire="c9"),
    ):
        world.answers("done", to=replace(send, place=wrong))
    assert world.over == {}


def test_a_call_of_an_earlier_process_is_asked_for_and_not_made_again(world: World) -> None:
    """Its proplet knows; one that was started anew since does not, and that is told."""
    world.call("c1", durable=True)
    place = world.runs[0].place
    after = World()
    after.knows("p1", "p2")
    after.take(after.desk.resume("c1", NAME, Request(), place, after.now))
    assert after.sent == []
    after.status(place.proplet)
    assert [one.call.verb for one in after.sent] == ["recall"]
    anew = World()
    anew.status(place.proplet, boot=2)
    anew.take(anew.desk.resume("c1", NAME, Request(), place, anew.now))
    assert anew.over["c1"].end is End.UNKNOWN


# -- no copy at all ------------------------------------------------------------------------------


@pytest.fixture
def asleep() -> World:
    """A Function that may have no copy and has none; `p1` is there."""
    made = World()
    made.status("p1")
    made.knows(hold=30_000, most=2)
    return made


def test_a_call_waits_for_the_first_copy_and_is_served(asleep: World) -> None:
    """As long as the Function says, its own time beginning when a copy is asked; and it is told
    how long that took."""
    asleep.call("c1")
    asleep.later(12_000)
    assert asleep.over == {}
    assert asleep.desk.hungry() == {"u1": 1}
    asleep.knows("p1", hold=30_000, most=2)
    assert asleep.runs[-1].call.timeout == 10_000
    assert asleep.desk.hungry() == {}
    asleep.answers("done")
    assert asleep.over["c1"].end is End.DONE
    assert asleep.over["c1"].held == 12_000


def test_a_call_that_waited_in_vain_may_come_again(asleep: World) -> None:
    """503 with a time to come again, at the deadline and not before; its own one where that is
    shorter."""
    asleep.call("c1")
    asleep.call("c2", timeout=1_000)
    asleep.later(1_100)
    assert asleep.over["c2"].cause == "absent"
    asleep.later(28_000)
    assert "c1" not in asleep.over
    asleep.later(2_000)
    assert (asleep.over["c1"].cause, asleep.over["c1"].retry_after) == ("absent", 5)
    assert asleep.desk.open == 0


def test_no_more_calls_wait_than_there_is_room_for(asleep: World) -> None:
    """The next one is told to come again at once; a place is free when one goes."""
    for name in ("c1", "c2", "c3"):
        asleep.call(name)
    assert list(asleep.over) == ["c3"]
    assert asleep.over["c3"].retry_after == 5
    asleep.take(asleep.desk.cancel("c1"))
    asleep.call("c4")
    assert "c4" not in asleep.over


def test_a_burst_that_found_no_copy_is_served_by_the_first_one(asleep: World) -> None:
    """Calls that waited for it wait on while it is full, and are not told that it is."""
    for name in ("c1", "c2"):
        asleep.call(name)
    asleep.knows("p1", hold=30_000, most=2, concurrency=1, queue=0)
    assert len(asleep.runs) == 1
    asleep.answers("done")
    asleep.later(AGAIN)
    asleep.answers("done")
    assert {one.end for one in asleep.over.values()} == {End.DONE}
    assert len(asleep.over) == 2


def test_where_a_copy_is_always_to_be_nobody_waits_for_a_first_one(world: World) -> None:
    """A Function that may not have none is told to be absent as ever."""
    world.knows()
    world.later(RECENT)
    world.call("c1")
    world.later(PATIENCE + AGAIN)
    assert world.over["c1"].cause == "absent"
    assert world.desk.hungry() == {}
