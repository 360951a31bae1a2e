"""Commit statuses: what each git host is sent, when, and what happens when it does not answer."""

from __future__ import annotations

import json
import random

import pytest

from propeller.errors import Unavailable, UsageError
from propeller.model.ids import Key
from propeller.writeback.commitstatus import (
    CALM,
    SETTLE,
    CommitStatus,
    GitHub,
    Report,
    host_of,
)
from propeller.writeback.news import Batch, Standing, Took
from propeller.writeback.post import Answer, post

T0 = 1_800_000_000_000
SHA, OTHER = "a" * 40, "b" * 40
ADD, SUB = Key("Task", "plant", "add"), Key("Task", "plant", "sub")
READY = Standing(ready="True")
WAITS = Standing(ready="Unknown")
FAILED = Standing(ready="False", stalled="Failed", stalled_message="trap")
GONE = Standing(ready="Unknown", gone=True)


@pytest.mark.parametrize(
    ("provider", "url", "asked"),
    [
        ("GitHub", "https://github.com/o/r", f"https://api.github.com/repos/o/r/statuses/{SHA}"),
        ("GitHub", "https://g.example/o/r.git", f"https://g.example/api/v3/repos/o/r/statuses/{SHA}"),
        ("GitLab", "https://gitlab.com/a/b/c", f"https://gitlab.com/api/v4/projects/a%2Fb%2Fc/statuses/{SHA}"),
        ("Gitea", "http://127.0.0.1:3000/o/r/", f"http://127.0.0.1:3000/api/v1/repos/o/r/statuses/{SHA}"),
    ],
)  # fmt: skip
def test_the_address_of_the_repository_is_enough(provider, url, asked):
    """As it is opened in a browser; where the API is, each host has its own rule."""
    report = Report(commit=SHA, state="success", description="x")
    assert host_of(provider, url).call(report, "c", "t").url == asked


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://github.com/o/r", "web address"),
        ("http://github.com/o/r", "plain text"),
        ("https://github.com/o", "OWNER/NAME"),
        ("https://github.com/o/../r", "OWNER/NAME"),
        ("https://u:p@github.com/o/r", "plain address"),
        ("https://github.com/o/r?x=1", "plain address"),
    ],
)
def test_bad_addresses_are_refused(url, words):
    """Before any token is sent anywhere."""
    with pytest.raises(UsageError, match=words):
        host_of("GitHub", url)


SHAPES = [
    ("GitHub", "/api/v3/repos/o/r/statuses/", "Authorization", "Bearer hunter2", "context", "state",
     {"pending": "pending", "success": "success", "failure": "failure"}),
    ("GitLab", "/api/v4/projects/o%2Fr/statuses/", "PRIVATE-TOKEN", "hunter2", "name", "state",
     {"pending": "pending", "success": "success", "failure": "failed"}),
    ("Gitea", "/api/v1/repos/o/r/statuses/", "Authorization", "token hunter2", "context", "state",
     {"pending": "pending", "success": "success", "failure": "failure"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("provider", "path", "header", "value", "context", "state", "words"), SHAPES
)
def test_each_host_is_sent_its_own_shape(web, provider, path, header, value, context, state, words):
    """Against a real server, through the real client."""
    host = host_of(provider, f"{web.url}/o/r")
    for name in words:
        report = Report(commit=SHA, state=name, description="d" * 400)
        call = host.call(report, "propeller/plant/fleet", "hunter2")
        post(call.url, json.dumps(call.body).encode(), call.headers)
    for (where, headers, body), name in zip(web.requests, words, strict=True):
        sent = json.loads(body)
        assert where == path + SHA
        assert headers[header] == value
        assert sent[context] == "propeller/plant/fleet"
        assert sent[state] == words[name]
        assert len(sent["description"]) == (140 if provider == "GitHub" else 255)


class Desk(CommitStatus):
    """The desk with its host at hand. answers: of the host, the last for ever."""

    def __init__(self):
        self.told = []
        self.remarks = []
        self.answers = [201]
        super().__init__(
            GitHub("https://h", "o/r"),
            context="propeller/plant/fleet",
            source="git+x",
            token=lambda: "hunter2",
            remark=lambda *words: self.remarks.append(words),
            rng=random.Random(1),
            send=self._send,
        )

    def _send(self, url, body, headers):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise Unavailable("h: no connection")
        sent = json.loads(body)
        self.told.append((url[-40:-39], sent["state"], sent["description"]))
        return answer if isinstance(answer, Answer) else Answer(answer, "")

    def took(self, now, commit=SHA, *, accepted=True, source="git+x", faults=(), name=None):
        name = name or (f"main@sha1:{commit}" if accepted else commit)
        one = Took(name=name, source=source, accepted=accepted, faults=faults)
        self.take(Batch(took=[one], turns=0), now)

    def stand(self, now, **standings):
        rows = {Key("Task", "plant", name): one for name, one in standings.items()}
        self.take(Batch(standings=rows, turns=1), now)


@pytest.fixture
def desk():
    return Desk()


def test_pending_then_success(desk):
    """Two calls for a commit that goes well."""
    desk.stand(T0 - 5, add=READY)  # of the revision before
    desk.took(T0)
    assert desk.work(T0) == T0 + SETTLE
    desk.stand(T0 + 10, add=WAITS)
    assert desk.work(T0 + 10) == T0 + SETTLE
    desk.stand(T0 + 2_000, add=READY, sub=READY)
    assert desk.work(T0 + SETTLE) is None
    assert desk.told == [
        ("a", "pending", "taken, being rolled out"),
        ("a", "success", "2 of 2 ready"),
    ]


def test_old_readiness_is_no_success_of_a_new_commit(desk):
    """Before a turn of the loop has looked at the commit, nothing is believed."""
    desk.stand(T0 - 5, add=READY)
    desk.took(T0)
    desk.work(T0)
    desk.work(T0 + 60_000)
    assert [state for _, state, _ in desk.told] == ["pending"]


def test_failure_names_what_failed_and_a_fix_is_told(desk):
    """Failed for good is failure; Ready again is success."""
    desk.took(T0)
    desk.stand(T0, add=FAILED, sub=READY)
    desk.work(T0)
    desk.work(T0 + SETTLE)
    assert desk.told[-1] == ("a", "failure", "1 of 2 ready; failed: Task/plant/add: Failed")
    desk.stand(T0 + 10_000, add=GONE)
    desk.work(T0 + 10_000)
    assert desk.told[-1] == ("a", "success", "1 of 1 ready")


def test_a_refused_commit_is_a_failure_with_the_first_fault(desk):
    """The author sees it where the commit is."""
    desk.took(T0, accepted=False, faults=("add.yaml:7: spec.replcias: unknown field", "b"))
    desk.work(T0)
    words = "refused: add.yaml:7: spec.replcias: unknown field (and 1 more)"
    assert desk.told == [("a", "failure", words)]


def test_progress_of_the_same_state_is_told_now_and_then(desk):
    """A slow rollout is no stream of calls."""
    desk.took(T0)
    desk.stand(T0, add=WAITS, sub=WAITS)
    desk.work(T0)
    desk.stand(T0 + 4_000, add=READY)
    assert desk.work(T0 + 4_000) == T0 + CALM
    assert len(desk.told) == 1
    desk.work(T0 + CALM)
    assert desk.told[1:] == [("a", "pending", "1 of 2 ready; waiting: Task/plant/sub")]


def test_what_is_no_commit_of_this_source_is_not_told(desk):
    """Folders have no commits, and other repositories have other hosts."""
    desk.took(T0, name="specs@sha256:" + "a" * 64)
    desk.took(T0, source="git+other")
    assert desk.work(T0) is None
    assert desk.told == []


def test_a_host_that_is_down_gets_the_newest_state_in_the_end(desk):
    """Told once, tried less and less; what was outdated meanwhile is never sent."""
    desk.answers = [None, Answer(503, ""), 201]
    desk.took(T0)
    due = desk.work(T0)
    assert due > T0
    assert desk.work(due - 1) == due
    desk.took(due, OTHER)
    desk.stand(due, add=READY)
    again = desk.work(due)
    assert desk.told == [("b", "pending", "taken, being rolled out")]
    desk.work(again + SETTLE)
    assert desk.told[1:] == [("b", "success", "1 of 1 ready")]
    assert [reason for _, reason, _ in desk.remarks] == [
        "CommitStatusFailed", "CommitStatusFailed", "CommitStatusSent",
    ]  # fmt: skip
    assert "hunter2" not in str(desk.remarks)


def test_the_pause_a_host_asks_for_is_kept(desk):
    """Rate limits are respected."""
    desk.answers = [Answer(429, "", 600)]
    desk.took(T0)
    assert desk.work(T0) == T0 + 600_000


def test_a_refusal_of_the_host_is_told_and_not_repeated(desk):
    """A wrong token, or a commit the host does not have."""
    desk.answers = [422, 201]
    desk.took(T0)
    desk.work(T0)
    desk.work(T0 + 1000)
    assert len(desk.told) == 1
    assert desk.remarks[0][2].endswith("the host answered 422 for aaaaaaaaaaaa")
    desk.stand(T0 + 1500, add=READY)
    desk.work(T0 + SETTLE)
    assert desk.told[-1][1] == "success"
    assert desk.remarks[-1][1] == "CommitStatusSent"


def test_the_last_word_is_said_at_the_end_of_the_process(desk):
    """A pass of cron ends before any pause is over."""
    desk.took(T0)
    desk.work(T0)
    desk.stand(T0 + SETTLE, add=READY)
    desk.finish(T0 + SETTLE)
    assert [state for _, state, _ in desk.told] == ["pending", "success"]
