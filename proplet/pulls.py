"""Pulling modules from a registry or a layout directory, on threads of their own.

Called by the shell. The pull itself is injected: this room knows no registry. It writes the blob's
bytes to a file; whether they are the right ones is checked by whoever asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from propeller.errors import PropellerError

Pull = Callable[[str, str, Path], object]
"""(image, digest, destination): get one blob. Raises PropellerError or OSError when it cannot."""

Post = Callable[[Callable[[], None]], None]
MOST = 1


class Pulls:
    """At most `MOST` at one time; `done(digest, trouble)` is called from the loop."""

    def __init__(self, pull: Pull, post: Post) -> None:
        self._pull = pull
        self._post = post
        self._slots = threading.Semaphore(MOST)
        self._under_way: set[str] = set()

    def begin(
        self, image: str, digest: str, destination: Path, done: Callable[[str, str], None]
    ) -> None:
        """Start a pull, unless it is under way."""
        if digest in self._under_way:
            return
        self._under_way.add(digest)
        threading.Thread(
            target=self._run, args=(image, digest, destination, done), daemon=True
        ).start()

    def _run(
        self, image: str, digest: str, destination: Path, done: Callable[[str, str], None]
    ) -> None:
        trouble = ""
        with self._slots:
            try:
                self._pull(image, digest, destination)
            except (PropellerError, OSError, ValueError) as error:
                trouble = str(error) or type(error).__name__

        def tell() -> None:
            self._under_way.discard(digest)
            done(digest, trouble)

        self._post(tell)
