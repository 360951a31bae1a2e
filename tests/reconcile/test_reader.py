"""The reader of a source: which look is news."""

from __future__ import annotations

import threading
from pathlib import Path

from propeller.errors import Fault
from propeller.model.ids import sha256_digest
from propeller.reconcile.events import SourceSilent, SpecsRefused, SpecsTaken
from propeller.reconcile.sourcing import SourceReader
from propeller.sources.directory import DirectorySource
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
