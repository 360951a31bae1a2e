"""The key service in software: who gets a key, and who does not, over its own calls."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from json import dumps
from urllib.parse import unquote

import pyrage
import pytest

from propeller.errors import UsageError
from propeller.provision.keyservice import KeyService, add_resource, make_app, software
from propeller.registry.encrypted import identity, recipient
from propeller.wire.attest import SOFTWARE, report_data, software_evidence
from propeller.wire.boxes import BoxKey
from propeller.wire.signing import SigningKey

PRESS, OTHER = SigningKey.from_seed(b"p" * 32), SigningKey.from_seed(b"o" * 32)
PATH = "default/key/filter"


@dataclass
class Answer:
    """Of the service."""

    status_code: int
    content: bytes

    @property
    def text(self):
        return self.content.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.content)


class Client:
    """Calls an ASGI application without a socket; the path goes as it is, undecoded by nobody."""

    def __init__(self, app):
        self._app = app

    def post(self, path, *, json=None, content=b""):
        body = content if json is None else dumps(json).encode()
        return asyncio.run(self._call("POST", path, body, {}))

    def get(self, path, headers=None):
        return asyncio.run(self._call("GET", path, b"", headers or {}))

    async def _call(self, method, path, body, headers):
        sent = []
        pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)] or [b""]

        async def receive():
            piece = pieces.pop(0) if pieces else b""
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        }
        await self._app(scope, receive, send)
        return Answer(sent[0]["status"], b"".join(one.get("body", b"") for one in sent[1:]))


class World:
    """A service with one key for `press`, a clock, and a client that does as it is told."""

    def __init__(self, folder):
        self.folder = folder
        self.public = add_resource(folder, PATH, ["press"])
        self.now = 1_000
        self.count = 0
        known = {"press": PRESS.public, "other": OTHER.public}
        service = KeyService(
            folder, software(known.get), clock=lambda: self.now, randomness=self.bytes
        )
        self.http = Client(make_app(service))
        self.runtime = BoxKey.generate()

    def bytes(self, size):
        self.count += 1
        return self.count.to_bytes(size, "big")

    def nonce(self, device="press", tee=SOFTWARE):
        return self.http.post("/kbs/v0/auth", json={"tee": tee, "device": device})

    def attest(self, device="press", key=PRESS, *, nonce=None, about=None, to=None):
        nonce = nonce or self.nonce(device).json()["nonce"]
        runtime = to or self.runtime.public
        report = about or report_data(base64.b64decode(nonce), device, runtime)
        evidence = base64.b64encode(software_evidence(report, key)).decode()
        body = {
            "nonce": nonce, "device": device, "runtimeKey": runtime.text, "evidence": evidence
        }  # fmt: skip
        return self.http.post("/kbs/v0/attest", json=body)

    def token(self, *args, **more):
        return self.attest(*args, **more).json()["token"]

    def get(self, token, path=PATH):
        headers = {"Authorization": f"Bearer {token}"}
        return self.http.get(f"/kbs/v0/resource/{path}", headers=headers)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "kbs")


def test_who_proves_itself_gets_the_key_sealed_to_this_exchange(world):
    """What comes back opens with the runtime key alone, and is what `push` encrypts to."""
    got = world.get(world.token())
    assert got.status_code == 200, got.text
    keys = [pyrage.x25519.Identity.from_str(identity(world.runtime.seed()))]
    secret = pyrage.decrypt(got.content, keys).decode()
    assert secret.encode() not in got.content
    assert str(pyrage.x25519.Identity.from_str(secret).to_public()) == world.public


@pytest.mark.parametrize("key", [OTHER, SigningKey.from_seed(b"x" * 32)], ids=["another", "nobody"])
def test_another_devices_key_is_not_believed(world, key):
    """A stolen key speaks for its own device."""
    refused = world.attest("press", key)
    assert refused.status_code == 401
    assert "not press's" in refused.json()["error"]


def test_a_device_nobody_knows_is_refused(world):
    """No enrolled key, no attestation."""
    assert "no enrolled key" in world.attest("stranger").json()["error"]


def test_a_device_that_is_not_listed_gets_nothing(world):
    """It proved itself, and may still not have this one; nor what is not there."""
    token = world.token("other", OTHER)
    assert world.get(token).status_code == 403
    assert world.get(token, "default/key/nothing").status_code == 404


def test_evidence_is_good_for_one_exchange(world):
    """Replayed, moved to another device, for another runtime key, too late: refused."""
    nonce = world.nonce().json()["nonce"]
    assert world.attest(nonce=nonce).status_code == 200
    assert world.attest(nonce=nonce).status_code == 401
    assert world.attest("other", OTHER, nonce=world.nonce().json()["nonce"]).status_code == 401
    nonce = world.nonce().json()["nonce"]
    elsewhere = report_data(base64.b64decode(nonce), "press", BoxKey.generate().public)
    assert world.attest(nonce=nonce, about=elsewhere).status_code == 401
    nonce = world.nonce().json()["nonce"]
    world.now += 61_000
    assert world.attest(nonce=nonce).status_code == 401


def test_tokens_end(world):
    """A minute after; and nobody makes one up."""
    token = world.token()
    assert world.get("0" * 64).status_code == 401
    assert world.http.get(f"/kbs/v0/resource/{PATH}").status_code == 401
    world.now += 61_000
    assert world.get(token).status_code == 401


@pytest.mark.parametrize(
    "path",
    ["default/key/filter.allow", "default/key/filter.pub", "..%2f..%2fetc/x/y", "a/b", "a/b/c/d"],
)
def test_nothing_else_of_the_folder_is_given(world, path):
    """No way out, and none of the files beside a key."""
    assert world.get(world.token(), path).status_code == 404


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"tee": 1, "device": "x"}', b"[" * 100_000])
def test_nonsense_is_refused_in_words(world, body):
    """By both calls; nothing falls over."""
    for call in ("auth", "attest"):
        assert world.http.post(f"/kbs/v0/{call}", content=body).status_code == 400
    assert world.http.post("/kbs/v0/auth", content=b"x" * 200_000).status_code == 413


def test_evidence_of_another_kind_needs_its_verifier(world):
    """What is believed is labelled: software evidence is not taken for that of a TEE."""
    refused = world.nonce(tee="tdx")
    assert refused.status_code == 400
    assert "not verified here, but software" in refused.json()["error"]


def test_a_flood_of_nonces_is_bounded(world):
    """The oldest go; memory stays."""
    first = world.nonce().json()["nonce"]
    for _ in range(10_000):
        world.nonce()
    assert world.attest(nonce=first).status_code == 401
    assert world.attest().status_code == 200


def test_adding_again_keeps_the_key_and_changes_who_gets_it(world, tmp_path):
    """Else everything that was encrypted to it would be lost."""
    again = add_resource(world.folder, PATH, ["other"])
    assert again == world.public == recipient(world.public)
    assert world.get(world.token()).status_code == 403
    assert world.get(world.token("other", OTHER)).status_code == 200
    for bad in ("a", "../a/b", "a/b/../c"):
        with pytest.raises(UsageError):
            add_resource(tmp_path, bad, [])
    assert json.dumps(again)
