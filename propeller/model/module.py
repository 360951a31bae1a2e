"""What is known of a module once its bytes were seen."""

from __future__ import annotations

from dataclasses import dataclass

from propeller.model.ids import Digest
from propeller.model.signing import Signed

WASM_PAGE = 65536
"""Bytes of one page of linear memory (WebAssembly core specification, 4.2.8)."""


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """One import: module and name, as written in the binary."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class Export:
    """One exported function with its core types (`i32`, `i64`, `f32`, `f64`, ...)."""

    name: str
    params: tuple[str, ...] = ()
    results: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Aot:
    """A module compiled beforehand, for one kind of device. It is native code that nobody verifies.

    target: what it was made for, `arch/runtime-version` (`thumbv7/wamr-6`), as devices name it.
    digest, size: of the file.
    """

    target: str
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module the fleet can run.

    identity: digest of the source as written (`.wat` text or the binary); part of the run id.
    digest, size: of the Wasm binary, what travels.
    memory_min: bytes it needs to start. memory_max: bytes it may ask for; None when it names none.
    image: `registry/repository@sha256:...` of the manifest where a proplet may pull by itself.
    signed: who vouches for it, None where nobody looked.
    plain: of an encrypted module, the digest of what is inside; `digest` and `size` are of what
    travels then. key: where a key service has what opens it.
    aot: the same compiled beforehand, at most one a target, sorted; only where the spec allows it.
    """

    identity: Digest
    digest: Digest
    size: int
    imports: tuple[Import, ...] = ()
    exports: tuple[Export, ...] = ()
    memory_min: int = 0
    memory_max: int | None = None
    component: bool = False
    image: str | None = None
    signed: Signed | None = None
    plain: Digest | None = None
    key: str | None = None
    aot: tuple[Aot, ...] = ()

    @property
    def blobs(self) -> frozenset[Digest]:
        """Everything of it that a device may fetch."""
        return frozenset({self.digest, *(one.digest for one in self.aot)})


@dataclass(frozen=True, slots=True)
class ModuleProblem:
    """Why a module could not be had. `retry` says whether trying again can help."""

    reason: str
    message: str
    retry: bool


Resolved = Module | ModuleProblem
