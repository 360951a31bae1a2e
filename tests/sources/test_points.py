"""`run.points`: what may be granted to whom, and what a module may not import without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from propeller.errors import SpecError
from propeller.model.parse import parse_object, stored_form
from propeller.model.specs import PointGrant
from propeller.registry.wasm import inspect
from propeller.sources.directory import DirectorySource
from propeller.sources.load import load

READS = """(module (import "propeller" "point_read" (func (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (func (export "_start")))"""
WRITES = """(module (import "propeller" "point_write" (func (param i32 i32 f64) (result i32)))
  (memory (export "memory") 1) (func (export "_start")))"""
QUIET = '(module (func (export "_start")))'


def load_one(folder: Path, *points: Any, kind: str = "Daemon", wat: str = QUIET) -> Any:
    """The object `sense` with those points, as loaded."""
    (folder / "m.wat").write_text(wat)
    document = {
        "apiVersion": "propeller.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "sense"},
        "spec": {"module": {"file": "m.wat"}, "run": {"points": list(points)} if points else {}},
    }
    (folder / "sense.yaml").write_text(yaml.safe_dump(document))
    revision = load(
        DirectorySource(folder).read(), domain="d", keep=lambda data: "", inspect=inspect
    )
    (thing,) = revision.objects.values()
    return thing


def faults(folder: Path, *points: Any, **more: Any) -> str:
    """What is said of it."""
    with pytest.raises(SpecError) as refused:
        load_one(folder, *points, **more)
    return str(refused.value)


def test_a_grant_is_known_by_the_devices_name_unless_it_has_its_own(tmp_path: Path) -> None:
    """Defaults are filled in; what is stored is the same object again."""
    thing = load_one(
        tmp_path, {"read": "temperature"}, {"name": "heater", "write": "relay-1", "rate": 1}
    )
    assert thing.run.points == (
        PointGrant(name="temperature", read="temperature", rate=10),
        PointGrant(name="heater", write="relay-1", rate=1),
    )
    assert parse_object(**stored_form(thing)) == thing


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ({"name": "x"}, "needs exactly one of read and write"),
        ({"read": "a", "write": "b"}, "needs exactly one of read and write"),
        ({"read": "/sys/x"}, "letters, digits, dots"),
        ({"write": "a", "rate": 0}, "rate"),
        ({"write": "a", "rate": 1001}, "rate"),
    ],
)
def test_a_point_that_is_none_is_refused(tmp_path: Path, point: dict[str, Any], words: str) -> None:
    """With the field and what is wrong; a file of the device is no name."""
    said = faults(tmp_path, point)
    assert words in said
    assert "spec.run.points[0]" in said


def test_a_name_stands_for_one_point(tmp_path: Path) -> None:
    """Twice the same is a fault, given or not."""
    assert 'the point "x" is given twice' in faults(
        tmp_path, {"read": "x"}, {"name": "x", "write": "y"}
    )


@pytest.mark.parametrize(
    ("wat", "other", "words"),
    [
        (READS, {"write": "a"}, "imports propeller.point_read, which needs a point with read"),
        (WRITES, {"read": "a"}, "imports propeller.point_write, which needs a point with write"),
    ],
)
def test_a_module_that_senses_needs_a_point_for_it(
    tmp_path: Path, wat: str, other: dict[str, Any], words: str
) -> None:
    """Neither without any, nor with one of the other way."""
    assert words in faults(tmp_path, wat=wat)
    assert words in faults(tmp_path, other, wat=wat)
    assert load_one(tmp_path, other, {"name": "n", "read": "r"}, {"name": "m", "write": "w"})
