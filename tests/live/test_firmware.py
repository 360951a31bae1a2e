"""The firmware as a third kind of proplet: real processes of its posix port beside a Linux proplet,
one reconciler, one mosquitto, one spec directory."""

from __future__ import annotations

import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from propeller.cli import devices
from propeller.transport.child import Child, listens
from propeller.transport.mosquitto import find_mosquitto

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

DEVICES = ("d1", "d2", "d3", "d4")
SMALL = {"memory": "1MiB"}
KB = 1024


class Bench:
    """A reconciler, a broker, a Linux proplet and devices."""

    def __init__(self, fleet: Any, program: Path) -> None:
        self.fleet, self.program = fleet, program
        self.running: dict[str, Any] = {}
        fleet.module("add/add.wat", "heartbeat/heartbeat.wat", "misbehave/spin.wat")
        fleet.broker()

    def declare(self, *names: str, **spec: Any) -> None:
        """Devices with a short heartbeat."""
        for name in names:
            self.fleet.spec("Proplet", name, {"heartbeat": "2s", "class": "zephyr", **spec})

    def device(self, name: str, *arguments: str, broker: str = "") -> Any:
        """A device with storage of its own; again after its end, on the same storage."""
        fleet = self.fleet
        trust = fleet.state / "keys" / "root.pub"
        fleet.until(trust.exists, "the fleet's keys")
        command = [
            *(str(self.program), "--id", name, "--broker", broker or fleet.to_broker[1]),
            *("--domain", "propeller", "--channel", "fleet", "--heartbeat", "2s"),
            *("--data", str(fleet.place / name), "--trust", str(trust), "--grace", "200ms"),
            *("--engine", str(devices.engine()), "--max-payload", "1280", "--chunk", "1KiB"),
        ]
        self.running[name] = fleet._begin([*command, *arguments], name)
        return self.running[name]

    def task(self, name: str, *args: str, entry: str = "add", **spec: Any) -> str:
        """A Task; what `status` knows it by."""
        run = {"entrypoint": entry, "args": list(args)}
        module = {"file": "add.wat"}
        self.fleet.spec("Task", name, {"module": module, "run": run, "limits": SMALL, **spec})
        return f"Task/default/{name}"

    def copies(self, thing: str) -> dict[str, Any]:
        """Its copies, by proplet."""
        return {copy["proplet"]: copy for copy in self.fleet.copies(thing)}

    def offline(self, name: str) -> bool:
        """Whether the manager knows that it is away."""
        return self.fleet.condition(f"Proplet/default/{name}", "Ready").get("status") == "False"


@pytest.fixture
def bench(fleet: Any, program: Path) -> Bench:
    """Specs and a broker; nothing runs yet."""
    return Bench(fleet, program)


def test_four_devices_and_a_linux_proplet_follow_one_spec_tree(bench: Bench) -> None:
    """Deploy, update, kill -9, reboot, a broker that goes away, delete: devices converge as the
    Linux proplet does, a task's run is never started twice, and a daemon comes back."""
    fleet = bench.fleet
    fleet.spec("Proplet", "gw", {"heartbeat": "2s"})
    bench.declare(*DEVICES)
    everywhere = {"perProplet": True}
    add = bench.task("add", "40", "2", placement=everywhere)
    beat = {"module": {"file": "heartbeat.wat"}, "limits": SMALL, "placement": everywhere}
    fleet.spec("Daemon", "beat", beat)
    serve = fleet.serve()
    fleet.proplet("gw")
    for name in DEVICES:
        bench.device(name)
    fleet.ready(add)
    fleet.ready("Daemon/default/beat")
    first = bench.copies(add)
    assert set(first) == {"gw", *DEVICES}
    assert {copy["result"] for copy in first.values()} == {"42"}
    fleet.until(lambda: "beat 1" in fleet.on("logs", "beat", "--proplet", "d1").out, "what d1 said")

    old = {name: copy["run"] for name, copy in bench.copies("Daemon/default/beat").items()}
    fleet.spec("Daemon", "beat", {**beat, "run": {"args": ["newer"]}})
    fleet.until(
        lambda: all(
            copy["run"] != old.get(name) and copy.get("ready")
            for name, copy in bench.copies("Daemon/default/beat").items()
        ),
        lambda: f"newer runs everywhere, yet {bench.copies('Daemon/default/beat')}",
    )

    bench.running["d1"].kill()
    fleet.broker().stop()
    bench.running["d2"].kill()
    fleet.broker().start()
    assert bench.running["d3"].alive()
    for name in ("d1", "d2"):
        bench.device(name)
    late = bench.task("late", "-1", "0x10", placement=everywhere)
    fleet.ready(late)
    assert {copy["result"] for copy in bench.copies(late).values()} == {"15"}
    fleet.ready("Daemon/default/beat")
    again = bench.copies(add)
    assert {n: c["run"] for n, c in again.items()} == {n: c["run"] for n, c in first.items()}
    assert {copy["started"] for copy in again.values()} == {c["started"] for c in first.values()}

    for kind, name in (("daemon", "beat"), ("task", "add"), ("task", "late")):
        (fleet.specs / f"{kind}-{name}.yaml").unlink()
    fleet.until(lambda: fleet.status("Daemon/default/beat") is None, "the daemon gone")
    assert bench.running["d4"].end() == 0
    fleet.until(lambda: bench.offline("d4"), "d4 left in good order")
    assert serve.end() == 0


def test_a_device_without_a_manager_goes_on_as_long_as_its_budget(bench: Bench) -> None:
    """Started anew with no broker in reach, and most of a budget gone, a device goes on, stops the
    copy that has the budget and keeps the other; back with its manager it starts it again and tells
    so. The Linux proplet beside it has its manager all the while."""
    fleet = bench.fleet
    fleet.spec("Proplet", "gw", {"heartbeat": "2s"})
    bench.declare("d1")
    beat = {"module": {"file": "heartbeat.wat"}, "limits": SMALL}
    fleet.spec("Daemon", "brief", {**beat, "placement": {"perProplet": True, "autonomy": "1m"}})
    fleet.spec("Daemon", "lasting", {**beat, "placement": {"perProplet": True}})
    fleet.serve()
    fleet.proplet("gw")
    bench.device("d1")
    fleet.ready("Daemon/default/brief")
    fleet.ready("Daemon/default/lasting")
    before = bench.copies("Daemon/default/brief")
    assert set(before) == {"gw", "d1"}
    bench.running["d1"].kill()
    silence = fleet.place / "d1" / "records" / "0008"
    word = int(time.time() * 1000) - 50_000  # as if power had been away so long
    silence.write_bytes(b"PS1\0" + word.to_bytes(8, "big") + bytes(8))
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        alone = bench.device("d1", broker=f"127.0.0.1:{nobody.getsockname()[1]}")
        fleet.until(lambda: "no word of the manager for 1m" in alone.said, "it stops one")
        assert alone.said.count("no word of the manager") == 1
        alone.kill()
    bench.device("d1")
    fleet.until(lambda: "d1 stopped it at " in fleet.on("events").out, "it is told")
    fleet.until(lambda: bench.copies("Daemon/default/brief")["d1"].get("ready"), "it is back")
    after = bench.copies("Daemon/default/brief")
    assert after["gw"]["started"] == before["gw"]["started"]
    assert after["d1"]["started"] > before["d1"]["started"]


def test_limits_hold_on_a_device_and_its_link_lives_on(bench: Bench) -> None:
    """A guest that spins is stopped at its time or at its fuel, in the words of the Linux proplet;
    meanwhile other guests and the device go on."""
    fleet = bench.fleet
    bench.declare("d1")
    spin = {"module": {"file": "spin.wat"}, "run": {}}
    fleet.spec("Task", "slow", {**spin, "limits": {**SMALL, "timeout": "1s"}})
    fleet.spec("Task", "thirsty", {**spin, "limits": {**SMALL, "fuel": 100_000, "timeout": "1m"}})
    fine = bench.task("fine", "1", "2")
    fleet.serve()
    bench.device("d1")
    fleet.ready(fine)

    def told(name: str) -> str:
        copies = bench.copies(f"Task/default/{name}")
        return str(copies["d1"].get("error", "")) if "d1" in copies else ""

    fleet.until(lambda: told("slow") == "ran longer than its limit of 1s", lambda: told("slow"))
    fleet.until(lambda: told("thirsty") == "used up its fuel", lambda: told("thirsty"))
    assert bench.running["d1"].alive()
    assert "lost the broker" not in bench.running["d1"].said


def test_a_large_module_comes_through_a_small_buffer_and_a_cut_link(bench: Bench) -> None:
    """100 KB in pieces of 1 KB: the link is cut in the middle and the device killed later; each
    time it goes on where it was, and the module runs."""
    fleet = bench.fleet
    bench.declare("d1", blobs={"rate": "40KiB"})
    text = "".join(chr(33 + i * 7919 % 89) for i in range(100 * KB)).replace('"', "!")
    text = text.replace("\\", "/")
    export = '(func (export "f") (result i32) (i32.load8_u (i32.const 102399)))'
    fleet.write("large.wat", f'(module (memory 2) {export} (data (i32.const 0) "{text}"))')
    large = bench.task("large", entry="f", module={"file": "large.wat"})
    fleet.serve()
    host, _, port = fleet.to_broker[1].partition(":")
    with Cutter((host, int(port))) as cutter:
        bench.device("d1", broker=f"127.0.0.1:{cutter.port}")

        def have() -> int:
            parts = list((fleet.place / "d1" / "parts").glob("*"))
            return max((part.stat().st_size for part in parts if part.exists()), default=0)

        fleet.until(lambda: have() > 30 * KB, lambda: f"a third of it, yet {have()}")
        cutter.cut()
        held = have()
        fleet.until(lambda: have() > held + 4 * KB, "more after the cut")
        assert held > 30 * KB
        bench.running["d1"].kill()
        held = have()
        assert held < 100 * KB
        bench.device("d1", broker=f"127.0.0.1:{cutter.port}")
        fleet.ready(large)
        assert cutter.down < 2 * (100 * KB)
    assert {copy["result"] for copy in bench.copies(large).values()} == {str(ord(text[-1]))}


class Cutter:
    """A relay to the broker that can cut every connection. Counts bytes on their way down."""

    def __init__(self, to: tuple[str, int]) -> None:
        self.to = to
        self.down = 0
        self._pairs: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]

    def __enter__(self) -> Cutter:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()
        self.cut()

    def cut(self) -> None:
        """Every connection that is there, at once."""
        pairs, self._pairs = self._pairs, []
        for one in pairs:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._door.accept()
                far = socket.create_connection(self.to)
            except OSError:
                return
            self._pairs += [near, far]
            for source, sink, down in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._pump, args=(source, sink, down), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, down: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.down += len(data) if down else 0
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def test_a_device_leaves_in_good_order_and_comes_back(bench: Bench) -> None:
    """SIGTERM drains: its daemon stops, it says offline, and at the next start it is as before."""
    fleet = bench.fleet
    bench.declare("d1")
    fleet.spec("Daemon", "beat", {"module": {"file": "heartbeat.wat"}, "limits": SMALL})
    fleet.serve()
    device = bench.device("d1")
    fleet.ready("Daemon/default/beat")
    assert device.end(signal.SIGTERM) == 0
    fleet.until(lambda: bench.offline("d1"), "it is known to be away")
    bench.device("d1")
    fleet.ready("Daemon/default/beat")


def test_up_plays_devices_beside_proplets(fleet: Any) -> None:
    """`up --devices 2`: the firmware is built at the first use, declared devices of another class
    than linux are played first, and a task for each of them is Ready."""
    fleet.module("add/add.wat")
    fleet.spec("Proplet", "gw", {})
    fleet.spec("Proplet", "sensor", {"class": "zephyr"})
    run = {"entrypoint": "add", "args": ["40", "2"]}
    spec = {"module": {"file": "add.wat"}, "run": run, "limits": SMALL}
    for place in ("gw", "sensor", "device-1"):
        fleet.spec("Task", f"on-{place}", {**spec, "placement": {"proplets": [place]}})
    up = fleet.up("--devices", "2", "--until-ready", "--timeout", "4m", proplets=1)
    assert up.finish(260) == 0, fleet.told()
    facts = {
        copy["proplet"]
        for place in ("gw", "sensor", "device-1")
        for copy in fleet.copies(f"Task/default/on-{place}")
    }
    assert facts == {"gw", "sensor", "device-1"}
    assert (fleet.state / "firmware" / "port" / "posix" / "proplet-posix").exists()
    assert "connected" in (fleet.state / "logs" / "device-1.log").read_text()


def test_a_device_takes_what_provision_hands_out(fleet: Any, program: Path) -> None:
    """The folder of a device with its certificate, keys and settings: mutual TLS to a broker that
    lets it touch its own topics alone, over MQTT 5 too; a broker of another CA is not spoken to."""
    fleet.module("add/add.wat")
    run = {"entrypoint": "add", "args": ["40", "2"]}
    for name in ("d1", "d2"):
        fleet.spec("Proplet", name, {"heartbeat": "2s", "class": "zephyr"})
        placement = {"proplets": [name]}
        spec = {"module": {"file": "add.wat"}, "run": run, "limits": SMALL, "placement": placement}
        fleet.spec("Task", f"on-{name}", spec)
    broker = Child("mosquitto", fleet.place / "mosquitto.log")

    def command(port: int) -> list[str]:
        named = ("fleet", "f", "--broker", f"localhost:{port}", "--device", "d1", "--device", "d2")
        made = fleet.run("provision", *named)
        assert made.code == 0, made.err
        return [find_mosquitto(), "-c", str(fleet.place / "f" / "broker" / "mosquitto.conf")]

    port = broker.start(command, listens)
    try:
        fleet.start("serve", "specs", "--state", "state", "--config", "f/manager/propeller.yaml")
        for name, version in (("d1", "3.1.1"), ("d2", "5")):
            told = fleet.place / "f" / "devices" / name / "proplet.yaml"
            words = [str(program), "--config", str(told), "--data", str(fleet.place / name)]
            more = ["--engine", str(devices.engine()), "--heartbeat", "2s", "--mqtt", version]
            fleet._begin([*words, *more], name)
        for name in ("d1", "d2"):
            fleet.ready(f"Task/default/on-{name}")
        other = fleet.run(
            "provision", "fleet", "g", "--broker", f"localhost:{port}", "--device", "d1"
        )
        assert other.code == 0, other.err
        told = fleet.place / "g" / "devices" / "d1" / "proplet.yaml"
        words = [str(program), "--config", str(told), "--data", str(fleet.place / "stranger")]
        stranger = fleet._begin([*words, "--engine", str(devices.engine())], "stranger")
        fleet.until(
            lambda: "TLS" in stranger.said or "error" in stranger.said, "it does not trust it"
        )
        assert "connected" not in stranger.said
    finally:
        broker.stop()


def test_a_device_starts_what_a_release_list_names(bench: Bench) -> None:
    """Once trust says who signs lists: a device waits for one, starts what it names and nothing
    else, takes a newer one, and still has it after kill -9."""
    fleet = bench.fleet
    bench.declare("d1")
    (fleet.place / "word").write_text("only for tests\n")
    words = ("--password-file", "word")
    assert fleet.run("keygen", "off", *words).code == 0
    named = bench.task("named", "40", "2")
    first = fleet.serve()
    fleet.until(lambda: fleet.condition(named, "Ready"), "the first look")
    assert first.end() == 0
    module = str(fleet.specs / "add.wat")
    assert fleet.on("release", "add", module, "--key", "off.key", *words).code == 0
    assert fleet.on("release", "require", "off.pub").code == 0
    beat = {"module": {"file": "heartbeat.wat"}, "limits": SMALL, "placement": {"perProplet": True}}
    fleet.spec("Daemon", "beat", beat)
    fleet.serve()
    bench.device("d1")
    assert fleet.ready(named)["status"]["copies"][0]["result"] == "42"
    assert bench.copies("Daemon/default/beat") == {}
    heart = str(fleet.specs / "heartbeat.wat")
    assert fleet.on("release", "add", heart, "--key", "off.key", *words).code == 0
    assert fleet.on("release", "take").code == 0
    fleet.ready("Daemon/default/beat")
    bench.running["d1"].kill()
    again = bench.device("d1")
    fleet.until(lambda: "accepted" in again.said or "connected" in again.said, "it is back")
    fleet.until(
        lambda: (
            bench.copies("Daemon/default/beat")["d1"].get("restarts", 0) > 0
            and bench.copies("Daemon/default/beat")["d1"].get("ready")
        ),
        lambda: f"its daemon, by the list it kept: {bench.copies('Daemon/default/beat')}",
    )
