"""What a device keeps of one round for later ones of the same job: what top-k updates left out
(error feedback), or its control variate (SCAFFOLD).

Owned by `training`. A file a job and round; a round that is tried again starts from what the round
before it left, so it gives the same update. Bounded: two rounds a job, a few jobs.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from propeller.errors import Unavailable
from propeller.wire.messages import WireTraining
from proplet.disk import make_directory, write_file

ROUNDS = 2
JOBS = 8


class Leftovers:
    """See the module. `directory` is made when it is needed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def before(self, fl: WireTraining) -> str | None:
        """The file of the newest earlier round, for a top-k format or a control variate."""
        controlled = any(name == "controlVariates" for name, _ in fl.params)
        if fl.step != "train" or not (fl.format.startswith("topk") or controlled):
            return None
        earlier = [path for path in self._of(fl.job) if _round(path) < fl.round]
        return str(earlier[-1]) if earlier else None

    def keep(self, fl: WireTraining, left: Path) -> None:
        """Remember what a round left out, and forget what is too old."""
        with contextlib.suppress(OSError, Unavailable):  # then the next round starts from nothing
            make_directory(self._directory)
            write_file(self._directory / f"{fl.job}.{fl.round:010d}", left.read_bytes())
            for path in self._of(fl.job)[:-ROUNDS]:
                path.unlink()
            newest = sorted(self._directory.iterdir(), key=lambda path: path.stat().st_mtime)
            for path in newest[: -ROUNDS * JOBS]:
                path.unlink()

    def _of(self, job: str) -> list[Path]:
        return sorted(self._directory.glob(f"{job}.*"))


def _round(path: Path) -> int:
    return int(path.name.rpartition(".")[2])
