"""The pages in a real Chromium: every page, light and dark, phone and desktop, by keyboard, without
a script, while things move, with and without rights; axe finds nothing serious.

The browser is Debian's (`make test` installs it); playwright only drives it.
"""

from __future__ import annotations

import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from learned import Learned
from playwright.sync_api import expect, sync_playwright
from serving import FUNCTION, FUNCTION_UID, a_function, call, report

from propeller.gateway.calls import End
from propeller.model.ids import PropletId
from propeller.reconcile.events import Confirm, Operate, SetHold, SetProplet, Steer
from propeller.state.calls import CallStore
from propeller.state.records import Event, Pause

pytestmark = pytest.mark.browser

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGES = (
    "/",
    "/objects",
    "/objects/Daemon/plant-a/filter",
    "/objects/Daemon/plant-a/filter/logs",
    "/objects/Task/default/add",
    "/apps",
    "/apps/default",
    "/proplets",
    "/proplets/gateway-2",
    "/timeline",
    "/login",
    "/nowhere/at/all",
)
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
AUDITED = (("light", PHONE), ("dark", DESKTOP))
"""axe takes a second a page: colours and layouts are looked at once each."""

OBJECT = "/objects/Daemon/plant-a/filter"
DIGEST = "sha256:" + "c" * 64


@pytest.fixture(scope="module")
def chromium():
    """One browser for all tests here."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    assert binary, "apt-get install chromium (make test does)"
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=binary, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def door(open_door, calls):
    """A gateway that calls Functions as well."""
    return open_door(functions=calls)


@pytest.fixture
def visit(chromium, door):
    """Opens a page as somebody with a role, "" for nobody; console errors fail the test."""
    contexts, errors = [], []

    def one(path="/", role="viewer", namespaces=(), **more):
        context = chromium.new_context(
            base_url=door.base,
            viewport=more.pop("viewport", DESKTOP),
            **more,
        )
        contexts.append(context)
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda said: (
                errors.append(said.text)
                if said.type == "error" and "status of 4" not in said.text
                else None
            ),
        )
        if role:
            page.goto("/login")
            page.get_by_label("API token").fill(door.token(role, *namespaces))
            page.get_by_role("main").get_by_role("button", name="Log in").click()
            page.wait_for_url(f"{door.base}/")
        page.goto(path)
        return page

    yield one
    for context in contexts:
        context.close()
    assert errors == []


def waiting(fleet):
    """An App's plan that waits for a person."""
    with fleet.store.transaction():
        fleet.store.put_pause(
            Pause(
                app="plant-a",
                source="",
                guard="maxDelete",
                message="plan deletes 30% of its objects",
                digest=DIGEST,
                whole=DIGEST,
                revision="main@2",
                at=fleet.now,
            )
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_every_page_is_whole_readable_and_accessible(
    visit, door, fleet, scheme, viewport, tmp_path
):
    """Nothing is wider than the screen, and axe finds nothing serious: contrast, names, order."""
    waiting(fleet)
    page = visit("/", role="deployer", viewport=viewport, color_scheme=scheme, bypass_csp=True)
    found = []
    learned = Learned(door.state, door.store, tmp_path / "fl")
    a_function(fleet)
    more = (f"/objects/{learned.key}", f"/objects/{learned.key}/rounds/2", f"/objects/{FUNCTION}")
    for path in (*PAGES, *more):
        page.goto(path)
        if path == OBJECT:
            page.locator("details").first.locator("summary").click()
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{path} is {wide} px too wide"
        if (scheme, viewport) not in AUDITED:
            continue
        for one in Axe().run(page).response["violations"]:
            if one["impact"] in ("serious", "critical"):
                places = [node["html"][:120] for node in one["nodes"][:3]]
                found.append((path, one["id"], places))
    assert found == []


def test_what_moves_is_shown_without_loading_again(visit, fleet):
    """A commit's event and a device's silence come to an open page by themselves."""
    page = visit("/")
    expect(page.locator("#link")).to_have_text("live")
    page.evaluate("window.here = true")
    with fleet.store.transaction():
        fleet.store.add_event(
            Event(at=fleet.now, severity="Info", reason="Moved", message="the press hall moved")
        )
    expect(page.get_by_text("the press hall moved")).to_be_visible()
    assert page.evaluate("window.here") is True


def test_the_keyboard_is_enough(visit, door):
    """Skip to the content, walk to an object, open an action, say why, and send it."""
    page = visit("/", role="operator")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    page.goto(OBJECT)
    summary = page.locator("summary", has_text="Suspend")
    for _ in range(40):
        page.keyboard.press("Tab")
        if summary.evaluate("one => one === document.activeElement"):
            break
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("line 3 stands")
    with page.expect_response("**/suspend"):
        page.keyboard.press("Enter")
    page.wait_for_load_state()
    (event,) = door.loop.asked
    assert isinstance(event, SetHold)
    assert event.suspend.reason == "line 3 stands"


def test_a_form_that_is_being_filled_in_is_left_alone(visit, fleet):
    """Something moves meanwhile: the words stay, and the page catches up afterwards."""
    page = visit(OBJECT, role="operator")
    page.locator("summary", has_text="Suspend").click()
    page.locator("#why-suspend").fill("half a sen")
    with fleet.store.transaction():
        fleet.store.add_event(
            Event(
                at=fleet.now,
                severity="Info",
                reason="Moved",
                message="it moved meanwhile",
                key=next(
                    one.key for one in fleet.store.statuses() if str(one.key).endswith("/filter")
                ),
            )
        )
    expect(page.locator("#link")).to_have_text("waits while you write")
    assert page.locator("#why-suspend").input_value() == "half a sen"
    page.locator("summary", has_text="Suspend").click()
    expect(page.get_by_text("it moved meanwhile")).to_be_visible()


def test_actions_reach_the_loop_with_who_and_why(visit, fleet, door):
    """Resume, roll back, reject, cordon, confirm."""
    waiting(fleet)
    page = visit(OBJECT, role="deployer")
    with page.expect_response("**/resume"):
        page.get_by_role("button", name="Resume").click()
    page.wait_for_load_state()
    for label, field in (("Roll back", "rollback"), ("Reject this version", "reject")):
        page.locator("summary", has_text=label).click()
        page.locator(f"#why-{field}").fill("it leaks")
        with page.expect_response(f"**/{field}"):
            page.get_by_role("button", name=label).click()
        page.wait_for_load_state()
    page.goto("/proplets/gateway-1")
    page.locator("summary").click()
    page.get_by_label("Scheduling").select_option("Drain")
    page.get_by_label("Reason").fill("service")
    with page.expect_response("**/scheduling"):
        page.get_by_role("button", name="Set").click()
    page.wait_for_load_state()
    page.goto("/")
    with page.expect_response("**/confirm"):
        page.get_by_role("button", name="Confirm the plan of App plant-a").click()
    page.wait_for_load_state()
    resume, back, reject, drain, confirm = door.loop.asked
    assert isinstance(resume, SetHold)
    assert [isinstance(one, Steer) for one in (back, reject)] == [True, True]
    assert isinstance(drain, SetProplet)
    assert (drain.proplet, drain.scheduling) == (PropletId("gateway-1"), "Drain")
    assert isinstance(confirm, Confirm)
    assert confirm.what == DIGEST
    assert confirm.by.startswith("token:deployer-")


def test_a_function_is_called_from_its_page_by_keyboard(visit, fleet, calls):
    """What was typed is sent as it is, the answer is shown, and it can be called again."""
    a_function(fleet)
    page = visit(f"/objects/{FUNCTION}", role="operator")
    page.get_by_label("Request").focus()
    page.keyboard.type("[40, 2]")
    page.keyboard.press("Tab")
    with page.expect_response("**/invoke"):
        page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Answer of Function resize")).to_be_visible()
    expect(page.locator("pre").first).to_have_text("42")
    expect(page.get_by_label("Request")).to_have_value("[40, 2]")
    ((name, request),) = calls.called
    assert (name, request.body) == ("plant-a/resize", "WzQwLCAyXQ==")


def test_who_may_only_look_is_offered_nothing(visit, fleet):
    """No form and no button but that to log out, on any page."""
    waiting(fleet)
    a_function(fleet)
    page = visit("/", role="viewer")
    for path in (*PAGES, f"/objects/{FUNCTION}"):
        page.goto(path)
        if path != "/login":
            assert page.locator("main form[method=post]").count() == 0, path
        assert page.get_by_role("button", name="Confirm").count() == 0


def test_nobody_is_led_to_the_login_and_back(visit, door):
    """A wrong token is told; a good one leads where one wanted to go; logging out ends it."""
    page = visit(OBJECT, role="")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.get_by_label("API token").fill("ppl_wrong")
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("wrong")
    page.get_by_label("API token").fill(door.token("viewer", name="ana"))
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    page.wait_for_url(f"**{OBJECT}")
    expect(page.get_by_text("token:ana")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.goto("/")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_pages_work_without_a_script(visit, door):
    """Everything is there, times are written out, and forms are sent."""
    page = visit("/", role="operator", java_script_enabled=False)
    for path in PAGES:
        page.goto(path)
        assert page.locator("main h1, main h2, body").count() > 0
    page.goto(OBJECT)
    page.locator("summary", has_text="Suspend").click()
    page.locator("#why-suspend").fill("x")
    with page.expect_response("**/suspend"):
        page.locator("details[open] button").click()
    page.wait_for_load_state()
    assert len(door.loop.asked) == 1


def test_what_a_device_wrote_runs_nothing(visit, fleet):
    """Markup in an event's words is words; the policy of the page forbids the rest."""
    with fleet.store.transaction():
        fleet.store.add_event(
            Event(
                at=fleet.now,
                severity="Warning",
                reason="Strange",
                message="<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>",
                proplet=PropletId("gateway-1"),
            )
        )
    page = visit("/")
    expect(page.get_by_text("<script>alert(1)</script>").first).to_be_visible()
    assert "owned" not in page.title()


def logged(door):
    """Devices that printed something, some of it hostile."""
    door.loop.pieces = (
        {"proplet": "gateway-1", "stream": "stdout", "text": "started\n", "done": False},
        {"proplet": "gateway-1", "stream": "stderr", "text": "<img src=x>\n", "done": False},
        {"proplet": "gateway-1", "stream": "", "text": "", "done": True},
    )


def test_logs_are_followed_and_stay_text(visit, door):
    """Asked of the devices as the page opens; stopped and taken up again by a button."""
    logged(door)
    page = visit(OBJECT + "/logs")
    pane = page.get_by_role("log")
    expect(pane).to_contain_text("<img src=x>")
    expect(pane.locator("img")).to_have_count(0)
    expect(page.locator("#how")).to_have_text("ended")
    page.get_by_role("button", name="Follow").click()
    expect(pane.get_by_text("started")).to_have_count(2)
    first, second = door.loop.asked
    assert isinstance(first, Operate)
    assert (first.tail, first.follow) == (16_384, 600_000)
    assert (second.tail, second.follow) == (0, 600_000)


def test_a_log_page_keeps_the_newest_and_no_more(visit, door):
    """However much is printed, old pieces leave the page."""
    door.loop.pieces = (
        *(
            {"proplet": "gateway-1", "stream": "stdout", "text": f"{n:06}" + "x" * 4090, "done": 0}
            for n in range(100)
        ),
        {"proplet": "gateway-1", "stream": "", "text": "", "done": True},
    )
    page = visit(OBJECT + "/logs")
    expect(page.locator("#how")).to_have_text("ended")
    text = page.get_by_role("log").text_content()
    assert 50_000 < len(text) <= 65_536 + 4_096
    assert "000099" in text
    assert "000000" not in text


@pytest.mark.parametrize(("scheme", "viewport"), AUDITED, ids=["phone", "desktop"])
def test_calls_and_curves_are_readable(visit, door, fleet, scheme, viewport):
    """The page of a Function with calls and curves: whole on a phone, and axe finds nothing."""
    a_function(fleet)
    kept = CallStore(door.state.calls)
    kept.put(call(1, fleet.now, took=12_000))
    kept.put(call(2, fleet.now, end=End.FAILED, cause="trap", took=3_000_000))
    kept.put(call(3, fleet.now, state="taken"))
    kept.close()
    page = visit("/", viewport=viewport, color_scheme=scheme, bypass_csp=True)
    mark = FUNCTION_UID[:8]
    for minutes in (9, 7, 5, 3, 1):
        told = {f"cpu/{mark}": 90 * minutes, f"rss/{mark}": (60 - minutes) << 20}
        report(fleet, "gateway-1", fleet.now - minutes * 60_000, **told)
        page.goto(f"/objects/{FUNCTION}")
    expect(page.get_by_role("img", name="CPU in 8 min: from 9.0% to 81.0%")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    worst = [
        one["id"]
        for one in Axe().run(page).response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert worst == []
