"""Modules of plugins: pulled by workers, waited for a bounded time, kept by reference."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from propeller.model.ids import Digest, sha256_digest
from propeller.model.module import Module, ModuleProblem, Resolved
from propeller.model.specs import ModuleRef
from propeller.reconcile.pluginimages import PluginImages
from propeller.sources.images import Absent, Pulled

WASM = b"\0asm\1\0\0\0"
DIGEST = sha256_digest(WASM)
REF = ModuleRef(image=f"registry.example/a@{DIGEST}")
HERE = Module(identity=DIGEST, digest=DIGEST, size=len(WASM))


class Registry:
    """Answers when it is let; `blobs` is what the workers brought."""

    def __init__(self, answer: Resolved = HERE) -> None:
        self.answer = answer
        self.asked = 0
        self.let = threading.Event()
        self.let.set()
        self.blobs: dict[Digest, bytes] = {}

    def resolve(self, ref: ModuleRef) -> Resolved:
        assert ref.image
        self.asked += 1
        assert self.let.wait(60)
        if isinstance(self.answer, Module):
            self.blobs[self.answer.digest] = WASM
        return self.answer

    def read(self, digest: Digest) -> bytes:
        try:
            return self.blobs[digest]
        except KeyError:
            raise FileNotFoundError(digest) from None


@pytest.fixture
def workers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield pool


def shelf_of(
    registry: Registry, submit: Callable[..., object], *, patience: float = 60
) -> PluginImages:
    return PluginImages(registry.resolve, registry.read, submit, patience=patience)


def test_it_is_pulled_once(workers: ThreadPoolExecutor) -> None:
    """The next look at the tree asks no registry; after a clean-up of blobs it does."""
    registry = Registry()
    shelf = shelf_of(registry, workers.submit)
    for _ in range(3):
        assert shelf.fetch([REF]) == {REF: Pulled(HERE, WASM)}
    assert registry.asked == 1
    registry.blobs.clear()
    assert shelf.fetch([REF]) == {REF: Pulled(HERE, WASM)}
    assert registry.asked == 2
    shelf.forget(REF)
    shelf.fetch([REF])
    assert registry.asked == 3


def test_a_registry_that_never_answers_holds_nobody(workers: ThreadPoolExecutor) -> None:
    """A look ends in words; there is one pull, however often it is looked, and it is not lost."""
    registry = Registry()
    registry.let.clear()
    shelf = shelf_of(registry, workers.submit, patience=0.01)
    for _ in range(3):
        found = shelf.fetch([REF])[REF]
        assert found == Absent(f"{REF} is not here after 0.01 s and is still pulled", again=True)
    assert registry.asked == 1
    registry.let.set()
    workers.shutdown(wait=True)
    assert shelf.fetch([REF]) == {REF: Pulled(HERE, WASM)}
    assert registry.asked == 1


def test_a_failure_is_told_once_and_tried_again(workers: ThreadPoolExecutor) -> None:
    """With the words and the hope of whoever looked it up."""
    registry = Registry(ModuleProblem("Unavailable", "registry.example: no route", retry=True))
    shelf = shelf_of(registry, workers.submit)
    assert shelf.fetch([REF]) == {REF: Absent("registry.example: no route", again=True)}
    registry.answer = ModuleProblem("NotWasm", "it is a picture", retry=False)
    assert shelf.fetch([REF]) == {REF: Absent("it is a picture", again=False)}
    registry.answer = HERE
    assert shelf.fetch([REF]) == {REF: Pulled(HERE, WASM)}


def test_workers_that_were_stopped_are_said() -> None:
    """A process that ends brings nothing any more, and nobody falls over that."""
    pool = ThreadPoolExecutor(max_workers=1)
    pool.shutdown()
    found = shelf_of(Registry(), pool.submit).fetch([REF])[REF]
    assert isinstance(found, Absent)
    assert "the process is ending" in found.why
