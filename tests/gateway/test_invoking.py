"""Calling a Function from its page: who may, what is recorded, and that answers are only text."""

from __future__ import annotations

import base64
import re
from urllib.parse import urljoin

import pytest
from serving import FUNCTION, a_function

from propeller.gateway.calls import End, Outcome
from propeller.gateway.dashboard.invoking import SHOWN, answer_of, request_of

PAGE = f"/objects/{FUNCTION}"


@pytest.fixture
def door(open_door, calls, fleet):
    """A gateway that calls Functions, and one to call."""
    a_function(fleet)
    return open_door(functions=calls)


def csrf_of(door, browser):
    """What the forms of a session carry."""
    text = browser.get(urljoin(door.base, "/"), timeout=20).text
    return re.search(r'name="csrf" value="([^"]+)"', text)[1]


def called(door, browser, **more):
    """The form, sent."""
    data = {"csrf": csrf_of(door, browser), "body": "[40, 2]", **more}
    return browser.post(urljoin(door.base, f"{PAGE}/invoke"), data=data, timeout=20)


def test_an_operator_calls_and_it_is_recorded(door, calls):
    """Who, which Function, which call; the request itself is nobody's business."""
    answer = called(door, door.login("operator", "plant-a"))
    assert answer.status_code == 200
    assert '<pre tabindex="0">42</pre>' in answer.text
    deed = door.deeds()[-1]
    assert f"{PAGE}/invoke" in str(deed)
    assert "call cccc" in str(deed)
    assert "40" not in str(deed).replace(door.base, "").partition("invoke")[2]
    assert len(calls.called) == 1


@pytest.mark.parametrize(
    ("role", "namespace"), [("viewer", "plant-a"), ("operator", "plant-b"), ("viewer", "*")]
)
def test_who_may_not_calls_nothing(door, calls, role, namespace):
    """Neither by the form, which is not shown, nor by sending it all the same."""
    browser = door.login(role, namespace)
    assert called(door, browser).status_code in (403, 404)
    shown = browser.get(urljoin(door.base, PAGE), timeout=20).text
    assert "/invoke" not in shown
    assert calls.called == []


def test_another_site_cannot_have_it_called(door, calls):
    """A form without what the session gave is refused."""
    browser = door.login("operator", "plant-a")
    assert called(door, browser, csrf="guessed").status_code == 403
    assert calls.called == []


def test_an_answer_is_text_and_a_failure_says_why(door, calls):
    """Markup of a guest is shown as it is; a call that failed has its words and no answer."""
    browser = door.login("operator", "plant-a")
    body = base64.b64encode(b"<script>alert(1)</script>").decode()
    calls.outcome = Outcome(end=End.DONE, status=200, body=body)
    text = called(door, browser).text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
    calls.outcome = Outcome(end=End.FAILED, cause="trap", error="unreachable <b>", proplet="gw")
    text = called(door, browser).text
    assert "unreachable &lt;b&gt;" in text
    assert "What it answered" not in text


def test_json_goes_as_json_and_anything_else_as_text():
    """So that a module that takes numbers is called from a page."""
    assert dict(request_of("[40, 2]").headers)["content-type"] == "application/json"
    sent = request_of("a\r\nb")
    assert dict(sent.headers)["content-type"].startswith("text/plain")
    assert base64.b64decode(sent.body) == b"a\nb"


def test_what_is_no_text_or_too_long_is_counted():
    """Bytes are told by their number, long text is cut within a letter or not."""
    raw = answer_of(Outcome(end=End.DONE, status=200, body=base64.b64encode(b"\xff\x00").decode()))
    assert (raw.text, raw.size) == (None, 2)
    long = base64.b64encode("ä".encode() * SHOWN).decode()
    cut = answer_of(Outcome(end=End.DONE, status=200, body=long))
    assert (cut.cut, cut.size) == (True, 2 * SHOWN)
    assert set(cut.text) == {"ä"}
