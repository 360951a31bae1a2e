"""The key directory: made once, never lost by accident, replaced on purpose."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from propeller.errors import Unavailable, UsageError
from propeller.state.keys import Keys, peek_fleet_secret
from propeller.wire.boxes import BoxKey
from propeller.wire.codec import decode
from propeller.wire.frame import open_frame, seal
from propeller.wire.keyring import Keyring, keyring_from_trust
from propeller.wire.messages import Trust
from propeller.wire.signing import P256, SigningKey


def modes(directory: Path) -> dict[str, int]:
    return {
        str(path.relative_to(directory)): stat.S_IMODE(path.stat().st_mode)
        for path in (directory, *directory.rglob("*"))
    }


def test_the_first_open_makes_the_keys_and_the_next_finds_them(tmp_path: Path) -> None:
    """`created` is true exactly once: after that the fleet may be older than the database."""
    first = Keys(tmp_path / "keys")
    again = Keys(tmp_path / "keys")
    assert (first.created, again.created) == (True, False)
    assert again.roots == first.roots
    assert again.manager().public == first.manager().public
    assert again.manager(P256).public == first.manager(P256).public
    assert again.gateway.public == first.gateway.public
    assert again.device("gw-01").public == first.device("gw-01").public
    assert first.device("gw-01").kid != first.device("gw-02").kid


def test_only_the_owner_can_read_them(tmp_path: Path) -> None:
    """0700 directories, 0600 files, whatever the umask says."""
    before = os.umask(0)
    try:
        keys = Keys(tmp_path / "keys")
        keys.device("gw-01")
        keys.trust_frame()
    finally:
        os.umask(before)
    found = modes(tmp_path / "keys")
    assert {mode for path, mode in found.items() if "." in path and path != "."} == {0o600}
    assert [found[one] for one in (".", "devices", "enrolled")] == [0o700] * 3
    assert not [path for path in found if path.startswith(".") and path != "."], "no drafts left"


def test_the_first_trust_document_names_manager_and_gateway(tmp_path: Path) -> None:
    """Version 1, signed by both roots; what a device gets from it opens what the manager signs."""
    keys = Keys(tmp_path)
    assert keys.trust().version == 1
    root, root_p256 = keys.roots
    for frame, key in ((keys.trust_frame(), root), (keys.trust_frame(P256), root_p256)):
        body = open_frame("trust", frame, Keyring.of_roots(key)).body
        ring = keyring_from_trust(decode(Trust, body), key)
        for alg in (1, P256):
            sealed = seal("desired", b"body", keys.manager(alg))
            assert open_frame("desired", sealed, ring).roles == {"manager"}
        gateway = open_frame("op", seal("op", b"", keys.gateway), ring)
        assert gateway.roles == {"gateway"}


def test_the_trust_document_stays_byte_for_byte_while_the_keys_do(tmp_path: Path) -> None:
    """A restart republishes nothing."""
    frames = [Keys(tmp_path).trust_frame(alg) for alg in (1, P256, 1, P256)]
    assert frames[:2] == frames[2:]


def test_a_replaced_key_raises_the_version(tmp_path: Path) -> None:
    """The new document has the new key and not the old one; its version only grows."""
    old = Keys(tmp_path)
    old.trust_frame()
    for expected in (2, 3):
        (tmp_path / "manager.pem").unlink()
        new = Keys(tmp_path)
        assert new.trust().version == expected
        kids = {key.kid for key in new.trust().keys}
        assert new.manager().kid in kids
        assert old.manager().kid not in kids
    assert Keys(tmp_path).trust().version == 3
    body = open_frame("trust", Keys(tmp_path).trust_frame(), Keyring.of_roots(old.roots[0])).body
    assert decode(Trust, body).version == 3


def test_the_root_may_be_kept_elsewhere(tmp_path: Path) -> None:
    """Without its private half everything goes on, until the keys change."""
    keys = Keys(tmp_path)
    frames = keys.trust_frame(), keys.trust_frame(P256)
    (tmp_path / "root.pem").rename(tmp_path / "away.pem")
    (tmp_path / "root-p256.pem").unlink()
    away = Keys(tmp_path)
    assert not away.created
    assert (away.trust_frame(), away.trust_frame(P256)) == frames
    (tmp_path / "gateway.pem").unlink()
    with pytest.raises(UsageError, match=r"root\.pem is not here"):
        Keys(tmp_path).trust_frame()
    (tmp_path / "away.pem").rename(tmp_path / "root.pem")
    back = Keys(tmp_path)
    assert back.trust().version == 2, "the failed attempt took no version"
    assert back.roots == keys.roots


def test_a_half_made_directory_is_completed(tmp_path: Path) -> None:
    """After a crash between two keys the next open makes the rest, and still says `created`."""
    whole = Keys(tmp_path)
    manager = whole.manager().public
    for name in ("root.pub", "root.pem", "gateway.pub"):
        (tmp_path / name).unlink()
    finished = Keys(tmp_path)
    assert finished.created
    assert finished.manager().public == manager
    assert (tmp_path / "gateway.pub").read_text().strip() == finished.gateway.public.text


def test_a_device_is_believed_by_the_key_it_was_enrolled_with(tmp_path: Path) -> None:
    """Local devices by their own key, others by the enrolled one, unknown ones not at all."""
    keys = Keys(tmp_path)
    far, newer = SigningKey.generate(), SigningKey.generate(P256)
    local = keys.device("local-1")
    keys.enroll("gw-01", far.public)
    assert keys.enrolled("gw-01") == far.public
    assert keys.enrolled("local-1") == local.public
    assert keys.enrolled("stranger") is None
    assert keys.enrolled_all() == {"gw-01": far.public, "local-1": local.public}
    frame = seal("report", b"body", far)
    assert open_frame("report", frame, keys.ring_of("gw-01")).body == b"body"
    assert len(keys.ring_of("stranger")) == 0
    keys.enroll("gw-01", newer.public)
    assert Keys(tmp_path).enrolled("gw-01") == newer.public


@pytest.mark.parametrize("bad", ["", "..", "../x", "a/b", "a" * 65])
def test_an_id_never_leads_out_of_the_directory(tmp_path: Path, bad: str) -> None:
    """Ids come from devices; they do not become paths unchecked."""
    keys = Keys(tmp_path)
    for act in (keys.device, keys.enrolled):
        with pytest.raises(UsageError):
            act(bad)
    with pytest.raises(UsageError):
        keys.enroll(bad, keys.gateway.public)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manager.pem", b"not a key"),
        ("root.pub", b"ed25519:AAAA"),
        ("trust.json", b"{}"),
        ("root.pub", b"\xff"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    """A damaged key is never quietly replaced by a new one."""
    Keys(tmp_path).trust()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=name):
        Keys(tmp_path).trust()
    assert (tmp_path / name).read_bytes() == content


def test_a_key_of_the_wrong_algorithm_is_named(tmp_path: Path) -> None:
    """A P-256 key where an Ed25519 one belongs would sign what no device can verify."""
    Keys(tmp_path)
    (tmp_path / "manager.pem").write_bytes(SigningKey.generate(P256).to_pem())
    with pytest.raises(UsageError, match="wrong algorithm"):
        Keys(tmp_path)


def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    """A file where the directory should be."""
    (tmp_path / "keys").write_bytes(b"")
    with pytest.raises(Unavailable, match="key directory"):
        Keys(tmp_path / "keys")


def test_processes_that_start_together_agree_on_the_keys(tmp_path: Path) -> None:
    """Whoever is first makes a key; the others use it."""
    code = (
        "import sys; from pathlib import Path; from propeller.state.keys import Keys\n"
        "keys = Keys(Path(sys.argv[1])); print(keys.roots[0].kid, keys.manager().kid,"
        " keys.device('d').kid)"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "keys")], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    said = {process.communicate(timeout=60)[0] for process in running}
    assert len(said) == 1
    assert said.pop().strip()


def test_the_fleets_secret_is_made_once_and_read_without_making_it(tmp_path: Path) -> None:
    """A new one would run anew whatever uses a secret, so `diff` must not make it."""
    place = tmp_path / "keys"
    keys = Keys(place)
    assert peek_fleet_secret(place) is None
    secret = keys.fleet_secret()
    assert len(secret) == 32
    assert Keys(place).fleet_secret() == peek_fleet_secret(place) == secret
    assert modes(place)["secrets.key"] == 0o600


def test_a_broken_fleet_secret_is_not_replaced(tmp_path: Path) -> None:
    """A half-written file is restored from the backup, by a person."""
    keys = Keys(tmp_path)
    (tmp_path / "secrets.key").write_text("0123")
    with pytest.raises(UsageError, match=r"secrets\.key: not 64 hex digits"):
        keys.fleet_secret()


def test_a_local_device_has_an_encryption_key_that_is_enrolled(tmp_path: Path) -> None:
    """Made once; its private half is ours alone."""
    keys = Keys(tmp_path / "keys")
    assert keys.enrolled_box("gw-01") is None
    made = keys.device_box("gw-01")
    assert Keys(tmp_path / "keys").device_box("gw-01").public == made.public
    assert keys.enrolled_box("gw-01") == made.public
    assert modes(tmp_path / "keys")["devices/gw-01.box.pem"] == 0o600


def test_an_enrolled_encryption_key_wins_and_is_no_device(tmp_path: Path) -> None:
    """The file beside a device's own key is not a device of that name."""
    keys = Keys(tmp_path)
    other = BoxKey.generate().public
    keys.device_box("gw-01")
    keys.enroll_box("gw-01", other)
    assert keys.enrolled_box("gw-01") == other
    assert keys.enrolled_all() == {}
