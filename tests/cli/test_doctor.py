"""Each check of `doctor` against what it is for: brokers set up badly, certificates, old files."""

from __future__ import annotations

import contextlib
import getpass
import json
import shutil
import socket
import subprocess
import time
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from propeller.cli import doctor
from propeller.cli.brokercheck import SLOW_MS, check_broker, pace_of
from propeller.cli.fleetcheck import check_devices
from propeller.cli.settings import fleet_of
from propeller.cli.tlscheck import check_tls
from propeller.model.ids import Digest, PropletId, RunId, Uid
from propeller.model.seen import Presence, RunState, Seen, SeenRun
from propeller.provision.authority import Authority
from propeller.state.sqlite import SqliteStore
from propeller.transport.endpoint import Endpoint, Tls

PATIENCE = 2.0
NOW = int(time.time())
ARGS = type("Args", (), {})


def ports(count: int) -> list[int]:
    """Free ports of loopback."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


class Brokers:
    """mosquitto with the faults people make: one process for rights and names, one for limits."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.good, self.acl, self.tls, self.tight = ports(4)
        authority = Authority.make("plant", now=NOW, days=400)
        key = ec.generate_private_key(ec.SECP256R1())
        hosts = ("broker.example", "mqtt.example")
        self.ca = self.file("ca.pem", authority.pem)
        cert = authority.issue(key.public_key(), name="b", now=NOW, days=100, hosts=hosts)
        crt = self.file("broker.crt", cert)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        # A manager that may write everything and read only what it says to itself.
        acl = self.file("acl", b"topic write #\ntopic read %s#\n" % own_topics().encode())
        shared = ["allow_anonymous true", "log_type error", f"user {getpass.getuser()}"]
        self.children = [
            self.run(
                "first.conf",
                "per_listener_settings true",
                f"listener {self.good} 127.0.0.1",
                "allow_anonymous true",
                f"listener {self.acl} 127.0.0.1",
                "allow_anonymous true",
                f"acl_file {acl}",
                f"listener {self.tls} 127.0.0.1",
                "allow_anonymous true",
                f"certfile {crt}",
                f"keyfile {self.file('broker.key', pem)}",
                "max_queued_messages 0",
                "set_tcp_nodelay true",
                *shared[1:],
            ),
            self.run(
                "tight.conf",
                f"listener {self.tight} 127.0.0.1",
                "max_queued_messages 1",
                "max_inflight_messages 1",
                "max_packet_size 100000",
                "retain_available false",
                *shared,
            ),
        ]
        for port in (self.good, self.acl, self.tls, self.tight):
            self.wait(port)

    def file(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        path.chmod(0o600)
        return str(path)

    def run(self, name: str, *lines: str) -> subprocess.Popen[bytes]:
        config = self.file(name, "\n".join(lines).encode() + b"\n")
        binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen([binary, "-c", config], stdout=log, stderr=log)

    def wait(self, port: int) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)
        pytest.fail("\n".join(one.read_text() for one in self.folder.glob("*.log")))

    def close(self) -> None:
        for one in self.children:
            one.terminate()
            one.wait(10)


def own_topics() -> str:
    """What the manager's own topics begin with."""
    from propeller.wire.topics import Channel

    return Channel("propeller", "fleet").manager_echo("x").removesuffix("x")


@pytest.fixture(scope="module")
def brokers(tmp_path_factory):
    """Both, for all tests here."""
    made = Brokers(tmp_path_factory.mktemp("brokers"))
    yield made
    made.close()


def looked(port: int) -> dict[str, doctor.Check]:
    """What is found at a broker, by name."""
    endpoint = Endpoint(host="127.0.0.1", port=port, client_id=f"doctor-{port}")
    fleet = fleet_of(ARGS())
    return {one.name: one for one in check_broker(endpoint, fleet, PATIENCE)}


def tls_of(brokers: Brokers, *, host: str = "127.0.0.1", ca: str | None = None) -> Endpoint:
    """The way to the listener with a certificate."""
    tls = Tls(ca=ca or brokers.ca)
    return Endpoint(host=host, port=brokers.tls, client_id="doctor", tls=tls)


@pytest.mark.live
def test_a_good_broker_has_nothing_to_mend(brokers):
    """All checks are made, and none finds anything."""
    found = looked(brokers.good)
    assert set(found) == {"broker", "retained", "rights", "queues", "max packet"}
    for name in ("retained", "rights", "max packet"):
        assert (found[name].state, found[name].mend) == ("ok", ""), found[name]


@pytest.mark.live
def test_rights_that_are_missing_are_named(brokers):
    """May not read what devices say: which of it, and the topics to allow."""
    rights = looked(brokers.acl)["rights"]
    assert rights.state == "bad"
    assert "reports" in rights.words
    assert "presence" in rights.words
    assert "propeller" in rights.mend
    assert rights.mend.startswith("let this user write and read ")


@pytest.mark.live
def test_limits_that_lose_messages_are_found(brokers):
    """Queues, packets and retained messages, each with the setting that mends it."""
    found = looked(brokers.tight)
    assert found["retained"].state == "bad"
    assert "retain_available" in found["retained"].mend
    assert found["queues"].state == "warning"
    assert "max_queued_messages 0" in found["queues"].mend
    assert found["max packet"].state == "warning"
    assert "max_packet_size" in found["max packet"].mend


@pytest.mark.live
def test_a_certificate_for_another_name_is_told_with_its_names(brokers):
    """And what to write instead."""
    (found,) = check_tls(tls_of(brokers), PATIENCE, NOW)
    assert found.state == "bad"
    assert "is for broker.example, mqtt.example, not for 127.0.0.1" in found.words
    assert f"broker.address: broker.example:{brokers.tls}" in found.mend


@pytest.mark.live
def test_a_certificate_of_another_authority_is_told(brokers, tmp_path):
    """The file that was believed is named."""
    other = tmp_path / "other.pem"
    other.write_bytes(Authority.make("other", now=NOW, days=9).pem)
    (found,) = check_tls(tls_of(brokers, ca=str(other)), PATIENCE, NOW)
    assert found.state == "bad"
    assert str(other) in found.mend


@pytest.mark.live
def test_a_certificate_that_ends_soon_is_told_and_a_port_without_tls_as_well(brokers, monkeypatch):
    """Two weeks before, while devices still talk."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: resolve("127.0.0.1", *rest, **more)
    )
    named = tls_of(brokers, host="broker.example")
    (fine,) = check_tls(named, PATIENCE, NOW)
    (late,) = check_tls(named, PATIENCE, NOW + 90 * 86_400)
    assert (fine.state, late.state) == ("ok", "warning")
    assert "renew" in late.mend
    (plain,) = check_tls(replace(named, port=brokers.good), PATIENCE, NOW)
    assert plain.state == "bad"
    assert "8883" in plain.mend


def test_a_slow_answer_is_a_timer_somewhere():
    """What a round trip means does not depend on this machine."""
    assert pace_of("mqtt://x:1", SLOW_MS - 1).state == "ok"
    slow = pace_of("mqtt://x:1", 41.0)
    assert slow.state == "warning"
    assert "set_tcp_nodelay" in slow.mend


def test_an_old_git_is_told(cli, tmp_path, monkeypatch):
    """And which one is needed; one that is missing is told too."""
    folder = tmp_path / "bin"
    folder.mkdir()
    git = folder / "git"
    git.write_text("#!/bin/sh\necho git version 2.11.0\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    found = named(cli("doctor", "-o", "json"))["git"]
    assert (found["state"], found["mend"]) == ("warning", "install git 2.25 or newer")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert named(cli("doctor", "-o", "json"))["git"]["state"] == "warning"


def test_a_folder_that_cannot_be_written_is_told(cli, state, monkeypatch):
    """Read-only, or somebody else's."""
    monkeypatch.setattr(doctor.os, "access", lambda path, how: False)
    said = cli("doctor", "-o", "json")
    assert said.code == 2
    assert named(said)["state"]["mend"].startswith("chown")


def test_a_store_of_a_newer_propeller_is_told(cli, state):
    """It is not touched; what to do is said, and the other checks go on."""
    SqliteStore.open(state.database).close()
    import sqlite3

    with contextlib.closing(sqlite3.connect(state.database)) as database:
        database.execute("PRAGMA user_version = 9999")
    said = cli("doctor", "-o", "json")
    assert said.code == 2
    found = named(said)["store"]
    assert found["state"] == "bad"
    assert found["mend"] not in ("", "see the message")
    assert "lease" in named(said)


@pytest.mark.parametrize(
    ("ours", "words"), [(0, None), (29, None), (600, "600 s ahead of"), (-90, "90 s behind")]
)
def test_another_clock_is_compared(ours, words):
    """A registry says what time it is with every answer; what says nothing is no finding."""
    date = "Tue, 05 May 2026 10:00:00 GMT"
    found = list(doctor.skew("registry.example", date, 1_777_975_200 + ours))
    assert [words in one.words for one in found] == ([True] if words else [])
    assert list(doctor.skew("registry.example", "", 0)) == []


def a_device(name: str, *, ahead: int = 0, quarantine: str = "") -> Seen:
    """One that was heard a minute ago, with a run that began then by its own clock."""
    heard = NOW * 1000
    run = SeenRun(
        uid=Uid("u"),
        run=RunId("r"),
        digest=Digest("sha256:" + "0" * 64),
        cause="once",
        state=RunState.RUNNING,
        started=heard + ahead,
    )
    return Seen(
        id=PropletId(name),
        declared=True,
        presence=Presence.ONLINE,
        last_heard=heard,
        runs={(run.uid, run.run): run},
        quarantine=quarantine,
    )


def test_devices_with_wrong_clocks_and_those_kept_out_are_named():
    """A few by name, the others counted."""
    assert list(check_devices([])) == []
    (fine,) = check_devices([a_device("a"), a_device("b", ahead=5_000)])
    assert fine.state == "ok"
    late = [a_device(f"gw-{n}", ahead=3_600_000) for n in range(5)]
    clocks, kept = check_devices([*late, a_device("z", quarantine="DuplicateIdentity")])
    assert clocks.words.startswith("gw-0, gw-1, gw-2 and 2 more: ahead of this machine")
    assert "3600 s" in clocks.words
    assert "z (DuplicateIdentity)" in kept.words


def named(said):
    """The checks of a JSON answer by name."""
    return {one["name"]: one for one in json.loads(said.out)["checks"]}
