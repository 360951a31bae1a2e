"""Fetching certificates: who gets one, who does not, and that a lost answer costs nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from propeller.errors import UsageError, WireError
from propeller.provision.folder import opened
from propeller.provision.record import Record, read_record
from propeller.provision.service import MISTAKES, MOST_LIVE, PER_S, Enrolments, make_app
from propeller.provision.tokens import REFUSED, with_token
from propeller.wire import certificates
from propeller.wire.boxes import BoxKey
from propeller.wire.enrolment import (
    WINDOW_S,
    Request,
    read_answer,
    read_first,
    read_renewal,
    write_answer,
    write_request,
)
from propeller.wire.signing import SigningKey

NOW = 1_800_000_000
RECORD = Record(domain="plant", channel="floor", host="broker.example", port=8883)
TOKEN = "t" * 43


class Device:
    """A device with keys of its own."""

    def __init__(self, name: str = "dev") -> None:
        self.name = name
        self.signing = SigningKey.generate()
        self.box = BoxKey.generate()
        self.private = certificates.new_key()

    def asks(self, *, at=NOW, name=None, signer=None) -> bytes:
        """The frame it sends."""
        request = Request(
            device=name or self.name,
            csr=certificates.request(self.private, self.name),
            key=self.signing.public,
            box=self.box.public,
            at=at,
        )
        return write_request(request, signer or self.signing)


@pytest.fixture
def fleet(tmp_path):
    """A fleet that waits for `dev`."""
    with opened(tmp_path, NOW, new=RECORD) as folder:
        folder.settle()
        folder.record = with_token(folder.record, "dev", TOKEN, ends=NOW + 3600)
        folder.remember()
    return tmp_path


@pytest.fixture
def service(fleet):
    """The service over that fleet."""
    return Enrolments(fleet, lambda: NOW)


def test_a_token_gives_a_certificate_for_the_devices_own_key(service, fleet):
    """The answer names the device and its key, and the manager believes its signatures."""
    device = Device()
    answer = service.enroll("dev", TOKEN, device.asks())
    found = certificates.facts(answer.certificate, where="answer")
    assert found.name == "dev"
    assert found.key == certificates.key_digest(device.private.public_key())
    with opened(fleet, NOW) as folder:
        assert folder.keys().enrolled("dev") == device.signing.public
        assert folder.keys().enrolled_box("dev") == device.box.public


def test_a_lost_answer_is_given_again_to_the_same_key_only(service, fleet):
    """The same device gets the same certificate again; another one with its token gets none."""
    device = Device()
    first = service.enroll("dev", TOKEN, device.asks())
    again = service.enroll("dev", TOKEN, device.asks())
    assert again.certificate == first.certificate
    record = read_record(fleet)
    assert record is not None
    assert len(record.devices["dev"]) == 1
    with pytest.raises(UsageError, match=REFUSED):
        service.enroll("dev", TOKEN, Device().asks())


@pytest.mark.parametrize(
    ("device", "token", "now"),
    [("dev", "x" * 43, NOW), ("other", TOKEN, NOW), ("dev", TOKEN, NOW + 3600)],
    ids=["wrong", "of another device", "ended"],
)
def test_a_token_that_does_not_count_is_refused_with_the_same_words(fleet, device, token, now):
    """Whoever guesses learns nothing from the answer."""
    service = Enrolments(fleet, lambda: now)
    with pytest.raises(UsageError) as refusal:
        service.enroll(device, token, Device(device).asks(at=now))
    assert refusal.value.what == REFUSED


def test_a_request_for_another_name_is_refused(service):
    """The name in the signed body and in the address agree, or nothing is given."""
    with pytest.raises(UsageError, match="another device"):
        service.enroll("dev", TOKEN, Device().asks(name="boss"))


def test_a_request_that_somebody_else_signed_is_refused(service):
    """The frame must be signed by the very key it brings."""
    with pytest.raises(WireError):
        service.enroll("dev", TOKEN, Device().asks(signer=SigningKey.generate()))


def test_a_renewal_counts_by_the_enrolled_key(service, fleet):
    """The device gets a certificate for its next key; another device's signature gets nothing."""
    device = Device()
    service.enroll("dev", TOKEN, device.asks())
    device.private = certificates.new_key()
    answer = service.renew("dev", device.asks())
    assert certificates.facts(answer.certificate, where="answer").key == certificates.key_digest(
        device.private.public_key()
    )
    with pytest.raises(WireError):
        service.renew("dev", Device().asks())


def test_an_old_renewal_is_refused(service):
    """A copied request is worth nothing after a while."""
    device = Device()
    service.enroll("dev", TOKEN, device.asks())
    for at in (NOW - WINDOW_S - 1, NOW + WINDOW_S + 1):
        with pytest.raises(UsageError, match="not from now"):
            service.renew("dev", device.asks(at=at))


def test_a_revoked_device_renews_nothing(service, fleet):
    """Its key is no longer enrolled."""
    device = Device()
    service.enroll("dev", TOKEN, device.asks())
    with opened(fleet, NOW) as folder:
        folder.revoke("dev")
        folder.settle()
    with pytest.raises(UsageError, match="no certificate"):
        service.renew("dev", device.asks())


def test_a_device_cannot_fill_the_folder(service, fleet):
    """So many certificates count at a time, then a person has to look."""
    device = Device()
    service.enroll("dev", TOKEN, device.asks())
    for _ in range(MOST_LIVE - 1):
        device.private = certificates.new_key()
        service.renew("dev", device.asks())
    device.private = certificates.new_key()
    with pytest.raises(UsageError, match="certificates that count"):
        service.renew("dev", device.asks())


def test_guessing_closes_the_door_for_a_while(fleet):
    """After so many refusals nobody is answered until a minute has passed."""
    now = [NOW]
    service = Enrolments(fleet, lambda: now[0])
    for _ in range(MISTAKES):
        assert not service.busy()
        service.refused()
    assert service.busy()
    now[0] += PER_S
    assert not service.busy()


def test_an_answer_survives_the_way(service):
    """What is written is read again; anything else is refused in words."""
    answer = service.enroll("dev", TOKEN, Device().asks())
    assert read_answer(write_answer(answer)) == answer
    with pytest.raises(UsageError, match="not an answer"):
        read_answer(b'{"certificate": 1}')


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_the_family(data):
    """Nothing that arrives raises anything but the errors a service answers with."""
    with pytest.raises((UsageError, WireError)):
        read_first(data)
    with pytest.raises((UsageError, WireError)):
        read_renewal(data, SigningKey.generate().public, now=NOW)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_signed_body_is_refused_in_the_family(value):
    """A body that is JSON but no request is refused in words."""
    import json

    from propeller.wire.frame import seal

    for body in (json.dumps(value), json.dumps({"device": value, "csr": value, "at": 1})):
        frame = seal("enroll", body.encode(), SigningKey.generate())
        with pytest.raises((UsageError, WireError)):
            read_first(frame)


def test_the_app_has_three_routes_and_no_more(fleet):
    """What is served: the authorities, the first certificate and the next one."""
    app: Starlette = make_app(fleet, lambda: NOW)
    assert sorted(route.path for route in app.routes) == [
        "/ca",
        "/enroll/{device}",
        "/renew/{device}",
    ]


@pytest.mark.parametrize(
    ("after", "byte"), [("06072a8648ce3d0201", 0x7F), ("020100", 0x40)], ids=["key", "version"]
)
def test_a_request_of_a_kind_nobody_knows_is_refused_in_words(after, byte):
    """Found by fuzzing: an unknown key or version escaped as the library's own error."""
    import base64

    from propeller.wire import certificates

    pem = certificates.request(certificates.new_key(), "press-1")
    der = bytearray(base64.b64decode(b"".join(pem.splitlines()[1:-1])))
    found = bytes.fromhex(after)
    der[der.find(found) + len(found) - 1] = byte
    mark = b"-----%s CERTIFICATE REQUEST-----\n"
    strange = mark % b"BEGIN" + base64.encodebytes(bytes(der)) + mark % b"END"
    with pytest.raises(UsageError, match="no certificate request"):
        certificates.requested_key(strange)
