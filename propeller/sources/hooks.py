"""Asks plugins: a process for a batch of questions to one of them, bounded in all it may take.

Called by `load`, which runs beside the loop, and by workers that score proplets. Whatever goes
wrong in the process is an `Answer` that failed, in words.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

from propeller.model.ids import Digest, sha256_digest
from propeller.model.plugins import Answer, Hook, Plugin, answer_of

GROUP: Final = "propeller.plugins"
GRACE: Final = 30
"""Seconds more for the process: its own start, and compiling."""
MOST: Final = 300
"""Seconds that one batch may take."""
LINE: Final = 128 << 10
"""Bytes of an answer that are read."""
ROOM_FOR_PYTHON: Final = 512 << 20
_SIZE = struct.Struct(">I")


class Hooks(Protocol):
    """Who asks plugins."""

    def ask(
        self, plugin: Plugin, wasm: bytes, hook: Hook, questions: Sequence[bytes]
    ) -> list[Answer]:
        """One answer a question, in this order. Never raises for what a plugin does."""
        ...


class Processes:
    """Asks in processes."""

    def ask(
        self, plugin: Plugin, wasm: bytes, hook: Hook, questions: Sequence[bytes]
    ) -> list[Answer]:
        """See `Hooks`."""
        seconds = min(MOST, GRACE + -(-len(questions) * plugin.timeout // 1000))
        head = {
            "hook": str(hook),
            "module": len(wasm),
            "python": plugin.python,
            "questions": len(questions),
            "fuel": plugin.fuel,
            "memory": plugin.memory if not plugin.python else ROOM_FOR_PYTHON,
            "timeout": plugin.timeout,
            "processor": seconds,
        }
        parts = [json.dumps(head).encode(), b"\n", wasm]
        for one in questions:
            parts += [_SIZE.pack(len(one)), one]
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "propeller.sources.hooking"],
                input=b"".join(parts),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                process_group=0,
                timeout=seconds,
                check=False,
                env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
            lines = done.stdout.split(b"\n")[:-1]
            why = f"its process ended early (status {done.returncode})"
        except subprocess.TimeoutExpired as error:
            lines, why = (error.stdout or b"").split(b"\n")[:-1], f"was not done after {seconds} s"
        except OSError as error:
            lines, why = [], f"no process could be started: {error.strerror}"
        missing = Answer(failed=why, again=True)
        answers = [_answer(line, hook) for line in lines[: len(questions)]]
        return answers + [missing] * (len(questions) - len(answers))


PROCESSES: Final[Hooks] = Processes()


def _answer(line: bytes, hook: Hook) -> Answer:
    try:
        told: Any = json.loads(line[:LINE])
        if not isinstance(told, dict):
            raise ValueError("said nothing that can be read")
        return answer_of(told, hook)
    except ValueError as error:
        return Answer(failed=str(error)[:200])


def installed(name: str) -> Digest | None:
    """What stands for the bytes of an installed plugin: its package, version and place in it.

    None where no package offers it, or several do.
    """
    points = list(entry_points(group=GROUP, name=name))
    if len(points) != 1:
        return None
    package = points[0].dist
    told = f"{package.name if package else ''}=={package.version if package else ''}"
    return Digest(sha256_digest(f"{points[0].value} {told}".encode()))
