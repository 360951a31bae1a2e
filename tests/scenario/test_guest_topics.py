"""Messages of guests through a whole fleet: offline, over a reboot, and never to control/."""

from __future__ import annotations

from pathlib import Path

from specs_text import WAT, daemon_yaml, proplet_yaml

from propeller.rehearse.fleet import CHANNEL, Sim
from propeller.transport.base import Event, Received

IMPORTS = ("wasi_snapshot_preview1", "propeller", "propeller:topics")
TOPICS = """  placement: {perProplet: true}
  run:
    topics:
      - {name: out, publish: "telemetry/{proplet}/temp", rate: 1000, keep: 20}
      - {name: in, subscribe: "cmds/+", keep: 3}
"""
REF = "Daemon/default/d"


class Listener:
    """Somebody else on the channel."""

    def __init__(self, sim: Sim) -> None:
        self.heard: list[tuple[str, bytes]] = []
        link = sim.broker.client("listener")
        link.start(self._event)
        sim.run(500)
        link.subscribe([CHANNEL.data("telemetry/#")])

    def _event(self, event: Event) -> None:
        if isinstance(event, Received):
            self.heard.append((CHANNEL.below(event.topic), event.payload))

    def told(self) -> list[int]:
        """The numbers that came, each once, in the order of their first coming."""
        return list(dict.fromkeys(int(data) for _, data in self.heard))


def _plant(tmp_path: Path, *, imports: tuple[str, ...] = IMPORTS) -> Sim:
    sim = Sim(tmp_path, seed=5)
    sim.write("m.wat", WAT)
    sim.write("fleet.yaml", proplet_yaml(["a"]))
    sim.add("a", imports=imports)
    sim.start_manager()
    sim.write("d.yaml", daemon_yaml("d", TOPICS))
    return sim


def test_what_a_guest_says_without_a_link_comes_in_order_when_it_is_back(tmp_path: Path) -> None:
    """The link is gone, the power fails, more is said: all of it comes, in order, once back."""
    sim = _plant(tmp_path)
    assert sim.run(30_000, until=sim.ready), sim.what_is_not()
    there, one = Listener(sim), sim.proplets["a"]
    one.publish(REF, "out", b"0")
    sim.run(1_000)
    assert there.heard == [("telemetry/a/temp", b"0")]
    sim.broker.cut("a")
    sim.run(200_000)
    for number in range(1, 9):
        one.publish(REF, "out", str(number).encode())
    sim.run(2_000)
    one.kill()
    assert len(one.disk.outgoing) == 8
    one.boot()
    assert sim.run(20_000, until=lambda: sim.running() == {REF: ["a"]})
    for number in range(9, 12):
        one.publish(REF, "out", str(number).encode())
    sim.broker.heal("a")
    assert sim.run(120_000, until=lambda: 11 in there.told())
    assert there.told() == list(range(12))
    sim.run(5_000)
    assert one.disk.outgoing == {}
    assert one.dropped() == {}


def test_a_cut_link_costs_no_message_that_was_on_its_way(tmp_path: Path) -> None:
    """Said before the device knew that it was cut off: sent again, for nobody acknowledged it."""
    sim = _plant(tmp_path)
    assert sim.run(30_000, until=sim.ready), sim.what_is_not()
    there, one = Listener(sim), sim.proplets["a"]
    sim.broker.cut("a")
    for number in range(5):
        one.publish(REF, "out", str(number).encode())
        sim.run(1_000)
    sim.run(200_000)
    for number in range(5, 40):
        one.publish(REF, "out", str(number).encode())
    sim.broker.heal("a")
    assert sim.run(120_000, until=lambda: 39 in there.told())
    assert there.told() == list(range(20, 40)), "`keep: 20`, the newest, in order"
    assert one.dropped() == {"topicOut": 20}


def test_a_guest_hears_what_is_said_on_its_topics_and_the_rest_is_counted(tmp_path: Path) -> None:
    """Three wait for it, the fourth takes the place of the first; nothing else reaches it."""
    sim = _plant(tmp_path)
    assert sim.run(30_000, until=sim.ready), sim.what_is_not()
    sim.run(2_000)
    one = sim.proplets["a"]
    for number in range(4):
        sim.say(CHANNEL.data(f"cmds/{number}"), str(number).encode())
    sim.say(CHANNEL.data("cmds/a/b"), b"no")
    sim.say(CHANNEL.data("other"), b"no")
    sim.run(2_000)
    assert [one.receive(REF, "in") for _ in range(4)] == [b"1", b"2", b"3", None]
    assert one.dropped() == {"topicIn": 1}
    sim.say(CHANNEL.data("cmds/x"), b"x")
    sim.run(1_000)
    assert one.receive(REF, "in") == b"x"


def test_a_device_that_carries_no_messages_is_given_no_such_guest(tmp_path: Path) -> None:
    """An agent of before, or firmware: the copy is not placed there, and the status says why."""
    sim = _plant(tmp_path, imports=IMPORTS[:2])
    sim.run(20_000)
    assert sim.running() == {}
    text = (sim.state.status / "default" / "Daemon" / "d.yaml").read_text()
    assert "carries no messages for guests (run.topics)" in text
