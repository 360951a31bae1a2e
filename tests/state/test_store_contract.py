"""What every Store keeps and gives back, whichever database is behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from propeller.model.checks import Reading
from propeller.model.drift import Corrections
from propeller.model.ids import Digest, PropletId
from propeller.model.module import Aot
from propeller.model.seen import RunState
from propeller.model.withheld import Override, Withheld
from propeller.state.base import Store
from propeller.state.records import Approval, Event, Pause

NOW = 1_800_000_000_000
Opener = Callable[..., Store]


def test_the_first_open_is_fresh_and_the_next_is_not(open_store: Opener) -> None:
    """`fresh` tells a lost database from a known one: the recovery rules hang on it."""
    first = open_store()
    assert first.fresh
    first.close()
    assert not open_store().fresh


def test_objects_come_back_equal(open_store: Opener, samples: Any) -> None:
    """Every kind survives closing and opening, with hold, slot and tombstone."""
    held = [
        samples.held(samples.task()),
        samples.held(samples.daemon(), deleted_at=None, hold=None, last_slot=None),
        samples.held(samples.proplet_object()),
        samples.held(samples.app()),
    ]
    store = open_store()
    with store.transaction():
        for each in held:
            store.put_held(each)
    store.close()
    assert open_store().inventory() == sorted(held, key=lambda each: each.uid)


def test_putting_an_object_again_replaces_it(store: Store, samples: Any) -> None:
    """One row an object: the later word wins, also where it says None."""
    later = samples.held(generation=4, hold=None, last_slot=None, deleted_at=None)
    with store.transaction():
        store.put_held(samples.held())
        store.put_held(later)
    assert store.inventory() == [later]


def test_an_object_leaves_when_dropped(store: Store, samples: Any) -> None:
    """A dropped object is gone; dropping it twice is nothing."""
    with store.transaction():
        store.put_held(samples.held())
        store.drop_held(samples.uid())
        store.drop_held(samples.uid())
    assert store.inventory() == []


def test_an_object_may_not_leave_before_its_copies(store: Store, samples: Any) -> None:
    """Law 4 holds in the file too: an object that still has a copy cannot be dropped."""
    with store.transaction():
        store.put_held(samples.held())
        store.put_assignment(samples.assignment())
    with pytest.raises(AssertionError), store.transaction():
        store.drop_held(samples.uid())
    assert len(store.inventory()) == 1
    with store.transaction():
        store.drop_held(samples.uid())
        store.drop_assignment(samples.uid(), PropletId("p1"))
    assert store.inventory() == []


def test_assignments_come_back_equal(open_store: Opener, samples: Any) -> None:
    """One row a copy: put again is replaced, dropped is gone."""
    first = samples.assignment()
    second = samples.assignment(proplet=PropletId("p2"), releasing=False, cause="once", attempt=1)
    store = open_store()
    with store.transaction():
        store.put_held(samples.held())
        store.put_assignment(first)
        store.put_assignment(second)
        store.put_assignment(replace(first, releasing=False))
    store.close()
    store = open_store()
    assert store.assignments() == [replace(first, releasing=False), second]
    with store.transaction():
        store.drop_assignment(first.uid, first.proplet)
    assert store.assignments() == [second]


def test_modules_come_back_equal(open_store: Opener, samples: Any) -> None:
    """Resolved modules and the reasons why one is not, by the reference that named them."""
    modules = samples.modules()
    store = open_store()
    with store.transaction():
        for ref, resolved in modules.items():
            store.put_module(ref, resolved)
    store.close()
    store = open_store()
    assert store.modules() == modules
    *gone, stays = sorted(modules, key=lambda ref: ref.file or "")
    with store.transaction():
        for ref in gone:
            store.drop_module(ref)
    assert store.modules() == {stays: modules[stays]}


def test_proplets_and_their_runs_come_back_equal(open_store: Opener, samples: Any) -> None:
    """Every field of a proplet and of its runs, one that said hello and one never heard of."""
    heard, silent = (
        samples.seen("p1"),
        samples.seen("p2", facts=None, offline_since=None, tasks=None),
    )
    runs = [samples.seen_run(1), samples.seen_run(2, exit=None, result=None, result_digest=None)]
    store = open_store()
    with store.transaction():
        store.put_seen(heard)
        store.put_runs(heard.id, runs, [])
        store.put_seen(silent)
    store.close()
    wanted = replace(heard, runs={(run.uid, run.run): run for run in runs})
    assert open_store().fleet() == [wanted, silent]


def test_only_the_runs_named_change(store: Store, samples: Any) -> None:
    """A report touches what it changed: other runs of the proplet stay as they were."""
    one, two, three = (samples.seen_run(number) for number in (1, 2, 3))
    now_two = replace(two, state=RunState.SUCCEEDED, error="")
    with store.transaction():
        store.put_seen(samples.seen())
        store.put_runs(PropletId("p1"), [one, two, three], [])
        store.put_runs(PropletId("p1"), [now_two], [(three.uid, three.run)])
    assert store.fleet()[0].runs == {(one.uid, one.run): one, (two.uid, two.run): now_two}


def test_a_report_keeps_the_runs(store: Store, samples: Any) -> None:
    """`put_seen` says nothing about runs, so it takes none away."""
    run = samples.seen_run()
    with store.transaction():
        store.put_seen(samples.seen())
        store.put_runs(PropletId("p1"), [run], [])
        store.put_seen(samples.seen(seq=99))
    assert store.fleet() == [samples.seen(seq=99, runs={(run.uid, run.run): run})]


def test_a_forgotten_proplet_takes_its_runs_along(store: Store, samples: Any) -> None:
    """After `drop_seen` a proplet of the same name starts with no runs."""
    with store.transaction():
        store.put_seen(samples.seen())
        store.put_runs(PropletId("p1"), [samples.seen_run()], [])
        store.drop_seen(PropletId("p1"))
    assert store.fleet() == []
    with store.transaction():
        store.put_seen(samples.seen())
    assert store.fleet() == [samples.seen()]


def test_what_was_asked_comes_back_byte_for_byte(open_store: Opener, samples: Any) -> None:
    """The document is kept out of `load_asked`, outlives an ask without one, goes with its row."""
    asked = samples.asked()
    again = replace(asked, body=b"", attempts=3, due=asked.due + 1)
    store = open_store()
    with store.transaction():
        store.put_asked(asked)
        store.put_asked(again)
    store.close()
    store = open_store()
    assert store.load_asked() == [again]
    assert store.asked_body(asked.proplet) == asked.body
    with store.transaction():
        store.drop_asked(asked.proplet)
    assert store.load_asked() == []
    assert store.asked_body(asked.proplet) == b""


def test_holds_on_proplets_come_back_equal_and_are_lifted(open_store: Opener, samples: Any) -> None:
    """A hold with labels set and unset; an empty one lifts it."""
    store = open_store()
    with store.transaction():
        store.put_proplet_hold(samples.hold())
    store.close()
    store = open_store()
    assert store.proplet_holds() == [samples.hold()]
    with store.transaction():
        store.put_proplet_hold(samples.hold(scheduling=None, labels=()))
    assert store.proplet_holds() == []


def test_revisions_are_newest_first_without_repeats(open_store: Opener, samples: Any) -> None:
    """A poll that finds the same rejected revision again adds nothing; a change of mind does."""
    one, two = samples.revision(1), samples.revision(2, outcome="accepted", faults=())
    store = open_store()
    with store.transaction():
        for record in (one, replace(one, at=one.at + 5), two, one):
            store.note_revision(record)
    store.close()
    store = open_store()
    assert store.revisions() == [one, two, one]
    assert store.revisions(limit=1) == [one]


def test_runs_in_the_history_are_newest_first(open_store: Opener, samples: Any) -> None:
    """One row a run, replaced as it goes on; limit takes the newest."""
    store = open_store()
    with store.transaction():
        store.put_run(samples.run(1, state="Running", exit=None, result=None, result_digest=None))
        store.put_run(samples.run(2))
        store.put_run(samples.run(1))
    store.close()
    store = open_store()
    assert store.runs(samples.uid()) == [samples.run(2), samples.run(1)]
    assert store.runs(samples.uid(), limit=1) == [samples.run(2)]
    assert store.runs(samples.uid("other")) == []


def test_events_are_found_by_key_and_by_proplet(open_store: Opener, samples: Any) -> None:
    """Newest first, whichever way they are asked for; None means not asked."""
    both = samples.event(1)
    fleet = samples.event(2, key=None, proplet=None)
    other = samples.event(3, key=samples.key("other"))
    store = open_store()
    with store.transaction():
        for event in (both, fleet, other):
            store.add_event(event)
    store.close()
    store = open_store()
    assert store.events() == [other, fleet, both]
    assert store.events(limit=2) == [other, fleet]
    assert store.events(key=samples.key()) == [both]
    assert store.events(proplet=PropletId("p1")) == [other, both]
    assert store.events(key=samples.key("other"), proplet=PropletId("p1")) == [other]
    assert store.events(key=samples.key("other"), proplet=PropletId("p9")) == []


def test_an_equal_event_is_counted_not_repeated(store: Store, samples: Any) -> None:
    """The newest of a key and proplet is counted up; another word in between starts a new row."""
    first = samples.event(1)
    said = [
        first,
        replace(first, at=first.at + 5),
        samples.event(7),
        replace(first, at=first.at + 9),
    ]
    with store.transaction():
        for event in said:
            store.add_event(event)
    newest, middle, oldest = store.events()
    assert (oldest.count, oldest.first_at, oldest.at) == (2, first.at, first.at + 5)
    assert (middle.count, middle.message) == (1, "exit status 7")
    assert (newest.count, newest.at) == (1, first.at + 9)


@pytest.mark.parametrize("change", [{"key": None}, {"proplet": None}, {"proplet": PropletId("p2")}])
def test_the_same_words_about_someone_else_are_another_event(
    store: Store, samples: Any, change: Mapping[str, Any]
) -> None:
    """Equal text about another object or proplet is no repeat, and does not hide one either."""
    first: Event = samples.event(1)
    with store.transaction():
        store.add_event(first)
        store.add_event(replace(first, at=first.at + 1, **change))
        store.add_event(replace(first, at=first.at + 2))
    assert [event.count for event in store.events()] == [2, 1]


def test_statuses_come_back_in_order_of_name(open_store: Opener, samples: Any) -> None:
    """One projection an object, replaced and dropped by uid."""
    store = open_store()
    with store.transaction():
        for name in ("c", "a", "b"):
            store.put_status(samples.status(name))
        store.put_status(samples.status("b", ready="False"))
        store.drop_status(samples.uid("c"))
    store.close()
    found = list(open_store().statuses())
    assert found == [samples.status("a"), samples.status("b", ready="False")]


def test_the_past_of_an_object_is_one_row_an_outcome(open_store: Opener, samples: Any) -> None:
    """(digest, outcome) once: earliest first, latest last, counts summed; newest on top."""
    uid = samples.uid()
    store = open_store()
    with store.transaction():
        store.note_history(uid, samples.past(1))
        store.note_history(uid, samples.past(2))
        store.note_history(uid, samples.past(1, first=samples.now + 9, last=samples.now + 9))
    store.close()
    assert open_store().history(uid) == [
        samples.past(1, last=samples.now + 9, count=2),
        samples.past(2),
    ]


def test_operations_come_back_in_order(open_store: Opener, samples: Any) -> None:
    """One row an operation, replaced as it is answered."""
    store = open_store()
    with store.transaction():
        store.put_op(samples.op(2))
        store.put_op(samples.op(1))
        store.put_op(samples.op(2, state="done"))
    store.close()
    assert open_store().ops() == [samples.op(1), samples.op(2, state="done")]


def test_uploads_come_back_and_leave(open_store: Opener, samples: Any) -> None:
    """One row a proplet and digest; what is dropped is gone."""
    store = open_store()
    with store.transaction():
        store.put_upload(samples.upload(1))
        store.put_upload(samples.upload(2))
        store.put_upload(samples.upload(1, have=500))
        store.drop_upload(PropletId("p1"), samples.upload(2).digest)
    store.close()
    assert open_store().uploads() == [samples.upload(1, have=500)]


def test_courses_and_versions_come_back_equal(open_store: Opener, samples: Any) -> None:
    """A rollout is rows: which version is good, which is tried, what was rejected."""
    course = samples.course()
    store = open_store()
    with store.transaction():
        store.put_course(samples.course(step=0, good=None))
        store.put_course(course)
        store.put_assignment(samples.assignment(version=course.good.digest))
        store.put_held(samples.held())
    store.close()
    again = open_store()
    assert again.courses() == [course]
    assert [copy.version for copy in again.assignments()] == [course.good.digest]


def test_measurements_come_back_equal_and_leave_with_their_object(
    open_store: Opener, samples: Any
) -> None:
    """The newest one of each check; a number keeps its digits, and none stays none."""
    uid = samples.uid()
    store = open_store()
    newest = Reading(slot=NOW + 1, value=Decimal("0.950"), words="0.950 from prom")
    nothing = Reading(slot=NOW, words="prom:9090: no connection")
    with store.transaction():
        store.put_course(samples.course())
        store.put_reading(uid, "cpu", Reading(slot=NOW, value=Decimal(1)))
        store.put_reading(uid, "cpu", newest)
        store.put_reading(uid, "alarms", nothing)
    store.close()
    again = open_store()
    assert again.readings() == [(uid, "alarms", nothing), (uid, "cpu", newest)]
    with again.transaction():
        again.drop_course(uid)
    assert again.readings() == []


def test_accepted_versions_are_kept_newest_first_and_not_for_ever(
    store: Store, samples: Any
) -> None:
    """Ten of an object; accepted again, one is the newest; dropping the course drops them."""
    uid = samples.uid()
    versions = [samples.version(number) for number in range(12)]
    with store.transaction():
        for at, version in enumerate([*versions, versions[3]]):
            store.note_version(uid, version, at)
    kept = store.versions(uid)
    assert kept[0] == versions[3]
    assert kept[1:] == [versions[number] for number in (11, 10, 9, 8, 7, 6, 5, 4, 2)]
    assert store.newest_versions() == {uid: versions[3].digest}
    assert store.version_modules() == {version.module.digest for version in kept}
    native = Aot("thumbv7/wamr-6", Digest("sha256:" + "a0" * 32), 9)
    with store.transaction():
        held = replace(versions[3], module=replace(versions[3].module, aot=(native,)))
        store.note_version(uid, held, 14)
    assert store.version_modules() == {native.digest, *(one.module.digest for one in kept)}
    assert store.holders_of_version(versions[3].digest[:20]) == [uid]
    assert store.holders_of_version("sha256:ffffffff") == []
    with store.transaction():
        store.drop_course(uid)
    assert store.versions(uid) == []


def test_pauses_and_approvals_come_back_and_leave(open_store: Opener) -> None:
    """What waits for a person, and the yes that came, outlive a restart."""
    store = open_store()
    pause = Pause(
        app="line",
        source="",
        guard="maxDelete",
        message="2 of 3 objects would be deleted",
        digest="sha256:" + "a" * 64,
        whole="sha256:" + "b" * 64,
        revision="main@1",
        at=5,
    )
    later = replace(pause, message="3 of 3 objects would be deleted", at=6)
    approval = Approval(digest=pause.digest, by="ana", at=7)
    with store.transaction():
        store.put_pause(pause)
        store.put_pause(replace(pause, app="other"))
        store.put_pause(later)
        store.put_approval(approval)
    store.close()
    store = open_store()
    assert store.pauses() == [later, replace(pause, app="other")]
    assert store.approvals() == [approval]
    with store.transaction():
        store.drop_pause("line")
        store.drop_pause("other")
        store.drop_approval(approval.digest)
    assert (store.pauses(), store.approvals()) == ([], [])


def test_what_waits_for_a_window_comes_back_equal(open_store: Opener, samples: Any) -> None:
    """An edit that waits, a new object that waits, and who let one through."""
    module = samples.version().module
    waiting = [
        Withheld(uid=samples.uid("add"), held=samples.held(), module=module),
        Withheld(uid=samples.uid("new"), held=None),
    ]
    override = Override(uid=samples.uid(), mark="3 deleted", by="ada", reason="why", at=5)
    store = open_store()
    with store.transaction():
        for one in waiting:
            store.put_withheld(one)
        store.put_override(override)
    store.close()
    again = open_store()
    assert again.withheld() == sorted(waiting, key=lambda one: one.uid)
    assert again.overrides() == [override]
    with again.transaction():
        again.drop_withheld(samples.uid("new"))
        again.drop_override(samples.uid())
    assert again.withheld() == waiting[:1]
    assert again.overrides() == []


def test_corrections_come_back_equal(open_store: Opener, samples: Any) -> None:
    """How often an object was corrected outlives a restart, or flapping would begin anew."""
    row = Corrections(uid=samples.uid(), generation=3, times=(1, 2), flapping=True)
    store = open_store()
    with store.transaction():
        store.put_corrections(Corrections(uid=samples.uid(), generation=2))
        store.put_corrections(row)
    store.close()
    again = open_store()
    assert again.corrections() == [row]
    with again.transaction():
        again.drop_corrections(samples.uid())
    assert again.corrections() == []
