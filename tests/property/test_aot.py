"""Hypothesis against the choice of native code: a device never gets what it did not offer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from propeller.model.ids import sha256_digest
from propeller.model.module import Aot, Module
from propeller.model.seen import Facts
from propeller.plan.aot import choose

TARGETS = st.sampled_from(["thumbv7/wamr-6", "thumbv7em/wamr-6", "thumbv7/wamr-5", "x86_64/wamr-6"])
BUILDS = st.builds(
    Aot,
    TARGETS,
    st.binary(max_size=2).map(sha256_digest),
    st.integers(min_value=1, max_value=8),
)
WASM = sha256_digest(b"wasm")
MODULES = st.lists(BUILDS, max_size=4, unique_by=lambda one: one.target).map(
    lambda aot: Module(identity=WASM, digest=WASM, size=1, aot=tuple(sorted(aot)))
)
DEVICES = st.builds(
    Facts,
    imports=st.frozensets(TARGETS.map("aot:{}".format) | st.sampled_from(["wasi", "aot"])),
    max_module=st.integers(min_value=0, max_value=8),
)
LISTS = st.none() | st.frozensets(st.binary(max_size=2).map(sha256_digest), max_size=4)


@given(MODULES, st.none() | DEVICES, st.none() | st.just(1000), LISTS)
def test_a_device_never_gets_what_it_did_not_offer(
    module: Module, facts: Facts | None, fuel: int | None, released: frozenset[str] | None
) -> None:
    """Nor what is too large for it, what nobody released, or anything where fuel is counted; it
    gets a build wherever none of this is in the way, and there are words for it always."""
    found = choose(module, facts, fuel=fuel, released=released)
    assert found.why
    offered = set() if facts is None else {one[4:] for one in facts.imports if one[:4] == "aot:"}
    fitting = [one for one in module.aot if one.target in offered and fuel is None]
    if found.aot is None:
        first = min(fitting, default=None)
        assert (
            facts is None
            or first is None
            or (0 < facts.max_module < first.size)
            or released is not None
        )
        return
    assert facts is not None
    assert found.aot in fitting
    assert not facts.max_module or found.aot.size <= facts.max_module
    assert released is None or found.aot.digest in released
