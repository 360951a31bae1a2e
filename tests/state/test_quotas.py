"""No table that a device or time can fill grows without bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from propeller.model.ids import PropletId
from propeller.model.seen import RunState
from propeller.state.base import Store
from propeller.state.quotas import Quotas, clip

Opener = Callable[..., Store]


def test_a_device_cannot_list_more_runs_than_its_quota(open_store: Opener, samples: Any) -> None:
    """Ended runs go first, then the oldest; other proplets are not touched."""
    store = open_store(quotas=Quotas(seen_runs=3))
    other = samples.seen_run(99)
    with store.transaction():
        store.put_seen(samples.seen("p1"))
        store.put_seen(samples.seen("p2"))
        store.put_runs(PropletId("p2"), [other], [])
        runs = [
            samples.seen_run(number, state=state, started=samples.now + number)
            for number, state in enumerate(
                [RunState.RUNNING, RunState.RUNNING, RunState.SUCCEEDED, RunState.RUNNING]
            )
        ]
        store.put_runs(PropletId("p1"), runs, [])
        store.put_runs(PropletId("p1"), [samples.seen_run(4, state=RunState.RUNNING)], [])
    first, second = store.fleet()
    assert sorted(run.run for run in first.runs.values()) == [
        samples.run_id(number) for number in (1, 3, 4)
    ]
    assert list(second.runs.values()) == [other]


def test_what_a_device_says_is_cut_to_length(open_store: Opener, samples: Any) -> None:
    """Endless errors and results are kept shortened, with a mark."""
    store = open_store(quotas=Quotas(error_text=10, result_text=5, event_text=8))
    long = "x" * 100_000
    with store.transaction():
        store.put_seen(samples.seen())
        store.put_runs(PropletId("p1"), [samples.seen_run(error=long, result=long)], [])
        store.put_run(samples.run(error=long, result=long))
        store.add_event(samples.event(message=long))
        store.add_event(samples.event(message=long))
    (seen,) = store.fleet()[0].runs.values()
    assert (seen.error, seen.result) == ("x" * 9 + "…", "xxxx…")
    (run,) = store.runs(samples.uid())
    assert (run.error, run.result) == ("x" * 9 + "…", "xxxx…")
    (event,) = store.events()
    assert (event.message, event.count) == ("x" * 7 + "…", 2)


def test_short_text_is_kept_whole() -> None:
    """Cutting starts beyond the limit, not at it."""
    assert clip("abc", 3) == "abc"
    assert clip("abcd", 3) == "ab…"


def test_a_noisy_object_only_pushes_out_its_own_past(open_store: Opener, samples: Any) -> None:
    """Bounds are per owner first: a quiet object keeps its runs, events and outcomes."""
    store = open_store(quotas=Quotas(runs_per_object=2, events_per_owner=2, history_per_object=2))
    quiet = samples.uid("quiet")
    with store.transaction():
        store.put_run(samples.run(0, uid=quiet, key=samples.key("quiet")))
        store.add_event(samples.event(0, key=samples.key("quiet"), proplet=None))
        store.note_history(quiet, samples.past(0, uid=quiet))
        for number in range(1, 6):
            store.put_run(samples.run(number))
            store.add_event(samples.event(number))
            store.note_history(samples.uid(), samples.past(number))
        store.prune_history(samples.now)
    assert [run.run for run in store.runs(samples.uid())] == [samples.run_id(5), samples.run_id(4)]
    assert store.events(key=samples.key()) == [samples.event(5), samples.event(4)]
    assert [row.generation for row in store.history(samples.uid())] == [5, 4]
    assert len(store.runs(quiet)) == 1
    assert len(store.events(key=samples.key("quiet"))) == 1
    assert len(store.history(quiet)) == 1


def test_a_noisy_proplet_only_pushes_out_its_own_events(open_store: Opener, samples: Any) -> None:
    """Events about a proplet and no object are bounded by proplet."""
    store = open_store(quotas=Quotas(events_per_owner=2))
    with store.transaction():
        store.add_event(samples.event(0, key=None, proplet=PropletId("p2")))
        for number in range(1, 6):
            store.add_event(samples.event(number, key=None))
        store.prune_history(samples.now)
    assert len(store.events(proplet=PropletId("p1"))) == 2
    assert len(store.events(proplet=PropletId("p2"))) == 1


def test_totals_are_bounded_oldest_first(open_store: Opener, samples: Any) -> None:
    """Many owners together stay within the totals too."""
    store = open_store(quotas=Quotas(runs=3, events=4, revisions=2))
    with store.transaction():
        for number in range(8):
            name = f"task-{number}"
            store.put_run(samples.run(number, uid=samples.uid(name), key=samples.key(name)))
            store.add_event(samples.event(number, key=samples.key(name), proplet=None))
            store.note_revision(samples.revision(number))
        store.prune_history(samples.now)
    kept = [number for number in range(8) if store.runs(samples.uid(f"task-{number}"))]
    assert kept == [5, 6, 7]
    assert [event.at for event in store.events()] == [samples.now + n for n in (7, 6, 5, 4)]
    assert store.revisions() == [samples.revision(7), samples.revision(6)]


def test_totals_are_bounded_again_and_again(open_store: Opener, samples: Any) -> None:
    """Pruning often, a few rows at a time, holds the line as well as pruning once."""
    store = open_store(quotas=Quotas(events=4))
    for number in range(20):
        with store.transaction():
            store.add_event(samples.event(number, key=None, proplet=None))
            store.prune_history(samples.now)
    assert len(store.events()) == 4


def test_operations_that_ended_are_forgotten_after_a_while(
    open_store: Opener, samples: Any
) -> None:
    """What is under way stays however old; what ended goes by age, and by number."""
    store = open_store(quotas=Quotas(ops=2, ops_age=1000))
    with store.transaction():
        store.put_op(samples.op(1, state="sent"))
        store.put_op(samples.op(2, state="done"))
        store.put_op(samples.op(3, state="Unknown", at=samples.now + 5000))
        store.prune_history(samples.now + 5500)
    assert [op.id for op in store.ops()] == ["op-1", "op-3"]
    with store.transaction():
        store.put_op(samples.op(4, state="done", at=samples.now + 5400))
        store.prune_history(samples.now + 5500)
    assert [op.id for op in store.ops()] == ["op-1", "op-4"]


def test_uploads_of_one_proplet_are_bounded(open_store: Opener, samples: Any) -> None:
    """Finished ones go first and by age; other proplets keep theirs."""
    store = open_store(quotas=Quotas(uploads_per_proplet=2, uploads_age=1000))
    with store.transaction():
        for number, state in enumerate(["open", "open", "stored", "open", "refused"]):
            store.put_upload(samples.upload(number, state=state))
        store.put_upload(samples.upload(9, proplet=PropletId("p2"), state="stored"))
        store.prune_history(samples.now + 500)
    mine = [upload for upload in store.uploads() if upload.proplet == "p1"]
    assert mine == [samples.upload(1), samples.upload(3)]
    assert len(store.uploads()) == 3
    with store.transaction():
        store.prune_history(samples.now + 2000)
    assert store.uploads() == [samples.upload(1), samples.upload(3)]


def test_the_past_of_objects_that_left_fades(open_store: Opener, samples: Any) -> None:
    """Objects still held keep their past; that of others goes with age."""
    store = open_store(quotas=Quotas(history_age=1000, events=1))
    gone = samples.uid("gone")
    with store.transaction():
        store.put_held(samples.held())
        store.note_history(samples.uid(), samples.past(1))
        store.note_history(gone, samples.past(1, uid=gone))
        store.prune_history(samples.now + 500)
    assert len(store.history(gone)) == 1
    with store.transaction():
        store.prune_history(samples.now + 2000)
    assert store.history(gone) == []
    assert len(store.history(samples.uid())) == 1
