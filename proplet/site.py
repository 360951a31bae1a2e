"""A proplet that is a site: what the fleet above asks it to train, a fleet of its own trains.

No guest is started here. The round goes to the reconciler of the site over the socket of its state
directory (`propeller.gateway.above`), again and again until that has an answer; the sums come back,
and their mean becomes the update of this proplet as a guest's would: same encodings, same envelope,
signed by the same key. Whichever of the two is killed, the other asks or is asked again, and the
answer is the same.

One thread a run; what it finds is handed to the agent's loop.
"""

from __future__ import annotations

import base64
import http.client
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from propeller.errors import PropellerError
from propeller.wire.messages import BlobRef, Entry, WireTraining
from proplet.records import Key
from proplet.runtime.talk import Words
from proplet.timing import mono
from proplet.training import LEFT_FILE, UPDATE_FILE, Trainer

_log = logging.getLogger("proplet")

PAUSE: Final = 0.5
"""Seconds between two questions."""
PATIENCE: Final = 60.0
"""Seconds one of them may take."""
MOST: Final = 1 << 30
"""Bytes of an answer."""
TOO_LARGE: Final = 40 << 20
"""Bytes of a model that a site can be handed: it travels in a request."""
_WORDS: Final = 300
SUMS: Final = "f64-partial"
"""The format that takes the sums themselves."""

Ended = Callable[[Entry, Words], None]


@dataclass(frozen=True, slots=True)
class Gateway:
    """What makes a proplet one. socket: of the site's reconciler. post: into the agent's loop."""

    socket: Path
    post: Callable[[Callable[[], None]], None]


class Away(Exception):
    """The site does not answer now; it is asked again."""


class Site:
    """See the module. path: the socket. ended: told what came of a run, from its thread."""

    def __init__(self, path: Path, trainer: Trainer, *, logs: Callable[[Key], Path], ended: Ended):
        self._path = path
        self._trainer = trainer
        self._logs = logs
        self._ended = ended
        self._running: dict[Key, threading.Event] = {}
        self._dead = threading.Event()

    def begin(self, entry: Entry) -> None:
        """Have the site hold the round. The loop's thread."""
        fl = entry.fl
        assert fl is not None
        key = (entry.uid, entry.run)
        self._running[key] = stop = threading.Event()
        lesson = self._trainer.lesson(fl, None)
        until = None if entry.timeout is None else mono() + entry.timeout
        threading.Thread(
            target=self._run, args=(entry, lesson, stop, until), name="site", daemon=True
        ).start()

    def stop(self, key: Key) -> bool:
        """Stop asking; whether somebody did. The site goes on until it is asked for another."""
        stop = self._running.get(key)
        if stop is not None:
            stop.set()
        return stop is not None

    def over(self, key: Key) -> None:
        """The run ended."""
        self._running.pop(key, None)

    def close(self) -> None:
        """The process ends."""
        self._dead.set()
        for stop in self._running.values():
            stop.set()

    # -- a thread of a run ------------------------------------------------------------------------

    def _run(self, entry: Entry, lesson: Words, stop: threading.Event, until: int | None) -> None:
        try:
            told = self._told(entry, lesson, stop, until)
        except (PropellerError, OSError, ValueError, KeyError, TypeError) as error:
            told = _no(f"its site answered what it cannot use: {error}"[:_WORDS])
        if not self._dead.is_set():
            self._ended(entry, told)

    def _told(self, entry: Entry, lesson: Words, stop: threading.Event, until: int | None) -> Words:
        fl = entry.fl
        assert fl is not None
        if fl.control is not None:
            return _no("a site keeps no control variate: this strategy is not for it")
        question = {
            "ref": entry.ref,
            "module": entry.module.digest,
            "job": fl.job,
            "round": fl.round,
            "attempt": fl.attempt,
            "step": fl.step,
            "base": _ref(fl.model),
            "layout": _ref(fl.layout),
        }
        trouble = ""
        while not stop.is_set():
            if until is not None and mono() >= until:
                return {"cause": "timeout", "ok": False, "error": "its site took too long"}
            try:
                answer = self._post("upstream", question)
                state = answer.get("state")
                if state == "Made":
                    return self._made(fl, lesson, answer, self._logs((entry.uid, entry.run)))
                if state == "Failed":
                    return _no(f"its site: {answer.get('why', '')}"[:_WORDS])
                if state == "WantsBlobs":
                    self._bring(lesson, cast("list[str]", answer["blobs"]), fl)
                    continue
                trouble = ""
            except Away as error:
                if str(error) != trouble:
                    trouble = str(error)
                    _log.warning("%s: %s; asking again", entry.ref, trouble)
            stop.wait(PAUSE)
        return {"cause": "stop", "ok": False, "error": "stopped"}

    def _bring(self, lesson: Words, wanted: list[str], fl: WireTraining) -> None:
        """Hand over what the round starts from."""
        for ref, path in ((fl.model, lesson["model"]), (fl.layout, lesson["layout"])):
            if ref is None or ref.digest not in wanted:
                continue
            data = Path(str(path)).read_bytes()
            if len(data) > TOO_LARGE:
                raise ValueError(f"a model of {len(data)} bytes, at most {TOO_LARGE} for a site")
            self._post("upstream-blob", {"data": base64.b64encode(data).decode()})

    def _made(self, fl: WireTraining, told: Words, answer: Mapping[str, Any], logs: Path) -> Words:
        """What a worker would tell of a guest that trained, or measured."""
        import numpy as np

        from propeller.fl.partial import Range, from_body
        from proplet.runtime.answers import Answer, Metrics, checked_samples, encoded, measured
        from proplet.runtime.lesson import read_lesson
        from proplet.runtime.virtual import Refusal

        try:
            metrics = Metrics()
            for name, text in sorted(dict(answer["metrics"]).items())[:16]:
                metrics.tell(str(name), float(text))
            samples = checked_samples(answer["samples"])
            if fl.step == "evaluate":
                return {"ok": True, "exit": 0, "fl": measured(metrics.texts(), samples)}
            lesson = read_lesson(told)
            body = base64.b64decode(str(answer["sums"]), validate=True)
            count = lesson.count if lesson.count is not None else len(body) // 8 - 1
            partial = from_body(body, Range(first="a", last="a"), count)
            if partial.samples != samples:
                return _no("its site: the sums and the answer disagree about samples")
            with np.errstate(over="ignore"):
                mean = (partial.sums / np.float64(samples)).astype(np.float32)
            if not bool(np.isfinite(mean).all()):
                return _no("its site: a mean that is not finite")
            made: dict[str, object]
            if fl.format == SUMS:
                known = "" if lesson.layout is None else lesson.layout.digest
                made = {"body": body, "left": None, "count": count, "layout": known}
            else:
                made = encoded(lesson, Answer(delta=mean), 0)
        except Refusal as error:
            return _no(str(error))
        (logs / UPDATE_FILE).write_bytes(cast(bytes, made.pop("body")))
        left = cast("bytes | None", made.pop("left"))
        if left is not None:
            (logs / LEFT_FILE).write_bytes(left)
        veiled = lesson.veil is not None and bool(lesson.veil.multiplier)
        return {
            "ok": True,
            "exit": 0,
            "fl": {
                **made,
                "feedback": left is not None,
                "steps": 0,
                "samples": samples,
                "assumed": False,
                "metrics": {} if veiled else metrics.texts(),
                "site": {
                    "@members": int(answer["members"]),
                    "@contributors": str(answer["contributors"])[:80],
                    "@record": str(answer["record"])[:80],
                },
            },
        }

    def _post(self, what: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        """Ask. Raises Away; an answer that is no JSON object is ValueError."""
        link = _Link(self._path)
        try:
            data = json.dumps(body).encode()
            link.request("POST", f"/api/v1/{what}", data, {"Content-Type": "application/json"})
            response = link.getresponse()
            text = response.read(MOST)
        except (OSError, http.client.HTTPException) as error:
            raise Away(f"the site at {self._path} does not answer: {error}") from error
        finally:
            link.close()
        if response.status >= 500:
            raise Away(f"the site at {self._path} answered {response.status}")
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError(f"{type(found).__name__} is no answer")
        if response.status != 200:
            raise ValueError(f"{response.status}: {str(found.get('error', ''))[:200]}")
        return found


class _Link(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("site", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        # A long path goes through a handle of its folder: a socket's name has 107 bytes.
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)


def _no(words: str) -> Words:
    """A run that failed, in words that may be told to the fleet above."""
    return {"ok": False, "exit": 0, "error": words}


def _ref(blob: BlobRef | None) -> dict[str, object] | None:
    return None if blob is None else {"digest": blob.digest, "size": blob.size}
