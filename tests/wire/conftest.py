"""The shared vectors, read from where every implementation reads them, and what makes them."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2] / "schemas" / "wire"


@pytest.fixture(scope="session")
def wire_root() -> Path:
    """`schemas/wire`."""
    return ROOT


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Any]:
    """Read one file of vectors by name."""

    def read(name: str) -> Any:
        return json.loads((ROOT / "vectors" / f"{name}.json").read_text(encoding="utf-8"))

    return read


@pytest.fixture(scope="session")
def maker() -> ModuleType:
    """The module that writes `schemas/wire`."""
    place = Path(__file__).with_name("wire_vectors.py")
    spec = importlib.util.spec_from_file_location("wire_vectors", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module
