"""How a revision is doing, told to the git host of its commit: GitHub, GitLab or Gitea.

pending while objects are on their way, success when all are Ready, failure when something failed
for good or the commit was refused. Each change is told once; a host that does not answer is asked
again later and holds nothing up.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import quote, urlsplit

from propeller.errors import Unavailable, UsageError
from propeller.model.ids import Key
from propeller.writeback.news import Batch, Standing, Took
from propeller.writeback.post import Answer, check_url, post
from propeller.writeback.retry import backoff

PENDING, SUCCESS, FAILURE = "pending", "success", "failure"

SETTLE: Final = 3_000
"""ms after a revision was taken until its outcome is believed: objects are looked at in turn."""

CALM: Final = 30_000
"""ms between two words about the same state ("3 of 4 ready"), at least."""

_COMMIT = re.compile(r"(?:^|@sha1:)([0-9a-f]{40})\Z")

Remark = Callable[[str, str, str], None]
"""Tells the fleet's people something: severity, reason, message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a host is told of a commit. state: pending | success | failure."""

    commit: str
    state: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request."""

    url: str
    body: Mapping[str, str]
    headers: Mapping[str, str]


class Host(Protocol):
    """What differs between git hosts."""

    def call(self, report: Report, context: str, token: str) -> Call:
        """The request that tells `report` under the name `context`."""
        ...


@dataclass(frozen=True, slots=True)
class GitHub:
    """github.com and GitHub Enterprise. base: of the API; path: owner/name."""

    base: str
    path: str

    def call(self, report: Report, context: str, token: str) -> Call:
        return Call(
            url=f"{self.base}/repos/{self.path}/statuses/{report.commit}",
            body={
                "state": report.state,
                "context": context,
                "description": _cut(report.description, 140),
            },
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )


@dataclass(frozen=True, slots=True)
class GitLab:
    """gitlab.com and GitLab elsewhere. path: the whole path of the project, groups and all."""

    base: str
    path: str

    def call(self, report: Report, context: str, token: str) -> Call:
        states = {PENDING: "pending", SUCCESS: "success", FAILURE: "failed"}
        project = quote(self.path, safe="")
        return Call(
            url=f"{self.base}/projects/{project}/statuses/{report.commit}",
            body={
                "state": states[report.state],
                "name": context,
                "description": _cut(report.description, 255),
            },
            headers={"PRIVATE-TOKEN": token},
        )


@dataclass(frozen=True, slots=True)
class Gitea:
    """Gitea and Forgejo."""

    base: str
    path: str

    def call(self, report: Report, context: str, token: str) -> Call:
        return Call(
            url=f"{self.base}/repos/{self.path}/statuses/{report.commit}",
            body={
                "state": report.state,
                "context": context,
                "description": _cut(report.description, 255),
            },
            headers={"Authorization": f"token {token}"},
        )


def host_of(provider: str, url: str) -> Host:
    """The host of the repository at `url`, as people open it in a browser. Raises UsageError."""
    check_url(url, secret=True)
    split = urlsplit(url)
    if split.query or split.fragment or "@" in split.netloc:
        raise UsageError("must be the plain address of a repository")
    path = split.path.strip("/").removesuffix(".git")
    parts = path.split("/")
    if len(parts) < 2 or not all(parts) or ".." in parts:
        raise UsageError("must be the address of a repository: https://HOST/OWNER/NAME")
    root = f"{split.scheme}://{split.netloc}"
    match provider:
        case "GitHub" if split.netloc == "github.com":
            return GitHub("https://api.github.com", path)
        case "GitHub":
            return GitHub(f"{root}/api/v3", path)
        case "GitLab":
            return GitLab(f"{root}/api/v4", path)
        case "Gitea":
            return Gitea(f"{root}/api/v1", path)
        case _:
            raise UsageError(f"no provider {provider!r}: GitHub, GitLab or Gitea")


class CommitStatus:
    """The desk. context: how the status is called on the host. source: whose revisions count.

    token: reads the token, at each call, so that it may be renewed. send: `post.post`.
    """

    def __init__(
        self,
        host: Host,
        *,
        context: str,
        source: str,
        token: Callable[[], str],
        remark: Remark,
        rng: random.Random,
        send: Callable[[str, bytes, Mapping[str, str]], Answer] = post,
    ) -> None:
        self._host = host
        self._context = context
        self._source = source
        self._token = token
        self._remark = remark
        self._rng = rng
        self._send = send
        self._standings: dict[Key, Standing] = {}
        self._took: Took | None = None
        self._took_at = 0
        self._turned = False
        self._sent: Report | None = None
        self._sent_at = 0
        self._failures = 0
        self._retry_at = 0
        self._trouble = ""
        self.sent = 0

    def take(self, batch: Batch, now: int) -> None:
        """Note revisions and how objects stand."""
        for took in batch.took:
            if took.source == self._source and _COMMIT.search(took.name):
                self._took, self._took_at, self._turned = took, now, False
                self._failures = self._retry_at = 0
        if batch.turns:
            self._turned = True
        for key, standing in batch.stand().items():
            if standing.gone:
                self._standings.pop(key, None)
            else:
                self._standings[key] = standing

    def work(self, now: int) -> int | None:
        """Tell what is new."""
        report = self._report(now)
        if report is None or report == self._sent:
            return self._settles(now)
        due = self._retry_at
        before = self._sent
        if before is not None and (before.commit, before.state) == (report.commit, report.state):
            due = max(due, self._sent_at + CALM)
        if now < due:
            return due
        self._tell(report, now)
        return self._retry_at or self._settles(now)

    def finish(self, now: int) -> None:
        """The last word, if the host answers."""
        report = self._report(now)
        if report is not None and report != self._sent and not self._failures:
            self._tell(report, now)

    def _settles(self, now: int) -> int | None:
        at = self._took_at + SETTLE
        return at if self._took is not None and now < at else None

    def _report(self, now: int) -> Report | None:
        took = self._took
        if took is None:
            return None
        found = _COMMIT.search(took.name)
        assert found is not None
        commit = found[1]
        if not took.accepted:
            more = f" (and {len(took.faults) - 1} more)" if len(took.faults) > 1 else ""
            words = f"refused: {took.faults[0] if took.faults else 'no reason given'}{more}"
            return Report(commit=commit, state=FAILURE, description=words)
        rows = sorted(self._standings.items())
        ready = sum(one.ready == "True" for _, one in rows)
        failed = [f"{key}: {one.stalled}" for key, one in rows if one.stalled]
        late = [str(key) for key, one in rows if one.ready != "True" and not one.stalled]
        score = f"{ready} of {len(rows)} ready"
        if not self._turned or now < self._took_at + SETTLE:
            return Report(commit=commit, state=PENDING, description="taken, being rolled out")
        if failed:
            return Report(
                commit=commit, state=FAILURE, description=f"{score}; failed: {', '.join(failed)}"
            )
        if late:
            return Report(
                commit=commit, state=PENDING, description=f"{score}; waiting: {', '.join(late)}"
            )
        return Report(commit=commit, state=SUCCESS, description=score)

    def _tell(self, report: Report, now: int) -> None:
        try:
            call = self._host.call(report, self._context, self._token())
            body = json.dumps(call.body).encode()
            answer = self._send(
                call.url, body, {"Content-Type": "application/json", **call.headers}
            )
        except Unavailable as error:
            self._later(error.what, now)
            return
        if answer.worth_retrying:
            self._later(f"the host answered {answer.status}", now, after=answer.retry_after or 0)
            return
        self._sent, self._sent_at, self._failures, self._retry_at = report, now, 0, 0
        if answer.good:
            self.sent += 1
            if self._trouble:
                self._trouble = ""
                self._remark("Info", "CommitStatusSent", f"{self._context} is told again")
        else:
            self._tell_trouble(f"the host answered {answer.status} for {report.commit[:12]}")

    def _later(self, what: str, now: int, *, after: int = 0) -> None:
        self._failures += 1
        self._retry_at = now + max(min(after, 3_600) * 1000, backoff(self._failures, self._rng))
        self._tell_trouble(what)

    def _tell_trouble(self, what: str) -> None:
        if what != self._trouble:
            self._trouble = what
            words = f"the status of the commit cannot be told: {what}"
            self._remark("Warning", "CommitStatusFailed", words)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
