"""A provisioned fleet on a real mosquitto: mutual TLS everywhere, and what a device may not do.

Denials are shown by what arrives: mosquitto acknowledges publishes and subscriptions it ignores.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import ssl
import subprocess
import sys

import pytest
from live_capture import Tap

from propeller.transport.base import Connected, Received
from propeller.transport.child import Child, free_port, listens
from propeller.transport.endpoint import Endpoint, Tls
from propeller.transport.mosquitto import find_mosquitto
from propeller.transport.mqtt import MqttTransport
from propeller.wire.topics import Channel

pytestmark = pytest.mark.live

CHANNEL = Channel("propeller", "fleet")


class Plant:
    """A provisioned fleet: its folder, its broker, its manager and its proplets."""

    def __init__(self, fleet) -> None:
        self.fleet = fleet
        self.folder = fleet.place / "f"
        self.child = Child("mosquitto", fleet.place / "mosquitto.log")
        self.devices: tuple[str, ...] = ()
        self.port = 0

    def provision(self, *devices: str) -> None:
        """Set it up for a broker on a free port, and start that broker."""
        self.devices = devices

        def command(port: int):
            made = self.fleet.run(
                *("provision", "fleet", "f", "--broker", f"localhost:{port}"),
                *(word for device in devices for word in ("--device", device)),
            )
            assert made.code == 0, made.err
            return [find_mosquitto(), "-c", str(self.folder / "broker" / "mosquitto.conf")]

        self.port = self.child.start(command, listens)

    def restart(self) -> None:
        """The broker, with its files as they are now."""
        self.child.stop()
        conf = str(self.folder / "broker" / "mosquitto.conf")
        assert self.child.start(lambda _: [find_mosquitto(), "-c", conf], listens) == self.port

    def manager(self):
        """`propeller serve` with what it was handed."""
        return self.fleet.start(
            *("serve", "specs", "--state", "state", "--config", "f/manager/propeller.yaml")
        )

    def proplet(self, device: str, folder: str = ""):
        """A proplet with what it was handed."""
        settings = f"{folder or f'f/devices/{device}'}/proplet.yaml"
        command = [sys.executable, "-m", "proplet", "--config", settings, "--heartbeat", "2s"]
        if not folder:
            command += ["--data", f"data-{device}"]
        return self.fleet._begin(command, device)

    def client(self, device: str):
        """A client that holds a device's certificate and does as it likes."""
        place = self.folder / "devices" / device
        return Client(
            self.port,
            Tls(
                ca=str(place / "ca.pem"), cert=str(place / "cert.pem"), key=str(place / "cert.key")
            ),
            name=f"rogue-{device}",
        )

    def manager_client(self):
        """A client that holds the manager's certificate, to see what arrives."""
        place = self.folder / "manager"
        return Client(
            self.port,
            Tls(
                ca=str(place / "ca.pem"), cert=str(place / "cert.pem"), key=str(place / "cert.key")
            ),
            name="witness",
        )


class Client:
    """A connection that keeps what it hears."""

    def __init__(self, port: int, tls: Tls, *, name: str) -> None:
        self.heard: list[Received] = []
        self.connected = False
        endpoint = Endpoint(host="localhost", port=port, client_id=name, tls=tls)
        self.link = MqttTransport(endpoint, random.Random(1))

    def __enter__(self):
        self.link.start(self._note)
        return self

    def __exit__(self, *_):
        self.link.close()

    def _note(self, event) -> None:
        if isinstance(event, Connected):
            self.connected = True
        elif isinstance(event, Received):
            self.heard.append(event)

    def topics(self) -> set[str]:
        """Where anything arrived."""
        return {one.topic for one in self.heard}


@pytest.fixture
def plant(fleet):
    """A place for a provisioned fleet."""
    made = Plant(fleet)
    yield made
    made.child.stop()


def test_a_provisioned_fleet_runs_over_mutual_tls(plant):
    """One command, then broker, manager and device run with what it made and nothing else."""
    fleet = plant.fleet
    plant.provision("dev-a")
    fleet.module("add/add.wat")
    fleet.spec(
        "Task",
        "add",
        {"module": {"file": "add.wat"}, "run": {"entrypoint": "add", "args": ["40", "2"]}},
    )
    plant.manager()
    plant.proplet("dev-a")
    document = fleet.ready("Task/default/add")
    assert document["status"]["copies"][0]["result"] == "42"
    again = fleet.run("provision", "fleet", "f")
    assert "nothing to change" in again.err


def test_a_device_hears_and_says_nothing_of_another(plant):
    """With A's certificate nothing of B is read or written, nothing as manager, and no wildcard
    shows anything but A's own."""
    plant.provision("dev-a", "dev-b")
    fleet = plant.fleet
    with plant.manager_client() as witness, plant.client("dev-a") as rogue:
        fleet.until(lambda: witness.connected and rogue.connected, "both connected")
        witness.link.subscribe(["m/propeller/c/fleet/control/#"])
        rogue.link.subscribe(["#", "m/propeller/c/fleet/control/#", CHANNEL.desired("dev-b")])
        rogue.link.subscribe([CHANNEL.op("dev-b"), CHANNEL.report("dev-b"), CHANNEL.hello("dev-b")])
        forged = {
            CHANNEL.desired("dev-a"),
            CHANNEL.desired("dev-b"),
            CHANNEL.report("dev-b"),
            CHANNEL.hello("dev-b"),
            CHANNEL.status("dev-b"),
            CHANNEL.op("dev-b"),
            CHANNEL.blob_data("dev-b"),
            CHANNEL.blob_ack("dev-a"),
            CHANNEL.trust(1),
            CHANNEL.manager_status(1),
            CHANNEL.manager_echo("propeller-manager"),
            CHANNEL.poke,
            "somewhere/else",
        }
        for topic in sorted(forged):
            assert rogue.link.publish(topic, b"forged", qos=1, retain=True)

        def heard():
            """Said again until it is: the witness may still be subscribing. What was forged is
            retained, so that it would be heard late as well."""
            assert rogue.link.publish(CHANNEL.report("dev-a"), b"own", qos=1, retain=False)
            return CHANNEL.report("dev-a") in witness.topics()

        fleet.until(heard, "what it may say")
        assert witness.topics() == {CHANNEL.report("dev-a")}
        # What came after shows that what came before was dropped, not delayed.
        for topic in (CHANNEL.desired("dev-b"), CHANNEL.report("dev-b"), CHANNEL.desired("dev-a")):
            assert witness.link.publish(topic, b"from the manager", qos=1, retain=False)
        fleet.until(lambda: CHANNEL.desired("dev-a") in rogue.topics(), "what it may hear")
        assert rogue.topics() == {CHANNEL.desired("dev-a")}


def test_a_client_without_a_certificate_gets_nothing(plant):
    """Neither without any certificate nor with one of another authority does a connection open."""
    plant.provision("dev-a")
    other = plant.fleet.run(
        *("provision", "fleet", "other", "--broker", "localhost", "--device", "dev-a")
    )
    assert other.code == 0
    place = plant.fleet.place / "other" / "devices" / "dev-a"
    for pair in ((), (place / "cert.pem", place / "cert.key")):
        context = ssl.create_default_context(cafile=plant.folder / "broker" / "ca.pem")
        if pair:
            context.load_cert_chain(*map(str, pair))
        with pytest.raises((ssl.SSLError, ConnectionError)):  # noqa: SIM117
            with socket.create_connection(("127.0.0.1", plant.port), timeout=5) as raw:
                with context.wrap_socket(raw, server_hostname="localhost") as secure:
                    secure.sendall(b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03abc")
                    if not secure.recv(1):
                        raise ConnectionResetError
    with plant.client("dev-a") as good:
        plant.fleet.until(lambda: good.connected, "a device of this fleet gets in")


def test_a_revoked_device_is_shut_out_at_once_and_for_good(plant):
    """After a reload it is heard no more; after a restart its certificate opens nothing."""
    plant.provision("dev-a", "dev-b")
    fleet = plant.fleet
    with plant.manager_client() as witness, plant.client("dev-a") as rogue:
        fleet.until(lambda: witness.connected and rogue.connected, "both connected")
        witness.link.subscribe(["m/propeller/c/fleet/control/#"])
        assert fleet.run("provision", "revoke", "f", "dev-a").code == 0
        assert plant.child.pid is not None
        os.kill(plant.child.pid, signal.SIGHUP)

        def denied() -> bool:
            before = len(witness.heard)
            assert rogue.link.publish(CHANNEL.report("dev-a"), b"still here", qos=1, retain=False)
            assert witness.link.publish(CHANNEL.manager_echo("w"), b"mark", qos=1, retain=False)
            fleet.until(
                lambda: any(one.payload == b"mark" for one in witness.heard[before:]), "a mark"
            )
            return not any(one.payload == b"still here" for one in witness.heard[before:])

        fleet.until(denied, "a revoked device is heard no more")
    plant.restart()
    with plant.client("dev-a") as rogue, plant.client("dev-b") as good:
        fleet.until(lambda: good.connected, "the other device connects")
        fleet.until(lambda: rogue.link.stats().last_error, "a refusal")
        assert not rogue.connected


def test_a_device_enrolls_with_a_token_renews_and_survives_a_new_authority(plant):
    """Keys made on the device, a certificate by HTTPS, and every step of a change of authority."""
    plant.provision()
    fleet = plant.fleet
    port = free_port()
    listen = ("--listen", f"127.0.0.1:{port}")
    service = fleet.start("provision", "serve", "f", *listen)
    fleet.until(lambda: listens(port), "the enrolment service")
    line = fleet.run("provision", "token", "f", "far", "--url", f"https://localhost:{port}").out
    token = line.split()[0].partition("=")[2]
    pin = line.partition("--pin ")[2].split()[0]
    (fleet.place / "token").write_text(token)

    def proplet(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "proplet", *words],
            cwd=fleet.place,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    url = f"https://localhost:{port}"
    at = ("--id", "far", "--token-file", "token", "--data", "far")
    wrong = proplet("enroll", url, *at, "--pin", "0" * 64)
    assert wrong.returncode == 2
    assert "other authorities" in wrong.stderr
    done = proplet("enroll", url, *at, "--pin", pin)
    assert done.returncode == 0, done.stderr
    spent = proplet("enroll", url, *at[:-1], "elsewhere", "--pin", pin)
    assert "no such token" in spent.stderr
    assert token not in done.stdout + done.stderr + service.said

    plant.manager()
    running = plant.proplet("far", "far")
    _online(fleet, "far")
    for handed in ((), ("--handed-out",), ("--handed-out",)):
        # The manager restarts with each step, as the printed words say.
        assert fleet.run("provision", "rotate", "f", *handed).code == 0
        plant.restart()
        service.end(signal.SIGINT)
        service = fleet.start("provision", "serve", "f", *listen)
        fleet.until(lambda: listens(port), "the enrolment service again")
        renewed = proplet("renew", url, "--data", "far")
        assert renewed.returncode == 0, renewed.stderr
        running.end()
        running = plant.proplet("far", "far")
        _connected(fleet, running)
    shown = fleet.run("provision", "show", "f").out
    assert "far" in shown
    assert "(old)" not in shown


PRINTS = """(module
  (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 4000) "bytes-of-the-module-itself")
  (func (export "_start")
    (drop (call $env (i32.const 200) (i32.const 1000)))
    (i32.store (i32.const 0) (i32.const 1000))
    (i32.store (i32.const 4) (i32.const 30))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""


def test_a_capture_shows_no_secret_in_clear(plant):
    """All that device and manager say to the broker, and a device to the enrolment service, written
    down on the way: no value, result, module byte, key, token or topic can be read in it."""
    plant.provision("dev-a")
    fleet = plant.fleet
    service_port = free_port()
    fleet.start("provision", "serve", "f", "--listen", f"127.0.0.1:{service_port}")
    fleet.until(lambda: listens(service_port), "the enrolment service")
    line, enrolment = Tap(plant.port), Tap(service_port)
    try:
        for name in ("manager/propeller.yaml", "devices/dev-a/proplet.yaml"):
            path = plant.folder / name
            path.write_text(path.read_text().replace(f":{plant.port}", f":{line.port}"))
        fleet.write("prints.wat", PRINTS)
        value = "value-of-the-variable-only"
        run = {"env": [{"name": "PASS", "value": value}]}
        fleet.spec("Task", "tell", {"module": {"file": "prints.wat"}, "run": run})
        plant.manager()
        plant.proplet("dev-a")
        told = fleet.ready("Task/default/tell")["status"]["copies"][0]["result"]
        assert value[:20] in told, "the value went out and came back"
        words = fleet.run("provision", "token", "f", "far", "--url", "https://localhost:1").out
        token = words.split()[0].partition("=")[2]
        (fleet.place / "token").write_text(token)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "proplet", "enroll"),
                *(f"https://localhost:{enrolment.port}", "--id", "far", "--data", "far"),
                *("--token-file", "token", "--pin", words.partition("--pin ")[2].split()[0]),
            ],
            cwd=fleet.place,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert line.connections >= 2, "device and manager both went through"
        heard = line.heard + enrolment.heard
        assert len(heard) > 4000
        texts = [
            path.read_text(errors="replace") for path in plant.folder.rglob("*") if path.is_file()
        ]
        private = [text for text in texts if "PRIVATE KEY-----\n" in text]
        keys = [text.partition("PRIVATE KEY-----\n")[2].splitlines()[0] for text in private]
        assert len(keys) > 4
        readable = (value, "bytes-of-the-module-itself", "control/proplet", "desired", token)
        for secret in (*readable, *keys):
            assert secret.encode() not in heard, secret
        assert b"\0asm" not in heard
    finally:
        line.close()
        enrolment.close()


def _online(fleet, device: str) -> None:
    def online() -> bool:
        return f"{device} " in fleet.on("proplets", "list").out.replace("\n", " \n")

    fleet.until(online, f"{device} is listed")


def _connected(fleet, proplet) -> None:
    fleet.until(lambda: "connected (" in proplet.said, "the device gets in")
