"""What leaves the fleet, from the real loop on a fake clock: status commits, statuses, alerts."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from specs_text import WAT, daemon_yaml, proplet_yaml, task_yaml

from propeller.model.specs import Sink
from propeller.reconcile.events import Remark
from propeller.reconcile.outlets import Translator
from propeller.rehearse.fleet import Sim
from propeller.rehearse.guests import Guests
from propeller.state.news import News
from propeller.writeback.alerts import AlertDesk
from propeller.writeback.branch import NOTHING, Tip, blob_id
from propeller.writeback.commitstatus import CommitStatus, GitHub
from propeller.writeback.news import Batch, Took
from propeller.writeback.post import Answer
from propeller.writeback.router import Message
from propeller.writeback.statusbranch import StatusBranch
from propeller.writeback.worker import Desk

ALERT = """\
apiVersion: propeller.dev/v1alpha1
kind: Alert
metadata: {name: on-call}
spec:
  sinks: [{name: line, mqtt: {topic: plant/alarms}}]
  events: {kinds: [Task, Proplet]}
"""


class Tended:
    """A sim whose desks are looked after in step with its clock, and not by threads."""

    def __init__(self, folder: Path, *desks: Desk, seed: int = 1) -> None:
        self.sim = Sim(folder, seed=seed)
        self.desks = desks
        self._batch = Batch()
        self._translator = Translator()
        self._files: dict[str, bytes] = {}
        self.sim.write("m.wat", WAT)
        self.sim.write("fleet.yaml", proplet_yaml(["a"]))

    def start(self) -> None:
        """The reconciler, overheard from its first transaction on."""
        self.sim.start_manager()
        self.sim.manager.store.listen(self._hear)

    def _hear(self, news: News) -> None:
        self._translator.change(news)(self._batch)

    def run(self, ms: int) -> None:
        """So much time, with a look at the desks every second."""
        end = self.sim.now + ms
        while self.sim.now < end:
            self.sim.run(1_000)
            self._tend()

    def _tend(self) -> None:
        batch, self._batch = self._batch, Batch(turns=1)
        now = {
            path.relative_to(self.sim.state.status).as_posix(): path.read_bytes()
            for path in self.sim.state.status.glob("*/*/*.yaml")
        }
        for path in {*now, *self._files}:
            if now.get(path) != self._files.get(path):
                batch.files[path] = now.get(path)
        self._files = now
        for desk in self.desks:
            desk.take(batch, self.sim.now)
            desk.work(self.sim.now)


class Branch:
    """A branch in memory."""

    patience = 60.0

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.messages: list[str] = []

    def tip(self) -> Tip:
        ids = {path: blob_id(text) for path, text in self.files.items()}
        return Tip(str(len(self.messages)), ids) if self.messages else NOTHING

    def read(self, blobs: Mapping[str, str]) -> dict[str, bytes]:
        return {path: self.files[path] for path in blobs}

    def push(self, tip: Tip, changes: Mapping[str, bytes | None], message: str, at: int) -> str:
        self.files |= {path: text for path, text in changes.items() if text is not None}
        for path in [path for path, text in changes.items() if text is None]:
            del self.files[path]
        self.messages.append(message)
        return str(len(self.messages))


def status_desk(branch: Branch) -> StatusBranch:
    """A commit a minute at most."""
    return StatusBranch(
        branch,
        shown="b",
        interval=60_000,
        remark=lambda *_: None,
        rng=random.Random(1),
        start=dict,
    )


def test_status_commits_neither_loop_nor_follow_every_heartbeat(tmp_path: Path) -> None:
    """Two hours of heartbeats of a quiet fleet make no commit; the next deletion does."""
    branch = Branch()
    tended = Tended(tmp_path, status_desk(branch))
    tended.sim.write("d.yaml", daemon_yaml("d", "  placement: {perProplet: true}\n"))
    tended.sim.add("a")
    tended.start()
    tended.run(120_000)
    assert "status: 'True'" in branch.files["default/Daemon/d.yaml"].decode()
    commits = len(branch.messages)
    assert commits <= 2
    tended.run(2 * 3_600_000)
    assert branch.messages[commits:] == []
    tended.sim.remove("d.yaml")
    tended.run(120_000)
    assert "default/Daemon/d.yaml" not in branch.files
    assert "- Daemon/default/d" in branch.messages[-1].splitlines()


class Alerts(AlertDesk):
    """Delivers into a list."""

    def __init__(self, folder: Path) -> None:
        self.sent: list[tuple[str, str, str]] = []
        super().__init__(
            self._keep,
            wake=lambda: None,
            remark=lambda *_: None,
            memory=folder / "alerts.json",
            rng=random.Random(1),
        )

    def _keep(self, _: Sink, message: Message) -> None:
        self.sent.append((message.kind, message.subject, message.reason))

    def work(self, now: int) -> int | None:
        """Deliveries run in threads: wait for them, so that each step is whole."""
        super().work(now)
        for future in self._lanes.under_way():
            future.result(timeout=10)
        return super().work(now)


@pytest.fixture
def alerts(tmp_path: Path) -> Alerts:
    """A desk of alerts."""
    return Alerts(tmp_path)


def test_a_failure_is_told_once_and_its_end_too(tmp_path: Path, alerts: Alerts) -> None:
    """A task that traps, then a commit that mends it; a device that falls silent and comes back."""
    tended = Tended(tmp_path, alerts)
    sim = tended.sim
    sim.write("alert.yaml", ALERT)
    sim.write("t.yaml", task_yaml("t"))
    sim.add("a", guests=Guests(failing=1.0))
    tended.start()
    tended.run(60_000)
    assert alerts.sent == [("Alert", "Task/default/t", "Failed")]
    assert alerts._lanes.delivered == 1
    sim.proplets["a"].guests = Guests()
    sim.write("t.yaml", task_yaml("t", '  runKey: "2"\n'))
    tended.run(60_000)
    assert alerts.sent[1:] == [("Recovery", "Task/default/t", "Failed")]
    sim.proplets["a"].kill()
    tended.run(120_000)
    sim.proplets["a"].boot()
    tended.run(120_000)
    assert [(kind, subject) for kind, subject, _ in alerts.sent[2:]] == [
        ("Alert", "Proplet/a"),
        ("Recovery", "Proplet/a"),
    ]


def test_a_refused_revision_and_a_good_one_after_it(tmp_path: Path) -> None:
    """RevisionRefused is a warning of the fleet, SourceGood its end, also without an edit."""
    tended = Tended(tmp_path)
    tended.sim.add("a")
    tended.start()
    tended.run(5_000)
    good = task_yaml("t")
    tended.sim.write("t.yaml", good)
    tended.run(10_000)
    tended.sim.write("t.yaml", good + "  rnu: {}\n")
    tended.run(5_000)
    tended.sim.write("t.yaml", good)
    tended.run(5_000)
    reasons = [
        event.reason for event in tended.sim.manager.store.events(limit=100) if event.key is None
    ]
    assert [one for one in reasons if one in ("RevisionRefused", "SourceGood")] == [
        "SourceGood",
        "RevisionRefused",
    ]


def test_a_commit_status_waits_for_the_devices(tmp_path: Path) -> None:
    """Pending as long as the only device is away, success once it has done its part."""
    told: list[bytes] = []

    def send(_: str, body: bytes, __: Mapping[str, str]) -> Answer:
        told.append(body)
        return Answer(201, "")

    desk = CommitStatus(
        GitHub("https://h", "o/r"),
        context="c",
        source="s",
        token=lambda: "t",
        remark=lambda *_: None,
        rng=random.Random(1),
        send=send,
    )
    tended = Tended(tmp_path, desk)
    tended.sim.write("t.yaml", task_yaml("t"))
    tended.start()
    tended.run(1_000)
    _say_it_is_a_commit(desk, tended.sim.now)
    tended.run(600_000)
    assert [b'"pending"' in body for body in told] == [True] * len(told)
    tended.sim.add("a")
    tended.run(60_000)
    assert b'"success"' in told[-1]
    assert b"2 of 2 ready" in told[-1]


def _say_it_is_a_commit(desk: CommitStatus, now: int) -> None:
    """The sim reads a folder; a git source would have named this."""
    took = Took(name="main@sha1:" + "a" * 40, source="s", accepted=True)
    desk.take(Batch(took=[took]), now)


def test_what_a_thread_beside_the_loop_has_to_say_is_an_event(tmp_path: Path) -> None:
    """With its reason and object, like any other."""
    tended = Tended(tmp_path)
    tended.start()
    tended.run(1_000)
    remark = Remark(severity="Warning", reason="StatusBranchFailed", message="no route to host")
    tended.sim.manager.inbox.append(remark)
    tended.run(1_000)
    (event,) = [
        one
        for one in tended.sim.manager.store.events(limit=50)
        if one.reason == "StatusBranchFailed"
    ]
    assert (event.severity, event.message) == ("Warning", "no route to host")
