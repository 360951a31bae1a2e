"""Tables of courses (which version an object's copies go to) and of versions that were accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from propeller.model.ids import Digest, Uid
from propeller.state.database import Database

if TYPE_CHECKING:
    from propeller.model.checks import Reading
    from propeller.model.versions import Course, Version

KEPT = 10
"""Accepted versions kept of one object, the newest ones."""


class CourseTables:
    """The part of the Store about versions; see `base.Store` for the contract."""

    _db: Database

    def courses(self) -> list[Course]:
        from propeller.state import course_rows as rows

        return [
            rows.course_of(row)
            for row in self._db.rows(
                'SELECT uid, good, target, phase, step, since, forgiven, why, "by", rejected,'
                " paused, checks FROM course ORDER BY uid"
            )
        ]

    def put_course(self, course: Course) -> None:
        from propeller.state import course_rows as rows

        self._db.write(
            "INSERT INTO course VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (uid) DO UPDATE SET good = excluded.good, target = excluded.target,"
            " phase = excluded.phase, step = excluded.step, since = excluded.since,"
            ' forgiven = excluded.forgiven, why = excluded.why, "by" = excluded."by",'
            " rejected = excluded.rejected, paused = excluded.paused, checks = excluded.checks",
            rows.course_row(course),
        )

    def drop_course(self, uid: Uid) -> None:
        self._db.write("DELETE FROM course WHERE uid = ?", (uid,))
        self._db.write("DELETE FROM version WHERE uid = ?", (uid,))
        self._db.write("DELETE FROM reading WHERE uid = ?", (uid,))

    def readings(self) -> list[tuple[Uid, str, Reading]]:
        from propeller.state import course_rows as rows

        found = self._db.rows(
            "SELECT uid, name, slot, value, words FROM reading ORDER BY uid, name"
        )
        return [rows.reading_of(row) for row in found]

    def put_reading(self, uid: Uid, name: str, reading: Reading) -> None:
        value = None if reading.value is None else str(reading.value)
        self._db.write(
            "INSERT INTO reading VALUES (?, ?, ?, ?, ?) ON CONFLICT (uid, name) DO UPDATE SET"
            " slot = excluded.slot, value = excluded.value, words = excluded.words",
            (uid, name, reading.slot, value, reading.words),
        )

    def versions(self, uid: Uid) -> list[Version]:
        from propeller.state import course_rows as rows

        return [
            rows.version_of(body)
            for (body,) in self._db.rows(
                "SELECT body FROM version WHERE uid = ? ORDER BY at DESC, digest", (uid,)
            )
        ]

    def holders_of_version(self, prefix: str) -> list[Uid]:
        return [
            uid
            for (uid,) in self._db.rows(
                "SELECT DISTINCT uid FROM version WHERE substr(digest, 1, ?) = ? ORDER BY uid",
                (len(prefix), prefix),
            )
        ]

    def newest_versions(self) -> dict[Uid, Digest]:
        rows = self._db.rows("SELECT uid, digest FROM version ORDER BY at, digest")
        return {Uid(uid): Digest(digest) for uid, digest in rows}

    def version_modules(self) -> set[Digest]:
        aot = (
            "SELECT DISTINCT json_extract(one.value, '$[1]') FROM version,"
            " json_each(json_extract(version.body, '$.module'), '$.aot') AS one"
        )
        rows = (*self._db.rows("SELECT DISTINCT module FROM version"), *self._db.rows(aot))
        return {digest for (digest,) in rows}

    def note_version(self, uid: Uid, version: Version, at: int) -> None:
        from propeller.state import course_rows as rows

        self._db.write(
            "INSERT INTO version VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (uid, digest) DO UPDATE SET at = excluded.at, body = excluded.body",
            (uid, version.digest, version.module.digest, at, rows.version_text(version)),
        )
        self._db.write(
            "DELETE FROM version WHERE uid = ?1 AND digest NOT IN"
            " (SELECT digest FROM version WHERE uid = ?1 ORDER BY at DESC, digest LIMIT ?2)",
            (uid, KEPT),
        )
