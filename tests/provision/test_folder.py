"""The folder of a fleet: made whole, left alone when right, mended when not."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest

from propeller.errors import UsageError
from propeller.provision.authority import Authority
from propeller.provision.folder import DAY_S, Folder, opened
from propeller.provision.mosquitto import access
from propeller.provision.record import Record, read_record
from propeller.state.keys import Keys
from propeller.wire import certificates
from propeller.wire.topics import Channel

NOW = 1_800_000_000
RECORD = Record(domain="plant", channel="floor", host="broker.example", port=8883)


def settled(path, *devices, now=NOW, record=RECORD):
    """The folder after one run; the changes of that run."""
    with opened(path, now, new=record) as folder:
        folder.settle()
        folder.enroll(devices)
        folder.settle()
        return folder.changes


def facts(path):
    """What the certificate in a file says."""
    return certificates.facts(path.read_bytes(), where=str(path))


def test_a_new_folder_holds_what_broker_manager_and_devices_need(tmp_path):
    """One run makes the authority, the broker's and the manager's files and every bundle."""
    settled(tmp_path, "a", "b")
    for name in ("server.pem", "server.key", "ca.pem", "acl", "mosquitto.conf"):
        assert (tmp_path / "broker" / name).exists()
    for name in ("propeller.yaml", "cert.pem", "cert.key", "ca.pem"):
        assert (tmp_path / "manager" / name).exists()
    for name in ("proplet.yaml", "cert.pem", "cert.key", "ca.pem", "root.pub", "device.pem"):
        assert (tmp_path / "devices" / "a" / name).exists()
    assert facts(tmp_path / "devices" / "a" / "cert.pem").name == "a"
    assert facts(tmp_path / "broker" / "server.pem").hosts == ("broker.example",)


def test_a_second_run_changes_nothing(tmp_path):
    """What is right stays as it is, byte for byte."""
    settled(tmp_path, "a", "b")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert settled(tmp_path, "a", "b") == []
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_private_keys_are_for_the_owner_only(tmp_path):
    """Nobody else can read a key, or list the folders they are in."""
    settled(tmp_path, "a")
    keys = [*tmp_path.rglob("*.key"), *tmp_path.rglob("device.pem"), *tmp_path.rglob("box.pem")]
    assert len(keys) >= 5
    for path in keys:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "devices" / "a").stat().st_mode) == 0o700


def test_a_dry_run_writes_nothing(tmp_path):
    """It says what would be made, and the folder stays as it was."""
    path = tmp_path / "fleet"
    with opened(path, NOW, dry=True, new=RECORD) as folder:
        folder.settle()
        folder.enroll(["a"])
        assert {change.path for change in folder.changes} >= {"broker/server.pem", "broker/acl"}
    assert not path.exists()


def test_a_missing_or_foreign_file_is_made_anew_and_nothing_else(tmp_path):
    """A key that is not the certificate's, and a file that is gone, are mended."""
    settled(tmp_path, "a")
    (tmp_path / "broker" / "acl").unlink()
    (tmp_path / "manager" / "cert.key").write_bytes(
        certificates.private_pem(certificates.new_key())
    )
    changed = {change.path for change in settled(tmp_path, "a")}
    assert changed == {"broker/acl", "manager/cert.key", "manager/cert.pem"}


def test_certificates_are_made_anew_before_they_end(tmp_path):
    """The broker's certificate is replaced in the last quarter of its life, not before."""
    settled(tmp_path)
    assert settled(tmp_path, now=NOW + 500 * DAY_S) == []
    changed = {change.path for change in settled(tmp_path, now=NOW + 560 * DAY_S)}
    assert "broker/server.pem" in changed


def test_a_bundle_that_was_handed_over_is_not_made_again(tmp_path):
    """A device's folder may be removed: its certificate stays known, no second one is made."""
    settled(tmp_path, "a")
    for path in (tmp_path / "devices" / "a").iterdir():
        path.unlink()
    (tmp_path / "devices" / "a").rmdir()
    assert settled(tmp_path, "a") == []
    record = read_record(tmp_path)
    assert record is not None
    assert len(record.devices["a"]) == 1


def test_the_manager_believes_the_key_in_a_bundle(tmp_path):
    """The key a device is handed is the one its reports are checked with."""
    settled(tmp_path, "a")
    keys = Keys(tmp_path / "keys")
    enrolled = keys.enrolled("a")
    assert enrolled is not None
    from propeller.wire.signing import SigningKey

    handed = SigningKey.from_pem((tmp_path / "devices" / "a" / "device.pem").read_bytes())
    assert handed.public == enrolled


def test_a_revoked_device_is_shut_out_and_forgotten(tmp_path):
    """Its serial is in the list, its name is denied, and no key of it is believed."""
    settled(tmp_path, "a", "b")
    with opened(tmp_path, NOW) as folder:
        folder.revoke("a")
        folder.settle()
    assert "user a\ntopic deny #" in (tmp_path / "broker" / "acl").read_text()
    conf = (tmp_path / "broker" / "mosquitto.conf").read_text()
    assert "crlfile" in conf
    from cryptography import x509

    listed = x509.load_pem_x509_crl((tmp_path / "broker" / "revoked.pem").read_bytes())
    serial = int(facts(tmp_path / "devices" / "a" / "cert.pem").serial, 16)
    assert [one.serial_number for one in listed] == [serial]
    assert Keys(tmp_path / "keys").enrolled("a") is None
    assert Keys(tmp_path / "keys").enrolled("b") is not None


def test_your_own_authority_signs_instead(tmp_path):
    """A given CA is used as it is, and its key may be taken away again."""
    own = Authority.make("Plant CA", now=NOW, days=3000)
    with opened(tmp_path, NOW, new=RECORD) as folder:
        folder.add_authority(own, "yours")
        folder.settle()
        folder.enroll(["a"])
        folder.settle()
    assert facts(tmp_path / "devices" / "a" / "cert.pem").issuer == own.id
    (tmp_path / "ca" / f"{own.id}.key").unlink()
    assert settled(tmp_path, "a") == []
    with opened(tmp_path, NOW) as folder, pytest.raises(UsageError, match="must be signed"):
        folder.enroll(["b"])


@pytest.mark.parametrize("device", ["", "a/b", "a+b", "#", "x" * 65, "propeller-manager"])
def test_what_cannot_name_a_device_is_refused(tmp_path, device):
    """Nothing with a wildcard, a slash or the manager's own name gets a certificate."""
    with opened(tmp_path, NOW, new=RECORD) as folder:
        folder.settle()
        with pytest.raises(UsageError):
            folder.enroll([device])


def test_a_broken_record_is_said_and_kept(tmp_path):
    """Nobody guesses what was issued: the file is named, and stays as it is."""
    settled(tmp_path, "a")
    (tmp_path / "fleet.json").write_text('{"version": 1, "devices": {"a b": []}}')
    with pytest.raises(UsageError, match=r"fleet\.json"), opened(tmp_path, NOW):
        pass
    assert "a b" in (tmp_path / "fleet.json").read_text()


def test_no_certificate_outlives_its_authority(tmp_path):
    """What is issued near the end of the authority ends with it."""
    own = Authority.make("Plant CA", now=NOW, days=100)
    pem = own.issue(certificates.new_key().public_key(), name="a", now=NOW + 50 * DAY_S, days=730)
    assert certificates.facts(pem, where="a").ends <= own.ends
    folder = Folder(tmp_path, RECORD, NOW)
    assert folder.changes == []


def test_topics_of_guests_are_opened_at_the_broker_and_stay_open(tmp_path):
    """`{proplet}` is whoever is connected; a topic is below the channel, never `control/`."""
    rights = access(
        Channel("d", "c"), publish=("telemetry/{proplet}/#",), hear=("cmds/+",)
    ).splitlines()
    assert rights[-2:] == [
        "pattern write m/d/c/c/telemetry/%u/#",
        "pattern read m/d/c/c/cmds/+",
    ]
    for wrong in ("control/#", "+/x", "#"):
        with pytest.raises(ValueError, match="control/"):
            access(Channel("d", "c"), hear=(wrong,))
    record = replace(RECORD, publish=("telemetry/{proplet}/#",))
    assert settled(tmp_path, "a", record=record)
    assert "pattern write m/plant/c/floor/telemetry/%u/#" in (tmp_path / "broker/acl").read_text()
    assert read_record(tmp_path).publish == ("telemetry/{proplet}/#",)
    assert settled(tmp_path, "a") == []
