"""Jobs, rounds and parts in the store: what is put comes back, and old parts go first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from propeller.model.federated import Comparison, Evaluation, Terms
from propeller.model.ids import Digest, PropletId, RunId, Uid
from propeller.model.rounds import Blob, Bucket, Fold, Job, Origin, Part, Round, RoundState
from propeller.state import rounds as tables
from propeller.state.sqlite import SqliteStore

UID = Uid("5d0d2f2e-1f0a-5c5e-9a70-0f1b6a8a3c11")


def digest(number: int) -> Digest:
    return Digest("sha256:" + f"{number:064x}")


JOB = Job(
    uid=UID,
    job="0f8fad5b-d9cb-469f-a165-70867728950e",
    run_digest=digest(1),
    begun_at=5,
    prepared=True,
    done=3,
    model=Blob(digest(2), 20),
    state=Blob(digest(3), 30),
    strategy="FedAdam",
    metrics=(("accuracy", "0.9"),),
    best_round=2,
    best_value="0.91",
    best_model=Blob(digest(4), 20),
    record=digest(5),
)
TERMS = Terms(
    target=2,
    least=1,
    deadline=1000,
    parameters=(("eta", "0.1"),),
    evaluation=Evaluation(stop=Comparison("accuracy", ">=", "0.9"), patience=3),
    clip="1.0",
)


def a_part(name: str, **more: object) -> Part:
    part = Part(proplet=PropletId(name), run=RunId("a" * 32), cause="round:1", nonce="0" * 32)
    return replace(part, **more)  # type: ignore[arg-type]


def a_round(number: int = 1, **more: object) -> Round:
    round_ = Round(
        uid=UID,
        job=JOB.job,
        number=number,
        attempt=1,
        generation=2,
        state=RoundState.COLLECTING,
        terms=TERMS,
        eligible=(PropletId("a"), PropletId("b")),
        parts={PropletId(name): a_part(name) for name in ("a", "b")},
        base=Blob(digest(7), 70),
        selected_at=10,
        deadline=1010,
    )
    return replace(round_, **more)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore.open(tmp_path / "propeller.db")


def put(store: SqliteStore, after: Round, before: Round | None = None) -> None:
    with store.transaction():
        store.put_round(after, before)


def test_the_module_that_folds_is_kept_with_its_round(store: SqliteStore) -> None:
    """Its digest comes back, and the clean-up is told to leave its bytes for who verifies."""
    round_ = a_round(terms=replace(TERMS, strategy="Wasm", aggregator=digest(12)))
    with store.transaction():
        store.put_job(JOB)
        store.put_round(round_)
    assert store.learnings()[UID].round == round_
    assert digest(12) in store.learning_blobs()


def test_a_job_and_its_round_come_back_as_they_were(store: SqliteStore) -> None:
    """Every field, in the store that another process would open."""
    accepted = a_part(
        "a",
        tries=3,
        bucket=Bucket.ACCEPTED,
        update=Blob(digest(8), 80),
        looked=True,
        body=digest(9),
        samples=12,
        metrics=(("loss", "0.5"),),
        norm="1.25",
    )
    fold = Fold(model=Blob(digest(10), 100), refused=(("b", "huge-norm"),), notes=(("m", "1"),))
    whole = a_round(
        state=RoundState.EVALUATING,
        parts={PropletId("a"): accepted, PropletId("b"): a_part("b", why="x")},
        origins={PropletId("b"): Origin(PropletId("b"), 1, 2, Blob(digest(12), 120))},
        judges={PropletId("b"): a_part("b", cause="evaluate:1")},
        fold=fold,
        metrics=(("loss", "0.5"),),
        record=digest(11),
    )
    with store.transaction():
        store.put_job(JOB)
        store.put_round(whole)
    known = store.learnings()[UID]
    assert known.job == JOB
    assert known.round == whole
    assert store.rounds(UID) == [whole]
    assert digest(12) in store.learning_blobs(), "b's update is looked at with it"


def test_only_parts_that_changed_are_written_again(store: SqliteStore) -> None:
    """One update of a large cohort is one row and the round's own."""
    before = a_round()
    put(store, before)
    changed = {**before.parts, PropletId("a"): a_part("a", bucket=Bucket.DROPPED, why="silent")}
    after = replace(before, parts=changed)
    serial = store.serial()
    put(store, after, before)
    assert store.serial() > serial
    assert store.rounds(UID) == [after]


def test_a_round_of_which_only_parts_moved_keeps_its_row(store: SqliteStore) -> None:
    """And one that moved itself is written."""
    before = a_round()
    put(store, before)
    parts = {**before.parts, PropletId("b"): a_part("b", tries=2)}
    moved = replace(before, parts=parts, closed_at=77)
    put(store, moved, before)
    assert store.rounds(UID) == [moved]


def test_old_parts_go_first(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds beyond the quota lose their parts, and stay themselves until theirs is reached."""
    monkeypatch.setattr(tables, "KEPT_PARTS", 2)
    monkeypatch.setattr(tables, "KEPT_ROUNDS", 4)
    for number in range(1, 7):
        put(store, a_round(number, state=RoundState.COMMITTED))
    found = store.rounds(UID)
    assert [one.number for one in found] == [6, 5, 4, 3]
    assert [len(one.parts) for one in found] == [2, 2, 0, 0]


def test_blobs_in_use_are_named(store: SqliteStore) -> None:
    """What a clean-up must keep: models, states, layouts and updates."""
    part = a_part("a", update=Blob(digest(8), 80))
    with store.transaction():
        store.put_job(JOB)
        store.put_round(a_round(parts={PropletId("a"): part}, fold=Fold(model=Blob(digest(10), 1))))
    assert store.learning_blobs() == {digest(number) for number in (2, 3, 4, 7, 8, 10)}


def test_a_round_of_an_earlier_job_is_history(store: SqliteStore) -> None:
    """The newest round counts only if it is of the job that goes on."""
    put(store, a_round())
    with store.transaction():
        store.put_job(replace(JOB, job="11111111-2222-3333-4444-555555555555"))
    assert store.learnings()[UID].round is None
    assert len(store.rounds(UID)) == 1


def test_dropping_an_object_drops_all_of_it(store: SqliteStore) -> None:
    """Job, rounds and parts."""
    with store.transaction():
        store.put_job(JOB)
        store.put_round(a_round(parts={PropletId("a"): a_part("a", update=Blob(digest(8), 1))}))
    with store.transaction():
        store.drop_learning(UID)
    assert store.learnings() == {}
    assert store.rounds(UID) == []
    assert store.learning_blobs() == set()
