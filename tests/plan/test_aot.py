"""Which build of a module a copy is given, and why."""

from __future__ import annotations

from typing import Any

import pytest

from propeller.model.ids import sha256_digest
from propeller.model.module import Aot
from propeller.plan.aot import choose, reads, targets
from propeller.plan.versions import version_digest

M3 = Aot("thumbv7/wamr-6", sha256_digest(b"m3"), 4000)
M4 = Aot("thumbv7em/wamr-6", sha256_digest(b"m4"), 5000)


def offers(w: Any, *names: str, **more: Any) -> Any:
    """A device that says so."""
    words = frozenset({w.WASI, *(f"aot:{name}" for name in names)})
    return w.facts(imports=words, **more)


def test_a_device_gets_the_build_that_it_offered_to_run(w: Any) -> None:
    """Of several the first by name, always the same."""
    module = w.module(imports=(), aot=(M3, M4))
    one = choose(module, offers(w, M4.target), fuel=None, released=None)
    assert one.aot == M4
    assert one.why == "runs native code for thumbv7em/wamr-6"
    assert choose(module, offers(w, M4.target, M3.target), fuel=None, released=None).aot == M3


@pytest.mark.parametrize(
    ("offered", "facts", "given", "why"),
    [
        ((), {}, {}, "it offers to run no native code"),
        (("thumbv6m/wamr-6",), {}, {}, "no native build for thumbv6m/wamr-6; there are: thumbv7"),
        (("thumbv7/wamr-5",), {}, {}, "no native build for thumbv7/wamr-5; there are:"),
        ((M3.target,), {}, {"fuel": 1000}, "limits.fuel counts instructions"),
        ((M3.target,), {"max_module": 3999}, {}, "is 3.9 KiB, it takes at most 3.9 KiB"),
        ((M3.target,), {}, {"released": frozenset({M4.digest})}, "is on no release list"),
    ],
)
def test_all_others_get_the_wasm(w: Any, offered: Any, facts: Any, given: Any, why: str) -> None:
    """And it is said why."""
    module = w.module(imports=(), aot=(M3, M4))
    limits: dict[str, Any] = {"fuel": None, "released": None, **given}
    found = choose(module, offers(w, *offered, **facts), **limits)
    assert found.aot is None
    assert why in found.why


def test_what_imports_wasi_stays_wasm(w: Any) -> None:
    """Its calls were compiled for another runtime's functions: they would go astray."""
    found = choose(w.module(aot=(M3,)), offers(w, M3.target), fuel=None, released=None)
    assert found.aot is None
    assert "imports wasi_snapshot_preview1" in found.why


def test_nothing_is_known_before_hello(w: Any) -> None:
    """A device that has said nothing has offered nothing."""
    found = choose(w.module(imports=(), aot=(M3,)), None, fuel=None, released=None)
    assert (found.aot, found.why) == (None, "has not said hello yet")


def test_entries_are_made_anew_only_for_devices_that_offer_it(w: Any) -> None:
    """What decides is equal for all others, so that a fleet without such devices pays nothing."""
    assert reads(None) == reads(w.facts()) == reads(w.facts(max_module=7)) == ()
    assert reads(offers(w, "a/wamr-6")) != reads(offers(w, "b/wamr-6"))
    assert reads(offers(w, "a/wamr-6")) != reads(offers(w, "a/wamr-6", max_module=7))
    assert targets(offers(w, "b/wamr-6", "a/wamr-6")) == ("a/wamr-6", "b/wamr-6")


def test_other_native_code_is_another_version(w: Any) -> None:
    """A rollout goes step by step through a build that was pushed anew, as through any change."""
    task = w.task("t")
    plain, native, other = (w.module(aot=aot) for aot in ((), (M3,), (M4,)))
    assert len({version_digest(task, one) for one in (plain, native, other)}) == 3
