"""Numbers that a Task or a Daemon tells of itself (`propeller.metric`), on their way to the agent.

Owned by a worker. The first goes at once, later ones every half second: of each name the last one.
What a Function tells goes with the answer of its call instead.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from proplet.runtime.talk import Words

EVERY = 0.5
"""Seconds between two words to the agent."""
MOST_NAMES = 64
"""Names of one guest."""


@dataclass(slots=True)
class Told:
    """See the module. send: hands words to the agent; any thread."""

    send: Callable[[Words], None]
    _new: dict[str, float] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _woken: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def put(self, name: str, value: float) -> None:
        """The guest says it. Beyond so many names, or no finite number: nobody hears of it."""
        if not math.isfinite(value):
            return
        if name not in self._names:
            if len(self._names) >= MOST_NAMES:
                return
            self._names.add(name)
        with self._lock:
            self._new[name] = value
        self._woken.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="told", daemon=True)
            self._thread.start()

    def flush(self) -> None:
        """Hand over what is new."""
        with self._lock:
            new, self._new = self._new, {}
            if new:
                self.send({"event": "told", "metrics": new})

    def _run(self) -> None:
        while True:
            self._woken.wait()
            self._woken.clear()
            self.flush()
            time.sleep(EVERY)
