"""The reader of a source: which look is news."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from propeller.errors import Fault
from propeller.model.ids import sha256_digest
from propeller.reconcile import sourcing
from propeller.reconcile.events import SourceSilent, SpecsRefused, SpecsTaken
from propeller.reconcile.sourcing import SourceReader
from propeller.sources.directory import DirectorySource
from propeller.sources.images import Absent
from propeller.sources.tree import Tree
from propeller.sources.trust import Distrusted


class Fickle(DirectorySource):
    """A head that is trusted, one that is not, and the first one again."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.heads = ["good", "bad", "bad", "good", "good"]

    def head(self) -> str:
        return self.heads.pop(0) if len(self.heads) > 1 else self.heads[0]

    def read(self, head: str | None = None) -> Tree:
        if head == "bad":
            raise Distrusted([Fault("bad", 0, "", "is not signed")])
        return super().read()


def test_the_way_back_from_a_head_that_was_not_trusted_is_news(tmp_path: Path) -> None:
    """Else the refusal would be told for ever, though what is there is what was accepted."""
    posted: list[SpecsTaken | SpecsRefused | SourceSilent] = []
    enough = threading.Event()

    def post(outcome: SpecsTaken | SpecsRefused | SourceSilent) -> None:
        posted.append(outcome)
        if len(posted) == 4:
            enough.set()

    source = Fickle(tmp_path)
    reader = SourceReader(source, domain="d", keep=sha256_digest, post=post, pause=lambda: 0.01)
    reader.start()
    assert enough.wait(20)
    reader.stop()
    kinds = [type(one).__name__ for one in posted]
    assert kinds == ["SpecsTaken", "SpecsRefused", "SpecsRefused", "SpecsTaken"]


class Empty:
    """A registry that has nothing yet."""

    rules = ()

    def __init__(self) -> None:
        self.asked = 0

    def fetch(self, refs):
        self.asked += 1
        return dict.fromkeys(refs, Absent("not yet", again=True))

    def forget(self, ref) -> None:
        raise AssertionError(ref)


def test_a_plugin_that_is_not_there_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the head does not move: with Open the tree is taken, and taken again when it came."""
    monkeypatch.setattr(sourcing, "RETRY", (0.01,))
    (tmp_path / "plugin.yaml").write_text(
        "apiVersion: propeller.dev/v1alpha1\nkind: Plugin\nmetadata: {name: p}\nspec:\n"
        f"  module: {{image: 'registry.example/p@{sha256_digest(b'p')}'}}\n"
        "  hooks: [Admit]\n  onFailure: Open\n"
    )
    posted: list[SpecsTaken | SpecsRefused | SourceSilent] = []
    enough = threading.Event()
    images = Empty()

    def post(outcome: SpecsTaken | SpecsRefused | SourceSilent) -> None:
        posted.append(outcome)
        if images.asked == 3:
            enough.set()

    reader = SourceReader(
        DirectorySource(tmp_path),
        domain="d",
        keep=sha256_digest,
        post=post,
        pause=lambda: 600.0,
        images=images,
    )
    reader.start()
    assert enough.wait(20)
    reader.stop()
    assert {type(one) for one in posted} == {SpecsTaken}
