"""Encrypted modules opened in memory: which are, which are being opened, which cannot be.

Called by `compiling` before it looks into a module that travels encrypted. Opening happens in a
thread: a key service may be far away. What comes out is in an `InMemory` file until the module is
compiled, and so is the native code for as long as it is used; the disk holds the encrypted module
and nothing else of it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from propeller.errors import PropellerError, Unavailable
from propeller.registry.encrypted import unseal
from propeller.wire.messages import WireModule
from proplet.blobs import Blobs
from proplet.inmemory import InMemory

log = logging.getLogger("proplet")

FIRST, CAP = 2_000, 300_000
"""ms until a key service that did not answer is asked again: doubling, capped."""

Then = Callable[[str], None]
Post = Callable[[Callable[[], None]], None]


class KeySource(Protocol):
    """What opens modules: the keys of this device, and perhaps a key service.

    A key broker with attestation plugs in here: `proplet.keyservice` speaks to one.
    """

    def identities(self, path: str | None) -> tuple[str, ...]:
        """age identities, for a module whose key is at `path` of a key service; None: no service.

        May take its time. Raises Unavailable to be asked again, any other PropellerError for good.
        """


class OwnKeys:
    """The device's own keys, and those of its groups."""

    def __init__(self, *identities: str) -> None:
        self._identities = identities

    def identities(self, path: str | None) -> tuple[str, ...]:
        """Part of `KeySource`. Without a key service, a path is nowhere."""
        if path is not None:
            raise PropellerError(f"its key is at {path} of a key service, and none is configured")
        return self._identities


def at_once(what: Callable[[], None]) -> None:
    """Without a loop to hand over to."""
    what()


class Openings:
    """See the module. post: hands a call over to the agent's thread; None opens in this thread."""

    def __init__(
        self, keys: KeySource, blobs: Blobs, clock: Callable[[], int], post: Post | None = None
    ) -> None:
        self._keys = keys
        self._blobs = blobs
        self._clock = clock
        self._post = post
        self.files = InMemory()
        self._waiting: dict[str, list[Then]] = {}
        self._modules: dict[str, WireModule] = {}
        self._again: dict[str, tuple[int, int]] = {}

    def open(self, module: WireModule, then: Then) -> None:
        """Have it opened; `then` is told why it cannot be, "" once it is in `files`."""
        if self.files.size(module.digest):
            then("")
            return
        waiting = self._waiting.setdefault(module.digest, [])
        waiting.append(then)
        self._modules[module.digest] = module
        if len(waiting) == 1 and module.digest not in self._again:
            self._begin(module)

    def _begin(self, module: WireModule) -> None:
        if self._post is None:
            self._done(module, *self._work(module))
            return
        post = self._post

        def work() -> None:
            found = self._work(module)
            post(lambda: self._done(module, *found))

        threading.Thread(target=work, name="opening", daemon=True).start()

    def _work(self, module: WireModule) -> tuple[bytes, str, bool]:
        """The module, or why not and whether to ask again. Touches nothing of this object."""
        assert module.plain is not None
        try:
            sealed = self._blobs.read(module.digest)
            return unseal(sealed, self._keys.identities(module.key), module.plain), "", False
        except Unavailable as error:
            return b"", error.what, True
        except PropellerError as error:
            return b"", error.what, False
        except OSError as error:
            return b"", f"its bytes cannot be read: {error.strerror}", True

    def _done(self, module: WireModule, plain: bytes, words: str, again: bool) -> None:
        digest = module.digest
        if again:
            tries = self._again.get(digest, (0, 0))[1] + 1
            pause = min(CAP, FIRST << min(tries - 1, 20))
            self._again[digest] = (self._clock() + pause, tries)
            log.warning("%s cannot be opened yet: %s; again in %d s", digest, words, pause // 1000)
            return
        self._again.pop(digest, None)
        if not words:
            try:
                self.files.put(digest, plain)
            except OSError as error:
                words = f"there is no memory for it: {error.strerror}"
        for then in self._waiting.pop(digest, ()):
            then(f"cannot be opened: {words}" if words else "")

    def keep_only(self, digests: frozenset[str]) -> None:
        """Modules that are no longer here go, with their native code, and are not asked for."""
        for name in self.files.names():
            digest = name if isinstance(name, str) else name[0]  # type: ignore[index]  # or native
            if digest not in digests:
                self.files.drop(name)
        for digest in [digest for digest in self._waiting if digest not in digests]:
            del self._waiting[digest]
            self._again.pop(digest, None)

    def tick(self) -> None:
        """Ask again what a key service did not answer."""
        now = self._clock()
        for digest, (due, tries) in list(self._again.items()):
            if now >= due and digest in self._waiting:
                self._again[digest] = (now + CAP, tries)
                self._begin(self._modules[digest])

    def due(self) -> int | None:
        """When that is (monotonic ms)."""
        return min((due for due, _ in self._again.values()), default=None)
