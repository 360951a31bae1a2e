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
    """The revision with the uid of every object as the inventory knows it.

    An object whose uid is not there is the live one of the same name (whatever it was called before
    it got that name), else the live one of a name in its `moved` which nobody wants any more.
    """
    strange = [thing for thing in revision.objects.values() if thing.meta.uid not in held]
    if not strange or not held:
        return revision
    live = {one.object.meta.key: one.uid for one in held.values() if one.deleted_at is None}
    taken = {thing.meta.uid for thing in revision.objects.values()}
    named: dict[Key, Object] = {}
    for thing in strange:
        uid = _known_as(thing, live, revision.objects)
        if uid is not None and uid not in taken:
            taken.add(uid)
            named[thing.meta.key] = replace(thing, meta=replace(thing.meta, uid=uid))
    if not named:
        return revision
    objects = {key: named.get(key, thing) for key, thing in revision.objects.items()}
    return replace(revision, objects=objects)


def _known_as(thing: Object, live: Mapping[Key, Uid], wanted: Mapping[Key, Object]) -> Uid | None:
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
    return f"looks like a rename of {old}: metadata.moved: [{{{where}name: {old.name}}}] keeps its runs"
