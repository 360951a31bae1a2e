"""Which object of a revision is one we already have under another name: a move, not two changes.

Called where a revision is taken and by `diff`, before anything is compared. What carries the uid
along keeps its runs, so no device notices. Only what a person wrote down counts (`metadata.moved`,
or the name it already has here); an object that merely looks the same is told as a suggestion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from propeller.model.ids import Digest, Key, Uid
from propeller.model.inventory import Held
from propeller.model.revision import Revision
from propeller.model.specs import Object
from propeller.plan.types import Change, ChangeOp


def identified(held: Mapping[Uid, Held], revision: Revision) -> Revision:
    """The revision with every object as the inventory knows it: its uid, its name on devices.

    An object whose uid is not there is the live one of the same name (whatever it was called before
    it got that name), else the live one of a name in its `moved` which nobody wants any more.
    """
    if not held:
        return revision
    changed: dict[Key, Object] = {}
    strange = []
    for thing in revision.objects.values():
        before = held.get(thing.meta.uid)
        if before is None:
            strange.append(thing)
        elif _moves(before, thing):
            changed[thing.meta.key] = _as(thing, before)
    if strange:
        live = {one.object.meta.key: one for one in held.values() if one.deleted_at is None}
        taken = {thing.meta.uid for thing in revision.objects.values()}
        for thing in strange:
            before = _former(thing, live, revision.objects)
            if before is not None and before.uid not in taken:
                taken.add(before.uid)
                changed[thing.meta.key] = _as(thing, before)
    if not changed:
        return revision
    objects = {key: changed.get(key, thing) for key, thing in revision.objects.items()}
    return replace(revision, objects=objects)


def _moves(before: Held, thing: Object) -> bool:
    meta = before.object.meta
    return meta.known_as is not None or meta.key != thing.meta.key


def _as(thing: Object, before: Held) -> Object:
    """`thing` as the object that is there: devices go on calling it what they do."""
    meta = before.object.meta
    known = meta.known_as or meta.key
    name = None if known == thing.meta.key else known
    return replace(thing, meta=replace(thing.meta, uid=before.uid, known_as=name))


def _former(thing: Object, live: Mapping[Key, Held], wanted: Mapping[Key, Object]) -> Held | None:
    if thing.meta.key in live:
        return live[thing.meta.key]
    for key in thing.meta.moved:
        if key in live and key not in wanted:
            return live[key]
    return None


def suggested(changes: Iterable[Change], specs: Mapping[Uid, tuple[str, Digest]]) -> list[Change]:
    """The lines, with a word where an object that goes and one that comes want the same.

    specs: (kind, digest of the spec) of each object. Where several fit nobody is named.
    """
    lines = list(changes)
    going: dict[tuple[str, Digest], list[Key]] = {}
    coming: dict[tuple[str, Digest], list[Key]] = {}
    for line in lines:
        if line.op is ChangeOp.DELETE:
            going.setdefault(specs[line.uid], []).append(line.key)
        elif line.op is ChangeOp.CREATE:
            coming.setdefault(specs[line.uid], []).append(line.key)
    told = []
    for line in lines:
        old, new = going.get(specs[line.uid], []), coming.get(specs[line.uid], [])
        if len(old) == len(new) == 1 and line.op is ChangeOp.CREATE:
            line = replace(line, reason=f"{line.reason}; {_hint(old[0], new[0])}")  # noqa: PLW2901
        told.append(line)
    return told


def _hint(old: Key, new: Key) -> str:
    where = "" if old.namespace == new.namespace else f"namespace: {old.namespace}, "
    entry = f"metadata.moved: [{{{where}name: {old.name}}}]"
    return f"looks like a rename of {old}, whose runs {entry} would keep"
