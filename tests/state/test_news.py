"""Overhearing the store: what was committed, in order, and nothing that was not."""

from __future__ import annotations

import pytest

from propeller.model.inventory import Held
from propeller.state.records import Event, RevisionRecord, StatusRow
from propeller.state.sqlite import SqliteStore


@pytest.fixture
def heard(tmp_path, samples):
    """A store and what was overheard of it."""
    store = SqliteStore.open(tmp_path / "p.db")
    told = []
    store.listen(told.append)
    yield store, told
    store.close()


def event(message):
    return Event(at=1, severity="Info", reason="R", message=message)


def test_a_commit_is_told_once_with_everything_in_it(heard, samples):
    """Events in order; of each row the last state."""
    store, told = heard
    uid, key = samples.uid(), samples.key()
    row = StatusRow(uid=uid, key=key, ready="True", document="{}", changed_at=1)
    record = RevisionRecord(name="r", digest="d", source="s", at=1, outcome="accepted")
    with store.transaction():
        store.add_event(event("a"))
        store.add_event(event("a"))
        store.put_status(row)
        store.note_revision(record)
        assert told == []
    (news,) = told
    assert [one.message for one in news.events] == ["a", "a"]
    assert news.statuses == {uid: row}
    assert news.revisions == [record]
    with store.transaction():
        store.put_status(row)
        store.drop_status(uid)
    assert told[1].statuses == {uid: None}


def test_what_is_rolled_back_is_not_told(heard):
    """Nor does it come along with the next commit."""
    store, told = heard
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.add_event(event("never"))
        raise ZeroDivisionError
    with store.transaction():
        store.add_event(event("a"))
    assert [[one.message for one in news.events] for news in told] == [["a"]]


def test_objects_come_and_go(heard, samples):
    """As they are, and as None."""
    store, told = heard
    held = Held(
        uid=samples.uid(),
        object=samples.task(),
        generation=1,
        revision="r",
        created_at=1,
        changed_at=1,
    )
    with store.transaction():
        store.put_held(held)
    with store.transaction():
        store.drop_held(held.uid)
    assert [news.objects for news in told] == [{held.uid: held}, {held.uid: None}]


def test_a_commit_without_news_is_not_told(heard):
    """The fence and other numbers are nobody's business."""
    store, told = heard
    store.take_fence(5)
    with store.transaction():
        store.set_meta("a", "b")
    assert told == []
