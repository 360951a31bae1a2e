"""Whatever bytes arrive, what escapes is an error of the family; the counts are in `CASES`.

`python -m tests.fuzz` runs the same targets for as long as you like, guided by coverage.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

_spec = importlib.util.spec_from_file_location(
    "fuzz_targets", Path(__file__).with_name("targets.py")
)
assert _spec is not None
assert _spec.loader is not None
targets = importlib.util.module_from_spec(_spec)
sys.modules["fuzz_targets"] = targets
_spec.loader.exec_module(targets)

CASES = 60
"""Mutants of each target in the gate, and as many of plain noise; `make soak` takes 5,000."""

SECONDS = 20.0
"""No input of a few kilobytes may cost so much processor time: a bound on blow-ups, not a race."""

NAMES = list(targets.TARGETS)


def held(name: str, data: bytes) -> None:
    began = time.process_time()
    targets.survives(targets.TARGETS[name], data)
    assert time.process_time() - began < SECONDS, f"{name} took too long for {data[:200]!r}"


@st.composite
def mutants(draw: st.DrawFn, name: str) -> bytes:
    """Bytes changed, cut, doubled, moved or inserted in good inputs."""
    target = targets.TARGETS[name]
    data = bytearray(draw(st.sampled_from(target.seeds)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        gone = draw(st.sampled_from([0, 0, 1, 2, 8, 64]))
        pieces = [st.binary(max_size=4), st.just(bytes(data[at : at + 40]))]
        if target.tokens:
            pieces.append(st.sampled_from(target.tokens))
        data[at : at + gone] = draw(st.one_of(pieces))
    if draw(st.integers(0, 9)) == 0:
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


@pytest.mark.parametrize("name", NAMES)
def test_good_inputs_are_read_or_refused_in_words(name: str) -> None:
    """Every seed goes through; a target whose seeds are all refused would test nothing but that."""
    for seed in targets.TARGETS[name].seeds:
        held(name, seed)


@pytest.mark.parametrize("name", NAMES)
def test_mutants_of_good_inputs_stay_in_the_family(name: str) -> None:
    """What is nearly right goes deepest."""

    @settings(max_examples=max(CASES, settings().max_examples if soak() else CASES))
    @given(mutants(name))
    def run(data: bytes) -> None:
        held(name, data)

    run()


@pytest.mark.parametrize("name", NAMES)
def test_noise_stays_in_the_family(name: str) -> None:
    """What means nothing at all."""

    @settings(max_examples=max(CASES, settings().max_examples if soak() else CASES))
    @given(st.binary(max_size=600))
    def run(data: bytes) -> None:
        held(name, data)

    run()


def soak() -> bool:
    """Whether the long profile was asked for."""
    return settings().max_examples > 1000


def bombs() -> dict[str, tuple[str, bytes]]:
    """A few bytes that would become very much, each for one reader."""
    aliases = b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    for level in range(1, 9):
        previous = b"abcdefghi"[level - 1 : level]
        name = b"abcdefghi"[level : level + 1]
        row = b",".join(b"*" + previous for _ in range(9))
        aliases += name + b": &" + name + b" [" + row + b"]\n"
    return {
        "yaml aliases": ("yaml-spec", aliases),
        "yaml merge keys": (
            "yaml-spec",
            b"a: &a {x: 1}\n" + b"b: {<<: [" + b"*a," * 5000 + b"]}\n",
        ),
        "yaml depth": ("yaml-spec", b"[" * 100_000),
        "yaml indentation": ("yaml-spec", b"".join(b" " * n + b"a:\n" for n in range(2000))),
        "yaml numbers": ("yaml-spec", b"a: " + b"9" * 400_000),
        "yaml config depth": ("proplet-yaml", b"{a: " * 10_000),
        "json depth": ("json-spec", b"[" * 200_000),
        "json numbers": ("json-spec", b'{"a": ' + b"9" * 400_000 + b"}"),
        "manifest depth": ("oci-manifest", b'{"a":' * 50_000),
        "manifest numbers": ("oci-manifest", b'{"schemaVersion": ' + b"9" * 100_000 + b"}"),
        "record depth": ("fleet-record", b"[" * 100_000),
        "cbor arrays": ("wire-cbor", b"\x00" + b"\x9f" * 100_000),
        "cbor length": ("wire-cbor", b"\x00\x9b" + b"\xff" * 8),
        "cbor map length": ("wire-cbor", b"\x00\xbb\x7f" + b"\xff" * 7),
        "gzip": ("oci-packed-module", targets._gzip(b"\0" * (64 << 20))),
        "update length": ("pfu1", targets._UPDATE[:40] + b"\xff" * 40),
        "challenge": ("oci-challenge", b'Bearer realm="' + b'a="b",' * 1300),
        "challenge quotes": ("oci-challenge", b"Bearer " + b'"\\' * 4000),
        "reference": ("oci-reference", b"a/" * 20_000),
        "sops": ("sops", b"ENC[AES256_GCM,data:" + b"A" * 200_000),
    }


@pytest.mark.parametrize("name", bombs())
def test_bombs_cost_little(name: str) -> None:
    """Refused, or read within bounds; never an explosion of memory, depth or time."""
    target, data = bombs()[name]
    held(target, data)


def test_there_are_targets_for_everything_that_comes_from_outside() -> None:
    """The list that the threat model names."""
    for wanted in ("yaml-spec", "wire-json", "wire-cbor", "frames", "blob-frames", "oci-manifest"):
        assert wanted in NAMES
    for wanted in ("oci-challenge", "webhook", "pfu1", "fleet-record", "enrolment", "proplet-yaml"):
        assert wanted in NAMES
    assert len(NAMES) >= 30
