"""Opening encrypted modules in memory: asked again, given up, let go of."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from propeller.errors import PropellerError, Unavailable
from propeller.registry.encrypted import identity, seal
from propeller.wire.boxes import BoxKey
from propeller.wire.messages import WireModule
from proplet.blobs import Blobs
from proplet.inmemory import InMemory
from proplet.opening import FIRST, Openings, OwnKeys

KEY = BoxKey.from_seed(b"1" * 32)
MODULE = bytes.fromhex("0061736d01000000")


def digest_of(data):
    import hashlib

    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Service:
    """A key service that answers what a test says."""

    answers: list[object] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)

    def identities(self, path):
        self.asked.append(path)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class World:
    """One device: blobs, a clock, and what was told."""

    def __init__(self, directory, keys):
        self.blobs = Blobs(directory, quota=1 << 20)
        self.now = 0
        self.told = []
        self.openings = Openings(keys, self.blobs, lambda: self.now)

    def module(self, key=None):
        ref = self.blobs.keep(seal(MODULE, [KEY.public.text]))
        return WireModule(digest=ref.digest, size=ref.size, plain=digest_of(MODULE), key=key)

    def open(self, module):
        self.openings.open(module, self.told.append)


@pytest.fixture
def own(tmp_path):
    return World(tmp_path, OwnKeys(identity(KEY.seed())))


def test_it_is_opened_once_and_in_memory_only(own, tmp_path):
    """The bytes are behind a descriptor; the folder holds the sealed ones alone."""
    module = own.module()
    own.open(module)
    own.open(module)
    assert own.told == ["", ""]
    path = own.openings.files.path(module.digest)
    assert path.read_bytes() == MODULE
    assert str(path).startswith(f"/proc/{os.getpid()}/fd/")
    files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(MODULE in data for data in files)


def test_what_is_opened_cannot_be_changed(own):
    """Not even by our own workers: the kernel seals the file."""
    module = own.module()
    own.open(module)
    with pytest.raises(PermissionError), own.openings.files.path(module.digest).open("wb"):
        pass


def test_a_silent_key_service_is_asked_again(tmp_path):
    """Later and later; whoever waits is told once, when there is an answer."""
    service = Service([Unavailable("down"), Unavailable("down"), (identity(KEY.seed()),)])
    world = World(tmp_path, service)
    world.open(world.module("a/b/c"))
    assert world.told == []
    assert world.openings.due() == FIRST
    world.now = FIRST - 1
    world.openings.tick()
    assert len(service.asked) == 1
    world.now = FIRST
    world.openings.tick()
    assert world.openings.due() == FIRST + 2 * FIRST
    world.now = 10 * FIRST
    world.openings.tick()
    assert world.told == [""]
    assert service.asked == ["a/b/c"] * 3
    assert world.openings.due() is None


def test_a_refusal_is_final(tmp_path):
    """In the service's words; nothing is asked again."""
    world = World(tmp_path, Service([PropellerError("press-1 may not have it")]))
    world.open(world.module("a/b/c"))
    assert world.told == ["cannot be opened: press-1 may not have it"]
    assert world.openings.due() is None


def test_without_a_service_a_path_is_nowhere(own):
    """The device's own keys open what was encrypted to them, not what a service keeps."""
    own.open(own.module("a/b/c"))
    assert "none is configured" in own.told[0]


def test_a_module_that_left_is_let_go_of(own):
    """Its memory is given back, and so is that of its native code."""
    module = own.module()
    own.open(module)
    own.openings.files.make((module.digest, False, False))
    own.openings.keep_only(frozenset({module.digest}))
    assert len(list(own.openings.files.names())) == 2
    own.openings.keep_only(frozenset())
    assert list(own.openings.files.names()) == []


def test_descriptors_are_given_back():
    """As many are open after as before."""
    open_ones = Path("/proc/self/fd")
    before = len(list(open_ones.iterdir()))
    files = InMemory()
    for number in range(20):
        files.put(number, b"x" * 1000)
        files.put(number, b"y")
    assert files.path(3).read_bytes() == b"y"
    files.close()
    assert len(list(open_ones.iterdir())) == before
