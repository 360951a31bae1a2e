"""What the manager keeps retained about itself, read back and said again."""

from __future__ import annotations

from itertools import pairwise

import pytest

from propeller.reconcile.ownwords import CAP, TRUST_EVERY, OwnWords
from propeller.wire.codec import encode
from propeller.wire.frame import seal
from propeller.wire.keyring import trusted
from propeller.wire.messages import ManagerStatus, Releases, Trust
from propeller.wire.signing import SigningKey
from propeller.wire.topics import Channel, Kind

NOW = 1_000_000
CHANNEL = Channel("d", "c")
ROOT, KEY = SigningKey.from_seed(b"r" * 32), SigningKey.from_seed(b"m" * 32)


def trust(version: int) -> bytes:
    keys = (trusted(KEY.public, "manager"),)
    return seal("trust", encode(Trust(version=version, keys=keys)), ROOT)


def status(state: str, fence: int) -> bytes:
    body = encode(ManagerStatus(state=state, fence=fence, src="m", conn=1))
    return body if state == "offline" else seal("manager", body, KEY)


@pytest.fixture
def words() -> OwnWords:
    """Connected, and everything came back."""
    words = OwnWords(CHANNEL, KEY, trust(2), fence=50, source_id="m")
    words.begin(1, NOW)
    for topic, payload in words.take(NOW):
        kind = Kind.TRUST if topic == CHANNEL.trust() else Kind.MANAGER_STATUS
        words.heard(kind, payload, NOW)
    assert words.due() is None
    return words


def test_both_are_said_until_they_come_back() -> None:
    """Ever less often; what came back is not said again."""
    words = OwnWords(CHANNEL, KEY, trust(2), fence=50, source_id="m")
    words.begin(1, NOW)
    said = dict(words.take(NOW))
    assert said.keys() == {CHANNEL.trust(), CHANNEL.manager_status()}
    words.heard(Kind.TRUST, said[CHANNEL.trust()], NOW)
    times = []
    for _ in range(10):
        due = words.due()
        assert due is not None
        assert words.take(due - 1) == []
        assert [topic for topic, _ in words.take(due)] == [CHANNEL.manager_status()]
        times.append(due)
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == CAP


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Kind.MANAGER_STATUS, status("offline", 50)),
        (Kind.MANAGER_STATUS, status("online", 49)),
        (Kind.MANAGER_STATUS, b""),
        (Kind.MANAGER_STATUS, b"P1 rubbish"),
        (Kind.TRUST, trust(1)),
        (Kind.TRUST, b""),
        (Kind.TRUST, b"{}"),
    ],
)
def test_anything_else_in_its_place_is_put_right(
    words: OwnWords, kind: Kind, payload: bytes
) -> None:
    """A late will, an older document, rubbish, nothing at all."""
    words.heard(kind, payload, NOW)
    due = words.due()
    assert due is not None
    topics = {Kind.TRUST: CHANNEL.trust(), Kind.MANAGER_STATUS: CHANNEL.manager_status()}
    assert [topic for topic, _ in words.take(due)] == [topics[kind]]


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Kind.MANAGER_STATUS, status("online", 51)),
        (Kind.MANAGER_STATUS, status("offline", 51)),
        (Kind.TRUST, trust(3)),
        (Kind.REPORT, b"{}"),
    ],
)
def test_what_stands_above_ours_is_left_alone(words: OwnWords, kind: Kind, payload: bytes) -> None:
    """Two managers that each put the other right would never end."""
    words.heard(kind, payload, NOW)
    assert words.due() is None


def test_devices_that_do_not_know_our_key_are_told_but_not_all_the_time(words: OwnWords) -> None:
    """A whole fleet that asks at once gets one answer."""
    words.distrusted(NOW + 10)
    assert words.due() is None
    words.distrusted(NOW + TRUST_EVERY)
    assert [topic for topic, _ in words.take(NOW + TRUST_EVERY)] == [CHANNEL.trust()]
    words.distrusted(NOW + TRUST_EVERY + 10)
    words.heard(Kind.TRUST, trust(2), NOW + TRUST_EVERY + 20)
    assert words.due() is None


def test_nothing_is_said_without_a_connection(words: OwnWords) -> None:
    """The next connect says everything anew."""
    words.heard(Kind.TRUST, b"", NOW)
    words.lost()
    assert words.due() is None
    assert words.take(NOW + CAP) == []
    words.begin(2, NOW + CAP)
    assert len(words.take(NOW + CAP)) == 2


def releases(version: int, *modules: str) -> bytes:
    return seal("releases", encode(Releases(version=version, modules=modules)), ROOT)


def test_a_release_list_is_kept_at_the_broker_like_the_keys() -> None:
    """Said with the rest, said again when the broker lost it or returns an older one (rule j)."""
    words = OwnWords(CHANNEL, KEY, trust(2), releases=releases(3), fence=50, source_id="m")
    words.begin(1, NOW)
    said = dict(words.take(NOW))
    assert said[CHANNEL.releases()] == releases(3)
    for kind, topic in (
        (Kind.TRUST, CHANNEL.trust()),
        (Kind.MANAGER_STATUS, CHANNEL.manager_status()),
        (Kind.RELEASES, CHANNEL.releases()),
    ):
        words.heard(kind, said[topic], NOW)
    assert words.due() is None
    words.heard(Kind.RELEASES, releases(4), NOW)
    assert words.due() is None, "a newer one is somebody else's word, left alone"
    for lost in (b"", releases(2), b"garbage"):
        words.heard(Kind.RELEASES, lost, NOW)
        due = words.due()
        assert due is not None
        assert dict(words.take(due)) == {CHANNEL.releases(): releases(3)}
        words.heard(Kind.RELEASES, releases(3), NOW)
        assert words.due() is None


def test_a_newer_list_is_said_at_once(words: OwnWords) -> None:
    """Also the first one, which there was none of when we connected; what is known already is not
    said again."""
    words.reword(trust(2), releases(1), NOW)
    assert dict(words.take(NOW)) == {CHANNEL.releases(): releases(1)}
    words.heard(Kind.RELEASES, releases(1), NOW)
    words.reword(trust(3), releases(2), NOW)
    assert dict(words.take(NOW)) == {CHANNEL.trust(): trust(3), CHANNEL.releases(): releases(2)}
    for kind, payload in ((Kind.TRUST, trust(3)), (Kind.RELEASES, releases(2))):
        words.heard(kind, payload, NOW)
    words.reword(trust(3), releases(2), NOW)
    assert words.due() is None
