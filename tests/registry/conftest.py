"""Registries, layouts and stores for this room's tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import wasmtime

from propeller.registry.blobs import BlobStore

sys.path.insert(0, str(Path(__file__).parent))

_SPEC = importlib.util.spec_from_file_location(
    "registry_server", Path(__file__).with_name("registry_server.py")
)
assert _SPEC is not None
assert _SPEC.loader is not None
registry_server = sys.modules.get("registry_server")
if registry_server is None:
    registry_server = importlib.util.module_from_spec(_SPEC)
    sys.modules["registry_server"] = registry_server
    _SPEC.loader.exec_module(registry_server)

docker_registry = registry_server.docker_registry
basic_registry = registry_server.basic_registry
bearer_registry = registry_server.bearer_registry
token_server = registry_server.token_server
stub_server = registry_server.stub_server


@pytest.fixture(scope="session")
def module() -> bytes:
    """A small core module."""
    return bytes(
        wasmtime.wat2wasm(
            """(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
            (memory (export "memory") 1 4) (func (export "_start"))
            (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))"""
        )
    )


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    """An empty store."""
    return BlobStore(tmp_path / "blobs")
