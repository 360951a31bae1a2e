"""The ways out of the fleet, as threads beside the loop: status branch, commit status, alerts.

The loop tells what it committed and goes on; each way out has its own worker, box and patience
(`propeller.writeback`). What a worker has to say comes back through the inbox as a `Remark` and
becomes an event like any other.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.errors import UsageError
from propeller.model.ids import Key, Uid
from propeller.model.inventory import Held
from propeller.model.promotion import Opened, Proposal
from propeller.model.specs import Alert
from propeller.reconcile.events import PromotionOpened, Remark
from propeller.reconcile.promotions import edit
from propeller.state.layout import StateDir
from propeller.state.news import News
from propeller.state.records import Event, RevisionRecord
from propeller.state.sqlite import SqliteStore
from propeller.writeback.alerts import AlertDesk
from propeller.writeback.branch import Branch
from propeller.writeback.commitstatus import CommitStatus, host_of
from propeller.writeback.news import Batch, Note, Took
from propeller.writeback.promotions import Promotions
from propeller.writeback.secrets import Secrets, read_secret
from propeller.writeback.sidebranch import SideBranches
from propeller.writeback.sinks import Sinks
from propeller.writeback.statusbranch import StatusBranch
from propeller.writeback.worker import Worker

if TYPE_CHECKING:
    from propeller.sources.access import Login
    from propeller.sources.gitcli import Git

PATIENCE = 20.0
"""Seconds the process waits at its end for all ways out together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchPlan:
    """Where status goes. url: what git is given; shown: the same for people. interval: ms.

    signing_key: an OpenSSH private key. login: who we are to the remote.
    """

    url: str
    shown: str
    branch: str
    interval: int
    signing_key: Path | None = None
    login: Login | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitPlan:
    """Whom to tell how commits are doing."""

    provider: str
    url: str
    token_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionPlan:
    """The repository that specs come from, to which promotions are pushed as branches.

    url, shown, signing_key, login: as of `BranchPlan`. watched: the branch that specs come from, ""
    for the default; folder: where they lie in it.
    """

    url: str
    shown: str
    watched: str
    folder: str
    signing_key: Path | None = None
    login: Login | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutletPlan:
    """What is configured. promotions: None where specs come from no branch of a repository.

    secrets: the folder that Alerts name files of; None: in the state. environ: what git may be
    told (PATH, proxies, the ssh agent).
    """

    status_branch: BranchPlan | None = None
    commit_status: CommitPlan | None = None
    promotions: PromotionPlan | None = None
    secrets: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


NO_PLAN = OutletPlan()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the ways out stand on: given by the service.

    fleet: `domain/channel`. source: whose revisions commit statuses are about. git: how git is
    started. post: into the inbox. publish: a body onto a topic of the broker.
    """

    state: StateDir
    fleet: str
    source: str
    git: Git
    post: Callable[[Remark | PromotionOpened], None]
    publish: Callable[[str, bytes], bool]
    clock: Callable[[], int]
    rng: random.Random


class Translator:
    """What the store tells, in the words of the ways out. Called on the loop's thread."""

    def __init__(self) -> None:
        self._keys: dict[Uid, Key] = {}

    def change(self, news: News) -> Callable[[Batch], None]:
        """What `news` adds to a worker's box."""
        alerts: dict[Uid, Alert | None] = {}
        for uid, held in news.objects.items():
            if held is None:
                alerts[uid] = None
            elif isinstance(held.object, Alert):
                alerts[uid] = _in_force(held, held.object)
        documents: dict[Key, str | None] = {}
        for uid, row in news.statuses.items():
            if row is not None:
                self._keys[uid] = row.key
                documents[row.key] = row.document
            elif (key := self._keys.pop(uid, None)) is not None:
                documents[key] = None
        notes = [_note(event) for event in news.events]
        took = [_took(record) for record in news.revisions]

        def change(batch: Batch) -> None:
            batch.alerts |= alerts
            batch.documents |= documents
            batch.notes += notes
            batch.took += took

        return change


class Outlets:
    """All configured ways out of one reconciler. Raises UsageError for a plan that cannot work."""

    def __init__(self, plan: OutletPlan, ground: Ground) -> None:
        self._ground = ground
        self._translator = Translator()
        self._workers = [self._alerts(plan.secrets or ground.state.path / "secrets")]
        self._files: Worker | None = None
        if plan.status_branch is not None:
            self._files = self._status_branch(plan.status_branch)
            self._workers.append(self._files)
        if plan.commit_status is not None:
            self._workers.append(self._commit_status(plan.commit_status))
        self._promotions: Worker | None = None
        if plan.promotions is not None:
            self._promotions = self._promoting(plan.promotions)
            self._workers.append(self._promotions)

    def open(self, store: SqliteStore) -> None:
        """Take in how things stand, and hear of every change from now on."""
        news = News(
            statuses={row.uid: row for row in store.statuses()},
            objects={held.uid: held for held in store.inventory()},
            revisions=store.revisions(1),
        )
        self.heard(news)
        store.listen(self.heard)

    def start(self) -> None:
        """Start the threads."""
        for worker in self._workers:
            worker.start()

    def heard(self, news: News) -> None:
        """The loop committed something."""
        change = self._translator.change(news)
        for worker in self._workers:
            worker.put(change)

    def file_changed(self, path: str, text: bytes | None) -> None:
        """A status file was written, or is gone (None)."""
        if self._files is not None:
            self._files.put(lambda batch: batch.files.__setitem__(path, text))

    def propose(self, uid: Uid, proposal: Proposal | None) -> None:
        """An object wants a promotion opened, or does not any more (None)."""
        if self._promotions is not None:
            self._promotions.put(lambda batch: batch.proposals.__setitem__(uid, proposal))
        elif proposal is not None:
            words = (
                f"round {proposal.round} is not promoted to {proposal.to}: the specs come from no"
                " branch of a repository; `propeller fl promote` edits files"
            )
            self._remark_about("Warning", "PromotionFailed", words, proposal.key)

    def turned(self) -> None:
        """A turn of the loop is over: everything it changed was told."""
        for worker in self._workers[1:]:
            worker.put(_count_turn)

    def stop(self) -> None:
        """Let everyone finish, within `PATIENCE` together."""
        end = self._ground.clock() + int(PATIENCE * 1000)
        for worker in self._workers:
            worker.stop(max(0.1, (end - self._ground.clock()) / 1000))

    # -- making them --------------------------------------------------------------------------

    def _alerts(self, secrets: Path) -> Worker:
        ground = self._ground
        sinks = Sinks(fleet=ground.fleet, secrets=Secrets(secrets), publish=ground.publish)

        def wake() -> None:
            worker.wake()

        desk = AlertDesk(
            sinks.deliver,
            wake=wake,
            remark=self._remark_about_alert,
            memory=ground.state.path / "alerts.json",
            rng=ground.rng,
        )
        worker = Worker("alerts", desk, clock=ground.clock)
        return worker

    def _status_branch(self, plan: BranchPlan) -> Worker:
        ground = self._ground
        name = hashlib.sha256(f"{plan.url}\0{plan.branch}".encode()).hexdigest()[:24]
        branch = Branch(
            _WithLogin(ground.git, plan.url, plan.login),
            ground.state.git / f"status-{name}.git",
            remote=plan.url,
            branch=plan.branch,
            fleet=ground.fleet,
            signing_key=plan.signing_key,
        )
        desk = StatusBranch(
            branch,
            shown=f"branch {plan.branch} of {plan.shown}",
            interval=plan.interval,
            remark=self._remark,
            rng=ground.rng,
            start=partial(_read_all, ground.state.status),
        )
        return Worker("status-branch", desk, clock=ground.clock)

    def _promoting(self, plan: PromotionPlan) -> Worker:
        ground = self._ground
        name = hashlib.sha256(f"{plan.url}\0{plan.watched}".encode()).hexdigest()[:24]
        desk = Promotions(
            SideBranches(
                _WithLogin(ground.git, plan.url, plan.login),
                ground.state.git / f"promote-{name}.git",
                remote=plan.url,
                watched=plan.watched,
                fleet=ground.fleet,
                folder=plan.folder,
                signing_key=plan.signing_key,
            ),
            edit=edit,
            done=self._opened,
            remark=self._remark_about,
            rng=ground.rng,
        )
        return Worker("promotions", desk, clock=ground.clock)

    def _commit_status(self, plan: CommitPlan) -> Worker:
        ground = self._ground
        try:
            host = host_of(plan.provider, plan.url)
        except UsageError as error:
            raise UsageError(f"commitStatus.url: {error.what}", hint=error.hint) from error
        desk = CommitStatus(
            host,
            context=f"propeller/{ground.fleet}",
            source=ground.source,
            token=partial(read_secret, plan.token_file, "commitStatus.tokenFile"),
            remark=self._remark,
            rng=ground.rng,
        )
        return Worker("commit-status", desk, clock=ground.clock)

    def _remark(self, severity: str, reason: str, message: str) -> None:
        self._ground.post(Remark(severity=severity, reason=reason, message=message))

    def _opened(self, opened: Opened) -> None:
        self._ground.post(PromotionOpened(opened))

    def _remark_about(self, severity: str, reason: str, message: str, key: Key) -> None:
        self._ground.post(Remark(severity=severity, reason=reason, message=message, key=key))

    def _remark_about_alert(self, severity: str, reason: str, message: str, alert: str) -> None:
        namespace, _, name = alert.partition("/")
        key = Key("Alert", namespace, name) if name else None
        self._ground.post(Remark(severity=severity, reason=reason, message=message, key=key))


@dataclass(frozen=True, slots=True)
class _WithLogin:
    """git, with who we are to the remote in every call."""

    git: Git
    url: str
    login: Login | None

    def run(
        self,
        *arguments: str,
        repository: Path | None = None,
        stdin: bytes = b"",
        timeout: float = 60.0,
        most: int = 16 << 20,
    ) -> bytes:
        speaks = arguments[0] in ("ls-remote", "fetch", "push")
        login = (self.url, self.login) if speaks and self.login is not None else None
        return self.git.run(
            *arguments, repository=repository, stdin=stdin, timeout=timeout, most=most, login=login
        )


def _count_turn(batch: Batch) -> None:
    batch.turns += 1


def _in_force(held: Held, alert: Alert) -> Alert | None:
    """The Alert with an operator's hold in it; None when it is on its way out."""
    if held.deleted_at is not None:
        return None
    return alert if held.hold is None else replace(alert, suspend=held.hold)


def _note(event: Event) -> Note:
    return Note(
        at=event.at,
        severity=event.severity,
        reason=event.reason,
        message=event.message,
        key=event.key,
        proplet=event.proplet,
        revision=event.revision,
        count=event.count,
    )


def _took(record: RevisionRecord) -> Took:
    return Took(
        name=record.name,
        source=record.source,
        accepted=record.outcome == "accepted",
        faults=record.faults,
    )


def _read_all(folder: Path) -> Mapping[str, bytes]:
    """Every status file there is. One that goes away meanwhile is told of as a change."""
    found = {}
    for path in folder.rglob("*.yaml"):
        try:
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
        except OSError:
            continue
    return found
