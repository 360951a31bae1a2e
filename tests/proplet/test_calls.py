"""What a proplet remembers of calls: bounded in number and bytes, a running one never lost."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from propeller.wire.call_messages import Call, CallAnswer
from propeller.wire.messages import Hello
from proplet import calls as memory
from proplet.calls import Calls
from proplet.pending import Pending, Result
from tests.property.test_calls import RUN, UID, hello

BODY = "x" * 1000


@dataclass
class Pool:
    """Holds what it is told to hold and answers the rest at once."""

    held: list[Pending] = field(default_factory=list)

    class entry:  # noqa: N801  what `Calls` reads of a pool
        timeout = None

    def submit(self, pending: Pending) -> None:
        if pending.id.startswith("held"):
            self.held.append(pending)
        else:
            pending.answer(Result(state="done", status=200, body=BODY))


@dataclass
class Desk:
    """One source of calls, and the answers it got, by call."""

    me: Hello = field(default_factory=lambda: hello("p1", 1))
    n: int = 0
    told: dict[str, CallAnswer] = field(default_factory=dict)
    pool: Pool = field(default_factory=Pool)
    bodies: dict[bytes, Call] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.calls = Calls(
            self.me,
            open_call=self.bodies.__getitem__,
            find=lambda _key: self.pool,  # type: ignore[arg-type, return-value]
            clock=lambda: 0,
            send=lambda _src, answer: self.told.__setitem__(answer.call, answer),
        )
        self.calls.connected(1)

    def ask(self, id_: str, verb: str = "run") -> str:
        """Say it, and return the state of the answer that came, or ""."""
        self.n += 1
        self.told.pop(id_, None)
        frame = str(self.n).encode()
        self.bodies[frame] = Call(
            to=self.me.id,
            inst=self.me.inst,
            boot=self.me.boot,
            conn=1,
            src="g1",
            n=self.n,
            id=id_,
            verb=verb,  # type: ignore[arg-type]
            uid=UID,
            run=RUN,
            timeout=1000,
        )
        assert self.calls.hear(frame) == ""
        return self.told[id_].state if id_ in self.told else ""


def test_the_oldest_ended_calls_are_forgotten_and_a_running_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Past the bound a call that came first but still runs is kept; the ended ones after it go."""
    monkeypatch.setattr(memory, "MOST_KNOWN", 4)
    desk = Desk()
    assert desk.ask("held-0") == ""
    assert [desk.ask(f"c{n}") for n in range(6)] == ["done"] * 6
    assert [desk.ask(f"c{n}", "recall") for n in range(6)] == ["unknown"] * 3 + ["done"] * 3
    desk.pool.held[0].answer(Result(state="done", status=200, body=""))
    assert desk.told["held-0"].state == "done"
    assert desk.ask("held-0", "recall") == "done"


def test_what_is_remembered_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long answers push older ones out before their number does."""
    monkeypatch.setattr(memory, "MOST_BYTES", 3 * (512 + len(BODY)))
    desk = Desk()
    for n in range(5):
        desk.ask(f"c{n}")
    assert [desk.ask(f"c{n}", "recall") for n in range(5)] == ["unknown"] * 2 + ["done"] * 3
