"""Readers of Apps with sources of their own: when they look, and whom they belong to."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from propeller.errors import Unavailable
from propeller.model.binding import Binding
from propeller.model.ceilings import Ceilings
from propeller.model.ids import sha256_digest
from propeller.model.parse import parse_object
from propeller.model.plugins import Hook, Plugin
from propeller.model.scoring import Failing
from propeller.model.specs import App
from propeller.reconcile.events import SourceSilent, SpecsRefused, SpecsTaken
from propeller.reconcile.readers import AppReaders, LateSource, Library, pause_of
from propeller.sources.open import open_source
from propeller.sources.plugins import Bound

NOON = 1_800_014_400_000
"""Unix ms of a noon, UTC."""

SPEC = "apiVersion: propeller.dev/v1alpha1\nkind: Proplet\nmetadata: {name: NAME}\nspec: {}\n"


def app(name: str = "red", address: str = "/srv/red", **more) -> App:
    """An App with a folder as its source."""
    meta = {"namespace": "default", "name": name, "uid": f"uid-{name}", "app": "default"}
    spec = {
        "source": {"directory": {"path": address}},
        "namespace": "plant",
        "prune": "Enabled",
        "discovery": "Deny",
    }
    made = parse_object("App", meta, spec)
    assert isinstance(made, App)
    return replace(made, **more)


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 100.0), (1.0, 110.0), (-1.0, 90.0)])
def test_an_interval_is_stretched_by_chance(chance: float, seconds: float) -> None:
    """By the jitter at most, either way."""
    assert pause_of(app(interval=100_000), NOON, chance) == pytest.approx(seconds)


def test_no_jitter_is_no_chance() -> None:
    """0% looks to the second."""
    assert pause_of(app(interval=100_000, jitter=0), NOON, 1.0) == 100.0


def test_nobody_looks_without_a_pause() -> None:
    """However short the interval and great the jitter."""
    assert pause_of(app(interval=1_000, jitter=100), NOON, -1.0) == 1.0


def test_a_schedule_looks_at_its_times() -> None:
    """On the clock, in its time zone."""
    hourly = app(cron="15 * * * *")
    assert pause_of(hourly, NOON, 1.0) == 15 * 60
    assert pause_of(hourly, NOON + 15 * 60_000, 0.0) == 60 * 60
    there = app(cron="0 14 * * *", time_zone="Asia/Kolkata")
    assert pause_of(there, NOON, 0.0) == (20 * 60 + 30) * 60


class Heard:
    """What readers posted; `wait` for the next."""

    def __init__(self) -> None:
        self.all: list[SpecsTaken | SpecsRefused | SourceSilent] = []
        self._news = threading.Condition()

    def post(self, outcome: SpecsTaken | SpecsRefused | SourceSilent) -> None:
        with self._news:
            self.all.append(outcome)
            self._news.notify_all()

    def wait(self, count: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: len(self.all) >= count, timeout=20), self.all


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def readers(tmp_path: Path, heard: Heard):
    """Readers that open folders."""
    made = AppReaders(
        Library(
            open=lambda address: open_source(address, cache=tmp_path / "git"),
            domain="test",
            keep=sha256_digest,
            post=heard.post,
            clock=lambda: NOON,
            rng=random.Random(1),
        )
    )
    yield made
    made.stop()


def folder(path: Path, name: str) -> str:
    path.mkdir(exist_ok=True)
    (path / "p.yaml").write_text(SPEC.replace("NAME", name))
    return str(path)


def test_every_app_is_read_as_its_own(tmp_path: Path, readers: AppReaders, heard: Heard) -> None:
    """Objects belong to the App and lie in its namespace."""
    wanted = {
        name: app(name, folder(tmp_path / name, name), interval=3_600_000)
        for name in ("red", "blue")
    }
    readers.follow(wanted, lambda _: "")
    heard.wait(2)
    for taken in heard.all:
        assert isinstance(taken, SpecsTaken)
        (thing,) = taken.revision.objects.values()
        assert (thing.meta.app, thing.meta.key.name) == (taken.app, taken.app)
        assert thing.meta.key.namespace == "plant"


def test_a_look_reads_what_moved(tmp_path: Path, readers: AppReaders, heard: Heard) -> None:
    """Between its times, too: a webhook only ever means look now."""
    readers.follow({"red": app("red", folder(tmp_path / "r", "a"), interval=3_600_000)}, str)
    heard.wait(1)
    folder(tmp_path / "r", "b")
    readers.look()
    heard.wait(2)
    (thing,) = heard.all[1].revision.objects.values()
    assert thing.meta.key.name == "b"


def test_a_source_that_comes_later_is_waited_for(
    tmp_path: Path, readers: AppReaders, heard: Heard
) -> None:
    """A folder that is not there yet is silent, not refused."""
    readers.follow({"red": app("red", str(tmp_path / "r"), interval=3_600_000)}, str)
    heard.wait(1)
    assert isinstance(heard.all[0], SourceSilent)
    assert heard.all[0].app == "red"
    folder(tmp_path / "r", "a")
    heard.wait(2)
    assert isinstance(heard.all[-1], SpecsTaken)


def test_an_app_that_moved_is_read_anew_and_its_old_reader_says_nothing(
    tmp_path: Path, readers: AppReaders, heard: Heard
) -> None:
    """Only the reader of the address that counts is heard."""
    first = {"red": app("red", folder(tmp_path / "one", "a"), interval=3_600_000)}
    readers.follow(first, str)
    heard.wait(1)
    readers.follow({"red": app("red", folder(tmp_path / "two", "b"), interval=3_600_000)}, str)
    heard.wait(2)
    folder(tmp_path / "one", "c")
    readers.look()
    names = [next(iter(one.revision.objects)).name for one in heard.all]
    assert names[:2] == ["a", "b"]
    assert "c" not in names


def test_who_is_bound_by_others_is_read_anew(
    tmp_path: Path, readers: AppReaders, heard: Heard
) -> None:
    """And says by whom, so that what was judged by others is not taken."""
    wanted = {"red": app("red", folder(tmp_path / "r", "a"), interval=3_600_000)}
    rule = Plugin(
        name="rule",
        digest=sha256_digest(b"rule"),
        hooks=frozenset({Hook.ADMIT}),
        kinds=frozenset({"Task"}),
        namespaces=("*",),
        failing=Failing.CLOSED,
        fuel=1,
        memory=1,
        timeout=1,
    )
    readers.follow(wanted, str)
    heard.wait(1)
    bound = Bound(Binding((rule,)), lambda _digest: b"")
    for _ in range(2):
        readers.follow(wanted, str, bound)
    heard.wait(2)
    first, second = heard.all
    assert isinstance(first, SpecsTaken)
    assert isinstance(second, SpecsTaken)
    assert (first.bound, second.bound) == ("", bound.binding.name)


def test_ceilings_that_were_lowered_bind_at_once(
    tmp_path: Path, readers: AppReaders, heard: Heard
) -> None:
    """The source is judged anew though nothing moved in it: not with the next restart only."""
    path = tmp_path / "r"
    path.mkdir()
    (path / "d.yaml").write_text(
        "apiVersion: propeller.dev/v1alpha1\nkind: Daemon\nmetadata: {name: d}\n"
        "spec: {module: {image: r.example/a:1}, limits: {memory: 64MiB}}\n"
    )
    free = app("red", str(path), interval=3_600_000)
    readers.follow({"red": free}, str)
    heard.wait(1)
    readers.follow({"red": replace(free, ceilings=Ceilings(memory=32 << 20))}, str)
    heard.wait(2)
    refused = heard.all[1]
    assert isinstance(refused, SpecsRefused)
    assert "must be at most 32MiB" in str(refused.faults[0])


def test_an_app_that_went_is_read_no_more(
    tmp_path: Path, readers: AppReaders, heard: Heard
) -> None:
    """Its reader ends."""
    readers.follow({"red": app("red", folder(tmp_path / "r", "a"), interval=3_600_000)}, str)
    heard.wait(1)
    readers.follow({}, str)
    folder(tmp_path / "r", "b")
    readers.look()
    assert len(heard.all) == 1


def test_an_address_that_is_wrong_is_unavailable_with_the_reason(tmp_path: Path) -> None:
    """And is tried again: who may be asked stands in files of ours."""
    source = LateSource("bad scheme://x", lambda text: open_source(text, cache=tmp_path))
    with pytest.raises(Unavailable, match="bad scheme"):
        source.head()
