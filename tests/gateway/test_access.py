"""Who may come in: tokens, sessions, forms from elsewhere, limits, and looking without a login."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace

import pytest
import requests

from propeller.errors import UsageError
from propeller.gateway.access.limits import Buckets
from propeller.gateway.access.roles import Grant, Principal, Role
from propeller.gateway.access.sessions import COOKIE
from propeller.gateway.access.tokens import Tokens
from propeller.model.ids import Key
from propeller.model.quotas import Quota
from propeller.reconcile.allotment import note_quotas
from propeller.reconcile.events import RetryFlow, SetHold

OBJECT = "/api/v1/objects/Daemon/plant-a/filter"
PAGE = "/objects/Daemon/plant-a/filter"
DAY = 86_400_000


def made(tokens, name="ci", role=Role.VIEWER, namespaces=("*",), ttl=DAY):
    """A token's text."""
    return tokens.create(name, role, namespaces, ttl=ttl, chance=os.urandom(38))


# -- roles ------------------------------------------------------------------------------------


def test_a_role_has_what_the_one_before_has_and_only_where_it_was_granted():
    """An operator of one plant sees and suspends there, and nothing elsewhere."""
    one = Principal(name="x", via="token", grants=(Grant(Role.OPERATOR, ("plant-a",)),))
    assert one.may(Role.VIEWER, "plant-a")
    assert one.may(Role.OPERATOR, "plant-a")
    assert not one.may(Role.DEPLOYER, "plant-a")
    assert not one.may(Role.VIEWER, "plant-b")
    assert not one.may(Role.OPERATOR)
    assert not Principal(name="x", via="oidc", grants=()).may_somewhere(Role.VIEWER)


# -- tokens -----------------------------------------------------------------------------------


def test_only_the_hash_of_a_token_is_kept(tmp_path):
    """The file is private and has nothing in it that opens anything."""
    tokens = Tokens(tmp_path / "keys" / "tokens.json", lambda: 1_000)
    token, text = made(tokens)
    kept = (tmp_path / "keys" / "tokens.json").read_text()
    assert text.split("_", 2)[2] not in kept
    assert stat.S_IMODE((tmp_path / "keys" / "tokens.json").stat().st_mode) == 0o600
    assert tokens.find(text) == token


@pytest.mark.parametrize("spoil", [lambda t: t[:-1] + "A", lambda t: t + "x", lambda t: t[4:]])
def test_a_token_that_is_not_whole_is_none(tmp_path, spoil):
    """One letter less, more or other: nobody."""
    tokens = Tokens(tmp_path / "tokens.json", lambda: 1_000)
    _, text = made(tokens)
    changed = spoil(text)
    assert changed == text or tokens.find(changed) is None


def test_a_token_ends_at_its_time(tmp_path):
    """Not a millisecond later."""
    now = [0]
    tokens = Tokens(tmp_path / "tokens.json", lambda: now[0])
    _, text = made(tokens, ttl=1_000)
    now[0] = 999
    assert tokens.find(text) is not None
    now[0] = 1_000
    assert tokens.find(text) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "../x"},
        {"name": ""},
        {"namespaces": ("a b",)},
        {"namespaces": ()},
        {"ttl": 400 * DAY},
        {"ttl": 0},
    ],
)
def test_what_cannot_be_a_token_is_not_made(tmp_path, wrong):
    """Names, namespaces and times have bounds."""
    tokens = Tokens(tmp_path / "tokens.json", lambda: 1_000)
    with pytest.raises(UsageError):
        made(tokens, **wrong)
    assert tokens.all() == []


def test_two_tokens_of_one_name_are_not_made(tmp_path):
    """Records name the token: its name must say which."""
    tokens = Tokens(tmp_path / "tokens.json", lambda: 1_000)
    made(tokens)
    with pytest.raises(UsageError, match="already"):
        made(tokens)
    tokens.revoke("ci")
    made(tokens)


def test_a_revoked_token_is_refused_by_a_running_gateway_at_once(door):
    """The next request after `propeller token revoke`."""
    text = door.token("viewer", name="gone")
    assert door.ask("GET", OBJECT, token=text).status_code == 200
    door.tokens.revoke("gone")
    answer = door.ask("GET", OBJECT, token=text)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_of_one_plant_does_not_know_of_the_other(door):
    """What is elsewhere is left out of lists and refused by name."""
    text = door.token("viewer", "plant-a")
    items = door.ask("GET", "/api/v1/objects", token=text).json()["items"]
    assert {one["metadata"]["namespace"] for one in items} == {"plant-a"}
    assert door.ask("GET", "/api/v1/objects/Task/default/add", token=text).status_code == 403
    with door.store.transaction():
        note_quotas(door.store, {"default": Quota(copies=1)})
    everything = door.ask("GET", "/api/v1/quotas", token=door.token("viewer")).json()["items"]
    quotas = door.ask("GET", "/api/v1/quotas", token=text).json()["items"]
    assert [one["namespace"] for one in everything] == ["default", "plant-a"]
    assert quotas == everything[1:]
    assert quotas[0]["copies"]["used"] > 0
    events = door.ask("GET", "/api/v1/events", token=text).json()["items"]
    assert all((one["object"] or "x/plant-a/x").split("/")[1] == "plant-a" for one in events)
    page = door.ask("GET", "/objects", token=text, headers={"Accept": "text/html"}).text
    assert "/objects/Daemon/plant-a/filter" in page
    assert "/objects/Task/default/add" not in page


# -- looking without a login ------------------------------------------------------------------


def test_this_machine_may_look_without_a_login_where_that_is_allowed(open_door):
    """And change nothing."""
    door = open_door(open_to_anyone=True)
    assert door.ask("GET", OBJECT).status_code == 200
    assert door.ask("POST", OBJECT + "/suspend", json={"reason": "x"}).status_code == 403
    assert door.ask("POST", OBJECT + "/retry", json={}).status_code == 403
    assert door.loop.asked == []


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Via": "1.1 proxy"},
        {"Host": "fleet.example.org"},
    ],
)
def test_through_a_proxy_nobody_looks_without_a_login(open_door, headers):
    """What comes from loopback through a proxy comes from anywhere."""
    door = open_door(open_to_anyone=True, hosts=["*"])
    assert door.ask("GET", OBJECT, headers=headers).status_code == 401


def test_a_wrong_token_is_not_the_same_as_none(open_door):
    """Who shows something that does not hold is told so, and is not let in as nobody."""
    door = open_door(open_to_anyone=True)
    assert door.ask("GET", OBJECT, token="ppl_000000000000_" + "A" * 43).status_code == 401
    assert door.ask("GET", OBJECT, headers={"Authorization": "Basic eDp4"}).status_code == 401


# -- browsers ---------------------------------------------------------------------------------


def test_a_page_leads_to_the_login_and_back(door):
    """Somebody who is nobody is sent to log in, and then to where they wanted."""
    answer = door.ask("GET", PAGE, headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/login?next={PAGE}"
    page = door.ask("GET", answer.headers["location"], headers={"Accept": "text/html"})
    assert f'name="next" value="{PAGE}"' in page.text
    form = {"token": door.token("viewer"), "next": PAGE, "csrf": ""}
    answer = door.ask("POST", "/login", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)


@pytest.mark.parametrize(
    "onward", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x", "\r\nx"]
)
def test_the_login_leads_nowhere_else(door, onward):
    """No page elsewhere can be reached through our login."""
    form = {"token": door.token("viewer"), "next": onward, "csrf": ""}
    answer = door.ask("POST", "/login", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_the_cookie_of_a_session_is_for_browsers_only(door, open_door):
    """No script reads it, no other site's form sends it, and over TLS it travels in TLS only."""
    answer = door.ask("POST", "/login", data={"token": door.token("viewer"), "csrf": ""})
    words = answer.headers["set-cookie"]
    assert words.startswith(f"{COOKIE}=")
    assert "HttpOnly" in words
    assert "samesite=lax" in words.lower()
    assert "Secure" not in words
    behind = open_door(public="https://fleet.example.org")
    headers = {"Origin": "https://fleet.example.org"}
    form = {"token": behind.token("viewer"), "csrf": ""}
    assert (
        "Secure" in behind.ask("POST", "/login", data=form, headers=headers).headers["set-cookie"]
    )


def csrf_of(browser, door):
    """The secret that the forms of a session carry."""
    page = browser.get(door.base + PAGE, headers={"Accept": "text/html"}, timeout=20).text
    return page.partition('name="csrf" value="')[2].partition('"')[0]


def test_a_form_of_our_own_page_suspends(door):
    """Who, why and what arrive; the page comes back."""
    browser = door.login("operator", "plant-a")
    form = {"csrf": csrf_of(browser, door), "reason": "line 3 stands"}
    answer = browser.post(
        door.base + PAGE + "/suspend", data=form, timeout=20, allow_redirects=False
    )
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    (event,) = door.loop.asked
    assert isinstance(event, SetHold)
    assert event.suspend.reason == "line 3 stands"
    assert event.suspend.by.startswith("token:operator-")


def test_a_failed_workflow_has_a_button_that_lets_it_go_on(door):
    """Only where there is something to go on with; who pressed it arrives."""
    path = "/objects/Workflow/plant-a/shift"
    browser = door.login("operator", "plant-a")
    form = {"csrf": csrf_of(browser, door)}
    answer = browser.post(door.base + path + "/retry", data=form, timeout=20, allow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    (event,) = door.loop.asked
    assert isinstance(event, RetryFlow)
    assert event.by.startswith("token:operator-")
    daemon = next(one for one in door.store.statuses() if one.key.name == "filter")
    document = json.loads(daemon.document)
    document["kind"], document["metadata"]["name"] = "Workflow", "shift"
    stalled = {"type": "Stalled", "status": "True", "reason": "Failed", "message": "peak failed"}
    conditions = document["status"]["conditions"]
    for given, buttons in ((conditions, 0), ([*conditions, stalled], 1)):
        document["status"]["conditions"] = given
        with door.store.transaction():
            door.store.put_status(
                replace(
                    daemon,
                    key=Key("Workflow", "plant-a", "shift"),
                    document=json.dumps(document),
                )
            )
        page = browser.get(door.base + path, headers={"Accept": "text/html"}, timeout=20).text
        assert page.count(f'action="{path}/retry"') == buttons


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ({"reason": "x"}, {}),
        ({"reason": "x", "csrf": "guessed"}, {}),
        ({"reason": "x", "csrf": None}, {"Origin": "https://evil.example"}),
        ({"reason": "x", "csrf": None}, {"Origin": "null"}),
        ({"reason": "x", "csrf": None}, {"Sec-Fetch-Site": "cross-site"}),
    ],
)
def test_a_form_from_elsewhere_changes_nothing(door, form, headers):
    """Without the session's own secret, or from a page of another site."""
    browser = door.login("operator")
    if form.get("csrf", "") is None:
        form = {**form, "csrf": csrf_of(browser, door)}
    answer = browser.post(
        door.base + PAGE + "/suspend", data=form, headers=headers, timeout=20, allow_redirects=False
    )
    assert answer.status_code == 403
    assert door.loop.asked == []


def test_the_api_takes_a_session_only_with_its_secret(door):
    """A script of our pages sends it in a header; another site's cannot know it."""
    browser = door.login("operator")
    path = door.base + OBJECT + "/suspend"
    assert browser.post(path, json={"reason": "x"}, timeout=20).status_code == 403
    headers = {"X-CSRF-Token": csrf_of(browser, door)}
    assert browser.post(path, json={"reason": "x"}, headers=headers, timeout=20).status_code == 200


def test_a_session_ends_with_its_token_its_time_and_its_logout(door):
    """Whichever comes first."""
    browser = door.login("viewer")
    look = {"Accept": "text/html"}

    def inside():
        answer = browser.get(door.base + PAGE, headers=look, timeout=20, allow_redirects=False)
        return answer.status_code == 200

    assert inside()
    door.tokens.revoke(door.tokens.all()[0].id)
    assert not inside()
    browser = door.login("viewer")
    browser.post(door.base + "/logout", data={"csrf": csrf_of(browser, door)}, timeout=20)
    assert not inside()
    browser = door.login("viewer")
    assert inside()
    door.clock.ahead = 13 * 3_600_000
    assert not inside()


def test_only_what_somebody_may_do_is_offered(door):
    """A viewer sees no form, an operator those of their plant."""
    viewer, operator = door.login("viewer"), door.login("operator", "plant-a")
    look = {"Accept": "text/html"}
    suspend = f'action="{PAGE}/suspend"'
    assert suspend not in viewer.get(door.base + PAGE, headers=look, timeout=20).text
    assert suspend in operator.get(door.base + PAGE, headers=look, timeout=20).text


# -- limits and headers -----------------------------------------------------------------------


def test_a_bucket_fills_again_and_forgets_the_oldest():
    """Rate and burst hold for each name; the number of names is bounded."""
    now = [0.0]
    buckets = Buckets(rate=1.0, burst=2.0, clock=lambda: now[0], most=2)
    assert [buckets.take("a"), buckets.take("a")] == [0.0, 0.0]
    assert buckets.take("a") == pytest.approx(1.0)
    now[0] = 1.0
    assert buckets.take("a") == 0.0
    buckets.take("b")
    buckets.take("c")
    assert buckets.take("a") == 0.0


def test_who_guesses_is_slowed_and_who_knows_is_not(open_door):
    """Ten wrong tokens of one address, then 429; a good token from there still works."""
    door = open_door(monotonic=lambda: 5.0)
    wrong = "ppl_000000000000_" + "A" * 43
    codes = [door.ask("GET", OBJECT, token=wrong).status_code for _ in range(12)]
    assert codes == [401] * 10 + [429] * 2
    last = door.ask("GET", OBJECT, token=wrong)
    assert int(last.headers["retry-after"]) >= 1
    assert door.ask("GET", OBJECT, token=door.token("viewer")).status_code == 200


def test_who_asks_too_often_waits(open_door):
    """A burst is served, what is over it is told when to come again; others are not slowed."""
    door = open_door(monotonic=lambda: 5.0)
    text, path = door.token("viewer"), "/api/v1/whoami"
    with requests.Session() as fast:
        codes = [
            fast.get(
                door.base + path, headers={"Authorization": f"Bearer {text}"}, timeout=20
            ).status_code
            for _ in range(205)
        ]
    assert codes == [200] * 200 + [429] * 5
    assert door.ask("GET", path, token=door.token("viewer")).status_code == 200


@pytest.mark.parametrize("path", ["/", "/login", OBJECT, "/nowhere", "/static/app.js"])
def test_every_answer_has_the_headers_that_protect_it(door, path):
    """Pages, refusals, files, and what is not there."""
    headers = door.ask("GET", path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    assert "server" not in headers
