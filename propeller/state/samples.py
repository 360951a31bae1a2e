"""The table of what devices measured: minutes of a day, hours of a month, bounded in all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from propeller.state.columns import from_json, to_json
from propeller.state.database import Database
from propeller.state.quotas import Quotas

if TYPE_CHECKING:
    from propeller.model.ids import PropletId
    from propeller.model.samples import Sample
    from propeller.state.base import Store

AT_ONCE = 20_000
"""Rows that are too old, taken away in one go: what is left is for the next minute."""


def past_of(store: Store, proplet: PropletId, *, since: int, now: int) -> list[Sample]:
    """What it measured from `since` to now (Unix ms), oldest first: minutes of up to a day, hours
    of more, the hour that is not over among them."""
    from propeller.model.samples import HOUR, MINUTE, of_an_hour, span_of

    if span_of(since, now) == MINUTE:
        return store.samples(proplet, MINUTE, since=since - since % MINUTE, until=now + 1)
    found = store.samples(proplet, HOUR, since=since - since % HOUR, until=now + 1)
    begun = max(found[-1].at + HOUR if found else 0, now - now % HOUR - 23 * HOUR)
    while begun <= now:
        minutes = store.samples(proplet, MINUTE, since=begun, until=begun + HOUR)
        if minutes:
            found.append(of_an_hour(proplet, begun, minutes))
        begun += HOUR
    return found


class SampleTables:
    """The part of the Store about measurements; see `base.Store` for the contract."""

    _db: Database
    _quotas: Quotas

    def put_sample(self, sample: Sample) -> None:
        body = {
            name: [value, sample.most[name]] if name in sample.most else value
            for name, value in sample.mean.items()
        }
        self._db.write(
            "INSERT INTO sample VALUES (?, ?, ?, ?) ON CONFLICT (proplet, span, at) DO UPDATE SET"
            " body = excluded.body",
            (sample.proplet, sample.span, sample.at, to_json(body)),
        )

    def samples(
        self, proplet: PropletId, span: int, *, since: int, until: int, limit: int = 2_000
    ) -> list[Sample]:
        from propeller.model.samples import Sample

        found = []
        for at, text in self._db.rows(
            "SELECT at, body FROM sample WHERE proplet = ? AND span = ? AND at >= ? AND at < ?"
            " ORDER BY at DESC LIMIT ?",
            (proplet, span, since, until, limit),
        ):
            body = from_json(text)
            found.append(
                Sample(
                    proplet=proplet,
                    span=span,
                    at=at,
                    mean={n: v[0] if isinstance(v, list) else v for n, v in body.items()},
                    most={n: v[1] for n, v in body.items() if isinstance(v, list)},
                )
            )
        return found[::-1]

    def drop_samples(self, proplet: PropletId) -> None:
        self._db.write("DELETE FROM sample WHERE proplet = ?", (proplet,))

    def _prune_samples(self, now: int) -> None:
        from propeller.model.samples import HOUR, MINUTE

        quotas = self._quotas
        for span, age, most in (
            (MINUTE, quotas.minutes_age, quotas.minutes),
            (HOUR, quotas.hours_age, quotas.hours),
        ):
            self._db.write(
                "DELETE FROM sample WHERE (proplet, span, at) IN (SELECT proplet, span, at FROM"
                " sample WHERE span = ? AND at < ? ORDER BY at LIMIT ?)",
                (span, now - age, AT_ONCE),
            )
            (count,) = next(self._db.rows("SELECT count(*) FROM sample WHERE span = ?", (span,)))
            if count > most:
                self._db.write(
                    "DELETE FROM sample WHERE (proplet, span, at) IN (SELECT proplet, span, at FROM"
                    " sample WHERE span = ? ORDER BY at LIMIT ?)",
                    (span, count - most),
                )
