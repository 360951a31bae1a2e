"""The pure agent, rule by rule."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from proplet_agent_world import (
    BADLY,
    GATEWAY,
    HELLO,
    INST,
    MANAGER,
    MODULE,
    ROOT,
    STRANGER,
    WALL,
    WELL,
    World,
    a_daemon,
    a_document,
    a_task,
    key,
    module,
    sha256,
    signed,
    trust,
)

from propeller.wire import codec
from propeller.wire.frame import seal
from propeller.wire.messages import BlobGet, BlobRef, Hello, Observed, Op, Report, Status
from proplet.effects import (
    DropUpload,
    Fetch,
    ForgetRun,
    FreeBlob,
    KeepBlob,
    Outcome,
    Prepare,
    SaveDesired,
    SendChunk,
    Start,
    Stop,
    Subscribe,
    TailLog,
    Topic,
    WriteChunk,
)

DOCUMENT = a_document(a_task())


class TestDocuments:
    """Which desired documents are taken."""

    def test_a_signed_document_is_persisted_before_it_is_acted_on(self) -> None:
        """The effects of the turn hold the document before the first fetch."""
        world = World(auto=False)
        world.want(a_task())
        kinds = [type(effect) for effect in world.done]
        assert kinds.index(SaveDesired) < kinds.index(Fetch)
        assert world.disk.desired is not None
        assert world.disk.desired.entries == (a_task(),)

    @pytest.mark.parametrize(
        ("payload", "reason"),
        [
            (codec.encode(DOCUMENT), "not_framed"),
            (signed(DOCUMENT, STRANGER), "unknown_kid"),
            (signed(DOCUMENT, GATEWAY), "not_allowed"),
            (signed(DOCUMENT)[:-1] + b" ", "bad_signature"),
            (signed(DOCUMENT)[:40], "bad_frame"),
            (seal("op", codec.encode(DOCUMENT), MANAGER), "bad_signature"),
            (signed(replace(DOCUMENT, inst="f" * 32)), "other_inst"),
            (signed(replace(DOCUMENT, not_after=WALL - 1)), "expired"),
            (seal("desired", b'{"v":1}', MANAGER), "missing_field"),
            (seal("desired", b"P" * 9, MANAGER), "not_map"),
            (signed(a_document(a_task(), a_task())), "repeated_run"),
            (
                signed(replace(DOCUMENT, tasks=None, body=BlobRef(digest=MODULE, size=1 << 40))),
                "too_big",
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_refused_document_changes_nothing_and_is_reported(
        self, payload: bytes, reason: str
    ) -> None:
        """Nothing is persisted or started, and the report says why."""
        world = World()
        world.connect()
        world.hear(Topic.DESIRED, payload)
        report = world.report()
        assert report.refused is not None
        assert report.refused.reason == reason
        assert (report.observed, report.tasks) == (Observed(), ())
        assert world.disk.desired is None

    def test_a_document_for_somebody_else_is_counted_only(self) -> None:
        """Another id in the body is foreign, whoever signed it."""
        world = World()
        world.connect()
        world.hear(Topic.DESIRED, signed(replace(DOCUMENT, to="p2")))
        assert world.report().refused is None
        assert world.agent.counts["foreign"] == 1

    def test_an_empty_payload_is_ignored(self) -> None:
        """(d) A zero-length desired only frees the broker's slot."""
        world = World()
        world.connect()
        world.want(a_task())
        world.hear(Topic.DESIRED, b"")
        assert world.state(a_task()) == "Running"

    @pytest.mark.parametrize(
        ("pair", "reason"),
        [((100, 4), "stale"), ((99, 9), "stale"), ((100, 5), "other_digest")],
        ids=["older gen", "older fence", "same pair, other digest"],
    )
    def test_only_newer_documents_are_taken(self, pair: tuple[int, int], reason: str) -> None:
        """(b) An older pair, or the same with another digest, is refused and reported."""
        world = World()
        world.connect()
        world.want(a_task(1), gen=5)
        fence, gen = pair
        world.want(a_task(2), gen=gen, fence=fence)
        report = world.report()
        assert report.refused is not None
        assert (report.refused.fence, report.refused.gen) == pair
        assert report.refused.reason == reason
        assert report.observed == Observed(
            fence=100, gen=5, digest=codec.tasks_digest((a_task(1),))
        )
        world.want(a_task(2), gen=1, fence=101)
        assert world.report().refused is None
        assert world.report().observed.fence == 101

    def test_the_same_document_again_is_no_news(self) -> None:
        """A repeated delivery neither restarts nor refuses anything."""
        world = World()
        world.connect()
        world.want(a_task())
        world.want(a_task())
        assert world.started() == [a_task().run]
        assert world.report().refused is None

    def test_the_order_holds_after_a_reboot(self) -> None:
        """(b) The pair is persisted: a stale document is refused by the next boot too."""
        world = World()
        world.want(a_task(), gen=5)
        world.crash()
        world.connect()
        world.want(gen=4)
        report = world.report()
        assert report.refused is not None
        assert report.refused.reason == "stale"

    def test_a_refusal_is_told_once_in_a_while(self) -> None:
        """A document refused again and again does not flood the manager."""
        world = World()
        world.connect()
        world.want(a_task(), gen=5)
        world.report()
        world.done.clear()
        for _ in range(20):
            world.want(gen=4)
            world.pass_(100)
        assert len({report.seq for report in world.published(Report)}) == 1

    def test_without_a_set_clock_the_floor_is_what_was_signed(self) -> None:
        """notAfter is judged by the newest accepted iat, and the report says Unsynced."""
        world = World()
        world.connect()
        world.want(a_task(), gen=1, iat=WALL + 1000)
        world.crash()
        world.synced, world.wall = False, 0
        world.connect()
        world.want(gen=2, not_after=WALL + 999)
        report = world.report()
        assert (report.clock, report.refused and report.refused.reason) == ("Unsynced", "expired")
        world.want(gen=3, not_after=WALL + 2000)
        assert world.report().observed.gen == 3

    def test_not_after_never_stops_accepted_work(self) -> None:
        """It gates acceptance only."""
        world = World()
        world.connect()
        world.want(a_task(), not_after=WALL + 10)
        world.pass_(60_000)
        assert world.state(a_task()) == "Running"


class TestBodies:
    """(k) Documents whose tasks come as a blob."""

    def test_a_body_is_switched_to_whole(self) -> None:
        """Until it is here and read, the old document stands; then all of it at once."""
        world = World(auto=False)
        world.connect()
        world.want(a_task(1))
        entries = (a_task(2), a_task(3))
        data = codec.encode_tasks(entries)
        ref = BlobRef(digest=sha256(data), size=len(data))
        document = a_document(*entries, gen=2, tasks=None, body=ref)
        world.hear(Topic.DESIRED, signed(document))
        assert world.all(Fetch)[-1].digest == ref.digest
        assert world.report().observed.gen == 1
        world.do(world.agent.fetched(ref.digest, world.now, data))
        report = world.report()
        assert report.observed == Observed(fence=100, gen=2, digest=document.digest)
        assert [run.run for run in report.tasks or ()] == [a_task(2).run, a_task(3).run]

    def test_a_body_that_is_not_the_signed_list_is_refused(self) -> None:
        """The list's digest is signed: a blob with other tasks is not taken."""
        world = World(auto=False)
        world.connect()
        data = codec.encode_tasks((a_task(9),))
        ref = BlobRef(digest=sha256(data), size=len(data))
        world.hear(Topic.DESIRED, signed(a_document(a_task(2), tasks=None, body=ref)))
        world.do(world.agent.fetched(ref.digest, world.now, data))
        report = world.report()
        assert report.refused is not None
        assert report.refused.reason == "digest_mismatch"
        assert report.tasks == ()

    def test_a_body_that_cannot_be_had_is_told_and_tried_again(self) -> None:
        """Given up, it is reported; a manager that comes online starts it anew."""
        world = World(auto=False)
        world.connect()
        ref = BlobRef(digest=MODULE, size=10)
        world.hear(Topic.DESIRED, signed(a_document(a_task(2), tasks=None, body=ref)))
        world.do(world.agent.fetch_failed(ref.digest, "no answer", world.now))
        report = world.report()
        assert report.refused is not None
        assert report.refused.reason == "body_unavailable"
        fetches = len(world.all(Fetch))
        world.manager()
        assert len(world.all(Fetch)) == fetches + 1


class TestTrust:
    """Whom the agent believes."""

    def test_before_any_trust_nobody_is_believed(self) -> None:
        """The pinned root may sign trust, not documents."""
        world = World(trusting=False)
        world.connect()
        world.hear(Topic.DESIRED, signed(DOCUMENT))
        world.hear(Topic.DESIRED, signed(DOCUMENT, ROOT))
        assert world.disk.desired is None

    def test_new_trust_asks_for_desired_again(self) -> None:
        """An unknown key may be known now: UNSUBSCRIBE, then SUBSCRIBE."""
        world = World(trusting=False)
        world.connect()
        world.hear(Topic.TRUST, trust())
        assert Subscribe((Topic.DESIRED, Topic.MANAGER), again=True) in world.done
        world.hear(Topic.DESIRED, signed(DOCUMENT))
        assert world.disk.desired is not None

    @pytest.mark.parametrize(
        "frame",
        [
            trust(3, root=STRANGER),
            trust(1, manager=STRANGER),
            trust(2, manager=STRANGER),
            b"",
            b"{}",
        ],
        ids=["other root", "older", "same version", "empty", "unsigned"],
    )
    def test_trust_only_grows_and_only_by_the_root(self, frame: bytes) -> None:
        """Whatever else comes leaves the keys as they are."""
        world = World(trusting=False)
        world.hear(Topic.TRUST, trust(2))
        world.hear(Topic.TRUST, frame)
        world.hear(Topic.DESIRED, signed(DOCUMENT, STRANGER))
        assert world.disk.desired is None
        world.hear(Topic.DESIRED, signed(DOCUMENT))
        assert world.disk.desired is not None

    def test_a_revoked_manager_is_not_heard_but_its_work_goes_on(self) -> None:
        """Keys gate acceptance; what was accepted stays, after a reboot too."""
        world = World()
        world.want(a_daemon())
        world.hear(Topic.TRUST, trust(2, manager=STRANGER))
        world.want(gen=2)
        world.crash()
        world.want(gen=3)
        assert list(world.guests) == [key(a_daemon())]


class TestOnceRuns:
    """(e) A run is started at most once."""

    def test_fetch_prepare_start_in_this_order(self) -> None:
        """Nothing is started that was not fetched, checked and persisted."""
        world = World(auto=False)
        world.connect()
        world.want(a_task())
        assert world.state(a_task()) == "Fetching"
        world.do(world.agent.fetched(MODULE, world.now))
        assert world.all(Prepare) == [Prepare(a_task())]
        assert world.all(Start) == []
        world.do(world.agent.prepared(key(a_task()), a_task().digest, world.now))
        assert world.started() == [a_task().run]
        assert world.disk.runs[key(a_task())].starts == 1

    def test_it_ends_with_its_result(self) -> None:
        """Succeeded, ready, exit and result; it stays listed as long as desired lists it."""
        world = World()
        world.connect()
        world.want(a_task())
        world.end(key(a_task()), WELL)
        run = world.run(a_task())
        assert run is not None
        assert (run.state, run.ready, run.exit, run.result) == ("Succeeded", True, 0, "42")
        world.want(gen=2)
        assert world.run(a_task()) is None
        assert ForgetRun(key(a_task())) in world.done

    def test_failure_has_words(self) -> None:
        """Failed, exit 3."""
        world = World()
        world.connect()
        world.want(a_task())
        world.end(key(a_task()), BADLY)
        run = world.run(a_task())
        assert run is not None
        assert (run.state, run.ready, run.exit, run.error) == ("Failed", False, 3, "exit 3")

    def test_a_crash_makes_it_interrupted_and_never_starts_it_again(self) -> None:
        """Whatever is listed afterwards."""
        world = World()
        world.want(a_task())
        world.crash()
        world.connect()
        world.want(a_task(), gen=2)
        assert world.state(a_task()) == "Interrupted"
        assert world.starts == {(key(a_task()), 0): 1}

    def test_a_crash_before_the_start_loses_nothing(self) -> None:
        """Accepted, not yet started: the next boot starts it."""
        world = World(auto=False)
        world.want(a_task())
        world.auto = True
        world.crash()
        assert world.started() == [a_task().run]

    def test_an_ended_run_survives_a_reboot(self) -> None:
        """Its state and result are reported by the next boot."""
        world = World()
        world.want(a_task())
        world.end(key(a_task()), WELL)
        world.crash()
        world.connect()
        run = world.run(a_task())
        assert run is not None
        assert (run.state, run.result) == ("Succeeded", "42")

    def test_new_limits_do_not_touch_a_running_run(self) -> None:
        """The same run with another digest goes on as it was started."""
        world = World()
        world.connect()
        world.want(a_task())
        world.want(a_task(timeout=5), gen=2)
        assert len(world.started()) == 1
        assert world.all(Stop) == []
        run = world.run(a_task())
        assert run is not None
        assert run.digest == a_task().digest

    def test_removed_while_running_it_is_stopped_and_then_gone(self) -> None:
        """Stopping until the guest is gone; only then it leaves the inventory."""
        world = World(auto=False)
        world.connect()
        world.want(a_task())
        world.do(world.agent.fetched(MODULE, world.now))
        world.do(world.agent.prepared(key(a_task()), a_task().digest, world.now))
        world.want(gen=2)
        assert world.state(a_task()) == "Stopping"
        world.end(key(a_task()), Outcome(ok=False, error="stopped"))
        assert world.run(a_task()) is None

    def test_listed_again_after_it_was_gone_it_is_remembered(self) -> None:
        """Deleted and reverted: the run is shown as it ended, not run twice."""
        world = World()
        world.connect()
        world.want(a_task())
        world.end(key(a_task()), WELL)
        world.want(gen=2)
        world.crash()
        world.connect()
        world.want(a_task(), gen=3)
        run = world.run(a_task())
        assert run is not None
        assert (run.state, run.result) == ("Succeeded", "42")
        assert world.starts == {(key(a_task()), 0): 1}

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"mounts": (("models", "/m", "ReadOnly"),)}, "no mount 'models' here"),
            ({"mounts": (("data", "/d", "ReadWrite"),)}, "mount 'data' is read-only here"),
            ({"memory": 1 << 30}, "needs 1073741824 bytes of memory"),
            ({"module": module("b", 1 << 30)}, "the module is 1073741824 bytes"),
        ],
        ids=["mount", "read-only", "memory", "size"],
    )
    def test_what_the_device_cannot_do_is_refused(
        self, changes: dict[str, Any], words: str
    ) -> None:
        """In words, before anything is fetched."""
        from propeller.wire.messages import WireMount

        if "mounts" in changes:
            (name, path, access) = changes["mounts"][0]
            changes = {"mounts": (WireMount(name=name, path=path, access=access),)}
        world = World(auto=False)
        world.connect()
        entry = a_task(**changes)
        world.want(entry)
        run = world.run(entry)
        assert run is not None
        assert run.state == "Refused"
        assert words in run.error
        assert world.all(Fetch) == []

    def test_an_unfit_module_is_refused_and_a_mended_entry_is_tried(self) -> None:
        """A missing import is said; the run was never started, so a changed entry may."""
        world = World(auto=False)
        world.connect()
        world.want(a_task())
        world.do(world.agent.fetched(MODULE, world.now))
        world.do(world.agent.unfit(key(a_task()), a_task().digest, "needs env.gpio", world.now))
        run = world.run(a_task())
        assert run is not None
        assert (run.state, run.error) == ("Refused", "needs env.gpio")
        world.auto = True
        world.want(a_task(entrypoint="main"), gen=2)
        assert world.state(a_task()) == "Running"

    def test_slots_and_memory_are_kept_to(self) -> None:
        """More than fits waits; what ends makes room."""
        world = World(hello=replace(HELLO, tasks=2, memory=1 << 20))
        world.connect()
        small = [a_task(n, memory=1000) for n in (1, 2, 3)]
        world.want(*small)
        assert sorted(world.guests) == [key(small[0]), key(small[1])]
        world.end(key(small[0]), WELL)
        assert sorted(world.guests) == [key(small[1]), key(small[2])]
        large = [a_task(n, memory=600_000) for n in (4, 5)]
        world.want(*large, gen=2)
        assert list(world.guests) == [key(large[0])]
        assert world.state(large[1]) == "Pending"


class TestDaemons:
    """Guests that are kept running."""

    def test_it_comes_back_after_a_backoff_that_doubles(self) -> None:
        """(uid, run, restarts): each incarnation once, later and later."""
        world = World()
        world.connect()
        daemon = a_daemon(backoff_base=1000, backoff_cap=4000)
        world.want(daemon)
        waits = []
        for _ in range(5):
            world.end(key(daemon), BADLY)
            assert world.state(daemon) == "BackOff"
            began = world.mono
            while key(daemon) not in world.guests:
                world.pass_(10)
            waits.append(world.mono - began)
        assert 350 <= waits[0] <= 1010
        assert 850 <= waits[1] <= 2010
        assert all(1850 <= wait <= 4010 for wait in waits[2:])
        run = world.run(daemon)
        assert run is not None
        assert run.restarts == 5
        assert set(world.starts.values()) == {1}

    @pytest.mark.parametrize(
        ("policy", "outcome", "state"),
        [
            ("Always", WELL, "BackOff"),
            ("Always", BADLY, "BackOff"),
            ("OnFailure", WELL, "Succeeded"),
            ("OnFailure", BADLY, "BackOff"),
            ("Never", WELL, "Succeeded"),
            ("Never", BADLY, "Failed"),
        ],
    )
    def test_the_policy_decides(self, policy: str, outcome: Outcome, state: str) -> None:
        """What follows an end."""
        world = World()
        world.connect()
        daemon = a_daemon(restart=policy)
        world.want(daemon)
        world.end(key(daemon), outcome)
        assert world.state(daemon) == state

    def test_restarts_are_used_up(self) -> None:
        """After max_restarts failures in a row it has failed, and says so."""
        world = World()
        world.connect()
        daemon = a_daemon(max_restarts=2, backoff_base=10)
        world.want(daemon)
        for _ in range(3):
            world.end(key(daemon), BADLY)
            world.pass_(100)
        run = world.run(daemon)
        assert run is not None
        assert run.state == "Failed"
        assert run.error == "gave up after 2 restarts; the last time: exit 3"

    def test_a_stable_stretch_forgives_earlier_failures(self) -> None:
        """A daemon that fails once an hour never uses up its restarts."""
        world = World()
        world.connect()
        daemon = a_daemon(max_restarts=1, backoff_base=10)
        world.want(daemon)
        for _ in range(5):
            world.pass_(3_600_000)
            world.end(key(daemon), BADLY)
            world.pass_(100)
        assert world.state(daemon) == "Running"

    def test_ready_after_a_while(self) -> None:
        """readyAfter counts from the last start."""
        world = World()
        world.connect()
        daemon = a_daemon(ready_after=5000, backoff_base=10)
        world.want(daemon)
        world.pass_(4000)
        assert (run := world.run(daemon)) is not None
        assert not run.ready
        world.pass_(1000)
        assert (run := world.run(daemon)) is not None
        assert run.ready
        world.end(key(daemon), BADLY)
        world.pass_(100)
        assert (run := world.run(daemon)) is not None
        assert not run.ready

    def test_a_reboot_starts_the_next_incarnation(self) -> None:
        """With no network, from what is stored."""
        world = World()
        world.want(a_daemon())
        world.crash()
        assert list(world.guests) == [key(a_daemon())]
        assert world.starts == {(key(a_daemon()), 0): 1, (key(a_daemon()), 1): 1}

    def test_a_changed_entry_is_fetched_before_the_old_guest_is_stopped(self) -> None:
        """Download, check, kill, start: in this order."""
        world = World()
        world.connect()
        old, new = a_daemon(), a_daemon(module=module("b"))
        world.want(old)
        world.auto = False
        world.want(new, gen=2)
        assert world.all(Stop) == []
        world.do(world.agent.fetched(new.module.digest, world.now))
        assert world.all(Stop) == []
        world.do(world.agent.prepared(key(new), new.digest, world.now))
        assert world.all(Stop) == [Stop(key(old), 0)]
        assert len(world.started()) == 1
        world.end(key(old), Outcome(ok=False, error="stopped"))
        assert len(world.started()) == 2
        assert (run := world.run(new)) is not None
        assert (run.digest, run.restarts, run.state) == (new.digest, 1, "Running")

    def test_a_replacing_run_waits_for_the_old_one_to_be_gone(self) -> None:
        """A new run of the same object: never two versions side by side."""
        world = World()
        world.connect()
        old = a_daemon()
        new = a_daemon(run="f" * 32, module=module("b"))
        world.want(old)
        world.auto = False
        world.want(new, gen=2)
        assert world.state(old) == "Running"
        world.do(world.agent.fetched(new.module.digest, world.now))
        world.do(world.agent.prepared(key(new), new.digest, world.now))
        assert world.state(old) == "Stopping"
        assert len(world.started()) == 1
        world.end(key(old), Outcome(ok=False, error="stopped"))
        assert world.started() == [old.run, new.run]
        assert world.run(old) is None

    def test_a_replacement_that_cannot_run_leaves_the_old_one(self) -> None:
        """The changed entry is unfit: the old guest goes on and the report says why."""
        world = World()
        world.connect()
        old, new = a_daemon(), a_daemon(entrypoint="nope")
        world.want(old)
        world.auto = False
        world.want(new, gen=2)
        world.do(world.agent.unfit(key(new), new.digest, "exports no function 'nope'", world.now))
        run = world.run(new)
        assert run is not None
        assert (run.state, run.digest) == ("Running", old.digest)
        assert "nope" in run.error

    def test_a_failed_daemon_is_tried_again_when_its_entry_changes(self) -> None:
        """New digest, new chance."""
        world = World()
        world.connect()
        world.want(a_daemon(max_restarts=0))
        world.end(key(a_daemon()), BADLY)
        assert world.state(a_daemon()) == "Failed"
        world.want(a_daemon(max_restarts=5), gen=2)
        assert world.state(a_daemon()) == "Running"


class TestDownloads:
    """Blobs over MQTT."""

    def having_asked(self, size: int = 200_000) -> World:
        world = World(auto=False)
        world.connect()
        world.want(a_task(module=module("b", size)))
        world.do(world.agent.fetch_from(module("b").digest, size, 0, world.now))
        return world

    def test_pieces_are_asked_for_and_written_in_order(self) -> None:
        """Whatever order they come in, they are handed over from the first byte on."""
        world = self.having_asked()
        gets = world.published(BlobGet)
        assert [(get.off, get.len) for get in gets] == [
            (0, 65536), (65536, 65536), (131072, 65536), (196608, 3392)
        ]  # fmt: skip
        for get in (gets[2], gets[0], gets[3], gets[1]):
            world.chunk(get.digest, get.off, 200_000, get.req, bytes(get.len))
        assert [chunk.off for chunk in world.all(WriteChunk)] == [0, 65536, 131072, 196608]

    def test_a_short_piece_is_completed(self) -> None:
        """The server may send less than was asked."""
        world = self.having_asked(1000)
        (get,) = world.published(BlobGet)
        world.chunk(get.digest, 0, 1000, get.req, bytes(600))
        rest = world.published(BlobGet)[-1]
        assert (rest.off, rest.len) == (600, 400)

    def test_it_resumes_where_the_disk_is(self) -> None:
        """What is there is not asked for again."""
        world = World(auto=False)
        world.connect()
        world.want(a_task(module=module("b", 100_000)))
        world.do(world.agent.fetch_from(module("b").digest, 100_000, 65_000, world.now))
        assert world.published(BlobGet)[0].off == 65_000

    def test_nobody_asked(self) -> None:
        """A piece that was not asked for, or came twice, is counted and dropped."""
        world = self.having_asked(1000)
        (get,) = world.published(BlobGet)
        world.chunk(get.digest, 0, 1000, get.req + 1, bytes(1000))
        world.chunk(get.digest, 0, 1000, get.req, bytes(1000))
        world.chunk(get.digest, 0, 1000, get.req, bytes(1000))
        assert world.agent.counts["unasked"] == 2
        assert len(world.all(WriteChunk)) == 1

    def test_it_is_given_up_with_the_offset(self) -> None:
        """No answer, again and again: ArtifactFetchFailed, and the run says where it stands."""
        world = self.having_asked()
        get = world.published(BlobGet)[0]
        world.chunk(get.digest, 0, 200_000, get.req, bytes(65536))
        world.pass_(600_000)
        run = world.report().tasks
        assert run is not None
        assert run[0].state == "Fetching"
        assert run[0].error == "ArtifactFetchFailed: no answer, at byte 65536 of 200000"

    @pytest.mark.parametrize("how", ["manager", "document"])
    def test_it_is_tried_again(self, how: str) -> None:
        """A manager that comes online, or a changed document, starts a given-up fetch anew."""
        world = self.having_asked()
        world.pass_(600_000)
        count = len(world.all(Fetch))
        if how == "manager":
            world.manager()
        else:
            world.want(a_task(module=module("b", 200_000)), a_task(2), gen=2)
        assert module("b").digest in [fetch.digest for fetch in world.all(Fetch)[count:]]

    def test_while_offline_no_attempt_is_counted(self) -> None:
        """Hours without a broker, then it simply goes on."""
        world = self.having_asked()
        world.do(world.agent.disconnected(world.now))
        world.pass_(3_600_000)
        count = len(world.published(BlobGet))
        world.connect()
        assert len(world.published(BlobGet)) > count

    def test_while_the_manager_is_away_no_attempt_is_counted(self) -> None:
        """A fleet driven by `reconcile --once`: each pass goes on with the download."""
        world = self.having_asked()
        world.manager("offline")
        world.pass_(3_600_000)
        count = len(world.published(BlobGet))
        world.manager("online", conn=2)
        assert len(world.published(BlobGet)) > count

    def test_an_entry_that_goes_takes_its_download_along(self) -> None:
        """Nothing is asked for that nobody needs."""
        world = self.having_asked()
        world.want(gen=2)
        count = len(world.published(BlobGet))
        world.pass_(60_000)
        assert len(world.published(BlobGet)) == count


class TestUploads:
    """Results that travel as blobs."""

    BLOB = BlobRef(digest="sha256:" + "c" * 64, size=100_000)

    def having_a_result(self) -> World:
        world = World()
        world.connect()
        world.want(a_task())
        world.end(key(a_task()), Outcome(ok=True, exit=0, blob=self.BLOB))
        return world

    def test_pieces_follow_acknowledgements_and_stored_frees(self) -> None:
        """One piece at a time; the bytes go only after `stored`."""
        world = self.having_a_result()
        assert world.all(SendChunk) == [SendChunk(self.BLOB.digest, 0, 65536, 100_000)]
        world.ack(self.BLOB.digest, 65536, "open")
        assert world.all(SendChunk)[-1] == SendChunk(self.BLOB.digest, 65536, 34464, 100_000)
        world.ack(self.BLOB.digest, 100_000, "open")
        assert world.disk.uploads
        world.ack(self.BLOB.digest, 100_000, "stored")
        assert DropUpload(self.BLOB.digest) in world.done
        assert FreeBlob(self.BLOB.digest) in world.done
        assert world.disk.uploads == {}

    def test_it_survives_a_reboot_and_starts_where_the_manager_is(self) -> None:
        """The next boot puts from 0 and is told how much is there."""
        world = self.having_a_result()
        world.ack(self.BLOB.digest, 65536, "open")
        world.crash()
        world.connect()
        assert world.all(SendChunk)[0].off == 0
        world.ack(self.BLOB.digest, 65536, "open")
        assert world.all(SendChunk)[-1].off == 65536

    def test_a_manager_that_comes_online_is_put_to_again(self) -> None:
        """However long the pause had become."""
        world = self.having_a_result()
        world.pass_(3_600_000)
        world.done.clear()
        world.manager()
        assert len(world.all(SendChunk)) == 1

    def test_lost_bytes_are_given_up(self) -> None:
        """A disk that lost the file ends the upload instead of trying for ever."""
        world = self.having_a_result()
        world.do(world.agent.upload_lost(self.BLOB.digest, world.now))
        assert world.disk.uploads == {}

    def test_an_unsigned_ack_frees_nothing(self) -> None:
        """Only a manager's signature does."""
        from propeller.wire.messages import BlobAck

        world = self.having_a_result()
        ack = BlobAck(id="p1", digest=self.BLOB.digest, have=100_000, state="stored")
        world.hear(Topic.BLOB_ACK, codec.encode(ack))
        world.hear(Topic.BLOB_ACK, seal("ack", codec.encode(ack), STRANGER))
        assert world.disk.uploads


class TestReports:
    """What is told, and when."""

    def test_a_connection_begins_with_everything(self) -> None:
        """Subscriptions, hello, online and the whole inventory, all retained."""
        world = World()
        world.connect()
        assert isinstance(world.done[0], Subscribe)
        assert world.published(Hello) == [HELLO]
        assert [status.state for status in world.published(Status)] == ["online"]
        assert world.published(Report)[0].tasks == ()

    def test_changes_are_told_together(self) -> None:
        """A burst of changes is one report."""
        world = World()
        world.connect()
        world.pass_(100)
        world.done.clear()
        world.want(*(a_task(n) for n in range(1, 9)))
        for n in range(1, 9):
            world.end(key(a_task(n)), WELL)
        world.pass_(1000)
        report, *repeats = world.published(Report)
        assert {run.state for run in report.tasks or ()} == {"Succeeded"}
        assert all(again == report for again in repeats)

    def test_news_is_told_again_ever_later(self) -> None:
        """One report that a broker lost is not missed until the next heartbeat."""
        world = World()
        world.connect()
        world.pass_(9_000)
        world.done.clear()
        world.want(a_task())
        world.end(key(a_task()), WELL)
        times = []
        for _ in range(800):
            world.pass_(10)
            times += [world.mono for _ in world.published(Report)]
            assert len({report.seq for report in world.published(Report)}) <= 1
            world.done.clear()
        assert len(times) == 5
        gaps = [after - before for before, after in pairwise(times)]
        assert gaps == [500, 1_000, 2_000, 2_000]

    def test_a_heartbeat_names_the_inventory_without_listing_it(self) -> None:
        """Not retained, so that the full report stays with the broker."""
        from proplet.effects import Publish

        world = World()
        world.connect()
        world.want(a_task())
        full = world.report()
        world.done.clear()
        world.pass_(25_000)
        told = [e for e in world.all(Publish) if isinstance(e.message, Report)]
        beats = [e for e in told if e.message != full]
        assert len(beats) == 2
        for beat in beats:
            assert isinstance(beat.message, Report)
            assert (beat.retain, beat.message.tasks) == (False, None)
            assert beat.message.inventory == full.inventory
        seqs = sorted({report.seq for report in world.published(Report)} - {full.seq})
        assert seqs == [full.seq + 1, full.seq + 2]

    def test_a_large_inventory_travels_as_a_blob(self) -> None:
        """(k) Over 8 KiB the list is put up, and a newer one takes its place."""
        world = World()
        world.connect()
        world.want(*(a_task(n) for n in range(1, 101)))
        report = world.report()
        assert report.tasks is None
        assert report.body is not None
        kept = {keep.blob.digest: keep.data for keep in world.all(KeepBlob)}
        runs = codec.decode_inventory(kept[report.body.digest])
        assert len(runs) == 100
        assert report.inventory == codec.inventory_digest(runs)
        first = report.body.digest
        world.end(key(a_task(1)), WELL)
        assert world.report().body != report.body
        assert FreeBlob(first) in world.done

    def test_manager_online_is_answered_with_everything(self) -> None:
        """Hello, status and the full report; the same word twice in a row only once."""
        world = World()
        world.connect()
        world.pass_(100)
        world.done.clear()
        world.manager()
        world.manager()
        assert len(world.published(Hello)) == 1
        assert [r.tasks for r in world.published(Report)] == [()]

    def test_an_unsigned_online_is_not_believed(self) -> None:
        """Only offline may be unsigned: it is a will."""
        from propeller.wire.messages import ManagerStatus

        world = World()
        world.connect()
        world.done.clear()
        status = ManagerStatus(state="online", fence=1, src="m", conn=1)
        world.hear(Topic.MANAGER, codec.encode(status))
        assert world.published(Hello) == []

    def test_rubbish_is_counted_and_changes_nothing(self) -> None:
        """On every topic."""
        world = World()
        world.connect()
        for topic in Topic:
            for payload in (b"\xff" * 10, b"{", b"P1", b"B\x01" + bytes(60), b"{}" * 40_000):
                world.hear(topic, payload)
        assert world.report().tasks == ()
        assert sum(world.agent.counts.values()) >= 4 * len(Topic)


class TestOperations:
    """Ops are for one connection, once."""

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"to": "p2"}, "foreign"),
            ({"inst": "f" * 32}, "other_connection"),
            ({"boot": 9}, "other_connection"),
            ({"conn": 0}, "other_connection"),
            ({"n": 0}, "repeated"),
            ({"not_after": WALL - 1}, "expired"),
        ],
        ids=["to", "inst", "boot", "conn", "n", "notAfter"],
    )
    def test_ops_for_others_are_dropped_without_an_answer(
        self, changes: dict[str, Any], reason: str
    ) -> None:
        """Another device, installation, boot, connection, or a counter not above the last."""
        world = World()
        world.connect()
        world.want(a_daemon())
        world.op("collect")
        assert world.op("cancel", a_daemon(), **changes) == []
        assert world.agent.counts[reason] == 1
        assert list(world.guests) == [key(a_daemon())]

    def test_a_gateway_may_not_cancel(self) -> None:
        """Its key is for invocations."""
        world = World()
        world.connect()
        world.want(a_daemon())
        op = Op(
            id="x", verb="cancel", to="p1", inst=INST, boot=1, conn=1, src="g", n=1,
            uid=a_daemon().uid, run=a_daemon().run,
        )  # fmt: skip
        world.hear(Topic.OP, seal("op", codec.encode(op), GATEWAY))
        assert world.agent.counts["not_allowed"] == 1
        assert world.guests

    def test_collect_is_answered_with_a_full_report(self) -> None:
        """In the same turn."""
        world = World()
        world.connect()
        world.pass_(100)
        world.done.clear()
        assert [answer.state for answer in world.op("collect")] == ["done"]
        assert [report.tasks for report in world.published(Report)] == [()]

    def test_cancel_ends_a_run_for_good(self) -> None:
        """Failed, and a daemon is not restarted; done is said once the guest is gone."""
        world = World()
        world.connect()
        world.want(a_daemon())
        world.auto = False
        assert [answer.state for answer in world.op("cancel", a_daemon())] == ["accepted"]
        world.done.clear()
        world.end(key(a_daemon()), Outcome(ok=False, error="stopped"))
        from propeller.wire.messages import OpAnswer

        assert [answer.state for answer in world.published(OpAnswer)] == ["done"]
        run = world.run(a_daemon())
        assert run is not None
        assert (run.state, run.error) == ("Failed", "cancelled by an operator")
        world.pass_(3_600_000)
        assert world.guests == {}

    def test_cancel_before_the_start(self) -> None:
        """A run that waits never starts."""
        world = World(auto=False)
        world.connect()
        world.want(a_task())
        world.op("cancel", a_task())
        world.do(world.agent.fetched(MODULE, world.now))
        assert world.state(a_task()) == "Failed"
        assert world.started() == []

    def test_restart_is_for_daemons(self) -> None:
        """The next incarnation at once; a task's run says why not."""
        world = World()
        world.connect()
        world.want(a_daemon(1), a_task(2))
        answers = world.op("restart", a_daemon(1))
        assert [answer.state for answer in answers] == ["accepted", "done"]
        assert world.starts[key(a_daemon(1)), 1] == 1
        (answer,) = world.op("restart", a_task(2))
        assert answer.state == "refused"
        assert "runKey" in answer.text

    def test_restart_mends_a_failed_daemon(self) -> None:
        """An operator's restart resets what was used up."""
        world = World()
        world.connect()
        world.want(a_daemon(max_restarts=0))
        world.end(key(a_daemon()), BADLY)
        world.op("restart", a_daemon())
        assert world.state(a_daemon()) == "Running"

    def test_logs_are_read_and_numbered(self) -> None:
        """Pieces come as progress, the last one closes the op, bounds are kept to."""
        world = World()
        world.connect()
        world.want(a_daemon())
        (accepted,) = world.op("logs", a_daemon(), stream="stdout", tail=1 << 40, follow=1 << 40)
        tail = world.all(TailLog)[-1]
        assert (tail.tail, tail.follow) == (256 * 1024, 600_000)
        world.do(
            world.agent.log_piece(
                accepted.op, world.now, stream="stdout", text="hi", dropped=3, last=False
            )
        )
        world.do(world.agent.log_piece(accepted.op, world.now, last=True))
        from propeller.wire.messages import OpAnswer

        told = [(a.n, a.state, a.text, a.dropped) for a in world.published(OpAnswer)]
        assert told == [(0, "accepted", "", 0), (1, "progress", "hi", 3), (2, "done", "", 0)]

    def test_too_many_logs_are_refused(self) -> None:
        """Four at one time."""
        world = World()
        world.connect()
        world.want(a_daemon())
        states = [world.op("logs", a_daemon())[0].state for _ in range(5)]
        assert states == ["accepted"] * 4 + ["refused"]

    @pytest.mark.parametrize("verb", ["cancel", "restart", "logs"])
    def test_an_unknown_run_is_refused_in_words(self, verb: str) -> None:
        """No such run."""
        world = World()
        world.connect()
        (answer,) = world.op(verb, a_task(9))
        assert (answer.state, answer.text) == ("refused", "no such run")


class TestDrain:
    """Leaving in good order."""

    def test_it_stops_guests_tells_and_quits(self) -> None:
        """A task gets its grace, a daemon none; the last words are the report and offline."""
        world = World(auto=True)
        world.connect()
        world.want(a_daemon(1), a_task(2))
        world.done.clear()
        world.do(world.agent.drain(world.now))
        assert Stop(key(a_task(2)), 2000) in world.all(Stop)
        assert Stop(key(a_daemon(1)), 0) in world.all(Stop)
        assert not world.quit()
        world.end(key(a_task(2)), Outcome(ok=False, error="stopped"))
        assert world.quit()
        report = world.published(Report)[-1]
        assert [run.state for run in report.tasks or ()] == ["Pending", "Interrupted"]
        assert world.published(Status)[-1].state == "offline"

    def test_a_task_that_finishes_within_the_grace_has_succeeded(self) -> None:
        """Nothing is thrown away that was done."""
        world = World()
        world.want(a_task())
        world.do(world.agent.drain(world.now))
        world.end(key(a_task()), WELL)
        assert world.disk.runs[key(a_task())].state == "Succeeded"

    def test_a_deaf_guest_does_not_hold_it_up(self) -> None:
        """After grace and margin it leaves anyway."""
        world = World(auto=False)
        world.connect()
        world.auto = True
        world.want(a_task())
        world.auto = False
        world.do(world.agent.drain(world.now))
        world.pass_(3600)
        assert world.quit()

    def test_daemons_start_again_at_the_next_boot(self) -> None:
        """A drain is no end for what is kept running."""
        world = World()
        world.want(a_daemon(1), a_task(2))
        world.do(world.agent.drain(world.now))
        world.end(key(a_task(2)), Outcome(ok=False, error="stopped"))
        world.crash()
        assert list(world.guests) == [key(a_daemon(1))]


def test_the_table_of_phases_is_the_one_in_the_docs() -> None:
    """docs/reference/proplet.md shows every phase and where it may go."""
    from proplet.live import PHASES

    page = Path(__file__).parents[2] / "docs" / "reference" / "proplet.md"
    text = page.read_text()
    for phase, others in PHASES.items():
        line = f"| {phase.value} | {', '.join(sorted(other.value for other in others))} |"
        assert line in text, line
