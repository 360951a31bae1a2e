"""The pages of the dashboard over a real port: what they answer, and what they do not give away."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from urllib.parse import urljoin

import pytest
import requests

from propeller.model.ids import PropletId
from propeller.state.records import Event, Pause, RevisionRecord

NASTY = '<script>alert("1")</script>\x1b[31m'


@pytest.fixture
def pages(open_door):
    """The pages as somebody on this machine sees them who shows no login, and a way to ask."""
    door = open_door(open_to_anyone=True)

    def ask(path="/", **headers):
        return requests.get(
            urljoin(door.base, path), headers={"Accept": "text/html", **headers}, timeout=20
        )

    ask.base = door.base
    return ask


def text_of(answer):
    """What a person reads: no tags, one space between words."""
    main = answer.text.partition("<main")[2].partition("</main>")[0]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", main.partition(">")[2])).split())


def test_the_first_page_answers_five_questions(fleet, pages):
    """Which revision is live and by whom, what is not converged and why, who is silent, what
    changed, what needs a person."""
    with fleet.store.transaction():
        fleet.store.put_pause(
            Pause(
                app="plant-a",
                source="",
                guard="maxDelete",
                message="plan deletes 30% of its objects",
                digest="sha256:" + "c" * 64,
                whole="sha256:" + "c" * 64,
                revision="main@2",
                at=fleet.now,
            )
        )
        fleet.store.add_event(
            Event(at=fleet.now - 60_000, severity="Info", reason="Assigned", message="just now")
        )
    words = text_of(pages())
    assert "Live revision" in words
    assert "by Ana" in words
    assert "First specs" in words
    assert re.search(r"Daemon filter plant-a (Not ready|Unknown) 1/2 1 of 2 ready", words)
    assert re.search(r"gateway-2 Silent 20\d\d-", words)
    assert "just now" in words
    assert "App plant-a plan deletes 30% of its objects; propeller confirm sha256:cccc" in words


def test_every_link_of_every_page_leads_somewhere(fleet, pages):
    """Followed from the first page until there is nothing new: each answers 200 and is whole."""
    todo, seen = ["/"], set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = pages(path)
        assert answer.status_code == 200, path
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        assert answer.text.rstrip().endswith("</html>")
        for link in re.findall(r'(?:href|src)="(/[^"]*|\?[^"]*)"', answer.text):
            todo.append(unescape(urljoin(path, link)))
    assert {"/objects", "/proplets", "/timeline", "/proplets/gateway-2"} <= seen
    assert "/objects/Daemon/plant-a/filter" in seen
    assert len(seen) > 12


def test_what_devices_and_commits_say_is_text(fleet, pages):
    """A message with markup and control characters is shown as it is written, and runs nothing."""
    with fleet.store.transaction():
        fleet.store.add_event(
            Event(
                at=fleet.now,
                severity="Warning",
                reason="Strange",
                message=NASTY,
                proplet=PropletId("gateway-1"),
            )
        )
        fleet.store.note_revision(
            RevisionRecord(
                name="main@sha1:" + "0" * 40,
                digest="",
                source="plant",
                at=fleet.now,
                outcome="rejected",
                author=NASTY,
                message=NASTY,
                faults=(NASTY,),
            )
        )
    for path in ("/", "/timeline", "/proplets/gateway-1"):
        answer = pages(path)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "\x1b" not in answer.text
        assert "alert(&#34;1&#34;)" in answer.text
        assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_a_page_elsewhere_cannot_read_the_fleet(fleet, pages):
    """Another host name than ours is refused: a browser that was lured here shows nothing."""
    assert pages("/", Host="evil.example").status_code == 400
    assert pages("/changes", Host="evil.example:7070").status_code == 400


def test_nothing_can_be_changed_here(fleet, pages):
    """No page takes anything but a look, without a login."""
    for method in ("POST", "PUT", "DELETE"):
        assert requests.request(method, pages.base + "/objects", timeout=20).status_code == 405
    assert pages("/static/../pages.py").status_code == 404
    assert pages("/static/pages.py").status_code == 404


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/objects/Daemon/plant-a/none", 404),
        ("/proplets/none", 404),
        ("/nowhere", 404),
        ("/objects?kind=Daemon&from=999999999999", 200),
        ("/objects?ready=%00&namespace=../..", 200),
        ("/proplets?by=<b>", 200),
    ],
)
def test_what_is_not_there_is_said(fleet, pages, path, code):
    """A page says so; strange questions get an empty answer."""
    answer = pages(path)
    assert answer.status_code == code
    assert "<b>" not in answer.text or path != "/proplets?by=<b>"


def test_a_rollout_is_told_in_words_with_its_checks(fleet, pages):
    """Steps, how many copies moved, what it is about, and a row a check; no field by name."""
    row = next(one for one in fleet.store.statuses() if str(one.key) == "Daemon/plant-a/filter")
    document = json.loads(row.document)
    check = {"name": "cpu", "verdict": "Failed", "successful": 2, "failed": 3, "inconclusive": 1}
    document["status"]["rollout"] = {
        "phase": "Paused",
        "paused": True,
        "step": 2,
        "of": 3,
        "version": "sha256:" + "a" * 64,
        "generation": 7,
        "total": 4,
        "moved": 2,
        "ready": 1,
        "failed": 1,
        "checks": [{**check, "said": NASTY}],
        "why": "2 of 3 checks failed",
    }
    with fleet.store.transaction():
        fleet.store.put_status(replace(row, document=json.dumps(document)))
    answer = pages("/objects/Daemon/plant-a/filter")
    words = text_of(answer)
    assert "Rollout 1 done 2 under way 3 to come 2 of 4 copies moved, 1 ready, 1 failed" in words
    assert "Phase Paused Why 2 of 3 checks failed Version sha256:aaa" in words
    assert "cpu Failed 2 3 1 <script>" in words
    assert "\x1b" not in answer.text
    assert "<script>alert" not in answer.text


def test_objects_are_filtered(fleet, pages):
    """By kind, namespace and state."""
    words = text_of(pages("/objects?kind=Daemon&ready=Unknown"))
    assert "Daemon filter" in words
    assert "Task add" not in words


def test_a_change_is_told_at_once(fleet, pages):
    """The stream says that the store moved; the page then shows what moved."""
    stream = requests.get(pages.base + "/changes", stream=True, timeout=20)
    lines = stream.iter_lines(chunk_size=1)
    first = next(line for line in lines if line.startswith(b"data: "))
    with fleet.store.transaction():
        fleet.store.add_event(
            Event(at=fleet.now, severity="Info", reason="Moved", message="something moved")
        )
        fleet.store.set_meta("revision", "main@9")
    second = next(line for line in lines if line.startswith(b"data: "))
    stream.close()
    assert second != first
    assert "something moved" in text_of(pages())


def test_before_there_is_a_state_it_says_so(open_door, state, pages):
    """No database yet: an answer in words, not an error page of a library."""
    state.database.rename(state.database.with_name("elsewhere.db"))
    answer = pages()
    assert answer.status_code == 503
    assert "Nothing to show yet" in answer.text
