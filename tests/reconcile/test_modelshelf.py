"""Models on their way to a registry: in order, again where nobody answers, never in the way."""

from __future__ import annotations

import threading

from propeller.errors import Unavailable, UsageError
from propeller.model.ids import Digest
from propeller.model.rounds import Blob
from propeller.reconcile.modelshelf import WAITING, Due, ModelShelf


def a_model(number):
    return Due(
        image="local/x", tag=f"{number:04}", model=Blob(Digest("sha256:" + "1" * 64), 1), record={}
    )


class Registry:
    """Remembers what it was given; answers with what it was told to, once each."""

    def __init__(self, *answers):
        self.answers, self.tags, self.done = list(answers), [], threading.Event()

    def push(self, one):
        self.tags.append(one.tag)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        if one.tag == "0002":
            self.done.set()


def pushed(registry):
    """What it was asked for, until the second model was taken."""
    shelf = ModelShelf(registry.push, pauses=(0.0, 0.0))
    shelf.put(a_model(1))
    shelf.put(a_model(2))
    assert registry.done.wait(10)
    shelf.stop()
    return registry.tags


def test_models_are_pushed_in_order():
    """Each once."""
    assert pushed(Registry()) == ["0001", "0002"]


def test_a_registry_that_is_away_is_asked_again():
    """As often as there are pauses; then the next model has its turn."""
    gone = Unavailable("no answer")
    assert pushed(Registry(gone, gone)) == ["0001"] * 3 + ["0002"]
    assert pushed(Registry(gone, gone, gone)) == ["0001"] * 3 + ["0002"]


def test_a_refusal_is_final_and_a_defect_is_no_end():
    """Wrong rights do not become right by asking; the thread outlives a fault of ours."""
    assert pushed(Registry(UsageError("denied"))) == ["0001", "0002"]
    assert pushed(Registry(ValueError("defect"))) == ["0001", "0002"]


def test_the_loop_never_waits():
    """With too many waiting, the newest are left to the next start."""
    hold = threading.Event()
    shelf = ModelShelf(lambda _: hold.wait(10) and None)
    for number in range(WAITING + 20):
        shelf.put(a_model(number))
    hold.set()
    shelf.stop()
