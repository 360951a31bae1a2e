"""A SuperMQ of our own for the tests of this room."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_name = "provision_supermq_server"
_spec = importlib.util.spec_from_file_location(_name, Path(__file__).with_name("supermq_server.py"))
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules[_name] = _module
_spec.loader.exec_module(_module)


@pytest.fixture
def supermq() -> Iterator[_module.SuperMqServer]:
    """One that keeps to its OpenAPI; whatever we ask that is not in there fails the test."""
    server = _module.SuperMqServer()
    yield server
    server.close()
    assert server.complaints == []
