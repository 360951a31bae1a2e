"""The round machine under any order of news: buckets add up, and rules hold at every step."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from propeller.fl.select import invited_count, select
from propeller.model.federated import Close, Terms
from propeller.model.ids import Digest, PropletId, RunId, Uid
from propeller.model.rounds import Bucket, Fold, Part, Round, RoundState, Step
from propeller.model.seen import Presence, RunState, Seen, SeenRun
from propeller.plan.records import sealed
from propeller.plan.rounds import Hearing, collect, folded, mean, stragglers
from propeller.plan.training import cohort, invitation

UID = Uid("5d0d2f2e-1f0a-5c5e-9a70-0f1b6a8a3c11")
JOB = "0f8fad5b-d9cb-469f-a165-70867728950e"
DIGEST = Digest("sha256:" + "ab" * 32)
NAMES = [PropletId(f"p{index}") for index in range(6)]
DEADLINE = 1_000

names = st.sampled_from(NAMES)
news = st.one_of(
    st.tuples(st.just("run"), names, st.sampled_from(list(RunState))),
    st.tuples(st.just("look"), names, st.sampled_from(["", "not-finite"])),
    st.tuples(st.just("silent"), names, st.none()),
    st.tuples(st.just("leave"), names, st.none()),
    st.tuples(st.just("wait"), names, st.integers(1, 400)),
)
terms = st.builds(
    Terms,
    target=st.integers(1, 6),
    least=st.just(1),
    close=st.sampled_from(Close),
    deadline=st.just(DEADLINE),
    strategy=st.sampled_from(["FedAvg", "FedBuff"]),
).flatmap(lambda one: st.integers(1, one.target).map(lambda least: replace(one, least=least)))


class World:
    """What the machine may listen to, changed by news."""

    def __init__(self, invited: list[PropletId], asked: Terms) -> None:
        self.now = 0
        self.gone: set[PropletId] = set()
        self.silent: set[PropletId] = set()
        self.runs: dict[tuple[PropletId, RunId], SeenRun] = {}
        self.round = Round(
            uid=UID,
            job=JOB,
            number=1,
            attempt=1,
            generation=1,
            state=RoundState.COLLECTING,
            terms=asked,
            eligible=tuple(invited),
            parts={name: self.part(name) for name in invited},
            selected_at=0,
            deadline=DEADLINE,
        )

    @staticmethod
    def part(name: PropletId, tries: int = 1) -> Part:
        return invitation(UID, DIGEST, "", name, step=Step.TRAIN, number=1, attempt=1, tries=tries)

    def listen(self, name: PropletId, run: RunId) -> Hearing:
        if name in self.gone:
            return Hearing(None, None)
        presence = Presence.OFFLINE if name in self.silent else Presence.ONLINE
        seen = Seen(id=name, declared=True, presence=presence)
        return Hearing(seen, self.runs.get((name, run)))

    def again(self, part: Part) -> Part:
        return self.part(part.proplet, part.tries + 1)

    def hear(self, kind: str, name: PropletId, what: object) -> None:
        part = self.round.parts.get(name)
        if kind == "wait":
            assert isinstance(what, int)
            self.now += what
        elif kind == "silent":
            self.silent ^= {name}
        elif kind == "leave":
            self.gone.add(name)
        elif part is not None and kind == "run":
            assert isinstance(what, RunState)
            self.runs[name, part.run] = SeenRun(
                uid=UID,
                run=part.run,
                digest=DIGEST,
                cause=part.cause,
                state=what,
                result_digest=DIGEST if what is RunState.SUCCEEDED else None,
            )
        elif part is not None and kind == "look" and part.update and not part.looked:
            assert isinstance(what, str)
            looked = replace(part, looked=True, why=what, samples=1)
            parts = {**self.round.parts, name: looked}
            self.round = replace(self.round, parts=parts)

    def step(self) -> None:
        if self.round.state is RoundState.COLLECTING:
            self.round = collect(self.round, self.listen, self.again, now=self.now)
        elif self.round.state is RoundState.AGGREGATING:
            self.round = stragglers(self.round, self.listen)


@given(
    invited=st.lists(names, min_size=1, unique=True),
    asked=terms,
    story=st.lists(news, max_size=60),
)
def test_everybody_who_was_invited_ends_in_one_bucket(
    invited: list[PropletId], asked: Terms, story: list[tuple[str, PropletId, object]]
) -> None:
    """Whatever is heard, twice or never: sums add up, nobody leaves a bucket but dropped -> late,
    never more than the target is accepted, and at the deadline every round is closed."""
    world = World(invited, asked)
    for one in story:
        before = world.round
        world.hear(*one)
        world.step()
        world.step()  # news that is heard twice says nothing new
        after = world.round
        assert after.parts.keys() == set(invited)
        assert sum(after.counts().values()) == len(invited)
        for name, part in after.parts.items():
            was = before.parts[name].bucket
            if was is not Bucket.OPEN and part.bucket is not was:
                assert (was, part.bucket) == (Bucket.DROPPED, Bucket.LATE)
        if asked.stale is None:
            assert not after.counts()[Bucket.CARRIED]
        if asked.close is Close.TARGET:
            assert after.counts()[Bucket.ACCEPTED] <= asked.target
        if after.state is not RoundState.COLLECTING:
            assert after.counts()[Bucket.OPEN] == 0
            enough = after.counts()[Bucket.ACCEPTED] >= asked.least
            assert enough is (after.state is RoundState.AGGREGATING)
    world.now = DEADLINE
    world.step()
    assert world.round.state is not RoundState.COLLECTING


@given(order=st.permutations(NAMES))
def test_the_order_of_arrival_changes_no_record(order: list[PropletId]) -> None:
    """All of a cohort arrive, in any order: the same contributors and the same record."""
    asked = Terms(target=6, least=3, close=Close.COHORT, deadline=DEADLINE)
    world = World(NAMES, asked)
    for name in order:
        world.now += 1
        world.hear("run", name, RunState.SUCCEEDED)
        world.step()
        world.hear("look", name, "")
        world.step()
    other = World(NAMES, asked)
    for name in NAMES:
        other.hear("run", name, RunState.SUCCEEDED)
    other.step()
    for name in NAMES:
        other.hear("look", name, "")
    other.step()
    assert world.round.state is RoundState.AGGREGATING
    assert sealed(world.round).record == sealed(other.round).record


@given(
    eligible=st.lists(st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), unique=True, max_size=30),
    target=st.integers(1, 20),
    over=st.sampled_from(["1", "1.3", "1.5", "2", "10"]),
    attempt=st.integers(1, 5),
)
def test_a_cohort_is_what_the_record_says(
    eligible: list[str], target: int, over: str, attempt: int
) -> None:
    """The formula of invitations and the seeded keys agree with the room that verifies rounds."""
    asked = Terms(target=target, least=1, over=over, deadline=1)
    count = asked.invited(len(eligible))
    assert count == invited_count(target=target, over=Fraction(over), eligible=len(eligible))
    seed = sha256(b"propeller-fl-select-v1\0" + JOB.encode()).digest()
    chosen = select(eligible, count=count, seed=seed, job=JOB, round_=3, attempt=attempt)
    names_ = [PropletId(name) for name in eligible]
    found = cohort(names_, count, job=JOB, step=Step.TRAIN, number=3, attempt=attempt)
    assert found == tuple(sorted(chosen))


@given(
    eligible=st.lists(names, unique=True, min_size=2),
    newcomer=st.just(PropletId("zz")),
    count=st.integers(1, 6),
)
def test_who_joins_moves_at_most_one_place(
    eligible: list[PropletId], newcomer: PropletId, count: int
) -> None:
    """A newcomer can only take one place: nobody else is chosen anew."""
    before = set(cohort(eligible, count, job=JOB, step=Step.TRAIN, number=1, attempt=1))
    after = set(cohort([*eligible, newcomer], count, job=JOB, step=Step.TRAIN, number=1, attempt=1))
    assert after - before <= {newcomer}


def test_metrics_are_weighted_by_samples() -> None:
    """0.5 over 10 and 0.9 over 30 is 0.8; who said nothing has no weight."""
    parts = [
        replace(World.part(name), bucket=Bucket.ACCEPTED, samples=samples, metrics=metrics)
        for name, samples, metrics in (
            (NAMES[0], 10, (("accuracy", "0.5"),)),
            (NAMES[1], 30, (("accuracy", "0.9"),)),
            (NAMES[2], 60, ()),
        )
    ]
    assert mean(parts) == (("accuracy", "0.8"),)
    assert mean([]) == ()


def test_what_the_others_show_is_rejected_after_the_fold() -> None:
    """An update refused only by comparison leaves the accepted bucket, and may cost the round."""
    world = World(NAMES[:2], Terms(target=2, least=1, close=Close.COHORT, deadline=DEADLINE))
    for name in NAMES[:2]:
        world.hear("run", name, RunState.SUCCEEDED)
    world.step()
    for name in NAMES[:2]:
        world.hear("look", name, "")
    world.step()
    fold = Fold(refused=((NAMES[1], "huge-norm"),))
    after = folded(replace(world.round, fold=fold), now=5, measured=False)
    assert after.state is RoundState.COMMITTED
    assert after.counts() == {Bucket.ACCEPTED: 1, Bucket.REJECTED: 1}
    assert after.parts[NAMES[1]].why == "huge-norm"
