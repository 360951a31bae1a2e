"""Safety of the pure agent under any sequence of messages, ends, ticks, crashes and reloads."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from propeller.wire import codec
from propeller.wire.frame import seal
from propeller.wire.messages import BlobRef, Entry
from proplet.effects import Effect, Fetch, Outcome, Prepare, Purpose, Start, Stop, Topic, Wake

_PATH = Path(__file__).parents[1] / "proplet" / "agent_world.py"
_SPEC = importlib.util.spec_from_file_location("property_agent_world", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
w: Any = importlib.util.module_from_spec(_SPEC)
sys.modules["property_agent_world"] = w
_SPEC.loader.exec_module(w)

NUMBERS = st.integers(1, 4)
CHANGES = st.sampled_from(
    [
        {},
        {"timeout": 5},
        {"run": "e" * 32},
        {"module": w.module("b")},
        {"memory": 1 << 40},
        {"run": "a" * 32, "module": w.module("c"), "update": "HandOver", "memory": 8 << 20},
        {"run": "b" * 32, "module": w.module("d"), "update": "HandOver", "ready_after": 2_000},
        {"run": "c" * 32, "module": w.module("e"), "update": "KillThenDownload"},
        {"update": "HandOver"},
    ]
)
ENTRIES = st.lists(
    st.builds(
        lambda number, daemon, changes: (w.a_daemon if daemon else w.a_task)(number, **changes),
        NUMBERS,
        st.booleans(),
        CHANGES,
    ),
    max_size=4,
    unique_by=lambda entry: (entry.uid, entry.run),
)


class Agents(RuleBasedStateMachine):
    """A manager that may say anything, a shell that may die between any two effects."""

    def __init__(self) -> None:
        super().__init__()
        self.world = w.World(auto=False)
        self.world.act = self.act
        self.signed: set[Entry] = set()
        self.wanted: tuple[Entry, ...] = ()
        self.gen = 0
        self.history: list[bytes] = []
        self.todo: list[Effect] = []
        self.once: dict[Any, int] = {}
        self.bodies: dict[str, bytes] = {}
        self.dying: int | None = None

    @initialize()
    def begin(self) -> None:
        self.world.connect()

    # -- a shell that does things later, or never -----------------------------------------------

    def act(self, effect: Effect) -> None:
        self.world.done.append(effect)
        match effect:
            case Wake(at):
                self.world.wake = at
            case Start(entry, _):
                key = (entry.uid, entry.run)
                assert entry in self.signed, "nothing runs that no verified document said"
                assert self.world.disk.runs[key].starts > 0, "persisted before it is started"
                assert key not in self.world.guests
                takes_over = entry.mode == "daemon" and entry.update == "HandOver"
                assert takes_over or not self.leaving(entry.uid), "two versions side by side"
                self.world.guests[key] = entry
                if entry.mode == "once":
                    self.once[key] = self.once.get(key, 0) + 1
                    assert self.once[key] == 1, "a once-run is started at most once"
            case Stop() | Fetch() | Prepare():
                self.todo.append(effect)
            case _:
                pass

    def leaving(self, uid: str) -> bool:
        """Whether a guest of an older version of this object is still alive."""
        listed = {(entry.uid, entry.run) for entry in self.held()}
        return any(key[0] == uid and key not in listed for key in self.world.guests)

    def held(self) -> tuple[Entry, ...]:
        saved = self.world.disk.desired
        return saved.entries if saved is not None else ()

    # -- what happens -----------------------------------------------------------------------------

    @rule(entries=ENTRIES, as_blob=st.booleans())
    def a_newer_document(self, entries: list[Entry], as_blob: bool) -> None:
        self.gen += 1
        self.signed.update(entries)
        document = w.a_document(*entries, gen=self.gen)
        if as_blob:
            data = codec.encode_tasks(entries)
            ref = BlobRef(digest=w.sha256(data), size=len(data))
            self.bodies[ref.digest] = data
            document = replace(document, tasks=None, body=ref)
        self.wanted = tuple(entries)
        self.history.append(w.signed(document))
        self.world.hear(Topic.DESIRED, self.history[-1])

    @rule(data=st.data())
    def an_old_document_again(self, data: st.DataObject) -> None:
        if self.history:
            self.world.hear(Topic.DESIRED, data.draw(st.sampled_from(self.history)))

    @rule(number=NUMBERS, how=st.integers(0, 3), gen=st.integers(0, 99))
    def a_document_nobody_signed_for_us(self, number: int, how: int, gen: int) -> None:
        evil = w.a_document(w.a_task(number, args=("evil",)), gen=gen, fence=10_000)
        payload = [
            codec.encode(evil),
            w.signed(evil, w.STRANGER),
            w.signed(replace(evil, inst="f" * 32)),
            seal("op", codec.encode(evil), w.MANAGER),
        ][how]
        self.world.hear(Topic.DESIRED, payload)

    @rule(data=st.data(), good=st.booleans())
    def the_shell_gets_round_to_something(self, data: st.DataObject, good: bool) -> None:
        if not self.todo:
            return
        effect = self.todo.pop(data.draw(st.integers(0, len(self.todo) - 1)))
        self.answer(effect, good=good)

    def answer(self, effect: Effect, *, good: bool = True) -> None:
        world, agent = self.world, self.world.agent
        match effect:
            case Fetch(digest, _, purpose, _) if good:
                body = self.bodies.get(digest) if purpose is Purpose.BODY else None
                world.do(agent.fetched(digest, world.now, body))
            case Fetch(digest, _, _, _):
                world.do(agent.fetch_failed(digest, "no answer", world.now))
            case Prepare(entry) if good:
                world.do(agent.prepared((entry.uid, entry.run), entry.digest, world.now))
            case Prepare(entry):
                world.do(agent.unfit((entry.uid, entry.run), entry.digest, "no", world.now))
            case Stop(key, _):
                world.end(key, Outcome(ok=False, error="stopped"))
            case _:
                raise AssertionError(effect)

    @rule(data=st.data(), ok=st.booleans())
    def a_guest_ends(self, data: st.DataObject, ok: bool) -> None:
        if self.world.guests:
            key = data.draw(st.sampled_from(sorted(self.world.guests)))
            self.world.end(key, Outcome(ok=ok, exit=0 if ok else 1, error="" if ok else "exit 1"))

    @rule(ms=st.integers(1, 400_000))
    def time_passes(self, ms: int) -> None:
        self.world.pass_(ms)

    @rule(verb=st.sampled_from(["cancel", "restart", "collect"]), number=NUMBERS)
    def an_op(self, verb: str, number: int) -> None:
        if self.world.conn:
            self.world.op(verb, w.a_task(number))

    @rule()
    def the_connection_comes_back(self) -> None:
        self.world.do(self.world.agent.disconnected(self.world.now))
        self.world.connect()

    @rule()
    def the_manager_comes_online(self) -> None:
        self.world.manager(conn=self.gen)

    @rule(connect=st.booleans())
    def power_off_and_on(self, connect: bool) -> None:
        self.todo.clear()
        self.world.crash()
        if connect:
            self.world.connect()

    @rule(entries=ENTRIES, cut=st.integers(0, 6))
    def power_off_between_two_effects(self, entries: list[Entry], cut: int) -> None:
        """All that was persisted stays, of the rest only the first few were done."""
        self.gen += 1
        self.signed.update(entries)
        payload = w.signed(w.a_document(*entries, gen=self.gen))
        self.history.append(payload)
        self.wanted = tuple(entries)
        effects = self.world.agent.hear(Topic.DESIRED, payload, self.world.now)
        self.world.do(effects, cut=cut)
        self.power_off_and_on(connect=True)

    # -- what always holds ------------------------------------------------------------------------

    @invariant()
    def records_tell_of_every_once_start(self) -> None:
        """Whatever was started once is remembered, so no later boot starts it again."""
        for key in self.once:
            assert self.world.disk.runs[key].starts == 1

    @invariant()
    def memory_is_kept_to(self) -> None:
        assert sum(entry.memory or 0 for entry in self.world.guests.values()) <= w.HELLO.memory

    @invariant()
    def every_guest_is_known(self) -> None:
        for key in self.world.guests:
            assert self.world.agent.alive(key)

    def teardown(self) -> None:
        """With the newest document, a working shell and time, the inventory equals desired."""
        if not self.history:
            return
        world = self.world
        world.connect()
        world.hear(Topic.DESIRED, self.history[-1])
        world.manager(conn=10_000)
        for _ in range(40):
            while self.todo:
                self.answer(self.todo.pop(0))
            world.pass_(1_000)
        assert set(self.held()) == set(self.wanted)
        report = world.report()
        listed = {(run.uid, run.run) for run in report.tasks or ()}
        wanted = {(entry.uid, entry.run) for entry in self.wanted}
        assert listed >= wanted
        runs = [run for run in report.tasks or () if (run.uid, run.run) in wanted]
        ready = {run.uid for run in runs if run.ready}
        handing = {entry.uid for entry in self.wanted if entry.update == "HandOver"} - ready
        assert {uid for uid, _ in listed - wanted} <= handing, "an old run outlived its successor"
        for run in report.tasks or ():
            assert run.state not in ("Fetching", "Pending", "Stopping"), run


Agents.TestCase.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
TestAgents = Agents.TestCase


def test_the_machine_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that forgets what it started is caught by the machine's own rules."""
    machine = Agents()
    machine.begin()
    monkeypatch.setattr(machine.world.disk, "save", lambda _: None)
    with pytest.raises((AssertionError, KeyError)):
        machine.a_newer_document([w.a_task(1)], as_blob=False)
        while machine.todo:
            machine.answer(machine.todo.pop(0))
