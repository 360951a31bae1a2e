"""The agent's side of the workers: starts them, talks to them, and says how each guest ended.

Owned by the shell and driven by its selector; never blocks for longer than it takes to hand a job
over. The zygote is started with the first entry that needs it. One worker is always kept warm, so
a start is a message to a process that is ready. A worker that does not keep its word (past its
limit, deaf to a stop) is killed; whatever happens to it, the run gets exactly one `ended`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from propeller.errors import Unavailable, WireError
from propeller.wire.messages import INLINE_LIMIT, BlobRef, Entry
from proplet.blobs import Blobs
from proplet.disk import make_directory
from proplet.effects import Outcome
from proplet.records import Key
from proplet.runtime import capture
from proplet.runtime.fit import Facts, facts_from, why_unfit
from proplet.runtime.native import native_name
from proplet.runtime.talk import Reader, Words, pack
from proplet.seals import unsealed
from proplet.words import milliseconds, size

COMPILE_MS = 120_000
COMPILERS = 2
LATE_MS = 700
"""Past its limit, this long until a worker that should have ended its guest is killed."""


Unseal = Callable[[Entry], tuple[tuple[str, str], ...]]


class Answers(Protocol):
    """Who is told. Called from within `handle` and `tick` only."""

    def prepared(self, key: Key, digest: str) -> None: ...
    def unfit(self, key: Key, digest: str, words: str) -> None: ...
    def ended(self, key: Key, outcome: Outcome) -> None: ...


@dataclass(slots=True)
class _Worker:
    """One process. `deadline`: monotonic ms at which it is killed, and for what cause."""

    number: int
    connection: socket.socket
    reader: Reader = field(default_factory=Reader)
    key: Key | None = None
    entry: Entry | None = None
    looks: tuple[str, str, bool] | None = None
    deadline: int | None = None
    cause: str = ""
    done: bool = False
    warm_us: int = 0


def _no_secrets(entry: Entry) -> tuple[tuple[str, str], ...]:
    return unsealed(entry, None, device="", inst="")


class Supervisor:
    """See the module. `mounts`: name -> (directory, writable). `mark` names us in process lists.

    unseal: the entry's secret variables in clear; they go to the worker over its socket and live in
    its memory and the guest's, nowhere else.
    """

    def __init__(
        self,
        directory: Path,
        *,
        mark: str,
        mounts: Mapping[str, tuple[Path, bool]],
        blobs: Blobs,
        answers: Answers,
        selector: selectors.BaseSelector,
        clock: Callable[[], int],
        max_output: int = 16 << 20,
        unseal: Unseal = _no_secrets,
    ) -> None:
        self._directory = directory
        self._mark = mark
        self._mounts = mounts
        self._blobs = blobs
        self._answers = answers
        self._selector = selector
        self._clock = clock
        self._max_output = max_output
        self._unseal = unseal
        self._zygote: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._number = 0
        self._workers: dict[int, _Worker] = {}
        self._spare: _Worker | None = None
        self._facts: dict[tuple[str, str, bool], Facts] = {}
        self._queue: deque[Entry] = deque()
        self._again: int | None = None
        self.last_warm_us = 0
        self.last_instance_us = 0

    # -- what the agent asks ----------------------------------------------------------------------

    def prepare(self, entry: Entry) -> None:
        """Look into the module and compile it; answered by `prepared` or `unfit`."""
        facts = self._facts.get(_looks(entry))
        if facts is not None and self._native(entry).exists():
            self._judge(entry, facts)
            return
        self._queue.append(entry)
        self._next_look()

    def start(self, entry: Entry) -> None:
        """Start the guest; answered by `ended`."""
        try:
            secrets = self._unseal(entry)
            worker = self._take()
        except WireError as error:
            words = f"its secrets cannot be opened here: {error.what}"
            self._answers.ended((entry.uid, entry.run), Outcome(ok=False, error=words))
            return
        except OSError as error:
            words = f"no process could be started: {error.strerror}"
            self._answers.ended((entry.uid, entry.run), Outcome(ok=False, error=words))
            return
        worker.key, worker.entry = (entry.uid, entry.run), entry
        if entry.timeout is not None:
            worker.deadline = self._clock() + entry.timeout + LATE_MS
            worker.cause = "timeout"
        if entry.mode == "once":
            self.forget(worker.key)
        make_directory(self.logs(worker.key))
        job = {
            "do": "run",
            "name": entry.ref,
            "native": str(self._native(entry)),
            "entrypoint": entry.entrypoint,
            "args": entry.args,
            "env": (*entry.env, *secrets),
            "stdin": entry.stdin,
            "mounts": [
                (str(self._mounts[mount.name][0]), mount.path, mount.access == "ReadWrite")
                for mount in entry.mounts
            ],
            "memory": entry.memory,
            "fuel": entry.fuel,
            "timeout": entry.timeout,
            "output": min(entry.output, self._max_output),
            "dir": str(self.logs(worker.key)),
            "ring": entry.mode == "daemon",
        }
        self._send(worker, job)
        self._warm()

    def stop(self, key: Key, grace: int) -> None:
        """Stop the guest, after `grace` ms at the latest; answered by `ended`."""
        for worker in self._workers.values():
            if worker.key == key and not worker.done:
                worker.deadline, worker.cause = self._clock() + grace + LATE_MS, "stop"
                self._send(worker, {"do": "stop", "grace": grace})

    def logs(self, key: Key) -> Path:
        """Where a run's captured output is."""
        return self._directory / "runs" / key[1]

    def forget(self, key: Key) -> None:
        """The run is gone: so are its logs."""
        shutil.rmtree(self.logs(key), ignore_errors=True)

    def forget_native(self) -> None:
        """Native code of modules that are no longer here goes."""
        for looks in [looks for looks in self._facts if not self._blobs.has(looks[0])]:
            del self._facts[looks]
        # By what is here, not by what was looked at: a module may be in the compiler right now,
        # and after a start nothing was looked at yet.
        kept = {
            native_name(digest, fuel=fuel)
            for digest in self._blobs.digests()
            for fuel in (False, True)
        }
        with contextlib.suppress(FileNotFoundError):
            for path in (self._directory / "native").iterdir():
                if path.name.partition(".")[0] not in kept:
                    path.unlink(missing_ok=True)

    def _native(self, entry: Entry) -> Path:
        name = native_name(entry.module.digest, fuel=entry.fuel is not None)
        return self._directory / "native" / name

    # -- looking into modules ---------------------------------------------------------------------

    def _next_look(self) -> None:
        looking = [worker.looks for worker in self._workers.values() if worker.looks]
        busy = {(looks[0], looks[2]) for looks in looking}
        for entry in list(self._queue):
            if len(busy) >= COMPILERS:
                return
            looks = _looks(entry)
            if (looks[0], looks[2]) in busy:
                continue
            try:
                self._look(entry)
            except OSError:
                self._again = self._clock() + 1000
                return
            self._queue.remove(entry)
            busy.add((looks[0], looks[2]))

    def _look(self, entry: Entry) -> None:
        facts = self._facts.get(_looks(entry))
        if facts is not None and self._native(entry).exists():
            self._judge(entry, facts)
            return
        worker = self._fork()
        worker.looks, worker.entry = _looks(entry), entry
        worker.deadline, worker.cause = self._clock() + COMPILE_MS, "timeout"
        job = {
            "do": "prepare",
            "wasm": str(self._blobs.path(entry.module.digest)),
            "native": str(self._native(entry)),
            "entrypoint": entry.entrypoint,
            "fuel": entry.fuel is not None,
            "processor": COMPILE_MS // 1000,
        }
        self._send(worker, job)

    def _looked(self, worker: _Worker, told: Words | None, died: str = "") -> None:
        assert worker.looks is not None and worker.entry is not None
        looks, worker.looks = worker.looks, None
        if told is None:
            within = f"within {milliseconds(COMPILE_MS)} and the memory there is"
            facts = Facts(trouble=f"could not be compiled {within}: {died}")
        else:
            facts = self._facts[looks] = facts_from(told)
        self._judge(worker.entry, facts)
        self._next_look()

    def _judge(self, entry: Entry, facts: Facts) -> None:
        words = why_unfit(facts, entry) or self._why_sealed(entry)
        key = (entry.uid, entry.run)
        if words:
            self._answers.unfit(key, entry.digest, words)
        else:
            self._answers.prepared(key, entry.digest)
            self._warm()

    def _why_sealed(self, entry: Entry) -> str:
        try:
            self._unseal(entry)
        except WireError as error:
            return f"its secrets cannot be opened here: {error.what}"
        return ""

    # -- processes --------------------------------------------------------------------------------

    def _take(self) -> _Worker:
        worker, self._spare = self._spare, None
        return worker if worker is not None else self._fork()

    def _warm(self) -> None:
        if self._spare is None:
            with contextlib.suppress(OSError):  # then the next start makes its own
                self._spare = self._fork()

    def _fork(self) -> _Worker:
        link = self._link or self._start_zygote()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._number += 1
        worker = _Worker(self._number, ours)
        self._workers[worker.number] = worker
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._hear_worker(worker))
        with contextlib.suppress(OSError):  # a dead zygote shows by its own end
            socket.send_fds(link, [f"F {worker.number}".encode()], [theirs.fileno()])
        theirs.close()
        return worker

    def _start_zygote(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "proplet.runtime.zygote", str(theirs.fileno())]
        self._zygote = subprocess.Popen(
            [*command, str(os.getpid()), self._mark],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        theirs.close()
        self._link = ours
        self._selector.register(ours, selectors.EVENT_READ, self._hear_zygote)
        return ours

    def _hear_zygote(self) -> None:
        assert self._link is not None
        try:
            data = self._link.recv(64)
        except OSError:
            data = b""
        if not data:
            self._lose_zygote()
            return
        _, number, status = data.decode().split()
        worker = self._workers.get(int(number))
        if worker is not None:
            self._gone(worker, int(status))

    def _lose_zygote(self) -> None:
        """It never ends by itself: something killed it, and with it all workers."""
        assert self._link is not None
        self._selector.unregister(self._link)
        self._link.close()
        self._link = None
        if self._zygote is not None:
            self._zygote.kill()
            self._zygote.wait()
            self._zygote = None
        for worker in list(self._workers.values()):
            self._gone(worker, -signal.SIGKILL)

    def _send(self, worker: _Worker, message: Words) -> None:
        with contextlib.suppress(OSError):  # a worker that is gone is told of by the zygote
            worker.connection.settimeout(2.0)
            worker.connection.sendall(pack(message))
            worker.connection.setblocking(False)

    def _kill(self, worker: _Worker) -> None:
        if self._link is not None:
            with contextlib.suppress(OSError):
                self._link.send(f"K {worker.number}".encode())

    # -- what workers say -------------------------------------------------------------------------

    def _hear_worker(self, worker: _Worker) -> None:
        if worker.number in self._workers and not self._pull(worker):
            self._selector.unregister(worker.connection)
            worker.deadline = self._clock() + LATE_MS  # dead any moment; killed if not

    def _pull(self, worker: _Worker) -> bool:
        """Read what is there. False at the end of the connection."""
        try:
            data = worker.connection.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        try:
            messages = worker.reader.feed(data)
        except ValueError:
            self._kill(worker)
            return True
        for message in messages:
            self._said(worker, message)
        return True

    def _said(self, worker: _Worker, message: Words) -> None:
        match message.get("event"):
            case "started":
                worker.warm_us = self.last_warm_us = cast(int, message["us"])
                self.last_instance_us = cast(int, message["instance"])
            case "prepared" if worker.looks is not None:
                worker.done, worker.deadline = True, self._clock() + LATE_MS
                self._looked(worker, message)
            case "ended" if worker.key is not None and not worker.done:
                worker.deadline = self._clock() + LATE_MS
                self._finish(worker, message)

    def _gone(self, worker: _Worker, status: int) -> None:
        """The process is over: read its last words, or speak for it."""
        while not worker.done and self._unread(worker):
            pass
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(worker.connection)
        worker.connection.close()
        self._workers.pop(worker.number, None)
        if self._spare is worker:
            self._spare = None
        if worker.looks is not None:
            self._looked(worker, None, _died(status))
        elif worker.key is not None and not worker.done:
            self._finish(worker, {"cause": worker.cause, "error": _died(status)})

    def _unread(self, worker: _Worker) -> bool:
        try:
            if not worker.connection.recv(1, socket.MSG_PEEK):
                return False
        except OSError:
            return False
        return self._pull(worker)

    def _finish(self, worker: _Worker, told: Words) -> None:
        assert worker.key is not None and worker.entry is not None
        worker.done = True
        entry = worker.entry
        code = told.get("exit")
        ok = told.get("ok") is True
        result, blob, trouble = None, None, ""
        if entry.mode == "once":
            result, blob, trouble = self._result(worker.key, entry, told.get("result"))
        words = "" if ok else self._words(entry, told)
        outcome = Outcome(
            ok=ok and not trouble,
            exit=code if isinstance(code, int) else None,
            result=result,
            blob=blob,
            error=words or trouble,
        )
        self._answers.ended(worker.key, outcome)

    def _result(
        self, key: Key, entry: Entry, returned: object
    ) -> tuple[str | None, BlobRef | None, str]:
        """What the run answered: the export's results, else its stdout."""
        if isinstance(returned, str):
            data = returned.encode()
        else:
            limit = min(entry.output, self._max_output)
            _, data = capture.read(self.logs(key), "stdout", 0, limit)
        if len(data) <= INLINE_LIMIT:
            with contextlib.suppress(UnicodeDecodeError):
                return data.decode(), None, ""
        try:
            return None, self._blobs.keep(data), ""
        except Unavailable as error:
            return None, None, f"its result of {len(data)} bytes could not be kept: {error.what}"

    @staticmethod
    def _words(entry: Entry, told: Words) -> str:
        match told.get("cause"):
            case "timeout":
                return f"ran longer than its limit of {milliseconds(entry.timeout or 0)}"
            case "output":
                return f"wrote more than its limit of {size(entry.output)} to stdout"
            case "stop":
                return "stopped"
            case _:
                pass
        return str(told.get("error") or "ended without a word")

    # -- time -------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Kill what is past its deadline; try again what no process could be had for."""
        now = self._clock()
        if self._again is not None and now >= self._again:
            self._again = None
            self._next_look()
        for worker in list(self._workers.values()):
            if worker.deadline is not None and now >= worker.deadline:
                worker.deadline = now + LATE_MS
                self._kill(worker)

    def due(self) -> int | None:
        """When `tick` has something to do (monotonic ms)."""
        deadlines = [worker.deadline for worker in self._workers.values()]
        deadlines.append(self._again)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def close(self) -> None:
        """Kill everything."""
        if self._link is not None:
            self._selector.unregister(self._link)
            self._link.close()
            self._link = None
        for worker in self._workers.values():
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(worker.connection)
            worker.connection.close()
        self._workers.clear()
        self._spare = None
        if self._zygote is not None:
            self._zygote.kill()
            self._zygote.wait()
            self._zygote = None


def kill_orphans(mark: str) -> int:
    """Kill workers a former agent of this directory left behind; how many there were."""
    killed = 0
    for path in Path("/proc").iterdir():
        if not path.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().split(b"\0")
            if b"proplet.runtime.zygote" in words and mark.encode() in words:
                os.kill(int(path.name), signal.SIGKILL)
                killed += 1
    return killed


def _looks(entry: Entry) -> tuple[str, str, bool]:
    return entry.module.digest, entry.entrypoint, entry.fuel is not None


def _died(status: int) -> str:
    if status == -signal.SIGKILL:
        return "its process was killed (the machine may have run out of memory)"
    if status < 0:
        return f"its process died of {signal.Signals(-status).name}"
    return f"its process ended with status {status}"
