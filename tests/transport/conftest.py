"""Worlds: the same client code over the broker in memory and over real ones.

A World makes clients, lets time pass until something is true, and takes its broker away and back.
Real brokers are started once a session; tests keep apart by topics of their own.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Protocol

import pytest

from propeller.transport.base import Connected, Disconnected, Event, Received, Transport, Will
from propeller.transport.broker import Address, Broker, which
from propeller.transport.embedded import EmbeddedBroker
from propeller.transport.memory import MemoryBroker
from propeller.transport.mosquitto import MosquittoBroker
from propeller.transport.mqtt import MqttTransport

_NUMBERS = count(1)


class Ears:
    """A listener that remembers; a Client's own markers are kept apart."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.markers: list[str] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Received) and event.topic.startswith("in-step/"):
            self.markers.append(event.topic)
        else:
            self.events.append(event)

    @property
    def messages(self) -> list[Received]:
        return [event for event in list(self.events) if isinstance(event, Received)]

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]

    @property
    def connects(self) -> int:
        return sum(isinstance(event, Connected) for event in list(self.events))

    @property
    def disconnects(self) -> int:
        return sum(isinstance(event, Disconnected) for event in list(self.events))


class World(Protocol):
    """What a contract test needs of a broker."""

    name: str
    resends_held: bool
    """SUBSCRIBE for a filter already held sends its retained messages again."""

    def make(self, client_id: str, **options: int) -> Transport: ...
    def until(self, true: Callable[[], bool]) -> bool: ...
    def pause(self) -> None: ...
    def crash(self) -> None: ...
    def begin(self) -> None: ...
    def finish(self) -> None: ...


class Memory:
    """The broker in memory, on a clock that moves when a test waits."""

    name, resends_held = "memory", False

    def __init__(self) -> None:
        self.broker = MemoryBroker(random.Random(7))

    def make(self, client_id: str, **options: int) -> Transport:
        return self.broker.client(client_id, **options)

    def until(self, true: Callable[[], bool]) -> bool:
        end = self.broker.now + 120_000
        while not true() and self.broker.now < end:
            self.broker.advance(self.broker.now + 10)
        return true()

    def pause(self) -> None:
        self.broker.advance(self.broker.now + 1_000)

    def crash(self) -> None:
        self.broker.stop()

    def begin(self) -> None:
        self.broker.begin()

    def finish(self) -> None:
        pass


class Real:
    """A broker process and one version of MQTT."""

    def __init__(self, name: str, broker: Broker, address: Address, protocol: str) -> None:
        self.name = f"{name}-{protocol}"
        self.resends_held = True
        self.broker = broker
        self.address = address
        self.protocol = protocol
        self._made: list[Transport] = []

    def make(self, client_id: str, **options: int) -> Transport:
        endpoint = self.address.endpoint(client_id, protocol=self.protocol)
        transport = MqttTransport(dataclasses.replace(endpoint, **options), random.Random(3))
        self._made.append(transport)
        return transport

    def until(self, true: Callable[[], bool]) -> bool:
        end = time.monotonic() + 20
        while not true() and time.monotonic() < end:
            time.sleep(0.002)
        return true()

    def pause(self) -> None:
        time.sleep(0.15)

    def crash(self) -> None:
        self.broker.kill()

    def begin(self) -> None:
        self.broker.start()

    def finish(self) -> None:
        for transport in self._made:
            transport.close()
        self.broker.start()  # for the next test, whatever this one did to it


class Client:
    """A transport with ears, started and connected unless told otherwise."""

    def __init__(self, world: World, transport: Transport) -> None:
        self.world = world
        self.transport = transport
        self.ears = Ears()

    def start(self, will: Will | None = None) -> Client:
        self.transport.start(self.ears, will)
        assert self.world.until(lambda: self.ears.connects == 1), self.transport.stats()
        return self

    def hears(self, *payloads: bytes) -> bool:
        """Whether exactly these payloads arrive, in this order."""
        return self.world.until(lambda: len(self.ears.messages) >= len(payloads)) and (
            self.ears.payloads == list(payloads)
        )

    def in_step(self) -> None:
        """Return once the broker has done all that this client asked before."""
        marker = f"in-step/{next(_NUMBERS)}"
        self.transport.subscribe([marker])
        self.transport.publish(marker, b"")
        assert self.world.until(lambda: marker in self.ears.markers), (
            self.ears.events[-5:],
            self.transport.stats(),
        )
        self.transport.unsubscribe([marker])


class Stage:
    """One test's clients and topics in a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._number = next(_NUMBERS)

    def topic(self, name: str) -> str:
        return f"t{self._number}/{name}"

    def idle(self, name: str, **options: int) -> Client:
        """A client that was not started."""
        return Client(self.world, self.world.make(f"t{self._number}-{name}", **options))

    def client(self, name: str, will: Will | None = None, **options: int) -> Client:
        return self.idle(name, **options).start(will)


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, Address]]:
    binary = which("mosquitto")
    if binary is None:
        pytest.skip("mosquitto is not installed (apt install mosquitto)")
    yield from _serve(MosquittoBroker(tmp_path_factory.mktemp("mosquitto"), binary=binary))


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, Address]]:
    yield from _serve(EmbeddedBroker(tmp_path_factory.mktemp("embedded")))


def _serve(broker: MosquittoBroker | EmbeddedBroker) -> Iterator[tuple[Broker, Address]]:
    yield broker, broker.start()
    broker.stop()


@pytest.fixture(
    params=[
        "memory",
        *(
            pytest.param(f"{broker} {protocol}", marks=pytest.mark.live)
            for broker in ("mosquitto", "embedded")
            for protocol in ("3.1.1", "5")
        ),
    ]
)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    world: World
    if request.param == "memory":
        world = Memory()
    else:
        broker, protocol = request.param.split()
        world = Real(broker, *request.getfixturevalue(broker), protocol)
    yield Stage(world)
    world.finish()


@pytest.fixture
def mosquitto_binary() -> str:
    binary = which("mosquitto")
    if binary is None:
        pytest.skip("mosquitto is not installed (apt install mosquitto)")
    return binary


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "broker"
