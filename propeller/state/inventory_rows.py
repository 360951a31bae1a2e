"""Objects, copies and modules as rows of the inventory's tables, and back.

Imported by `inventory` when the first such row is read or written: commands that only show statuses
start without the model.
"""

from __future__ import annotations

from propeller.model.canonical import canonical_bytes
from propeller.model.ids import Digest, PropletId, RunId, Uid
from propeller.model.inventory import Assignment, Held
from propeller.model.module import Aot, Export, Import, Module, ModuleProblem, Resolved
from propeller.model.parse import parse_object, stored_form
from propeller.model.signing import Signed
from propeller.model.specs import ModuleRef, Suspend
from propeller.state.columns import from_json, shared, to_json
from propeller.state.database import Row


def held_row(held: Held) -> Row:
    hold = held.hold
    return (
        held.uid,
        held.generation,
        held.revision,
        held.created_at,
        held.changed_at,
        held.deleted_at,
        None if hold is None else to_json([hold.reason, hold.by, hold.until]),
        held.last_slot,
        canonical_bytes(stored_form(held.object)).decode(),
        int(held.orphan),
    )


def held_of(row: Row) -> Held:
    uid, generation, revision, created_at, changed_at, deleted_at, hold, *rest = row
    last_slot, text, orphan = rest
    if hold is not None:
        reason, by, until = from_json(hold)
        hold = Suspend(reason=reason, by=by, until=until)
    return Held(
        uid=Uid(shared(uid)),
        object=parse_object(**from_json(text)),
        generation=generation,
        revision=shared(revision),
        created_at=created_at,
        changed_at=changed_at,
        deleted_at=deleted_at,
        hold=hold,
        last_slot=last_slot,
        orphan=bool(orphan),
    )


def assignment_row(assignment: Assignment) -> Row:
    return (
        assignment.uid,
        assignment.proplet,
        assignment.run,
        assignment.cause,
        assignment.attempt,
        assignment.assigned_at,
        int(assignment.releasing),
        assignment.version,
    )


def assignment_of(row: Row) -> Assignment:
    uid, proplet, run, cause, attempt, assigned_at, releasing, version = row
    return Assignment(
        uid=Uid(shared(uid)),
        proplet=PropletId(shared(proplet)),
        run=RunId(run),
        cause=shared(cause),
        attempt=attempt,
        assigned_at=assigned_at,
        releasing=releasing == 1,
        version=Digest(shared(version)),
    )


def ref_text(ref: ModuleRef) -> str:
    named = [ref.file, ref.image, ref.url, ref.digest]
    if ref.aot:
        return to_json([*named, ref.encrypted, True])
    return to_json([*named, True] if ref.encrypted else named)


def ref_of(text: str) -> ModuleRef:
    file, image, url, digest, *rest = from_json(text)
    encrypted, aot = (*rest, False, False)[:2]
    return ModuleRef(file=file, image=image, url=url, digest=digest, encrypted=encrypted, aot=aot)


def resolved_text(resolved: Resolved) -> str:
    if isinstance(resolved, ModuleProblem):
        return to_json(
            {"reason": resolved.reason, "message": resolved.message, "retry": resolved.retry}
        )
    signed = resolved.signed
    return to_json(
        {
            "identity": resolved.identity,
            "digest": resolved.digest,
            "size": resolved.size,
            "imports": [[each.module, each.name] for each in resolved.imports],
            "exports": [[each.name, each.params, each.results] for each in resolved.exports],
            "memoryMin": resolved.memory_min,
            "memoryMax": resolved.memory_max,
            "component": resolved.component,
            "image": resolved.image,
            **({} if resolved.plain is None else {"plain": resolved.plain, "key": resolved.key}),
            **({} if signed is None else {"signed": [signed.looked, signed.by]}),
            **(
                {"aot": [[a.target, a.digest, a.size] for a in resolved.aot]}
                if resolved.aot
                else {}
            ),
        }
    )


def resolved_of(text: str) -> Resolved:
    found = from_json(text)
    if "reason" in found:
        return ModuleProblem(found["reason"], found["message"], found["retry"])
    told = found.get("signed")
    return Module(
        identity=Digest(found["identity"]),
        digest=Digest(found["digest"]),
        size=found["size"],
        imports=tuple(Import(module, name) for module, name in found["imports"]),
        exports=tuple(
            Export(name, tuple(params), tuple(results))
            for name, params, results in found["exports"]
        ),
        memory_min=found["memoryMin"],
        memory_max=found["memoryMax"],
        component=found["component"],
        image=found["image"],
        plain=Digest(found["plain"]) if "plain" in found else None,
        key=found.get("key"),
        signed=None if told is None else Signed(looked=told[0], by=tuple(told[1])),
        aot=tuple(Aot(target, Digest(of), size) for target, of, size in found.get("aot", ())),
    )
