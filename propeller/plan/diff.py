"""What a revision changes in the inventory, object by object and field by field.

Called when a revision is taken (`diff`), and by `preview`. Knows nothing of devices: what a change
does to them is the planner's business. Deleting is not having a spec: an object that left the
source becomes a tombstone, and what comes back rises from it with its generation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from propeller.model.ids import Digest, Uid
from propeller.model.inventory import Held
from propeller.model.revision import Revision
from propeller.model.specs import Alert, App, Object, Proplet, Prune, Secret
from propeller.plan.moves import suggested
from propeller.plan.types import Change, ChangeOp, FieldDiff


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryChange:
    """What a revision does to the inventory, every part sorted by key.

    created, updated, deleted (tombstones), revived: the new state of what moved. unchanged: what
    did not. changes: one line each for what moved, with `how` and device counts left open.
    """

    created: tuple[Held, ...] = ()
    updated: tuple[Held, ...] = ()
    deleted: tuple[Held, ...] = ()
    revived: tuple[Held, ...] = ()
    unchanged: tuple[Held, ...] = ()
    changes: tuple[Change, ...] = ()

    def moved(self) -> tuple[Held, ...]:
        """The new state of every object that moved, to be written down."""
        return _sorted([*self.created, *self.updated, *self.revived, *self.deleted])


def diff(held: Mapping[Uid, Held], revision: Revision, *, now: int) -> InventoryChange:
    """Compare the inventory with a revision. Pure; `now` (Unix ms) is written into what moves.

    The generation moves only when the canonical spec does; labels, App, origin and name move the
    object alone.
    """
    created, updated, deleted, revived, unchanged = [], [], [], [], []
    changes: list[Change] = []
    wanted: set[Uid] = set()
    for obj in revision.objects.values():
        uid = obj.meta.uid
        wanted.add(uid)
        before = held.get(uid)
        if before is None:
            created.append(_new(obj, revision, now))
            changes.append(_line(ChangeOp.CREATE, obj, f"added in {revision.name}"))
        elif before.deleted_at is not None:
            after = replace(_moved(before, obj, revision, now), deleted_at=None, orphan=False)
            revived.append(after)
            reason = f"back in {revision.name}"
            changes.append(_line(ChangeOp.CREATE, obj, reason, fields(before.object, obj)))
        elif before.object == obj:
            unchanged.append(before)
        else:
            updated.append(_moved(before, obj, revision, now))
            moved = fields(before.object, obj)
            changes.append(_line(ChangeOp.UPDATE, obj, _why(before.object, obj, moved), moved))
    for uid, before in held.items():
        if uid in wanted:
            continue
        if before.deleted_at is not None:
            unchanged.append(before)
            continue
        kept = _not_pruned(before.object, revision, held)
        deleted.append(replace(before, deleted_at=now, orphan=bool(kept), revision=revision.name))
        reason = f"removed from {revision.name}"
        line = _line(ChangeOp.DELETE, before.object, f"{reason}; {kept}" if kept else reason)
        changes.append(replace(line, kept=bool(kept)))
    return InventoryChange(
        created=_sorted(created),
        updated=_sorted(updated),
        deleted=_sorted(deleted),
        revived=_sorted(revived),
        unchanged=_sorted(unchanged),
        changes=tuple(
            sorted(suggested(changes, _specs(held, revision)), key=lambda one: (one.key, one.uid))
        ),
    )


def _specs(held: Mapping[Uid, Held], revision: Revision) -> dict[Uid, tuple[str, Digest]]:
    """What each object is and wants, for telling renames."""
    things = [*(one.object for one in held.values()), *revision.objects.values()]
    return {thing.meta.uid: (thing.meta.key.kind, thing.meta.spec_digest) for thing in things}


def fields(before: Object, after: Object) -> tuple[FieldDiff, ...]:
    """The canonical fields that differ, sorted by path; labels and annotations included."""
    found = [
        *_walk("spec", before.meta.spec, after.meta.spec),
        *_walk("metadata.labels", dict(before.meta.labels), dict(after.meta.labels)),
        *_walk("metadata.annotations", dict(before.meta.annotations), dict(after.meta.annotations)),
    ]
    return tuple(sorted(found, key=lambda one: one.path))


def _new(obj: Object, revision: Revision, now: int) -> Held:
    return Held(
        uid=obj.meta.uid,
        object=obj,
        generation=1,
        revision=revision.name,
        created_at=now,
        changed_at=now,
    )


def _moved(before: Held, obj: Object, revision: Revision, now: int) -> Held:
    same = before.object.meta.spec_digest == obj.meta.spec_digest
    return replace(
        before,
        object=obj,
        generation=before.generation + (0 if same else 1),
        revision=revision.name,
        changed_at=before.changed_at if same else now,
    )


def _line(op: ChangeOp, obj: Object, reason: str, moved: tuple[FieldDiff, ...] = ()) -> Change:
    return Change(
        op=op, key=obj.meta.key, uid=obj.meta.uid, how="none", reason=reason, fields=moved
    )


def _why(before: Object, after: Object, moved: Sequence[FieldDiff]) -> str:
    """The first field, spec before metadata, without its place in a list; and how many more."""
    if before.meta.key != after.meta.key:
        return f"moved from {before.meta.key}"
    if not moved:
        return "only where it is written or its App changed"
    roots: dict[str, None] = {}
    for one in sorted(moved, key=lambda one: (not one.path.startswith("spec"), one.path)):
        roots.setdefault(one.path.partition("[")[0])
    first, *others = roots
    return f"{first} changed" if not others else f"{first} and {len(others)} more changed"


def _not_pruned(obj: Object, revision: Revision, held: Mapping[Uid, Held]) -> str:
    """Why an object that left the source is left alone, "" when it is to go."""
    if obj.meta.protect:
        return "metadata.protect keeps it"
    match obj:
        case Alert() | Proplet() | Secret():
            return ""
        case App():
            return "spec.prune is Never" if obj.prune is Prune.NEVER else ""
        case _:
            if obj.prune is Prune.NEVER:
                return "spec.prune is Never"
    app = _app(obj.meta.app, revision, held)
    if app is not None and app.prune is Prune.NEVER:
        return f"spec.prune of App {obj.meta.app} is Never"
    return ""


def _app(name: str, revision: Revision, held: Mapping[Uid, Held]) -> App | None:
    """The App by its name: as the revision has it, else as it was last known."""
    for obj in revision.objects.values():
        if isinstance(obj, App) and obj.meta.key.name == name:
            return obj
    for one in held.values():
        if isinstance(one.object, App) and one.object.meta.key.name == name:
            return one.object
    return None


def _sorted(helds: Sequence[Held]) -> tuple[Held, ...]:
    return tuple(sorted(helds, key=lambda one: (one.object.meta.key, one.uid)))


def _walk(path: str, before: object, after: object) -> Iterator[FieldDiff]:
    """Differences below `path`. Lists of named objects are compared by name, others by place."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            yield from _member(f"{path}.{name}", before, after, name)
    elif _is_list(before) and _is_list(after):
        left, right = _by_place(before, after)
        for place in {**left, **right}:
            yield from _member(f"{path}[{place}]", left, right, place)
    elif before != after or type(before) is not type(after):
        yield FieldDiff(path, before, after)


def _member(
    path: str, before: Mapping[str, object], after: Mapping[str, object], name: str
) -> Iterator[FieldDiff]:
    if name in before and name in after:
        yield from _walk(path, before[name], after[name])
    else:
        yield FieldDiff(path, before.get(name), after.get(name))


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _by_place(before: object, after: object) -> tuple[dict[str, object], dict[str, object]]:
    assert isinstance(before, list | tuple) and isinstance(after, list | tuple)
    left, right = _by_name(before), _by_name(after)
    if (
        left is not None
        and right is not None
        and list(left) != list(right)
        and set(left) == set(right)
    ):
        left = None  # only the order differs, and env is ordered: show it by place
    if left is None or right is None:
        left = {str(index): item for index, item in enumerate(before)}
        right = {str(index): item for index, item in enumerate(after)}
    return left, right


def _by_name(items: Sequence[object]) -> dict[str, object] | None:
    """The items by their `name`, None where one has none or two share one."""
    named: dict[str, object] = {}
    for item in items:
        name = item.get("name") if isinstance(item, Mapping) else None
        if not isinstance(name, str) or name in named:
            return None
        named[name] = item
    return named
