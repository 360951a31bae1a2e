"""Pulling modules from a registry or a layout directory, on threads of their own.

Called by the shell. The pull itself is injected: this room knows no registry. It writes the blob's
bytes to a file; whether they are the right ones is checked by whoever asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from propeller.errors import PropellerError

Pull = Callable[[str, str, Path], object]
"""(image, digest, destination): get one blob. Raises PropellerError or OSError when it cannot."""

Post = Callable[[Callable[[], None]], None]
MOST = 1
PAUSES = (0.5, 1.0, 2.0)
"""Seconds between tries of what may be on its way to the registry."""


class Pulls:
    """At most `MOST` at one time; `done(digest, trouble)` is called from the loop."""

    def __init__(self, pull: Pull, post: Post) -> None:
        self._pull = pull
        self._post = post
        self._slots = threading.Semaphore(MOST)
        self._under_way: set[str] = set()

    def begin(
        self,
        image: str,
        digest: str,
        destination: Path,
        done: Callable[[str, str], None],
        *,
        pauses: tuple[float, ...] = (),
    ) -> None:
        """Start a pull, unless it is under way. pauses: seconds before each further try."""
        if digest in self._under_way:
            return
        self._under_way.add(digest)
        threading.Thread(
            target=self._run, args=(image, digest, destination, done, pauses), daemon=True
        ).start()

    def _run(
        self,
        image: str,
        digest: str,
        destination: Path,
        done: Callable[[str, str], None],
        pauses: tuple[float, ...],
    ) -> None:
        trouble = ""
        with self._slots:
            for pause in (0.0, *pauses):
                time.sleep(pause)
                try:
                    self._pull(image, digest, destination)
                except (PropellerError, OSError, ValueError) as error:
                    trouble = str(error) or type(error).__name__
                else:
                    trouble = ""
                    break

        def tell() -> None:
            self._under_way.discard(digest)
            done(digest, trouble)

        self._post(tell)
