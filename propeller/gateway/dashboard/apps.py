"""The pages of Apps: which revision each is at and by whom, what its plan was, how its objects are.

An App is whatever objects name: also the one a tree without any `App` has, and those of the API.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from propeller.gateway.dashboard.facts import ObjectRow
from propeller.gateway.dashboard.rendering import Renderer
from propeller.gateway.dashboard.showing import Showing, page_entry
from propeller.gateway.gallery import Gallery, Picture
from propeller.gateway.routing import Call, Entry
from propeller.reconcile.deposits import API_APP, FIRST_APP, RUN_APP
from propeller.reconcile.sourcestory import ROW
from propeller.state.records import Pause, PlanRecord, RevisionRecord

MOST_OBJECTS: Final = 100
MOST_PLANS: Final = 20
MOST_REVISIONS: Final = 500
SOURCELESS: Final = frozenset({API_APP, FIRST_APP, RUN_APP})
"""Their objects came over the API and not from a revision of specs."""
WORDS: Final = {"True": "ready", "False": "not ready"}

Story = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRow:
    """One App. revision: what its objects were last taken from; record: what is known of that.

    source: "" for the tree everybody shares. story: how its source stands. states: its objects by
    ready, not ready, unknown. pauses: what of it waits for a person. path: of the page of
    its own object.
    """

    name: str
    source: str
    revision: str
    record: RevisionRecord | None
    story: Story
    states: Mapping[str, int]
    total: int
    pauses: tuple[Pause, ...]
    path: str

    @property
    def author(self) -> str:
        """Who wrote its revision, "" where nobody said."""
        return self.record.author if self.record is not None else ""

    @property
    def signer(self) -> str:
        """Who signed its revision, "" where nobody asks for that."""
        told = str(self.story.get("signedBy", ""))
        return told or (self.record.signed_by if self.record is not None else "")


def app_entries(gallery: Gallery, renderer: Renderer) -> list[Entry]:
    """The part of the route table that shows Apps."""
    pages = _AppPages(gallery, renderer)
    return [
        page_entry("/apps", pages.apps, "every App with its revision"),
        page_entry("/apps/{name}", pages.app, "one App"),
    ]


class _AppPages(Showing):
    async def apps(self, call: Call) -> Response:
        """Every App that somebody sees an object of."""

        def answer(picture: Picture) -> str:
            stories, records = self._sources()
            named: dict[str, list[ObjectRow]] = {}
            for one in picture.objects:
                named.setdefault(one.app, []).append(one)
            rows = [
                app_row(name, objects, picture, stories, records)
                for name, objects in sorted(named.items())
                if name
            ]
            return self._render(call, "apps.html", picture, rows=rows)

        return await self._page(answer, here="apps", call=call)

    async def app(self, call: Call) -> Response:
        """One App: where it is, how it came there, and its objects, troubled ones first."""
        name = call.path["name"]

        def answer(picture: Picture) -> str | None:
            objects = [one for one in picture.objects if one.app == name]
            if not objects:
                return None
            stories, records = self._sources()
            row = app_row(name, objects, picture, stories, records)
            with self._gallery.open() as store:
                plans = plans_of(row.source, store.plans())
            objects.sort(key=lambda one: (one.ready == "True", not one.stalled, one.key))
            return self._render(
                call,
                "app.html",
                picture,
                row=row,
                plan=next((one for one in plans if one.revision == row.revision), None),
                plans=plans[:MOST_PLANS],
                objects=objects[:MOST_OBJECTS],
            )

        return await self._page(answer, here="apps", call=call)

    def _sources(self) -> tuple[Mapping[str, Story], list[RevisionRecord]]:
        with self._gallery.open() as store:
            stories: Mapping[str, Story] = json.loads(store.meta(ROW) or "{}")
            return stories, store.revisions(MOST_REVISIONS)


def app_row(
    name: str,
    objects: Sequence[ObjectRow],
    picture: Picture,
    stories: Mapping[str, Story],
    records: Sequence[RevisionRecord],
) -> AppRow:
    """From its objects, a picture, and how the sources stand. records: newest first."""
    source = name if name in stories or name in SOURCELESS else ""
    revision = _newest(name, source, picture, stories)
    accepted = (one for one in records if one.name == revision and one.outcome == "accepted")
    own = (one for one in picture.objects if one.key.kind == "App" and one.key.name == name)
    return AppRow(
        name=name,
        source=source,
        revision=revision,
        record=next(accepted, None),
        story=stories.get(source, {}),
        states=states_of(objects),
        total=len(objects),
        pauses=tuple(one for one in picture.pauses if one.app == name),
        path=next((one.path for one in own), ""),
    )


def states_of(objects: Iterable[ObjectRow]) -> dict[str, int]:
    """How many are ready, not ready, unknown; without those that none are."""
    counted = Counter(WORDS.get(one.ready, "unknown") for one in objects)
    return {name: counted[name] for name in ("ready", "not ready", "unknown") if counted[name]}


def plans_of(source: str, plans: Iterable[PlanRecord]) -> list[PlanRecord]:
    """Those that revisions of `source` meant, newest first."""
    return [one for one in plans if one.source == source]


def _newest(name: str, source: str, picture: Picture, stories: Mapping[str, Story]) -> str:
    """The revision that was accepted last of its source; else what most of its objects say."""
    told = str(stories.get(source, {}).get("applied", ""))
    if told:
        return told
    named = Counter(
        str(json.loads(status.document)["status"].get("lastAppliedRevision", ""))
        for status, row in zip(picture.statuses, picture.objects, strict=True)
        if row.app == name
    )
    return named.most_common(1)[0][0] if named else ""
