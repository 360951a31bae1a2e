"""People and programs that an identity provider knows, against an issuer of our own on loopback."""

from __future__ import annotations

import base64
import sys
import time
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from propeller.errors import Unavailable, UsageError
from propeller.gateway.access.oidc import Given, Issuer, Oidc
from propeller.gateway.access.roles import Grant, Role

sys.path.insert(0, str(Path(__file__).parent))
import issuer as ours

OBJECT = "/api/v1/objects/Daemon/plant-a/filter"
PAGE = "/objects/Daemon/plant-a/filter"
LOOK = {"Accept": "text/html"}


@pytest.fixture
def there():
    """An issuer that runs."""
    one = ours.Issuer()
    yield one
    one.close()


def trusted(there, **more):
    """What we are told of it."""
    given = {
        "url": there.url,
        "client": ours.CLIENT,
        "secret": lambda: ours.SECRET,
        "given": (
            Given(grant=Grant(Role.OPERATOR, ("plant-a",)), group="plant-a"),
            Given(grant=Grant(Role.ADMIN), subject="root-1"),
        ),
        **more,
    }
    return Issuer(**given)


@pytest.fixture
def door(open_door, there, clock):
    """A gateway that trusts it."""
    return open_door(
        oidc=Oidc(trusted(there), lambda: time.time_ns() // 1_000_000 + clock.ahead, cooldown=0.0)
    )


def test_somebody_logs_in_and_acts_where_their_group_may(door, there):
    """From a page to the issuer and back to that page, with the role of the group."""
    browser = requests.Session()
    answer = browser.get(f"{door.base}/login?next={PAGE}", headers=LOOK, timeout=20)
    assert "Log in with 127.0.0.1" in answer.text
    answer = browser.get(f"{door.base}/login/issuer?next={PAGE}", headers=LOOK, timeout=20)
    assert answer.status_code == 200
    assert answer.url == door.base + PAGE
    assert "oidc:ana@example.org" in answer.text
    csrf = answer.text.partition('name="csrf" value="')[2].partition('"')[0]
    form = {"csrf": csrf, "reason": "x"}
    assert browser.post(f"{door.base}{PAGE}/suspend", data=form, timeout=20).status_code == 200
    assert door.loop.asked[0].suspend.by == "oidc:ana@example.org"
    other = f"{door.base}/objects/Task/default/add"
    assert browser.get(other, headers=LOOK, timeout=20).status_code == 403
    assert [one["note"] for one in door.deeds() if "note" in one] == ["logged in"]


def test_who_has_no_grant_gets_nothing(door, there):
    """The issuer knows them, we do not."""
    there.claims = {"sub": "bob", "groups": ["canteen"]}
    browser = requests.Session()
    answer = browser.get(f"{door.base}/login/issuer", headers=LOOK, timeout=20)
    assert answer.status_code == 403
    assert "has no role here" in answer.text
    assert not browser.cookies.get("propeller_session")
    assert door.ask("GET", OBJECT, token=there.token()).status_code == 403


@pytest.mark.parametrize(
    "spoil",
    [
        {"nonce": "another"},
        {"aud": "another-client"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"exp": None},
        {"azp": "another-client"},
    ],
)
def test_an_answer_that_does_not_hold_logs_nobody_in(door, there, spoil):
    """Another login, client, issuer or time."""
    there.spoil = spoil
    browser = requests.Session()
    answer = browser.get(f"{door.base}/login/issuer", headers=LOOK, timeout=20)
    assert answer.status_code == 401
    assert not browser.cookies.get("propeller_session")
    assert there.token().split(".")[2] not in answer.text


def test_a_login_belongs_to_the_browser_that_began_it(door):
    """Somebody else's code and state, sent to a victim's browser, log the victim in nowhere."""
    attacker, victim = requests.Session(), requests.Session()
    to = attacker.get(f"{door.base}/login/issuer", timeout=20, allow_redirects=False)
    back = attacker.get(to.headers["location"], timeout=20, allow_redirects=False)
    answer = victim.get(back.headers["location"], headers=LOOK, timeout=20)
    assert answer.status_code == 401
    assert "another browser" in answer.text
    assert not victim.cookies.get("propeller_session")


def test_a_code_is_good_once_and_not_for_ever(door, clock):
    """The same answer again, or one that comes after ten minutes, begins nothing."""
    browser = requests.Session()
    to = browser.get(f"{door.base}/login/issuer", timeout=20, allow_redirects=False)
    back = browser.get(to.headers["location"], timeout=20, allow_redirects=False)
    first = browser.get(back.headers["location"], timeout=20, allow_redirects=False)
    assert first.status_code == 303
    again = browser.get(back.headers["location"], timeout=20, allow_redirects=False)
    assert again.status_code == 401
    to = browser.get(f"{door.base}/login/issuer", timeout=20, allow_redirects=False)
    back = browser.get(to.headers["location"], timeout=20, allow_redirects=False)
    clock.ahead = 601_000
    late = browser.get(back.headers["location"], timeout=20, allow_redirects=False)
    assert late.status_code == 401


def test_a_program_brings_a_token_of_the_issuer(door, there):
    """A JWT for us, with the group's role."""
    token = there.token()
    assert door.ask("GET", OBJECT, token=token).status_code == 200
    assert door.ask("GET", "/api/v1/whoami", token=token).json()["via"] == "oidc"
    assert door.ask("PUT", OBJECT, token=token, json={}).status_code == 403
    root = there.token(sub="root-1", groups=[])
    assert door.ask("GET", "/api/v1/audit", token=root).status_code == 200


def unsigned(token):
    """The same claims, and a head that says that nothing signs them."""
    head = base64.urlsafe_b64encode(b'{"alg":"none","kid":"one","typ":"JWT"}').rstrip(b"=")
    return f"{head.decode()}.{token.split('.')[1]}."


@pytest.mark.parametrize("how", ["other-key", "none", "hmac", "late", "audience", "issuer", "cut"])
def test_a_programs_token_that_does_not_hold_is_refused(door, there, how):
    """Another key, no signature, our public key as a secret, and all the claims."""
    foreign = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    token = {
        "other-key": lambda: there.token(key=foreign),
        "none": lambda: unsigned(there.token()),
        "hmac": lambda: there.token(key="a secret that is long enough for it", algorithm="HS256"),
        "late": lambda: there.token(exp=int(time.time()) - 120),
        "audience": lambda: there.token(aud="another"),
        "issuer": lambda: there.token(iss="https://evil.example"),
        "cut": lambda: there.token()[:-9],
    }[how]()
    answer = door.ask("GET", OBJECT, token=token)
    assert answer.status_code == 401
    assert token not in answer.text


def test_new_keys_of_the_issuer_are_fetched(door, there):
    """The issuer turned its keys over: a token of the new one holds, one of the old no more."""
    old = there.token()
    assert door.ask("GET", OBJECT, token=old).status_code == 200
    there.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    there.kid = "two"
    assert door.ask("GET", OBJECT, token=there.token()).status_code == 200
    assert door.ask("GET", OBJECT, token=old).status_code == 401


def test_an_issuer_that_is_away_is_said_so_and_tokens_of_ours_still_work(door, there):
    """503 for those who need it."""
    there.close()
    assert door.ask("GET", OBJECT, token=there.token()).status_code == 503
    assert door.ask("GET", OBJECT, token=door.token("viewer")).status_code == 200


def test_an_issuer_must_speak_for_itself_and_over_tls(there):
    """A discovery document of somebody else is not taken, nor plain http beyond loopback."""
    there.speaks_for = "https://evil.example"
    oidc = Oidc(trusted(there), lambda: 0)
    with pytest.raises(Unavailable, match="another issuer"):
        oidc.begin("http://127.0.0.1/login/callback", "/")
    with pytest.raises(UsageError, match="https"):
        Oidc(trusted(there, url="http://login.example.org"), lambda: 0)
