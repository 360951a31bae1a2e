"""Desk and proplet together over a network that loses, repeats, delays and reorders, with proplets
and gateways that are killed at any time: every call ends, and one that is not idempotent begins at
most once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from propeller.gateway.calls import Copy, End, Outcome, Request, Route
from propeller.gateway.desk import Desk, Effect, Ended, Send
from propeller.model.functions import Calls as CallSpec
from propeller.wire.call_messages import Call, CallAnswer
from propeller.wire.messages import Hello, Status
from proplet.calls import Calls
from proplet.pending import Pending, Result, refused

NAME = "plant-a/f"
UID = "9b1c8a44-7d2e-5f61-8c3a-4be0b8d7e902"
RUN = "a" * 32
INST = "b" * 32


def hello(name: str, boot: int) -> Hello:
    return Hello(
        id=name,
        inst=INST,
        boot=boot,
        arch="x86_64",
        os="linux",
        runtime="wasmtime",
        runtime_version="1",
        agent="1",
        memory=1,
        storage=1,
        tasks=1,
        max_module=1,
        max_payload=1,
        min_run_interval=0,
        heartbeat=1,
        imports=(),
        components=False,
        mounts=(),
        encodings=("json",),
        algs=("ed25519",),
        fetch=("mqtt",),
        labels=(),
        key="",
    )


@dataclass
class Pool:
    """Takes two calls at a time; ends them when it is told to."""

    begun: dict[str, int]
    running: list[Pending] = field(default_factory=list)

    class entry:  # noqa: N801  what `Calls` reads of a pool
        timeout = None

    def submit(self, pending: Pending) -> None:
        if len(self.running) >= 2:
            pending.answer(refused("busy", "two run"))
            return
        call = pending.id.partition("-")[0]
        self.begun[call] = self.begun.get(call, 0) + 1
        self.running.append(pending)

    def cancel(self, id_: str) -> bool:
        return any(one.id == id_ for one in self.running)

    def finish(self) -> None:
        if self.running:
            self.running.pop(0).answer(Result(state="done", status=200, body=""))


class Net:
    """Two proplets, one gateway, and messages on their way."""

    def __init__(self, retries: int) -> None:
        self.now = 1_000_000
        self.retries = retries
        self.begun: dict[str, int] = {}
        self.over: dict[str, Outcome] = {}
        self.count = 0
        self.n = 0
        self.src = "g1"
        self.bodies: dict[bytes, Call] = {}
        self.desk = Desk(self.src)
        self.boots = {"p1": 0, "p2": 0}
        self.conns = {"p1": 0, "p2": 0}
        self.up: dict[str, tuple[Calls, Pool]] = {}
        self.to_proplet: list[tuple[str, Call]] = []
        self.to_gateway: list[CallAnswer | Status] = []
        for name in self.boots:
            self.boot(name)
        self.learn()
        while self.to_gateway:
            self.reaches_gateway(0, keep=False)

    def learn(self) -> None:
        copies = tuple(Copy(name, RUN) for name in self.boots)
        spec = CallSpec(concurrency=2, queue=1, retries=self.retries)
        route = Route(uid=UID, name=NAME, timeout=10_000, calls=spec, copies=copies)
        self.do(self.desk.learn({NAME: route}, self.now))

    def boot(self, name: str) -> None:
        """The proplet is killed, if it was up, and started again: what it knew is gone."""
        self.boots[name] += 1
        self.conns[name] = 0
        pool = Pool(self.begun)
        calls = Calls(
            hello(name, self.boots[name]),
            open_call=self.opened,
            find=lambda key: pool if key == (UID, RUN) else None,  # type: ignore[arg-type, return-value]
            clock=lambda: self.now,
            send=self.answered,
        )
        self.up[name] = (calls, pool)
        self.connect(name)

    def opened(self, payload: bytes) -> Call:
        return self.bodies[payload]

    def connect(self, name: str) -> None:
        self.conns[name] += 1
        self.up[name][0].connected(self.conns[name])
        self.to_gateway.append(
            Status(id=name, state="online", inst=INST, boot=self.boots[name], conn=self.conns[name])
        )

    def answered(self, src: str, answer: CallAnswer) -> None:
        if src == self.src:
            self.to_gateway.append(answer)

    def do(self, effects: list[Effect] | None) -> None:
        for effect in effects or ():
            match effect:
                case Send(call=call):
                    self.n += 1

                    self.to_proplet.append((call.to, replace(call, n=self.n)))
                case Ended(id_, outcome):
                    assert id_ not in self.over, "a call ends once"
                    self.over[id_] = outcome

    def call(self) -> None:
        self.count += 1
        self.do(
            self.desk.begin(f"c{self.count}", NAME, Request(), self.now, patient=0, durable=False)
        )

    def reaches_proplet(self, at: int, *, keep: bool) -> None:
        if not self.to_proplet:
            return
        at %= len(self.to_proplet)
        name, call = self.to_proplet[at] if keep else self.to_proplet.pop(at)
        key = repr(call).encode()
        self.bodies[key] = call
        self.up[name][0].hear(key)

    def reaches_gateway(self, at: int, *, keep: bool) -> None:
        if not self.to_gateway:
            return
        at %= len(self.to_gateway)
        word = self.to_gateway[at] if keep else self.to_gateway.pop(at)
        if isinstance(word, Status):
            self.do(self.desk.hear_status(word, self.now))
        else:
            self.do(self.desk.hear(word, self.now))

    def later(self, ms: int) -> None:
        self.now += ms
        self.do(self.desk.tick(self.now))


RARE = ("down+", "up+", "lose", "lost", "boot", "line", "time", "finish")
WHAT = (*RARE, *("call",) * 3, *("down",) * 6, *("up",) * 6)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(WHAT),
        st.integers(0, 20),
    ),
    min_size=40,
    max_size=120,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, retries=st.sampled_from([0, 0, 2]))
def test_every_call_ends_and_begins_as_often_as_it_may(
    steps: list[tuple[str, int]], retries: int
) -> None:
    """Whatever is lost, repeated or killed on the way."""
    net = Net(retries)
    for what, number in steps:
        name = "p1" if number % 2 else "p2"
        match what:
            case "call":
                net.call()
            case "down":
                net.reaches_proplet(number, keep=False)
            case "down+":
                net.reaches_proplet(number, keep=True)
            case "up":
                net.reaches_gateway(number, keep=False)
            case "up+":
                net.reaches_gateway(number, keep=True)
            case "lose" if net.to_proplet:
                net.to_proplet.pop(number % len(net.to_proplet))
            case "lost" if net.to_gateway:
                net.to_gateway.pop(number % len(net.to_gateway))
            case "finish":
                net.up[name][1].finish()
            case "boot":
                net.boot(name)
            case "line":
                net.connect(name)
            case "time":
                net.later(100 * number)
            case _:
                pass
    net.later(20_000)
    net.later(20_000)
    assert len(net.over) == net.count, "every call has an end"
    for call, times in net.begun.items():
        assert times <= 1 + retries, f"{call} began {times} times"
    for call, outcome in net.over.items():
        if outcome.end is End.REFUSED:
            assert net.begun.get(call, 0) == 0, "what is said never to have begun did not"
        if outcome.end is End.DONE:
            assert net.begun[call] >= 1
