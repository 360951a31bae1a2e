"""`propeller release`: a list signed with a key kept elsewhere, carried by the fleet's keys."""

from __future__ import annotations

import json

import pytest

from propeller.state.keys import Keys
from propeller.wire.codec import decode
from propeller.wire.frame import peek_body
from propeller.wire.messages import Releases, Trust

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


@pytest.fixture
def home(cli, specs, tmp_path, monkeypatch):
    """A fleet's keys, a release key, and a list of one module."""
    monkeypatch.setenv("PROPELLER_KEY_PASSWORD", "word")
    Keys(tmp_path / ".propeller" / "keys")
    for name in ("off", "other"):
        assert cli("keygen", name).code == 0
    said = cli("release", "add", ONE, "--key", "off.key")
    assert said.code == 0, said.err
    return tmp_path


def carried(home):
    frame, releases = Keys(home / ".propeller" / "keys").releases()
    return decode(Releases, peek_body(frame)) if frame else releases


def test_from_the_key_to_a_fleet_that_asks_for_it(cli, home):
    """`require` puts the key into a new trust document; `take` carries each newer list."""
    said = cli("release", "require", "off.pub")
    assert said.code == 0, said.err
    keys = Keys(home / ".propeller" / "keys")
    trust = decode(Trust, peek_body(keys.trust_frame()))
    assert [one.kid for one in trust.keys if one.roles == ("release",)] == [keys.release_key().kid]
    assert carried(home).modules == (ONE,)
    cli("release", "add", TWO, "--key", "off.key")
    assert cli("release", "take").code == 0
    assert carried(home).modules == (ONE, TWO)
    shown = json.loads(cli("release", "show", "-o", "json").out)
    assert shown["version"] == 2
    assert shown["modules"] == [ONE, TWO]


def test_files_and_images_are_named_by_what_travels(cli, home):
    """A .wat is compiled as the reconciler does it; an image by its module's digest."""
    pushed = cli("push", "plant/add.wat", "local/add:1")
    assert pushed.code == 0
    assert cli("release", "add", "plant/add.wat", "local/add:1", "--key", "off.key").code == 0
    shown = json.loads(cli("release", "show", "--pub", "off.pub", "-o", "json").out)
    module = json.loads(cli("inspect", "local/add:1", "-o", "json").out)["module"]["digest"]
    assert shown["modules"] == sorted([ONE, module])


def test_withdraw_and_end(cli, home):
    """Only what is there can go; a list ends when its maker says, in a year by default."""
    assert cli("release", "withdraw", TWO, "--key", "off.key").code == 2
    assert cli("release", "withdraw", ONE, "--key", "off.key", "--for", "Unlimited").code == 0
    shown = json.loads(cli("release", "show", "--pub", "off.pub", "-o", "json").out)
    assert shown == {"version": 2, "notAfter": None, "modules": []}
    assert cli("release", "add", ONE, "--key", "off.key", "--for", "soon").code == 2


def test_an_older_list_is_not_carried(cli, home):
    """Nor another one of the same version: devices would refuse it."""
    old = (home / "releases.frame").read_bytes()
    cli("release", "add", TWO, "--key", "off.key")
    assert cli("release", "require", "off.pub").code == 0
    (home / "old.frame").write_bytes(old)
    said = cli("release", "take", "--list", "old.frame")
    assert said.code == 2
    assert "not newer than 2" in said.err
    cli("release", "add", "plant/add.wat", "--key", "off.key", "--list", "old.frame")
    again = cli("release", "take", "--list", "old.frame")
    assert "another release list 2" in again.err
    assert carried(home).modules == (ONE, TWO)


def test_a_list_of_another_key_is_nothing(cli, home):
    """Neither extended, nor shown, nor carried."""
    assert cli("release", "add", TWO, "--key", "other.key").code == 2
    assert cli("release", "show", "--pub", "other.pub").code == 2
    assert cli("release", "require", "other.pub").code == 2
    assert cli("release", "take").code == 2
    assert Keys(home / ".propeller" / "keys").release_key() is None


def test_without_the_root_nothing_is_required(cli, home):
    """The root says who says what exists: without its private half the command changes nothing."""
    (home / ".propeller" / "keys" / "root-p256.pem").rename(home / "elsewhere.pem")
    said = cli("release", "require", "off.pub")
    assert said.code == 2
    assert "root-p256" in said.err
    assert Keys(home / ".propeller" / "keys").release_key() is None


def test_dry_runs_change_nothing(cli, home):
    """None of the four."""
    before = (home / "releases.frame").read_bytes()
    for words in (
        ["add", TWO, "--key", "off.key"],
        ["withdraw", ONE, "--key", "off.key"],
        ["require", "off.pub"],
    ):
        assert cli("release", *words, "--dry-run").code == 0
    assert (home / "releases.frame").read_bytes() == before
    assert Keys(home / ".propeller" / "keys").release_key() is None
