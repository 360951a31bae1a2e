"""Verbs that change something: what they ask of the reconciler, and what they say without one."""

from __future__ import annotations

import pytest

from propeller.reconcile.events import Confirm, OpenWindow, Operate, RetryFlow, SetHold, SetProplet

CHANGES = [
    ["suspend", "filter", "--reason", "x"],
    ["resume", "filter"],
    ["confirm"],
    ["rollout", "pause", "filter"],
    ["rollout", "resume", "filter"],
    ["rollout", "abort", "filter"],
    ["rollback", "filter", "--to", "1"],
    ["confirm", "window", "filter", "--reason", "x"],
    ["reject", "filter", "--reason", "x"],
    ["proplets", "label", "gateway-1", "zone=c"],
    ["proplets", "cordon", "gateway-1"],
    ["proplets", "uncordon", "gateway-1"],
    ["proplets", "drain", "gateway-1"],
    ["tasks", "stop", "task/default/add"],
]


def test_suspend_says_who_why_and_until(cli, fleet, loop):
    """All three reach the loop."""
    said = cli("suspend", "filter", "--reason", "bearing", "--until", "2h")
    assert said.code == 0, said.err
    (event,) = loop.asked
    assert isinstance(event, SetHold)
    assert str(event.key) == "Daemon/plant-a/filter"
    assert event.suspend.reason == "bearing"
    assert "@" in event.suspend.by
    assert abs(event.suspend.until - (fleet.now + 7_200_000)) < 60_000


def test_resume_lifts_the_hold(cli, fleet, loop):
    """And says so."""
    assert cli("resume", "filter").code == 0
    assert loop.asked[0].suspend is None


def test_retry_says_what_it_goes_on_with(cli, fleet, loop):
    """Who asked reaches the loop; the steps come from there."""
    said = cli("retry", "filter")
    assert said.code == 0, said.err
    (event,) = loop.asked
    assert isinstance(event, RetryFlow)
    assert "@" in event.by
    assert "goes on with peak, alarm" in said.err


def test_a_dry_retry_asks_the_store_alone(cli, fleet, loop):
    """And knows why not."""
    said = cli("retry", "filter", "--dry-run")
    assert said.code == 2
    assert "Daemon/plant-a/filter is no Workflow" in said.err
    assert loop.asked == []


def test_proplets_are_labelled_and_unlabelled(cli, fleet, loop):
    """NAME=VALUE sets, NAME- removes."""
    assert cli("proplets", "label", "gateway-1", "zone=c", "old-").code == 0
    (event,) = loop.asked
    assert isinstance(event, SetProplet)
    assert dict(event.labels) == {"zone": "c", "old": None}


@pytest.mark.parametrize(
    ("action", "scheduling"), [("cordon", "Cordon"), ("uncordon", "Enabled"), ("drain", "Drain")]
)
def test_scheduling_of_proplets(cli, fleet, loop, action, scheduling):
    """A discovered proplet can be told as well."""
    assert cli("proplets", action, "probe-9", "--reason", "dust").code == 0
    (event,) = loop.asked
    assert (event.proplet, event.scheduling, event.reason) == ("probe-9", scheduling, "dust")


def test_confirm_goes_on_without_the_fleet(cli, fleet, loop):
    """`confirm` alone means the fleet."""
    assert cli("confirm").code == 0
    assert isinstance(loop.asked[0], Confirm)
    assert loop.asked[0].what == "fleet"


@pytest.mark.parametrize("action", ["pause", "resume", "abort"])
def test_a_rollout_is_steered(cli, fleet, loop, action):
    """Who and why reach the loop."""
    assert cli("rollout", action, "filter", "--reason", "noise").code == 0
    (event,) = loop.asked
    assert (str(event.key), event.verb, event.reason) == ("Daemon/plant-a/filter", action, "noise")
    assert "@" in event.by


def test_rollback_and_reject_name_a_version(cli, fleet, loop):
    """A generation to go back to; the version of an object, or one by its digest."""
    assert cli("rollback", "filter", "--to", "2").code == 0
    assert (loop.asked[-1].verb, loop.asked[-1].generation) == ("rollback", 2)
    assert cli("reject", "filter", "--reason", "x").code == 0
    assert (loop.asked[-1].verb, loop.asked[-1].digest) == ("reject", "")
    said = cli("reject", "sha256:0123456789", "--reason", "x")
    assert said.code == 2
    assert "no object has, or had, version" in said.err


def test_confirming_a_window_names_object_and_reason(cli, fleet, loop):
    """And says what was let through."""
    said = cli("confirm", "window", "filter", "--reason", "line 3 stands")
    assert said.code == 0, said.err
    (event,) = loop.asked
    assert isinstance(event, OpenWindow)
    assert (str(event.key), event.reason) == ("Daemon/plant-a/filter", "line 3 stands")
    assert "Daemon/plant-a/filter does not wait" in said.err


def test_a_rollout_of_what_has_none_is_said(cli, fleet, loop):
    """Every copy follows its spec."""
    said = cli("rollout", "status", "filter")
    assert said.code == 0
    assert "has no rollout" in said.err


def test_stop_holds_and_once_cancels(cli, fleet, loop):
    """`--once` leaves no hold behind."""
    assert cli("tasks", "stop", "task/default/add", "--reason", "enough").code == 0
    assert loop.asked[-1].suspend.reason == "enough"
    loop.pieces = [{"proplet": "gateway-1", "state": "done", "done": True}]
    assert cli("tasks", "stop", "task/default/add", "--once").code == 0
    assert isinstance(loop.asked[-1], Operate)
    assert loop.asked[-1].verb == "cancel"
    loop.pieces = [{"proplet": "gateway-1", "state": "refused", "text": "no", "done": True}]
    assert cli("tasks", "stop", "task/default/add", "--once").code == 2


@pytest.mark.parametrize("words", CHANGES, ids=" ".join)
def test_a_dry_run_asks_for_nothing(cli, fleet, loop, words):
    """It says what would be done."""
    said = cli(*words, "--dry-run")
    assert said.code == 0, said.err
    assert said.err
    assert loop.asked == []


@pytest.mark.parametrize("words", CHANGES, ids=" ".join)
def test_without_a_reconciler_it_says_what_to_start(cli, fleet, words):
    """Exit 2, and the verbs that start one."""
    said = cli(*words)
    assert said.code == 2
    assert "propeller up" in said.err


@pytest.mark.parametrize("words", CHANGES, ids=" ".join)
def test_a_refusal_is_told_in_its_words(cli, fleet, loop, words):
    """Whatever code the API names, these verbs end with 0 or 2."""
    loop.refusal = "not now"
    said = cli(*words)
    assert said.code == 2
    assert "not now" in said.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["suspend", "filter"], "--reason"),
        (["suspend", "filter", "--reason", " "], "must say why"),
        (["suspend", "filter", "--reason", "x", "--until", "soon"], "--until"),
        (["suspend", "filter", "--reason", "x", "--until", "2020-01-01T00:00:00Z"], "over"),
        (["suspend", "nope", "--reason", "x"], "no object 'nope'"),
        (["reject", "filter", "--reason", " "], "must say why"),
        (["reject", "sha256:12", "--reason", "x"], "eight hex digits"),
        (["rollback", "filter", "--to", "0"], "from 1"),
        (["confirm", "window", "--reason", "x"], "whose window"),
        (["confirm", "window", "filter"], "must say why"),
        (["confirm", "fleet", "filter"], "only `confirm window NAME`"),
        (["proplets", "cordon", "gateway-11"], "did you mean 'gateway-1'?"),
        (["proplets", "label", "gateway-1", "zone"], "is no label"),
        (["proplets", "label", "gateway-1", "zone=a b"], "is no label"),
        (["proplets"], "ACTION"),
        (["tasks", "stop", "gateway-1"], "does not run"),
    ],
)
def test_a_slip_never_reaches_the_reconciler(cli, fleet, loop, words, hint):
    """Exit 2 with the next step."""
    said = cli(*words)
    assert said.code == 2
    assert hint in said.err
    assert loop.asked == []


DIGEST = "sha256:" + "ab" * 32


def _paused(fleet):
    """A guard waits for the App plant."""
    from propeller.state.records import Pause

    with fleet.store.transaction():
        fleet.store.put_pause(
            Pause(
                app="plant",
                source="",
                guard="maxDelete",
                message="maxDelete is 1, and 2 of 3 objects would be deleted",
                digest=DIGEST,
                whole="sha256:" + "cd" * 32,
                revision="main@1",
                at=fleet.now,
            )
        )


@pytest.mark.parametrize("text", [DIGEST, DIGEST[:19], "sha256:" + "cd" * 32])
def test_confirm_names_the_plan_that_waits(cli, fleet, loop, text):
    """By its digest, the beginning of it, or that of the whole plan."""
    _paused(fleet)
    said = cli("confirm", text)
    assert said.code == 0
    assert loop.asked[0].what.startswith(text)
    assert len(loop.asked[0].what) == len(DIGEST)
    assert "App plant: maxDelete is 1" in said.err


def test_confirm_lists_what_waits(cli, fleet):
    """With nothing running, too."""
    assert cli("confirm", "--list").out == ""
    _paused(fleet)
    assert cli("confirm", "--list").out.startswith(f"{DIGEST}  App plant  maxDelete is 1")


def test_a_digest_may_be_confirmed_before_its_plan_is_there(cli, fleet, loop):
    """As on a pull request that is not merged yet; it is said."""
    said = cli("confirm", DIGEST)
    assert said.code == 0
    assert "no plan of this digest waits" in said.err
    assert loop.asked[0].what == DIGEST


@pytest.mark.parametrize("text", ["sha256:abab", "all", "sha256:" + "ef" * 8])
def test_confirm_refuses_what_names_nothing(cli, fleet, loop, text):
    """A typo confirms nothing."""
    _paused(fleet)
    assert cli("confirm", text).code == 2
    assert loop.asked == []
