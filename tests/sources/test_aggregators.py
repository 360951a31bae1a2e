"""`strategy.module`: a file of the tree is kept by digest; what is no aggregator is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from wasmtime import wat2wasm

from propeller.errors import SpecError
from propeller.model.federated import FederatedTask
from propeller.model.ids import sha256_digest
from propeller.model.parse import parse_object, stored_form
from propeller.model.specs import models_of
from propeller.plan.records import terms_digest
from propeller.registry.wasm import inspect
from propeller.sources.directory import DirectorySource
from propeller.sources.load import Cache, load

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "examples" / "fl" / "aggregator" / "trimmed.wat").read_text()
PLAIN = """(module (memory (export "memory") 1)
  (func (export "begin") (param i32 i32) (result i32) (i32.const 0))
  (func (export "update") (param f64))
  (func (export "finish") (result i32) (i32.const 0)))"""
OTHER = "sha256:" + "a" * 64


def a_task(
    folder: Path, strategy: Any, wat: str = EXAMPLE, *, cache: Cache | None = None
) -> tuple[FederatedTask, dict[str, bytes]]:
    """The task `fl` with that strategy, as loaded, and what was kept."""
    folder.mkdir(exist_ok=True)
    (folder / "fold.wat").write_text(wat)
    (folder / "m.wat").write_text('(module (func (export "_start")))')
    spec = {
        "module": {"file": "m.wat"},
        "rounds": 1,
        "cohort": {"clientsPerRound": 3},
        "strategy": strategy,
    }
    document = {"apiVersion": "propeller.dev/v1alpha1", "kind": "FederatedTask"}
    document |= {"metadata": {"name": "fl"}, "spec": spec}
    (folder / "fl.yaml").write_text(yaml.safe_dump(document))
    kept: dict[str, bytes] = {}

    def keep(data: bytes) -> Any:
        kept[sha256_digest(data)] = data
        return sha256_digest(data)

    tree = DirectorySource(folder).read()
    revision = load(tree, domain="d", keep=keep, inspect=inspect, cache=cache)
    (thing,) = revision.objects.values()
    assert isinstance(thing, FederatedTask)
    return thing, kept


def test_the_module_is_kept_and_its_digest_is_part_of_the_terms(tmp_path: Path) -> None:
    """Other bytes are other terms, also where the spec file says the same as before."""
    cache = Cache()
    strategy = {"name": "Wasm", "module": {"file": "./fold.wat"}, "parameters": {"cut": 1}}
    thing, kept = a_task(tmp_path / "t", strategy, cache=cache)
    wasm = bytes(wat2wasm(EXAMPLE))
    assert thing.terms.aggregator == sha256_digest(wasm)
    assert kept[thing.terms.aggregator] == wasm
    assert models_of(thing) == {thing.terms.aggregator}, "the clean-up would throw it away"
    other, _ = a_task(tmp_path / "t", strategy, PLAIN, cache=cache)
    assert other.meta.spec_digest != thing.meta.spec_digest
    assert terms_digest(other.terms) != terms_digest(thing.terms)


def test_what_is_stored_reads_back(tmp_path: Path) -> None:
    """The module's digest with it; a task without has none."""
    thing, _ = a_task(tmp_path / "t", {"name": "Wasm", "module": {"file": "fold.wat"}})
    form = stored_form(thing)
    assert form["spec"]["strategy"]["module"]["digest"] == thing.terms.aggregator
    assert parse_object("FederatedTask", form["meta"], form["spec"]) == thing
    assert a_task(tmp_path / "u", {"name": "Median"})[0].terms.aggregator == ""


@pytest.mark.parametrize("digest", [sha256_digest(EXAMPLE.encode()), "wasm"])
def test_a_pinned_digest_is_that_of_the_file_or_of_its_wasm(tmp_path: Path, digest: str) -> None:
    """Both name the same bytes; what a round is recorded with is the latter."""
    wasm = sha256_digest(bytes(wat2wasm(EXAMPLE)))
    pin = wasm if digest == "wasm" else digest
    module = {"file": "fold.wat", "digest": pin}
    assert a_task(tmp_path / "t", {"name": "Wasm", "module": module})[0].terms.aggregator == wasm


WASI = '(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))'


@pytest.mark.parametrize(
    ("strategy", "wat", "words"),
    [
        ({"name": "Wasm"}, PLAIN, "spec.strategy.module: required with Wasm"),
        (
            {"name": "Median", "module": {"file": "fold.wat"}},
            PLAIN,
            "spec.strategy.module: must not stand beside Median",
        ),
        ({"module": {"file": "no.wat"}}, PLAIN, "module.file: there is no file no.wat"),
        ({"module": {"file": "/fold.wat"}}, PLAIN, "must be relative to the spec file"),
        ({"module": {"file": "../fold.wat"}}, PLAIN, "must be inside the spec tree"),
        ({"module": {"file": "fold.py"}}, PLAIN, "ends in .wasm or .wat"),
        ({"module": {"digest": OTHER}}, PLAIN, "file"),
        (
            {"module": {"file": "fold.wat", "digest": OTHER}},
            PLAIN,
            "module.digest: does not match",
        ),
        ({}, "(module", "is not WebAssembly text"),
        ({}, WASI + PLAIN[7:], "imports wasi_snapshot_preview1.sched_yield; an aggregator may"),
        ({}, PLAIN.replace("(param f64)", "(param f32)"), "update(f64), not update(f32)"),
        ({}, PLAIN.replace('"finish"', '"end"'), "must export finish() -> i32"),
        ({}, PLAIN.replace('"memory") 1', '"memory") 9000'), "at most 536870912 are given"),
        ({"parameters": {"cut": "Enabled"}}, PLAIN, "cut 'Enabled' is not in"),
    ],
)
def test_what_is_no_aggregator_is_refused_with_the_spec(
    tmp_path: Path, strategy: dict[str, Any], wat: str, words: str
) -> None:
    """Before anything runs, and at the field that is wrong."""
    given = {"name": "Wasm", **strategy}
    if strategy != {"name": "Wasm"}:
        given.setdefault("module", {"file": "fold.wat"})
    with pytest.raises(SpecError) as refused:
        a_task(tmp_path / "t", given, wat)
    assert words in str(refused.value), refused.value
