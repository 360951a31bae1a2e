"""Which event becomes which message: filters, repeats, recovery, floods."""

from __future__ import annotations

import json

import pytest

from propeller.model.ids import Key, Uid
from propeller.model.specs import Suspend
from propeller.writeback.news import Note, Standing
from propeller.writeback.router import ALERT, BURST, MAX_CASES, OVERFLOW, QUIET, RECOVERY, Router

T0 = 1_800_000_000_000
MINUTE = 60_000
UID = Uid("u")
ADD = Key("Task", "plant", "add")
READY, NOT_READY = Standing(ready="True"), Standing(ready="False")


def note(reason="Failed", *, severity="Warning", key=ADD, proplet=None, message="trap", **more):
    return Note(
        at=T0,
        severity=severity,
        reason=reason,
        message=message,
        key=key,
        proplet=proplet,
        **more,
    )


@pytest.fixture
def router(make_alert):
    """A router with one Alert, of the fields given."""

    def make(**fields):
        made = Router()
        made.define(UID, make_alert(**fields))
        return made

    return make


def kinds(told):
    return [message.kind for _, message in told]


def test_a_warning_is_told_at_once(router):
    """With all that is known of it."""
    one = router()
    ((uid, message),) = one.note(note(proplet="press", revision="main@sha1:aa"), T0)
    assert uid == UID
    assert (message.alert, message.kind, message.severity) == ("default/on-call", ALERT, "Warning")
    assert (message.subject, message.reason, message.text) == ("Task/plant/add", "Failed", "trap")
    assert (message.proplet, message.revision, message.count) == ("press", "main@sha1:aa", 1)


@pytest.mark.parametrize(
    ("filter_", "event", "passes"),
    [
        ({}, {"severity": "Info"}, False),
        ({"warnings_only": False}, {"severity": "Info"}, True),
        ({"kinds": ("Task",)}, {}, True),
        ({"kinds": ("Daemon",)}, {}, False),
        ({"kinds": ("Proplet",)}, {"key": None, "proplet": "press"}, True),
        ({"kinds": ("Task",)}, {"key": None}, False),
        ({"namespaces": ("plant",)}, {}, True),
        ({"namespaces": ("other",)}, {}, False),
        ({"namespaces": ("plant",)}, {"key": None, "proplet": "press"}, False),
        ({"names": ("a*",)}, {}, True),
        ({"names": ("b*", "*dd")}, {}, True),
        ({"names": ("b*",)}, {}, False),
        ({"names": ("press-*",)}, {"key": None, "proplet": "press-7"}, True),
        ({"reasons": ("Failed", "Lost")}, {}, True),
        ({"reasons": ("Lost",)}, {}, False),
    ],
)
def test_filters(router, filter_, event, passes):
    """Empty lets anything through; all of them must agree."""
    assert bool(router(**filter_).note(note(**event), T0)) is passes


def test_events_about_alerts_are_never_told_by_alerts(router):
    """One that fails would otherwise tell of itself for ever."""
    one = router(warnings_only=False)
    assert one.note(note("AlertFailed", key=Key("Alert", "default", "on-call")), T0) == []


def test_a_repeat_within_the_window_is_counted_not_told(router):
    """And the next message says how often it happened."""
    one = router(dedup=5 * MINUTE)
    assert len(one.note(note(), T0)) == 1
    for second in range(1, 300):
        assert one.note(note(proplet=f"p{second}"), T0 + second * 1000) == []
    ((_, message),) = one.note(note(message="trap again"), T0 + 5 * MINUTE)
    assert (message.count, message.text, message.since) == (300, "trap again", T0)


def test_other_reasons_and_objects_have_windows_of_their_own(router):
    """What is news is told at once."""
    one = router()
    one.note(note(), T0)
    assert len(one.note(note("Lost"), T0 + 1)) == 1
    assert len(one.note(note(key=Key("Task", "plant", "sub")), T0 + 1)) == 1
    assert len(one.note(note(severity="Warning", key=None, proplet="press"), T0 + 1)) == 1


def test_recovery_is_told_once_the_object_is_ready_and_quiet(router):
    """Not while it goes on failing, and only once."""
    one = router()
    one.note(note(), T0)
    one.standing(ADD, NOT_READY)
    assert one.due(T0) is None
    one.standing(ADD, READY)
    one.note(note(), T0 + 5_000)
    assert one.due_messages(T0 + QUIET) == []
    assert one.due(T0) == T0 + 5_000 + QUIET
    ((_, message),) = one.due_messages(T0 + 5_000 + QUIET)
    assert (message.kind, message.severity, message.reason) == (RECOVERY, "Info", "Failed")
    assert message.at - message.since == 5_000 + QUIET
    assert one.due_messages(T0 + 10 * MINUTE) == []


def test_no_recovery_for_what_was_never_told(router):
    """Ready objects that were ready all along are no message."""
    one = router()
    one.standing(ADD, READY)
    one.note(note("Assigned", severity="Info"), T0)
    assert one.due_messages(T0 + MINUTE) == []


def test_recovery_can_be_switched_off(router):
    """Then there is only the warning."""
    one = router(recovery=False)
    one.note(note(), T0)
    one.standing(ADD, READY)
    assert one.due_messages(T0 + MINUTE) == []


def test_the_last_word_is_never_a_wrong_one(router):
    """Fine again, then failed again inside the window and for good: told at the window's end."""
    one = router(dedup=5 * MINUTE)
    one.note(note(), T0)
    one.standing(ADD, READY)
    assert kinds(one.due_messages(T0 + MINUTE)) == [RECOVERY]
    one.standing(ADD, NOT_READY)
    assert one.note(note(), T0 + 2 * MINUTE) == []
    assert one.due(T0) == T0 + 5 * MINUTE
    assert one.due_messages(T0 + 4 * MINUTE) == []
    ((_, message),) = one.due_messages(T0 + 5 * MINUTE)
    assert (message.kind, message.count) == (ALERT, 1)
    one.standing(ADD, READY)
    assert kinds(one.due_messages(T0 + 6 * MINUTE)) == [RECOVERY]


def test_flapping_inside_the_window_that_ends_well_is_not_told_again(router):
    """Two messages in all, however often it went back and forth."""
    one = router(dedup=5 * MINUTE)
    told = one.note(note(), T0)
    for minute in range(1, 5):
        one.standing(ADD, READY)
        told += one.due_messages(T0 + minute * MINUTE - 1)
        one.standing(ADD, NOT_READY)
        told += one.note(note(), T0 + minute * MINUTE)
    one.standing(ADD, READY)
    told += one.due_messages(T0 + 6 * MINUTE)
    told += one.due_messages(T0 + 60 * MINUTE)
    assert kinds(told) == [ALERT, RECOVERY]


def test_a_device_is_one_thing_whatever_namespace_declares_it(router):
    """Events name the device, statuses the object."""
    one = router()
    one.note(note("Silent", key=None, proplet="press"), T0)
    one.standing(Key("Proplet", "plant", "press"), READY)
    ((_, message),) = one.due_messages(T0 + MINUTE)
    assert (message.kind, message.subject) == (RECOVERY, "Proplet/press")


@pytest.mark.parametrize(
    ("trouble", "end"),
    [
        ("BrokerLost", "BrokerBack"),
        ("RevisionRefused", "SourceGood"),
        ("SourceUnavailable", "SourceGood"),
        ("StatusBranchFailed", "StatusBranchWritten"),
        ("CommitStatusFailed", "CommitStatusSent"),
    ],
)
def test_trouble_of_the_fleet_ends_with_its_own_event(router, trouble, end):
    """There is no object whose readiness could say so."""
    one = router()
    assert len(one.note(note(trouble, key=None), T0)) == 1
    assert one.due_messages(T0 + 10 * MINUTE) == []
    assert one.note(note(end, severity="Info", key=None), T0 + 11 * MINUTE) == []
    ((_, message),) = one.due_messages(T0 + 11 * MINUTE)
    assert (message.kind, message.reason) == (RECOVERY, trouble)


def test_an_object_that_is_deleted_has_nothing_to_fail_any_more(router):
    """Its warning is over."""
    one = router()
    one.note(note(), T0)
    one.standing(ADD, Standing(ready="Unknown", gone=True))
    assert kinds(one.due_messages(T0 + 1)) == [RECOVERY]


def test_a_flood_becomes_a_number(router):
    """So many at once, then one message that counts the rest."""
    one = router()
    told = []
    for index in range(1_000):
        told += one.note(note(key=Key("Task", "plant", f"t{index}")), T0)
    assert len(told) == BURST
    due = one.due(T0)
    ((_, message),) = one.due_messages(due)
    assert (message.kind, message.count) == (OVERFLOW, 1_000 - BURST)
    assert one.due_messages(due + MINUTE) == []


def test_memory_is_bounded(router):
    """Reasons and objects that never end cost no memory that never ends."""
    one = router()
    for index in range(MAX_CASES + 500):
        one.note(note(key=Key("Task", "plant", f"t{index}")), T0 + index)
    assert len(one.memory()) == MAX_CASES


def test_a_suspended_alert_says_nothing_and_wakes_nobody(router):
    """Until its time is over."""
    stop = Suspend(reason="maintenance", by="ana", until=T0 + MINUTE)
    one = router(suspend=stop)
    assert one.note(note(), T0) == []
    assert one.due(T0) == T0 + MINUTE
    assert len(one.note(note(), T0 + MINUTE)) == 1
    forever = router(suspend=Suspend(reason="maintenance", by="ana"))
    assert forever.note(note(), T0) == []
    assert forever.due(T0) is None


def test_a_restart_neither_repeats_nor_forgets(router, make_alert):
    """The window goes on, and a recovery is still told."""
    one = router()
    one.note(note(), T0)
    rows = json.loads(json.dumps(one.memory()))
    again = Router()
    again.remember([*rows, {"alert": "u"}, {"alert": "u", "subject": 1, "at": "x"}])
    again.define(UID, make_alert())
    assert again.note(note(), T0 + MINUTE) == []
    again.standing(ADD, READY)
    assert kinds(again.due_messages(T0 + 2 * MINUTE)) == [RECOVERY]


def test_an_edited_alert_keeps_what_it_knows(router, make_alert):
    """Another filter does not tell everything again; a deleted one tells nothing."""
    one = router()
    one.note(note(), T0)
    one.define(UID, make_alert(dedup=10 * MINUTE))
    assert one.note(note(), T0 + 6 * MINUTE) == []
    one.define(UID, None)
    assert one.note(note("Lost"), T0) == []
    assert one.alert(UID) is None
