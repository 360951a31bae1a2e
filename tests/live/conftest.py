"""Real servers for the tests that talk to them. Each room brings its own, loaded here by file."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def _from_room(room: str, name: str) -> ModuleType:
    """The module tests/<room>/<name>.py, once per run (tests are no package)."""
    if name not in sys.modules:
        path = Path(__file__).parents[1] / room / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


_registry = _from_room("registry", "registry_server")
docker_registry = _registry.docker_registry
basic_registry = _registry.basic_registry
bearer_registry = _registry.bearer_registry
token_server = _registry.token_server
stub_server = _registry.stub_server
