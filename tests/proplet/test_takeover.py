"""How a new run of a daemon takes over from an older one: the three ways an entry may ask for."""

from __future__ import annotations

from typing import Any

import pytest
from proplet_agent_world import World, a_daemon, module

from propeller.wire.messages import Entry
from proplet.effects import Effect, Fetch, FreeBlob, InUse, Outcome, Prepare, Say, Start, Stop

STOPPED = Outcome(ok=False, error="stopped")
TRAPPED = Outcome(ok=False, error="trap")
OLD = a_daemon()


def key(entry: Entry) -> tuple[str, str]:
    return (entry.uid, entry.run)


def successor(update: str, **changes: Any) -> Entry:
    """The next version of OLD: another module, so another run."""
    given = {"run": "f" * 32, "module": module("b"), "ready_after": 500, **changes}
    return a_daemon(update=update, **given)


def replacing(new: Entry, old: Entry = OLD) -> World:
    """OLD runs, and a document lists `new` in its place; nothing else happens by itself."""
    world = World()
    world.connect()
    world.want(old)
    world.auto = False
    world.done.clear()
    world.want(new, gen=2)
    return world


def bring(world: World, new: Entry) -> None:
    """The module of `new` is there and fits."""
    world.do(world.agent.fetched(new.module.digest, world.now))
    world.do(world.agent.prepared(key(new), new.digest, world.now))


def order(world: World, *kinds: type[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in world.done if isinstance(effect, kinds)]


class TestHandOver:
    """The old guest goes on until the new one is ready."""

    def test_the_old_one_is_stopped_when_the_new_one_is_ready(self) -> None:
        """Both run for a while, and at no time none."""
        new = successor("HandOver")
        world = replacing(new)
        bring(world, new)
        assert set(world.guests) == {key(OLD), key(new)}
        assert world.all(Stop) == []
        world.pass_(499)
        assert world.all(Stop) == []
        world.pass_(1)
        assert world.all(Stop) == [Stop(key(OLD), 0)]
        world.end(key(OLD), STOPPED)
        assert world.run(OLD) is None
        assert world.state(new) == "Running"

    def test_a_new_one_that_keeps_trapping_leaves_the_old_one(self) -> None:
        """It backs off and is tried again while the old one serves."""
        new = successor("HandOver")
        world = replacing(new)
        bring(world, new)
        for _ in range(3):
            world.end(key(new), TRAPPED)
            assert world.state(new) == "BackOff"
            assert world.state(OLD) == "Running"
            world.pass_(10_000)
            if world.all(Stop):
                break
        assert world.started().count(new.run) > 1

    @pytest.mark.parametrize("how", ["failed", "unfit", "refused"])
    def test_a_new_one_that_is_given_up_leaves_the_old_one(self, how: str) -> None:
        """Until the manager lists something else, which is then the old one as it was."""
        changes: dict[str, Any] = {"failed": {"max_restarts": 0}, "refused": {"memory": 1 << 40}}
        new = successor("HandOver", **changes.get(how, {}))
        world = replacing(new)
        if how == "unfit":
            world.do(world.agent.fetched(new.module.digest, world.now))
            world.do(world.agent.unfit(key(new), new.digest, "no such export", world.now))
        elif how == "failed":
            bring(world, new)
            world.end(key(new), TRAPPED)
        world.pass_(3_600_000)
        assert world.state(new) in ("Failed", "Refused")
        assert set(world.guests) == {key(OLD)}
        world.want(OLD, gen=3)
        assert world.state(OLD) == "Running"
        assert world.run(new) is None
        assert OLD.run not in world.started(), "it was never stopped, so it is not started"

    def test_no_room_for_two_stops_the_old_one_first(self) -> None:
        """Said in the log; the new one starts as soon as the old one is gone."""
        old = a_daemon(memory=40 << 20)
        new = successor("HandOver", memory=40 << 20)
        world = replacing(new, old)
        bring(world, new)
        assert world.all(Stop) == [Stop(key(old), 0)]
        assert any("no room for two copies" in said.text for said in world.all(Say))
        assert new.run not in world.started()
        world.end(key(old), STOPPED)
        assert world.state(new) == "Running"

    def test_a_crash_in_the_middle_leaves_the_new_one_only(self) -> None:
        """What is listed is what runs, whoever was ready."""
        new = successor("HandOver")
        world = replacing(new)
        bring(world, new)
        world.auto = True
        world.crash()
        assert list(world.guests) == [key(new)]
        world.connect()
        world.pass_(1_000)
        assert world.run(OLD) is None
        assert set(world.disk.runs) == {key(new)}

    def test_a_crash_before_the_new_one_is_here_leaves_the_new_one_only(self) -> None:
        """The old one is not started again: its document was replaced."""
        new = successor("HandOver")
        world = replacing(new)
        world.crash()
        assert world.guests == {}
        bring(world, new)
        assert list(world.guests) == [key(new)]

    def test_back_to_the_old_one_in_the_middle(self) -> None:
        """A rollback before the new one was ready never interrupts the old one."""
        new = successor("HandOver")
        world = replacing(new)
        bring(world, new)
        world.want(OLD, gen=3)
        assert world.all(Stop) == [Stop(key(new), 0)]
        world.end(key(new), STOPPED)
        assert set(world.guests) == {key(OLD)}

    def test_cancelling_the_new_one_stops_both(self) -> None:
        """An operator who wants it to stop means the object."""
        new = successor("HandOver")
        world = replacing(new)
        bring(world, new)
        world.op("cancel", new)
        assert {stop.key for stop in world.all(Stop)} == {key(OLD), key(new)}

    def test_how_it_takes_over_is_no_new_version(self) -> None:
        """The same run with another `update` goes on as it is."""
        world = World()
        world.connect()
        world.want(OLD)
        changed = a_daemon(update="HandOver")
        assert changed.digest == OLD.digest
        world.want(changed, gen=2)
        world.pass_(10_000)
        assert world.all(Stop) == []
        assert len(world.started()) == 1


class TestKillThenDownload:
    """Memory and storage are free before anything is fetched."""

    def test_the_old_one_and_its_module_go_first(self) -> None:
        """Stop, the module's bytes, then the fetch."""
        new = successor("KillThenDownload")
        world = replacing(new)
        assert order(world, Stop, Fetch) == ["Stop"]
        world.pass_(1_000)
        assert world.all(Fetch) == []
        world.end(key(OLD), STOPPED)
        assert order(world, Stop, FreeBlob, Fetch) == ["Stop", "FreeBlob", "Fetch"]
        assert world.all(FreeBlob) == [FreeBlob(OLD.module.digest)]
        assert OLD.module.digest not in world.all(InUse)[-1].digests
        bring(world, new)
        assert world.state(new) == "Running"

    def test_a_module_another_run_needs_stays(self) -> None:
        """Two daemons of one module: one of them moves on."""
        new = successor("KillThenDownload")
        other = a_daemon(2)
        world = World()
        world.connect()
        world.want(OLD, other)
        world.auto = False
        world.want(new, other, gen=2)
        world.end(key(OLD), STOPPED)
        assert world.all(FreeBlob) == []
        assert world.state(new) == "Fetching"

    def test_what_can_never_run_here_kills_nothing_of_the_same_run(self) -> None:
        """An entry that asks for more memory than there is leaves the guest it would replace."""
        world = replacing(a_daemon(update="KillThenDownload", memory=1 << 40))
        assert world.all(Stop) == []
        assert world.state(OLD) == "Running"

    def test_new_limits_of_the_same_run_stop_it_at_once(self) -> None:
        """No preparing beside a guest that runs."""
        new = a_daemon(update="KillThenDownload", memory=1 << 20)
        world = replacing(new)
        assert order(world, Stop, Prepare) == ["Stop"]
        world.end(key(OLD), STOPPED)
        assert order(world, Stop, Prepare) == ["Stop", "Prepare"]

    def test_a_crash_after_the_kill_goes_on_with_the_new_one(self) -> None:
        """Nothing is left of the old one, and the download begins at boot."""
        new = successor("KillThenDownload")
        world = replacing(new)
        world.end(key(OLD), STOPPED)
        world.crash()
        assert [fetch.digest for fetch in world.all(Fetch)] == [new.module.digest]
        bring(world, new)
        assert [start.entry.run for start in world.all(Start)] == [new.run]
