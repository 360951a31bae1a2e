"""The paper fleet of `worlds.py`, as a fixture."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def w() -> ModuleType:
    """The module of builders."""
    place = Path(__file__).with_name("worlds.py")
    spec = importlib.util.spec_from_file_location("plan_worlds", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
