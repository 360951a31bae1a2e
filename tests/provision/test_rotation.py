"""A change of authority: no step asks anybody to believe what he was not told of."""

from __future__ import annotations

import pytest
from cryptography import x509

from propeller.errors import UsageError
from propeller.provision.folder import opened
from propeller.provision.record import Record, read_record
from propeller.provision.rotation import Step, advance, left_behind, step_of

NOW = 1_800_000_000
RECORD = Record(domain="plant", channel="floor", host="broker.example", port=8883)


def step(path, *, handed_out=False, now=NOW):
    """Run `rotate` once; where it is then."""
    with opened(path, now) as folder:
        advance(folder, handed_out=handed_out)
        folder.settle()
        return step_of(folder.record)


@pytest.fixture
def fleet(tmp_path):
    """A fleet of three devices."""
    with opened(tmp_path, NOW, new=RECORD) as folder:
        folder.settle()
        folder.enroll(["a", "b", "c"])
        folder.settle()
    return tmp_path


def verifies(certificate, authorities):
    """Whether one of the authorities in a PEM file signed the certificate in another."""
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    for one in x509.load_pem_x509_certificates(authorities.read_bytes()):
        try:
            found.verify_directly_issued_by(one)
        except Exception:
            continue
        return True
    return False


def everybody_gets_in(fleet, devices, held):
    """Every device with the files it holds now gets through to the broker as it is now, and back.

    held: device -> the (certificate, authorities) it was handed last.
    """
    for device in devices:
        certificate, authorities = held[device]
        assert verifies(certificate, fleet / "broker" / "ca.pem"), device
        assert verifies(fleet / "broker" / "server.pem", authorities), device
    manager = fleet / "manager"
    assert verifies(manager / "cert.pem", fleet / "broker" / "ca.pem")
    assert verifies(fleet / "broker" / "server.pem", manager / "ca.pem")


def handed(fleet, place, devices):
    """Copies of what each device's folder holds now."""
    out = {}
    for device in devices:
        target = place / device
        target.mkdir(parents=True)
        for name in ("cert.pem", "ca.pem"):
            (target / name).write_bytes((fleet / "devices" / device / name).read_bytes())
        out[device] = (target / "cert.pem", target / "ca.pem")
    return out


def test_nobody_is_locked_out_between_any_two_steps(fleet, tmp_path_factory):
    """With the files of the step before or of this one, each device and the broker believe each
    other, all the way from one authority to the next."""
    place = tmp_path_factory.mktemp("handed")
    devices = ("a", "b", "c")
    first = handed(fleet, place / "0", devices)
    everybody_gets_in(fleet, devices, first)

    assert step(fleet) is Step.ANNOUNCED
    everybody_gets_in(fleet, devices, first)
    second = handed(fleet, place / "1", devices)
    everybody_gets_in(fleet, devices, second)

    assert step(fleet, handed_out=True) is Step.SIGNING
    everybody_gets_in(fleet, devices, second)
    third = handed(fleet, place / "2", devices)
    everybody_gets_in(fleet, devices, third)

    assert step(fleet, handed_out=True) is Step.ONE
    everybody_gets_in(fleet, devices, third)
    assert not verifies(first["a"][0], fleet / "broker" / "ca.pem")


def test_the_next_authority_does_not_sign_before_it_was_handed_out(fleet):
    """The second step is refused until a person says that everybody has the new authorities."""
    step(fleet)
    with pytest.raises(UsageError, match="announced"):
        step(fleet)


def test_the_old_authority_stays_while_a_device_has_nothing_else(fleet):
    """A device that fetches its certificates itself and did not yet holds the last step up."""
    from propeller.wire import certificates

    with opened(fleet, NOW) as folder:
        folder.sign("far", certificates.request(certificates.new_key(), "far"))
        folder.remember()
    step(fleet)
    step(fleet, handed_out=True)
    record = read_record(fleet)
    assert record is not None
    assert left_behind(record, NOW) == ["far"]
    with pytest.raises(UsageError, match="far"):
        step(fleet, handed_out=True)
    with opened(fleet, NOW) as folder:
        folder.revoke("far")
        folder.settle()
    assert step(fleet, handed_out=True) is Step.ONE


@pytest.mark.soak
def test_a_thousand_devices_go_from_one_authority_to_the_next(tmp_path):
    """One run makes a thousand bundles, a second nothing; all three steps leave nobody behind."""
    names = [f"d-{number:04}" for number in range(1_000)]
    with opened(tmp_path, NOW, new=RECORD) as folder:
        folder.settle()
        folder.enroll(names)
        folder.settle()
    with opened(tmp_path, NOW) as folder:
        folder.settle()
        folder.enroll(names)
        folder.settle()
        assert folder.changes == []
    for handed in (False, True, True):
        with opened(tmp_path, NOW) as folder:
            advance(folder, handed_out=handed)
            folder.settle()
    with opened(tmp_path, NOW) as folder:
        assert left_behind(folder.record, NOW) == []
        assert len(folder.record.authorities) == 1
        assert len(list((tmp_path / "devices").iterdir())) == 1_000
