"""Which source an object comes from: the tree that is followed, or one that an App names.

An App with a path lives in the tree that declares it; one with a git repository, an artifact or a
folder of its own has a source of its own, and so have the Apps in it. Called by `reconcile.intake`
and by `diff`, so that a revision only decides about what is its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from propeller.model.ids import Uid
from propeller.model.inventory import Held
from propeller.model.specs import App, Object

MAX_DEPTH = 8
"""Apps around an App at most, over all sources."""

TREE = ""
"""The source that is followed, which no App names."""


def apps_of(helds: Iterable[Held], wanted: Iterable[Object] = ()) -> dict[str, App]:
    """Every App by its name: as the inventory has it, or as `wanted` says."""
    found = {
        one.object.meta.key.name: one.object
        for one in helds
        if isinstance(one.object, App) and one.deleted_at is None
    }
    found.update({one.meta.key.name: one for one in wanted if isinstance(one, App)})
    return found


def around(app: str, apps: Mapping[str, App]) -> list[App]:
    """The App and those around it, inside out; a circle ends after `MAX_DEPTH + 1`."""
    found: list[App] = []
    one = apps.get(app)
    while one is not None and len(found) <= MAX_DEPTH:
        found.append(one)
        one = apps.get(one.meta.app)
    return found


def source_of(app: str, apps: Mapping[str, App]) -> str:
    """The App whose source objects of `app` come from, `TREE` for the tree itself."""
    return next((one.meta.key.name for one in around(app, apps) if one.address), TREE)


def owned(
    objects: Mapping[Uid, Held], source: str, wanted: Iterable[Object] = ()
) -> dict[Uid, Held]:
    """The objects that revisions of `source` decide about, with the Apps as `wanted` has them."""
    apps = apps_of(objects.values(), wanted)
    behind: dict[str, str] = {}
    found = {}
    for uid, held in objects.items():
        app = held.object.meta.app
        if app not in behind:
            behind[app] = source_of(app, apps)
        if behind[app] == source:
            found[uid] = held
    return found


def too_deep(app: App, apps: Mapping[str, App]) -> str:
    """Why an App with a source of its own cannot be followed, "" when it can."""
    way = around(app.meta.app, apps)
    same = [one.meta.key.name for one in way if one.address == app.address]
    if same:
        names = [one.meta.key.name for one in way[: way.index(apps[same[0]]) + 1]]
        told = " -> ".join([*reversed(names), app.meta.key.name])
        return f"Apps contain each other in a circle: {told} have one source"
    if len(way) >= MAX_DEPTH:
        return f"Apps may be nested {MAX_DEPTH} deep, not more"
    return ""
