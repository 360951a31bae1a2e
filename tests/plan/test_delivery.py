"""When a proplet is asked for something, and with which number."""

from __future__ import annotations

from typing import Any

import pytest

from propeller.model.seen import Presence
from propeller.plan.delivery import Ask, ForeignFence, Held, Nothing, Wanted, decide

NOW = 1_750_000_000_000
FENCE = NOW - 1_000


def _held(**more: Any) -> Held:
    row: dict[str, Any] = {
        "inst": "inst-p1", "fence": FENCE, "gen": 4, "digest": "D", "due": NOW + 5_000,
        "attempts": 1,
    }  # fmt: skip
    return Held(**(row | more))


def _seen(w: Any, observed: tuple[int, int, str] = (0, 0, ""), **more: Any) -> Any:
    fence, gen, digest = observed
    return w.proplet("p1", observed_fence=fence, observed_gen=gen, observed_digest=digest, **more)


def _decide(w: Any, held: Held | None, seen: Any, *, digest: str = "D", **more: Any) -> Any:
    wanted = Wanted(inst=seen.inst, digest=digest)
    return decide(wanted, held, seen, fence=more.pop("fence", FENCE), now=NOW, **more)


def test_the_first_document_is_asked_for_at_once(w: Any) -> None:
    """Under our fence, as the first of its kind, also of a silent proplet: the broker keeps it."""
    seen = _seen(w, presence=Presence.OFFLINE)
    answer = _decide(w, None, seen)
    assert isinstance(answer, Ask)
    assert (answer.fence, answer.gen, answer.new, answer.due) == (FENCE, 1, True, NOW + 5_000)


def test_nothing_is_asked_before_a_hello(w: Any) -> None:
    """There is no instance to ask."""
    assert _decide(w, None, _seen(w, inst="")) == Nothing()


def test_what_is_held_is_not_asked_again(w: Any) -> None:
    """Fence, gen and digest all match: delivered."""
    assert _decide(w, _held(), _seen(w, (FENCE, 4, "D"))) == Nothing()


def test_a_document_keeps_its_fence_until_its_content_changes(w: Any) -> None:
    """A restart takes a new lease and republishes nothing."""
    assert _decide(w, _held(), _seen(w, (FENCE, 4, "D")), fence=FENCE + 99) == Nothing()


def test_new_content_is_a_new_document(w: Any) -> None:
    """The next gen under the same fence."""
    answer = _decide(w, _held(), _seen(w, (FENCE, 4, "D")), digest="E")
    assert isinstance(answer, Ask)
    assert (answer.fence, answer.gen, answer.new) == (FENCE, 5, True)


def test_new_content_after_a_new_lease_begins_to_count_anew(w: Any) -> None:
    """A higher fence outranks every gen."""
    answer = _decide(w, _held(), _seen(w, (FENCE, 4, "D")), digest="E", fence=FENCE + 9)
    assert isinstance(answer, Ask)
    assert (answer.fence, answer.gen) == (FENCE + 9, 1)


def test_another_instance_is_asked_anew(w: Any) -> None:
    """The same content, signed to the new instance."""
    answer = _decide(w, _held(inst="inst-old"), _seen(w))
    assert isinstance(answer, Ask)
    assert (answer.gen, answer.new) == (5, True)


def test_an_online_proplet_is_asked_again_when_its_time_has_come(w: Any) -> None:
    """Not before; and then the same document, byte for byte."""
    seen = _seen(w, (FENCE, 3, "C"))
    assert _decide(w, _held(), seen) == Nothing(until=NOW + 5_000)
    answer = _decide(w, _held(due=NOW), seen)
    assert isinstance(answer, Ask)
    assert (answer.fence, answer.gen, answer.new) == (FENCE, 4, False)


@pytest.mark.parametrize(
    ("attempts", "wait"),
    [(1, 5_000), (4, 5_000), (5, 10_000), (9, 160_000), (10, 300_000), (99, 300_000)],
)
def test_it_is_asked_ever_less_often(w: Any, attempts: int, wait: int) -> None:
    """Doubling up to five minutes."""
    answer = _decide(w, _held(due=NOW, attempts=attempts), _seen(w))
    assert isinstance(answer, Ask)
    assert answer.due == NOW + wait


def test_a_silent_proplet_is_not_asked_again(w: Any) -> None:
    """The broker keeps the document; its coming online wakes us."""
    seen = _seen(w, presence=Presence.OFFLINE)
    assert _decide(w, _held(due=NOW), seen) == Nothing()


def test_who_comes_back_after_several_asks_is_asked_at_once(w: Any) -> None:
    """Its backoff may be minutes long by now."""
    held = _held(attempts=6, due=NOW + 300_000)
    assert isinstance(_decide(w, held, _seen(w), welcomed=True), Ask)
    assert isinstance(_decide(w, _held(), _seen(w), welcomed=True), Nothing)


def test_what_the_broker_lost_is_published_again(w: Any) -> None:
    """Even to a proplet that holds it: its storage may be lost tomorrow."""
    answer = _decide(w, _held(), _seen(w, (FENCE, 4, "D")), broker_differs=True)
    assert isinstance(answer, Ask)
    assert (answer.gen, answer.new) == (4, False)


@pytest.mark.parametrize(
    ("observed", "gen"), [((FENCE, 4, "other"), 5), ((FENCE, 7, "D"), 8), ((FENCE, 7, "x"), 8)]
)
def test_a_number_that_was_used_is_passed(w: Any, observed: tuple[int, int, str], gen: int) -> None:
    """An older store came back: the next document stands above what the proplet observed."""
    answer = _decide(w, _held(), _seen(w, observed))
    assert isinstance(answer, Ask)
    assert (answer.fence, answer.gen, answer.new) == (FENCE, gen, True)


def test_a_later_fence_of_ours_is_passed_by_the_lease(w: Any) -> None:
    """Observed above what was asked, and not above our lease."""
    answer = _decide(w, _held(), _seen(w, (FENCE + 5, 2, "x")), fence=FENCE + 9)
    assert isinstance(answer, Ask)
    assert (answer.fence, answer.gen) == (FENCE + 9, 1)


def test_a_fence_above_ours_is_never_outbid(w: Any) -> None:
    """Somebody else took over, or it is not our fleet's: the caller has to find out."""
    answer = _decide(w, _held(), _seen(w, (FENCE + 1, 1, "x")), digest="E")
    assert answer == ForeignFence(fence=FENCE + 1)


def test_after_a_lost_store_everyone_is_asked_once(w: Any) -> None:
    """There is no row to compare with; content that is held already restarts nothing there."""
    answer = _decide(w, None, _seen(w, (FENCE - 9, 4, "D")))
    assert isinstance(answer, Ask)
    assert (answer.gen, answer.new) == (1, True)
