"""The module files that specs name: found inside the tree, read, turned into Wasm, looked into.

Called by `load`. What a module is gets cached by content, so unchanged modules are not read again.
The Wasm bytes go to `keep` (the blob store) once for each content. `inspect` belongs to the
registry and is handed in.
"""

from __future__ import annotations

import posixpath
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from propeller.components import export_problem, fileless, import_problem, is_handler
from propeller.errors import WireError
from propeller.model.ids import Digest, sha256_digest
from propeller.model.module import Export, Import, Module
from propeller.model.specs import RunSpec
from propeller.sources.explain import did_you_mean
from propeller.sources.nodes import Path, printable
from propeller.sources.tree import MAX_MODULE_BYTES, Tree


class Facts(Protocol):
    """What `propeller.registry.wasm.inspect` answers. Memory in bytes."""

    @property
    def imports(self) -> tuple[Import, ...]: ...
    @property
    def exports(self) -> tuple[Export, ...]: ...
    @property
    def memory_min(self) -> int: ...
    @property
    def memory_max(self) -> int | None: ...
    @property
    def component(self) -> bool: ...


Keep: TypeAlias = Callable[[bytes], Digest]
Inspect: TypeAlias = Callable[[bytes], Facts]

_INTEGER = re.compile(r"[-+]?(?:[0-9]+|0x[0-9A-Fa-f]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|inf|nan)\Z")
_MAX_DIGITS: Final = 40
COMMAND: Final = "_start"


@dataclass(frozen=True, slots=True)
class NoModule:
    """Why there is none, in words for the author."""

    message: str


class Modules:
    """Modules by content id, kept between loads."""

    def __init__(self) -> None:
        self._known: dict[str, Module | NoModule] = {}

    def get(self, tree: Tree, path: str, *, keep: Keep, inspect: Inspect) -> Module | NoModule:
        """The module at `path`. One that is missing, too large or no Wasm is a NoModule."""
        if path in tree.problems:
            return NoModule(f"{path}: {tree.problems[path]}")
        if path not in tree.files:
            return NoModule(missing(tree, path))
        content = path.rpartition(".")[2] + " " + tree.content_id(path)
        known = self._known.get(content)
        if known is None:
            known = _read(tree.files[path], text=path.endswith(".wat"), keep=keep, inspect=inspect)
            self._known[content] = known
        return NoModule(f"{path}: {known.message}") if isinstance(known, NoModule) else known

    @staticmethod
    def wasm(tree: Tree, path: str) -> bytes:
        """The Wasm bytes of a file that `get` found to be a module."""
        data = tree.files[path]
        made = _from_text(data) if path.endswith(".wat") else data
        assert not isinstance(made, NoModule), "it was read before"
        return made

    def forget_except(self, used: set[str]) -> None:
        """Drop what no file of the newest tree holds any more."""
        self._known = {key: value for key, value in self._known.items() if key in used}


def inside(folder: str, file: str) -> str | None:
    """The path of `file` as a spec in `folder` means it; None when it leads out of the tree."""
    path = posixpath.normpath(posixpath.join(folder, file))
    return None if path.startswith(("../", "/")) or path == ".." else path


def missing(tree: Tree, path: str) -> str:
    """Words for a file that a spec names and that is not there."""
    folder, _, name = path.rpartition("/")
    near = did_you_mean(
        name,
        (other.rpartition("/")[2] for other in tree.files if other.rpartition("/")[0] == folder),
    )
    hint = f', did you mean "{near}"?' if near else ""
    return f"there is no file {path} in the spec tree{hint}"


def _read(data: bytes, *, text: bool, keep: Keep, inspect: Inspect) -> Module | NoModule:
    if len(data) > MAX_MODULE_BYTES:
        return NoModule(f"a module must be at most {MAX_MODULE_BYTES} bytes, this has {len(data)}")
    if data.startswith(b"version https://git-lfs.github.com/"):
        return NoModule("is a Git LFS pointer, not a module; commit the module itself")
    wasm = data
    if text:
        converted = _from_text(data)
        if isinstance(converted, NoModule):
            return converted
        wasm = converted
    try:
        facts = inspect(wasm)
    except WireError as error:
        return NoModule(f"is not a WebAssembly module ({printable(str(error))})")
    return Module(
        identity=sha256_digest(data),
        digest=keep(wasm),
        size=len(wasm),
        imports=tuple(facts.imports),
        exports=tuple(facts.exports),
        memory_min=facts.memory_min,
        memory_max=facts.memory_max,
        component=facts.component,
    )


def _from_text(data: bytes) -> bytes | NoModule:
    import wasmtime

    try:
        return bytes(wasmtime.wat2wasm(data.decode("utf-8")))
    except UnicodeDecodeError:
        return NoModule("must be UTF-8")
    except wasmtime.WasmtimeError as error:
        words = " ".join(str(error).split())
        return NoModule(f"is not WebAssembly text: {printable(words[:300])}")


def call_problem(run: RunSpec, module: Module, *, called: bool = False) -> tuple[Path, str] | None:
    """Whether `run` calls what the module exports, with arguments of its types; None when it does.

    Of components names are checked; the types of what they export are left to the proplet.
    called: as a Function with interface Command is.
    """
    here: Path = ("run", "entrypoint")
    if module.component:
        exports = [one.name for one in module.exports]
        handler = is_handler(exports, run.entrypoint)
        refused = import_problem([one.module for one in module.imports], handler=handler)
        if refused:
            return ("module",), refused
        files = fileless([one.module for one in module.imports], handler=handler)
        if files and (run.mounts or run.models):
            return ("run", "mounts" if run.mounts else "models"), files
        wrong = export_problem(exports, run.entrypoint, called=called)
        return (here, wrong) if wrong else None
    found = next((one for one in module.exports if one.name == run.entrypoint), None)
    if found is None:
        names = [one.name for one in module.exports]
        near = did_you_mean(run.entrypoint, names)
        listed = ", ".join(names[:10]) or "none"
        hint = f', did you mean "{near}"?' if near else f"; it exports {listed}"
        return here, f'the module exports no function "{run.entrypoint}"{hint}'
    if run.entrypoint == COMMAND:
        if found.params or found.results:
            return here, f"_start must take and give nothing, this one is {_signature(found)}"
        return None
    if len(run.args) != len(found.params):
        wanted = f"{len(found.params)} argument" + ("" if len(found.params) == 1 else "s")
        return ("run", "args"), f"{_signature(found)} takes {wanted}, not {len(run.args)}"
    return _argument_problem(run.args, found)


def _argument_problem(args: Sequence[str], export: Export) -> tuple[Path, str] | None:
    for index, (arg, kind) in enumerate(zip(args, export.params, strict=True)):
        wrong = value_problem(arg, kind)
        if wrong:
            return ("run", "args", index), f"{_signature(export)}: {wrong}"
    return None


def value_problem(text: str, kind: str) -> str:
    """Why `text` is no value of a core type, "" when it is one."""
    match kind:
        case "i32" | "i64":
            bits = int(kind[1:])
            least, most = -(1 << (bits - 1)), (1 << bits) - 1
            if _INTEGER.match(text) and len(text) <= _MAX_DIGITS:
                number = int(text, 16 if "x" in text else 10)
                if least <= number <= most:
                    return ""
            return f'must be a whole number from {least} to {most} ({kind}), not "{text[:40]}"'
        case "f32" | "f64":
            if _FLOAT.match(text) and (kind == "f64" or _fits_f32(float(text))):
                return ""
            return f'must be a number ({kind}), not "{text[:40]}"'
        case _:
            return f"no spec can give a value of type {kind}"


def _fits_f32(number: float) -> bool:
    try:
        struct.pack("<f", number)
    except OverflowError:
        return False
    return True


def _signature(export: Export) -> str:
    return f"{export.name}({', '.join(export.params)})"
