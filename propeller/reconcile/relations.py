"""What the objects say together: which proplets are declared, Apps by name, who depends on whom.

Found when it is asked for, and kept until an object that matters for it changes. Owned by `world`.
"""

from __future__ import annotations

from collections.abc import Mapping

from propeller.model.ids import PropletId, Uid
from propeller.model.inventory import Held
from propeller.model.specs import App, Discovery, Proplet
from propeller.plan.depends import Links, needs
from propeller.reconcile.deposits import SOURCELESS
from propeller.reconcile.touched import Touched


class Relations:
    """See the module. objects: live, of the world. touched: what is to be looked at again."""

    def __init__(self, objects: Mapping[Uid, Held], touched: Touched) -> None:
        self._objects = objects
        self._touched = touched
        self._declared: dict[PropletId, Proplet] | None = None
        self._discovery: frozenset[str] | None = None
        self._apps: dict[str, list[Uid]] | None = None
        self._links: Links | None = None

    def declared(self) -> list[Proplet]:
        """The Proplet objects that are wanted."""
        return list(self._declarations().values())

    def declared_proplet(self, proplet: PropletId) -> Proplet | None:
        """How `proplet` is declared, if it is."""
        return self._declarations().get(proplet)

    def _declarations(self) -> dict[PropletId, Proplet]:
        if self._declared is None:
            self._declared = {
                PropletId(held.object.meta.key.name): held.object
                for held in self._objects.values()
                if isinstance(held.object, Proplet) and held.deleted_at is None
            }
        return self._declared

    def apps_named(self, name: str) -> list[Uid]:
        """The App objects of that name, in any namespace."""
        if self._apps is None:
            self._apps = {}
            for held in self._objects.values():
                if isinstance(held.object, App):
                    self._apps.setdefault(held.object.meta.key.name, []).append(held.uid)
        return self._apps.get(name, [])

    def links(self) -> Links:
        """Who depends on whom."""
        if self._links is None:
            self._links = Links(self._objects)
        return self._links

    def relink(self, before: Held, after: Held) -> None:
        """An object came, went or changed: does that concern who depends on whom?"""
        part = any(needs(one.object) or isinstance(one.object, App) for one in (before, after))
        if self._links is not None and (part or self._links):
            self._touched.objects.update(
                uid for uid in self._links.dependents(after.uid) if uid in self._objects
            )
            self._links = None

    def discovery_apps(self) -> frozenset[str]:
        """Apps whose work may go to undeclared proplets. The implicit App allows it."""
        if self._discovery is None:
            allowed = {
                held.object.meta.key.name
                for held in self._objects.values()
                if isinstance(held.object, App) and held.object.discovery is Discovery.ALLOW
            }
            self._discovery = frozenset(allowed | {"default"} | SOURCELESS)
        return self._discovery

    def forget_names(self) -> None:
        """A Proplet or an App came, went or changed."""
        self._declared = self._discovery = self._apps = None
