"""`run.topics`: what may be granted to whom, and what a module may not import without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from propeller.errors import SpecError
from propeller.model.parse import parse_object, stored_form
from propeller.model.specs import TopicGrant
from propeller.registry.wasm import inspect
from propeller.sources.directory import DirectorySource
from propeller.sources.load import load

PUBLISHES = """(module (import "propeller" "publish" (func (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (func (export "_start")))"""
HEARS = """(module
  (import "propeller" "receive" (func (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (func (export "_start")))"""
QUIET = '(module (func (export "_start")))'


def load_one(folder: Path, *topics: Any, kind: str = "Daemon", wat: str = QUIET, **run: Any) -> Any:
    """The object `talk` with those topics, as loaded."""
    (folder / "m.wat").write_text(wat)
    given = {**run, "topics": list(topics)} if topics else run
    document = {
        "apiVersion": "propeller.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "talk"},
        "spec": {"module": {"file": "m.wat"}, "run": given},
    }
    (folder / "talk.yaml").write_text(yaml.safe_dump(document))
    revision = load(
        DirectorySource(folder).read(), domain="d", keep=lambda data: "", inspect=inspect
    )
    (thing,) = revision.objects.values()
    return thing


def faults(folder: Path, *topics: Any, **more: Any) -> str:
    """What is said of it."""
    with pytest.raises(SpecError) as refused:
        load_one(folder, *topics, **more)
    return str(refused.value)


def test_a_grant_has_its_bounds_and_reads_back(tmp_path: Path) -> None:
    """Defaults are filled in; what is stored is the same object again."""
    thing = load_one(
        tmp_path,
        {"name": "out", "publish": "a/{proplet}/b", "maxSize": "1KiB", "rate": 5, "keep": 9},
        {"name": "in", "subscribe": "cmds/#"},
    )
    assert thing.run.topics == (
        TopicGrant(name="out", publish="a/{proplet}/b", size=1024, rate=5, keep=9),
        TopicGrant(name="in", subscribe="cmds/#", size=4096, rate=10, keep=256),
    )
    assert parse_object(**stored_form(thing)) == thing


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ({"publish": "control/proplet/a/op"}, "never with control/"),
        ({"subscribe": "#"}, "must begin with a level of its own"),
        ({"subscribe": "+/proplet/a/op"}, "must begin with a level of its own"),
        ({"subscribe": "a/#/b"}, "# stands at the end only"),
        ({"publish": "a/+"}, "must have no + and no #"),
        ({"publish": "a//b"}, "nor have an empty level"),
        ({"publish": "{proplet}/a"}, "must not begin with {proplet}"),
        ({"publish": "a/x{proplet}"}, "{proplet} is a whole level"),
        ({"publish": "a", "subscribe": "b"}, "needs exactly one of publish and subscribe"),
        ({}, "needs exactly one of publish and subscribe"),
        ({"publish": "ä" * 200}, "at most 256 bytes"),
        ({"publish": "a", "maxSize": "65KiB"}, "64KiB"),
        ({"publish": "a", "rate": 0}, "rate"),
        ({"publish": "a", "keep": 5000}, "keep"),
    ],
)
def test_a_topic_that_is_none_of_a_guests_is_refused(
    tmp_path: Path, topic: dict[str, Any], words: str
) -> None:
    """With the field and what is wrong."""
    said = faults(tmp_path, {"name": "x", **topic})
    assert words in said
    assert "spec.run.topics[0]" in said


def test_a_function_is_called_and_does_not_subscribe(tmp_path: Path) -> None:
    """It may publish."""
    said = faults(tmp_path, {"name": "x", "subscribe": "a"}, kind="Function")
    assert "give it a trigger with mqtt" in said
    assert load_one(tmp_path, {"name": "x", "publish": "a"}, kind="Function").run.topics


def test_a_name_stands_for_one_topic(tmp_path: Path) -> None:
    """Twice the same is a fault."""
    rows = ({"name": "x", "publish": "a"}, {"name": "x", "publish": "b"})
    assert 'the topic "x" is given twice' in faults(tmp_path, *rows)


@pytest.mark.parametrize(
    ("wat", "other", "words"),
    [
        (PUBLISHES, {"subscribe": "a"}, "imports propeller.publish, which needs a topic"),
        (HEARS, {"publish": "a"}, "imports propeller.receive, which needs a topic"),
    ],
)
def test_a_module_that_talks_needs_a_topic_for_it(
    tmp_path: Path, wat: str, other: dict[str, Any], words: str
) -> None:
    """Neither without any, nor with one of the other way."""
    assert words in faults(tmp_path, wat=wat)
    assert words in faults(tmp_path, {"name": "x", **other}, wat=wat)


def test_the_clock_of_the_guest_interface_is_a_clock(tmp_path: Path) -> None:
    """`capabilities: []` denies `propeller.now_ms` as it denies WASI's clock."""
    wat = """(module (import "propeller" "now_ms" (func (result i64))) (func (export "_start")))"""
    assert "now_ms, which needs Clock" in faults(tmp_path, wat=wat, capabilities=[])
    assert load_one(tmp_path, wat=wat, capabilities=["Clock"])
