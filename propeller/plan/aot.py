"""Which build of a module a copy is given: the Wasm, or native code that was made for its device.

Called where entries are made and by `why`. Native code is verified by nobody, so a device gets it
only where the spec allows it (`module.aot`), the device offers to run it, and nothing that was
asked for rests on counting instructions. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from propeller.capabilities import AOT, WASI
from propeller.model.module import Aot, Module
from propeller.model.seen import Facts
from propeller.plan.fit import NOT_HEARD, size_text

SHOWN = 4
"""Targets that are named where none fits."""


@dataclass(frozen=True, slots=True)
class Choice:
    """aot: the build the copy runs, None for the Wasm. why: in words for a person."""

    aot: Aot | None
    why: str


def choose(
    module: Module, facts: Facts | None, *, fuel: int | None, released: Collection[str] | None
) -> Choice:
    """What a device with these facts runs of `module`.

    WAMR's compiler calls what it knows of WASI as its own runtime has it, which is not how a device
    gives it: such a module stays Wasm. fuel: the copy's limit of instructions, None where they are
    not counted. released: digests that may be started at all, None where any may: native code has
    to be among them by its own.
    """
    if facts is None:
        return Choice(None, NOT_HEARD)
    offered = targets(facts)
    if not offered:
        return Choice(None, "it offers to run no native code")
    if fuel is not None:
        return Choice(None, "limits.fuel counts instructions, which native code does not")
    if any(one.module == WASI for one in module.imports):
        return Choice(None, f"it imports {WASI}, which native code is not given")
    found = [one for one in module.aot if one.target in offered]
    if not found:
        there = _few([one.target for one in module.aot]) or "none"
        return Choice(None, f"no native build for {_few(offered)}; there are: {there}")
    build = min(found)
    if facts.max_module and build.size > facts.max_module:
        size, most = size_text(build.size), size_text(facts.max_module)
        return Choice(None, f"the native build is {size}, it takes at most {most}")
    if released is not None and build.digest not in released:
        return Choice(None, f"the native build, {build.digest}, is on no release list")
    return Choice(build, f"runs native code for {build.target}")


def reads(facts: Facts | None) -> object:
    """What of a device decides; equal for all that offer nothing."""
    offered = targets(facts) if facts is not None else ()
    return (offered, facts.max_module) if facts is not None and offered else ()


def targets(facts: Facts) -> tuple[str, ...]:
    """What a device says it runs native code of, sorted."""
    return tuple(sorted(word.removeprefix(AOT) for word in facts.imports if word.startswith(AOT)))


def _few(names: Collection[str]) -> str:
    more = len(names) - SHOWN
    shown = ", ".join(sorted(names)[:SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown
