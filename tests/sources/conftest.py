"""Trees made by hand and repositories made with git, for the tests of this room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from propeller.errors import SpecError
from propeller.model.ids import Digest, sha256_digest
from propeller.model.revision import Revision
from propeller.registry.wasm import inspect
from propeller.sources.load import Cache, load
from propeller.sources.tree import Tree

ADD = b"""(module (memory 1)
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
  (func (export "scale") (param f64) (result f64) local.get 0)
  (func (export "_start")))"""


class Loading:
    """Loads trees given as text, keeping what was kept."""

    def __init__(self) -> None:
        self.kept: dict[Digest, bytes] = {}

    def keep(self, data: bytes) -> Digest:
        digest = sha256_digest(data)
        self.kept[digest] = data
        return digest

    def tree(self, files: Mapping[str, str | bytes], **more: Any) -> Tree:
        return Tree("dir@test", {path: as_bytes(text) for path, text in files.items()}, **more)

    def __call__(
        self, files: Mapping[str, str | bytes] | Tree, *, cache: Cache | None = None, **more: Any
    ) -> Revision:
        tree = files if isinstance(files, Tree) else self.tree(files, **more)
        return load(tree, domain="plant", keep=self.keep, inspect=inspect, cache=cache)

    def faults(self, files: Mapping[str, str | bytes] | Tree, **more: Any) -> list[str]:
        """The faults as they are printed; fails when there is none."""
        with pytest.raises(SpecError) as caught:
            self(files, **more)
        return [str(fault) for fault in caught.value.faults]

    def faults_of(self, text: str | bytes, name: str = "a.yaml") -> list[str]:
        """The faults of one file beside a good module."""
        return self.faults({name: text, "add.wat": ADD})


def as_bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


@pytest.fixture
def loading() -> Loading:
    return Loading()


@pytest.fixture
def task() -> Callable[..., str]:
    """A Task as text, with lines of `spec` that the test adds."""

    def make(name: str = "add", *spec: str, namespace: str = "", kind: str = "Task") -> str:
        inside = f", namespace: {namespace}" if namespace else ""
        head = (
            f"apiVersion: propeller.dev/v1alpha1\nkind: {kind}\n"
            f"metadata: {{name: {name}{inside}}}\nspec:\n  module: {{file: add.wat}}\n"
        )
        return head + "".join(f"  {line}\n" for line in spec)

    return make


@pytest.fixture
def add_wat() -> bytes:
    return ADD


class Repository:
    """A work tree with a repository, driven by the git command."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.path), *arguments],
            check=True,
            capture_output=True,
            text=True,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.path),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_AUTHOR_NAME": "Ana",
                "GIT_AUTHOR_EMAIL": "ana@example.org",
                "GIT_COMMITTER_NAME": "Ana",
                "GIT_COMMITTER_EMAIL": "ana@example.org",
                "GIT_AUTHOR_DATE": "1700000000 +0000",
                "GIT_COMMITTER_DATE": "1700000000 +0000",
                "GIT_ALLOW_PROTOCOL": "file",
            },
        )
        return done.stdout.strip()

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(as_bytes(text))

    def commit(self, files: Mapping[str, str | bytes], message: str = "change") -> str:
        """Writes, commits everything and gives the commit."""
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    @property
    def url(self) -> str:
        return f"git+file://{self.path}"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")
