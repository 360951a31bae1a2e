"""What a change would mean for the devices, before it is made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from propeller.model.ids import PropletId
from propeller.model.specs import ModuleRef
from propeller.plan.preview import foresee
from propeller.plan.rehearsal import Misfit, Traffic, misfits, traffic

KIB, MIB = 1 << 10, 1 << 20
ENTRY = 300


def _small(w: Any, name: str, memory: int) -> Any:
    return w.proplet(name, facts=w.facts(memory=memory))


def _misfits(w: Any, world: Any, *objects: Any) -> tuple[Misfit, ...]:
    ahead = foresee(world.snapshot(), w.revision(*objects), now=world.now)
    return misfits(ahead.after, {line.uid for line in ahead.change.changes})


def _traffic(w: Any, world: Any, *objects: Any, **modules: Any) -> tuple[Traffic, ...]:
    revision = replace(w.revision(*objects), modules=dict(modules.get("modules", {})))
    before = world.snapshot()
    ahead = foresee(before, revision, now=world.now)
    return traffic(
        before,
        ahead.after,
        ahead.outcome,
        {line.uid for line in ahead.change.changes},
        sort_of=lambda proplet: "micro" if proplet.startswith("m") else "linux",
        entry_bytes=lambda held, module: ENTRY,
    )


def test_devices_that_cannot_run_a_change_are_counted_with_the_reason(w: Any) -> None:
    """Three of forty lack the memory, and the words have both numbers."""
    fleet = [w.proplet(f"p{n:02d}") for n in range(37)]
    fleet += [_small(w, f"small-{n}", 256 * KIB) for n in range(3)]
    world = w.World(proplets=fleet)
    world.modules[ModuleRef(file="add.wasm")] = w.module(memory_min=512 * KIB)
    (found,) = _misfits(w, world, w.daemon("d", w.everywhere()))
    assert (found.cannot, found.considered) == (3, 40)
    (why,) = found.reasons
    assert why.words == "needs 512 KiB of linear memory, has 256 KiB"
    assert (why.count, why.examples) == (3, ("small-0", "small-1", "small-2"))


def test_each_reason_is_told_the_commonest_first(w: Any) -> None:
    """Memory, imports, mounts: what a device lacks stands for itself."""
    bare = w.facts(imports=frozenset())
    fleet = [_small(w, "a", 32 * KIB), _small(w, "b", 32 * KIB), w.proplet("c", facts=bare)]
    world = w.World(proplets=fleet)
    (found,) = _misfits(w, world, w.daemon("d", w.everywhere()))
    assert [(why.count, why.words) for why in found.reasons] == [
        (2, "needs 64 KiB of linear memory, has 32 KiB"),
        (1, "does not provide import wasi_snapshot_preview1.fd_write"),
    ]


def test_only_devices_that_the_placement_means_are_considered(w: Any) -> None:
    """Another selector, another name: no word about it. Who never said hello is no misfit."""
    fleet = [
        w.proplet("a", labels={"board": "gateway"}),
        _small(w, "b", 32 * KIB),
        replace(w.proplet("c", labels={"board": "gateway"}), facts=None),
    ]
    world = w.World(proplets=fleet)
    assert (
        _misfits(w, world, w.daemon("d", w.everywhere(selector=w.labelled(board="gateway")))) == ()
    )
    assert _misfits(w, world, w.daemon("d", w.pinned("a"))) == ()
    (found,) = _misfits(w, world, w.daemon("d", w.pinned("b")))
    assert (found.cannot, found.considered) == (1, 1)


def test_what_does_not_change_is_not_told(w: Any) -> None:
    """An old misfit is no news of this change."""
    world = w.World(
        w.daemon("d", w.everywhere()), proplets=[w.proplet("a"), _small(w, "b", 32 * KIB)]
    )
    assert _misfits(w, world, w.daemon("d", w.everywhere())) == ()


def test_a_new_module_goes_to_each_device_once(w: Any) -> None:
    """Two objects with one module cost it once a device; documents are sent whole."""
    world = w.World(proplets=[w.proplet("a"), w.proplet("m1")])
    found = _traffic(w, world, w.daemon("d", w.everywhere()), w.daemon("e", w.everywhere()))
    assert [(one.sort, one.proplets, one.modules, one.documents) for one in found] == [
        ("linux", 1, 1024, 2 * ENTRY),
        ("micro", 1, 1024, 2 * ENTRY),
    ]


def test_a_module_that_is_there_is_not_sent_again(w: Any) -> None:
    """An edit of arguments costs the document, a new module costs its bytes on every copy."""
    world = w.World(w.daemon("d", w.everywhere()), proplets=[w.proplet("a"), w.proplet("b")])
    world.settle()
    (found,) = _traffic(w, world, w.daemon("d", w.everywhere(), args=("2",)))
    assert (found.proplets, found.modules, found.documents) == (2, 0, 2 * ENTRY)
    other = ModuleRef(file="new.wasm")
    (found,) = _traffic(
        w,
        world,
        w.daemon("d", w.everywhere(), module=other),
        modules={other: w.module(bytes=b"new", size=5000)},
    )
    assert (found.modules, found.most) == (10_000, 5000 + ENTRY)


def test_a_staged_change_is_counted_to_its_end(w: Any) -> None:
    """The first step is one device; what is told is what all of them will get."""
    fleet = [w.proplet(f"p{n}") for n in range(4)]
    staged = {"rollout": w.staged("1", "100%")}
    world = w.World(w.daemon("d", w.everywhere(), **staged), proplets=fleet)
    world.settle()
    other = ModuleRef(file="new.wasm")
    changed = w.daemon("d", w.everywhere(), module=other, **staged)
    (found,) = _traffic(w, world, changed, modules={other: w.module(bytes=b"new", size=1000)})
    assert (found.proplets, found.modules) == (4, 4000)


def test_a_removal_costs_a_document_without_it(w: Any) -> None:
    """Nothing is fetched, and devices that nothing concerns are not counted."""
    world = w.World(
        w.daemon("d", w.pinned("a")),
        w.daemon("e", w.pinned("b")),
        proplets=[w.proplet("a"), w.proplet("b")],
    )
    world.settle()
    (found,) = _traffic(w, world, w.daemon("e", w.pinned("b")))
    assert (found.proplets, found.modules, found.documents) == (1, 0, 0)


def test_nothing_to_do_sends_nothing(w: Any) -> None:
    """The same specs on a settled fleet."""
    world = w.World(w.daemon("d", w.everywhere()), proplets=[w.proplet("a")])
    world.settle()
    assert _traffic(w, world, w.daemon("d", w.everywhere())) == ()
    assert PropletId("a") in world.proplets
