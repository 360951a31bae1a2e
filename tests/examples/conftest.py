"""A bare wasmtime around the example modules: what they do, without Propeller in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import wasmtime

ROOT = Path(__file__).parents[2]
WASI = "wasi_snapshot_preview1"


@dataclass(frozen=True, slots=True)
class Ran:
    """How a guest ended: `code` is None after a trap, whose text is in `trap`."""

    stdout: str
    stderr: str
    code: int | None
    trap: str = ""


@dataclass(slots=True)
class World:
    """What a guest is given. `replace` puts host functions in place of WASI's."""

    folder: Path
    fuel: int | None = None
    memory: int | None = None
    replace: Mapping[str, Callable[[wasmtime.Caller, list[int]], int]] = field(default_factory=dict)

    def load(self, path: Path) -> tuple[wasmtime.Store, wasmtime.Module]:
        """A store under this world's limits and the compiled module."""
        config = wasmtime.Config()
        config.consume_fuel = True
        engine = wasmtime.Engine(config)
        store = wasmtime.Store(engine)
        store.set_fuel(self.fuel if self.fuel is not None else 2**63)
        if self.memory is not None:
            store.set_limits(memory_size=self.memory)
        data = path.read_bytes()
        if path.suffix == ".wat":
            data = wasmtime.wat2wasm(data.decode())
        return store, wasmtime.Module(engine, data)

    def call(self, path: Path, name: str, *args: int) -> object:
        """The result of one export of a module without imports."""
        store, module = self.load(path)
        function = wasmtime.Instance(store, module, []).exports(store)[name]
        assert isinstance(function, wasmtime.Func)
        return function(store, *args)

    def run(
        self, path: Path, *args: str, env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> Ran:
        """Runs `_start` as a WASI program; mounts this world's folder at `/data`."""
        store, module = self.load(path)
        out, err, given = (self.folder / name for name in ("stdout", "stderr", "stdin"))
        given.write_text(stdin)
        wasi = wasmtime.WasiConfig()
        wasi.argv = [path.stem, *args]
        wasi.env = list((env or {}).items())
        wasi.stdin_file = str(given)
        wasi.stdout_file = str(out)
        wasi.stderr_file = str(err)
        wasi.preopen_dir(str(self.folder), "/data")
        store.set_wasi(wasi)
        linker = wasmtime.Linker(store.engine)
        linker.allow_shadowing = True
        linker.define_wasi()
        for name, replacement in self.replace.items():
            kind = wasmtime.FuncType([wasmtime.ValType.i32()] * 4, [wasmtime.ValType.i32()])
            linker.define_func(
                WASI,
                name,
                kind,
                lambda caller, *given, use=replacement: use(caller, list(given)),
                access_caller=True,
            )
        code: int | None = 0
        trap = ""
        try:
            start = linker.instantiate(store, module).exports(store)["_start"]
            assert isinstance(start, wasmtime.Func)
            start(store)
        except wasmtime.ExitTrap as left:
            code = left.code
        except (wasmtime.Trap, wasmtime.WasmtimeError) as stopped:
            code, trap = None, str(stopped)
        store.close()
        return Ran(out.read_text(), err.read_text(), code, trap)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A guest's world with no limits, in a folder of its own."""
    return World(tmp_path)
