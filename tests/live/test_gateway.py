"""The gateway of a real `up`: what is asked over HTTP happens on devices, and lasts."""

from __future__ import annotations

import datetime
import ipaddress
import json

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from propeller.client import Client, Refused

pytestmark = pytest.mark.live

SLEEPER = '(module (func (export "run") (loop br 0)))'
ADD = b'(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))'
SPEC = {
    "apiVersion": "propeller.dev/v1alpha1",
    "kind": "Task",
    "metadata": {"name": "once"},
    "spec": {"module": {"file": "add.wat"}, "run": {"entrypoint": "add", "args": ["40", "2"]}},
}


def address(fleet, path="dashboard"):
    """Where the gateway of a running `up` listens."""
    ports = fleet.state / "run" / "ports.json"
    fleet.until(lambda: ports.exists() and path in ports.read_text(), "the port")
    return f"127.0.0.1:{json.loads(ports.read_text())[path]}"


def token(fleet, role, *more):
    """A new token."""
    made = fleet.on("token", "create", f"t-{role}", "--role", role, *more)
    assert made.code == 0, made.err
    return made.out.strip()


def test_what_is_suspended_over_http_stops_on_the_device_and_is_recorded(fleet):
    """And resumes; a token of another plant can do neither; the log has all of it and holds."""
    (fleet.specs / "spin.wat").write_text(SLEEPER)
    fleet.spec("Daemon", "spin", {"module": {"file": "spin.wat"}, "run": {"entrypoint": "run"}})
    fleet.up("--dashboard", "127.0.0.1:0")
    client = Client(f"http://{address(fleet)}", token=token(fleet, "operator"))
    key = "Daemon/default/spin"
    client.wait(key)
    client.suspend(key, "line 3 stands")
    fleet.until(lambda: not fleet.copies(key), "no copy")
    assert "line 3 stands" in str(fleet.status(key))
    client.resume(key)
    client.wait(key)
    stranger = Client(
        f"http://{address(fleet)}", token=token(fleet, "deployer", "--namespace", "elsewhere")
    )
    with pytest.raises(Refused, match="is not operator in namespace default"):
        stranger.suspend(key, "x")
    shown = fleet.on("audit")
    assert "token:t-operator" in shown.out
    assert "POST /api/v1/objects/Daemon/default/spin/suspend" in shown.out
    assert fleet.on("audit", "verify").code == 0
    log = fleet.state / "audit" / "audit.jsonl"
    log.write_text(log.read_text().replace("t-operator", "t-somebody", 1))
    altered = fleet.on("audit", "verify")
    assert altered.code == 1
    assert "audit.jsonl:1: was altered" in altered.err


def test_objects_of_the_api_outlive_the_database(fleet):
    """The database is deleted, as after a lost disk: what was put is wanted again."""
    up = fleet.up("--dashboard", "127.0.0.1:0")
    client = Client(f"http://{address(fleet)}", token=token(fleet, "deployer"))
    client.apply(SPEC, files={"add.wat": ADD})
    client.wait("Task/default/once")
    assert list(client.results("Task/default/once").values()) == ["42"]
    assert up.end() == 0
    for path in fleet.state.glob("propeller.db*"):
        path.unlink()
    (fleet.state / "run" / "ports.json").unlink()
    fleet.up("--dashboard", "127.0.0.1:0")
    again = Client(f"http://{address(fleet)}", token=client._session.headers["Authorization"][7:])
    assert again.wait("Task/default/once").app == "api"
    again.delete("Task/default/once")
    fleet.until(lambda: fleet.status("Task/default/once") is None, "it is gone")


def test_beyond_loopback_everybody_logs_in_and_tls_is_spoken(fleet):
    """On every interface, with a certificate: nobody looks without a login, browsers are told to
    stay with TLS, and plain HTTP is not answered."""
    _certificate(fleet.place)
    fleet.write(
        "propeller.yaml",
        "dashboard: {address: '0.0.0.0:0'}\naccess: {cert: ../gw.crt, key: ../gw.key}\n",
    )
    fleet.up()
    port = address(fleet).rpartition(":")[2]
    base, ca = f"https://127.0.0.1:{port}", str(fleet.place / "gw.crt")
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"{base}/api/v1/objects", verify=ca, timeout=20)
        assert answer.status_code == 401
        assert "max-age" in answer.headers["strict-transport-security"]
        with pytest.raises(requests.ConnectionError):
            session.get(f"http://127.0.0.1:{port}/", timeout=20)
    client = Client(base, token=token(fleet, "viewer"), ca=ca)
    fleet.until(lambda: len(list(client.proplets())) == 2, "two proplets")


def _certificate(folder):
    """One for loopback, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "gw.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "gw.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
