"""What offline keys signed is read again now and then, and a broken word changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from propeller.reconcile.devices import DeviceKeys, FleetKeys
from propeller.reconcile.offlinewords import EVERY, OfflineWords
from propeller.state.keys import RELEASE_LIST, Keys
from propeller.wire.keyring import Keyring
from propeller.wire.messages import Releases
from propeller.wire.releases import next_list, sealed_list
from propeller.wire.signing import P256, SigningKey

KEY = SigningKey.from_seed(b"o" * 32, P256)
ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


class World:
    """A key directory, and what devices are told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.keys = Keys(directory)
        fleet = FleetKeys(manager=Keyring(), trust=self.keys.trust_frame(), enrolled=lambda _: None)
        self.devices = DeviceKeys(fleet)
        self.words = OfflineWords(self.keys)

    def read(self) -> bool:
        return self.words.read(self.devices)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "keys")


def test_nothing_is_required_until_the_root_says_so(world: World) -> None:
    """No list, and any module may be started; reading it again is no news."""
    assert not world.read()
    assert world.devices.released is None
    assert world.devices.releases == b""


def test_require_and_newer_lists_are_news_once(world: World) -> None:
    """The trust document and the list change together; then each newer list."""
    first = next_list(None, add=[ONE])
    world.keys.require_releases(KEY.public, sealed_list(first, KEY))
    assert world.read()
    assert world.devices.released == {ONE}
    assert not world.read()
    second = next_list(first, add=[TWO], withdraw=[ONE])
    world.keys.take_releases(sealed_list(second, KEY))
    assert world.read()
    assert world.devices.released == {TWO}


def test_a_broken_list_changes_nothing_and_is_said_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever can write there can at most delay: what was carried stays what is carried."""
    world.keys.require_releases(KEY.public, sealed_list(next_list(None, add=[ONE]), KEY))
    world.read()
    stranger = SigningKey.from_seed(b"x" * 32, P256)
    for frame in (b"", b"garbage", sealed_list(Releases(version=9, modules=(TWO,)), stranger)):
        (world.directory / RELEASE_LIST).write_bytes(frame)
        assert not world.read()
        assert not world.read()
        assert world.devices.released == {ONE}
    assert 1 <= len([one for one in caplog.records if "not taken" in one.message]) <= 3


def test_a_look_now_and_then(world: World) -> None:
    """Not in every turn, and a clock that steps back does not stop it."""
    assert world.words.due(10_000)
    assert not world.words.due(10_000 + EVERY - 1)
    assert world.words.due(10_000 + EVERY)
    assert world.words.due(500)
