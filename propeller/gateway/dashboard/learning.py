"""Rounds of federated learning on pages: curves of every metric, and the page of one round.

What a round's page says of single proplets is what its spec's `reveal` lets its file say
(`roundfiles`), for a viewer as for anybody: by default counts and digests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from propeller.gateway.dashboard import facts
from propeller.gateway.dashboard.rendering import Renderer
from propeller.gateway.dashboard.showing import Showing, page_entry
from propeller.gateway.gallery import Gallery, Picture
from propeller.gateway.routing import Call, Entry, Scope
from propeller.model.federated import FederatedTask
from propeller.model.ids import Key
from propeller.model.rounds import Round
from propeller.reconcile.roundfiles import round_document

WIDE: Final = 320
TALL: Final = 120
MOST_CURVES: Final = 6
MOST_ROUNDS: Final = 200
LINE: Final = 12
"""Rounds of a model's line that a page shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One metric over the rounds that have it. points: of an SVG polyline. words: for who hears."""

    metric: str
    points: str
    low: str
    high: str
    first: int
    last: int
    words: str


def curves_of(rounds: Sequence[Round]) -> list[Curve]:
    """A curve of each metric that two rounds or more have, in the order of their names."""
    names = [name for name in facts.metric_names(rounds) if facts.is_metric(name)]
    found = [_curve(rounds, name) for name in names[:MOST_CURVES]]
    return [one for one in found if one is not None]


def _curve(rounds: Sequence[Round], metric: str) -> Curve | None:
    points = facts.curve(rounds, metric, width=WIDE, height=TALL)
    if not points:
        return None
    told = [
        (one.number, value)
        for one in sorted(rounds, key=lambda one: (one.number, one.attempt))
        for name, value in one.metrics
        if name == metric
    ]
    values = [value for _, value in told]
    low, high = min(values, key=float), max(values, key=float)
    (first, begun), (last, newest) = told[0], told[-1]
    return Curve(
        metric=metric,
        points=points,
        low=low,
        high=high,
        first=first,
        last=last,
        words=f"{metric} by round: {begun} in round {first}, {newest} in round {last},"
        f" lowest {low}, highest {high}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One round in a model's line: what it started from and what came of it, as digests."""

    number: int
    attempt: int
    base: str
    model: str
    record: str
    updates: int


def line_of(rounds: Sequence[Round], number: int) -> list[Link]:
    """The rounds whose models led to that of round `number`, it first: those that have one."""
    done = [one for one in rounds if one.fold is not None and one.number <= number]
    return [
        Link(
            number=one.number,
            attempt=one.attempt,
            base=str(one.base.digest),
            model=str(one.fold.model.digest) if one.fold is not None else "",
            record=str(one.record),
            updates=len(one.accepted),
        )
        for one in sorted(done, key=lambda one: (-one.number, -one.attempt))[:LINE]
    ]


def learning_entries(gallery: Gallery, renderer: Renderer) -> list[Entry]:
    """The part of the route table that shows single rounds."""
    pages = _RoundPages(gallery, renderer)
    path = "/objects/FederatedTask/{namespace}/{name}/rounds/{round}"
    return [page_entry(path, pages.round, "one round of learning", scope=Scope.PATH)]


class _RoundPages(Showing):
    async def round(self, call: Call) -> Response:
        """Who was asked, what came of it, and where its model comes from."""
        key = Key("FederatedTask", call.path["namespace"], call.path["name"])
        asked = call.path["round"]

        def answer(picture: Picture) -> str | None:
            status = facts.find_status(picture.statuses, key)
            if status is None:
                return None
            with self._gallery.open() as store:
                rounds = store.rounds(status.uid, MOST_ROUNDS)
                held = next((one for one in store.inventory() if one.uid == status.uid), None)
            number = _number(asked, rounds)
            tries = [one for one in rounds if one.number == number]
            if not tries or held is None or not isinstance(held.object, FederatedTask):
                return None
            thing = held.object
            tries.sort(key=lambda one: -one.attempt)
            documents: list[dict[str, Any]] = [round_document(thing, one) for one in tries]
            return self._render(
                call,
                "round.html",
                picture,
                key=key,
                path=facts.object_row(status).path,
                number=number,
                tries=list(zip(tries, documents, strict=True)),
                line=line_of(rounds, number),
                earlier=any(one.number == number - 1 for one in rounds),
                later=any(one.number == number + 1 for one in rounds),
            )

        return await self._page(answer, here="objects", call=call)


def _number(asked: str, rounds: Sequence[Round]) -> int:
    """Which round is meant: its number, or `latest`. 0 is none."""
    if asked == "latest":
        return max((one.number for one in rounds), default=0)
    return int(asked) if asked.isdecimal() and len(asked) < 9 else 0
