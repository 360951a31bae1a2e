"""Brokers that we start: where, how they end, what they remember."""

from __future__ import annotations

import datetime
import ipaddress
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from propeller.errors import Unavailable, UsageError
from propeller.transport import broker as brokers
from propeller.transport import child, mosquitto
from propeller.transport.base import Connected, Received
from propeller.transport.broker import choose
from propeller.transport.embedded import EmbeddedBroker
from propeller.transport.endpoint import Tls
from propeller.transport.mosquitto import MosquittoBroker
from propeller.transport.mqtt import MqttTransport

pytestmark = pytest.mark.live


def until(true, seconds=20.0):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    return true()


@pytest.fixture(params=["mosquitto", "embedded"])
def make(request, state, mosquitto_binary):
    """A maker of brokers of one kind; all are stopped."""
    made = []

    def new(**options):
        if request.param == "mosquitto":
            made.append(MosquittoBroker(state, binary=mosquitto_binary, **options))
        else:
            made.append(EmbeddedBroker(state, **options))
        return made[-1]

    yield new
    for one in made:
        one.stop()


@pytest.fixture
def connect(ears):
    """Connect a transport to an endpoint; all are closed."""
    made = []

    def new(endpoint):
        made.append(MqttTransport(endpoint, random.Random(1)))
        made[-1].start(ears)
        return made[-1]

    yield new
    for one in made:
        one.close()


def test_a_started_broker_takes_clients_in(make, connect, ears):
    """`start` returns when a client would succeed at its first attempt, with either version."""
    address = make().start()
    for number, protocol in enumerate(("3.1.1", "5"), 1):
        transport = connect(address.endpoint(f"c{number}", protocol=protocol))
        assert until(lambda number=number: ears.connects == number)
        assert transport.stats().failed_connects == 0


def test_it_listens_on_the_loopback_only(make):
    """Nobody from outside reaches a broker that `up` started."""
    address = make().start()
    assert address.host == "127.0.0.1"
    with socket.socket() as other, pytest.raises(OSError, match="refused"):
        other.connect(("127.0.0.2", address.port))


def test_a_restart_keeps_the_port(make):
    """Clients find the broker where they left it, after a crash as after a stop."""
    one = make()
    first = one.start()
    assert one.start() == first, "starting what runs changes nothing"
    one.kill()
    assert not one.alive()
    assert one.start() == first
    assert one.restart() == first
    one.stop()
    one.stop()
    one.kill()
    assert not one.alive()


def test_users_need_their_password(make, connect, ears):
    """With users named, nobody else gets in and the refusal is no endless silence."""
    address = make(users={"gate": 'pa"ss:word', "other": "x"}).start()
    bad = connect(address.endpoint("a"))
    assert until(lambda: bad.stats().failed_connects >= 1)
    connect(address.endpoint("b", username="gate"))
    assert until(lambda: ears.events == [Connected(1)])
    assert 'pa"ss' not in repr(address)


def test_a_broker_ends_with_us(make, state, tmp_path, mosquitto_binary, request):
    """A parent that is killed leaves no broker behind."""
    kind = "mosquitto" if "mosquitto" in request.node.name else "embedded"
    program = f"""
import sys, time
from pathlib import Path
from propeller.transport.embedded import EmbeddedBroker
from propeller.transport.mosquitto import MosquittoBroker
state = Path({str(state)!r})
broker = EmbeddedBroker(state) if {kind!r} == "embedded" else (
    MosquittoBroker(state, binary={mosquitto_binary!r}))
print(broker.start().port, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with parent:
        port = int(parent.stdout.readline())
        assert child.listens(port)
        os.kill(parent.pid, signal.SIGKILL)
    assert until(lambda: not child.listens(port))


def test_a_port_that_was_taken_meanwhile_is_not_used(make, monkeypatch):
    """Between choosing a port and binding it anyone may take it: another one is tried."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        real = child.free_port
        answers = iter([taken, taken])
        monkeypatch.setattr(child, "free_port", lambda: next(answers, real()))
        address = make().start()
    assert taken != address.port


def test_a_program_that_cannot_run_is_told_in_words(state):
    """Unavailable says what the program said."""
    with pytest.raises(Unavailable, match="No such file"):
        MosquittoBroker(state, binary="no-such-mosquitto").start()


def test_mosquitto_remembers_over_a_restart(state, mosquitto_binary, connect, ears):
    """A stop writes what is retained; a new object over the same directory finds it."""
    one = MosquittoBroker(state, binary=mosquitto_binary)
    try:
        transport = connect(one.start().endpoint("a"))
        assert until(lambda: ears.connects == 1)
        assert transport.publish("kept", b"document", retain=True)
        assert transport.flush(10)
        transport.close()
    finally:
        one.stop()
    ears.events.clear()
    two = MosquittoBroker(state, binary=mosquitto_binary)
    try:
        transport = connect(two.start().endpoint("b"))
        assert until(lambda: ears.connects == 1)
        transport.subscribe(["kept"])
        assert until(lambda: ears.messages == [Received("kept", b"document", True)])
    finally:
        two.stop()


def test_the_embedded_broker_forgets_over_a_restart(state, connect, ears):
    """Nothing is kept on disk: the manager publishes again what is missing."""
    one = EmbeddedBroker(state)
    try:
        transport = connect(one.start().endpoint("a"))
        assert until(lambda: ears.connects == 1)
        transport.publish("kept", b"document", retain=True)
        assert transport.flush(10)
        one.restart()
        assert until(lambda: ears.connects == 2)
        transport.subscribe(["kept", "marker"])
        transport.publish("marker", b"", qos=1)
        assert until(lambda: len(ears.messages) >= 1)
        assert [message.topic for message in ears.messages] == ["marker"]
    finally:
        one.stop()


def test_the_embedded_broker_does_not_log_its_traffic(state, connect, ears):
    """A log that grows with every packet would fill the disk of a machine left alone."""
    one = EmbeddedBroker(state)
    try:
        transport = connect(one.start().endpoint("a"))
        assert until(lambda: ears.connects == 1)
        for _ in range(500):
            transport.publish("x", b"x")
        assert transport.flush(10)
        assert (state / "broker.log").stat().st_size < 2_000
    finally:
        one.stop()


def test_a_client_proves_the_server_by_its_certificate(
    state, mosquitto_binary, connect, ears, tmp_path
):
    """With the CA that signed it the client comes in, with another it does not."""
    server = certify(tmp_path, "server")
    other = certify(tmp_path, "other")
    one = MosquittoBroker(state, binary=mosquitto_binary, tls=server)
    try:
        address = one.start()
        wrong = MqttTransport(
            brokers.Address(host=address.host, port=address.port, tls=Tls(ca=other.ca)).endpoint(
                "wrong"
            ),
            random.Random(1),
        )
        wrong.start(ears)
        assert until(lambda: wrong.stats().failed_connects >= 1)
        assert "certificate" in wrong.stats().last_error
        wrong.close()
        transport = connect(address.endpoint("right"))
        assert until(lambda: ears.events == [Connected(1)])
        transport.subscribe(["x"])
        payload = os.urandom(300_000)
        transport.publish("x", payload)
        assert until(lambda: ears.payloads == [payload])
    finally:
        one.stop()


def test_choosing_a_broker_by_name(state, mosquitto_binary, monkeypatch):
    """embedded and mosquitto by name; auto takes mosquitto where it is installed."""
    assert isinstance(choose("embedded", state), EmbeddedBroker)
    assert isinstance(choose("mosquitto", state), MosquittoBroker)
    assert isinstance(choose("auto", state), MosquittoBroker)
    monkeypatch.setattr(brokers, "which", lambda name: None)
    monkeypatch.setattr(mosquitto, "which", lambda name: None)
    assert isinstance(choose("auto", state), EmbeddedBroker)
    with pytest.raises(Unavailable, match="not installed"):
        choose("mosquitto", state)
    with pytest.raises(UsageError, match="hivemq"):
        choose("hivemq", state)


def certify(directory: Path, name: str) -> Tls:
    """A self-signed certificate for the loopback address, its own CA."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, secret = directory / f"{name}.pem", directory / f"{name}.key"
    cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Tls(ca=str(cert), cert=str(cert), key=str(secret))
