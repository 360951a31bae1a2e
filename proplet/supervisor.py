"""The agent's side of the guests: starts them, stops them, and says how each ended.

Owned by the shell and driven by its selector; never blocks for longer than it takes to hand a job
over. `workers` has the processes, `compiling` looks into modules, `outcomes` words an end. Whatever
happens to a worker, its run gets exactly one `ended`.
"""

from __future__ import annotations

import selectors
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, cast

from propeller.errors import WireError
from propeller.wire.messages import Entry
from propeller.wire.topic_messages import MAX_MESSAGE
from proplet.blobs import Blobs
from proplet.compiling import Compiling
from proplet.disk import make_directory
from proplet.effects import Outcome
from proplet.externals import MARK, External
from proplet.externals import NONE as NO_EXTERNALS
from proplet.gauges import Gauges, lost_of
from proplet.modelfiles import lay_out
from proplet.opening import Openings
from proplet.outcomes import died, outcome_of
from proplet.outlets import NONE as NO_OUTLETS
from proplet.outlets import Outlets
from proplet.points import Points
from proplet.pools import Pools, job_of
from proplet.records import Key
from proplet.runtime.fit import Facts, entrypoint, topic_rows, why_unfit
from proplet.runtime.talk import Words
from proplet.seals import unsealed
from proplet.secure import TALKS
from proplet.site import Gateway, Site
from proplet.telling import Telling
from proplet.training import Trainer
from proplet.workers import LATE_MS, Worker, Workers

Unseal = Callable[[Entry], tuple[tuple[str, str], ...]]


class Answers(Protocol):
    """Who is told. Called from within `handle` and `tick` only."""

    def prepared(self, key: Key, digest: str) -> None: ...
    def unfit(self, key: Key, digest: str, words: str) -> None: ...
    def ended(self, key: Key, outcome: Outcome) -> None: ...


Talk = Callable[[Key, Words], None]
"""A guest publishes (`event: publish`, `name`, `data` in base64) or asks for a message
(`receive`, `name`)."""


def _talk_to_nobody(_key: Key, _message: Words) -> None:
    pass


def _no_secrets(entry: Entry) -> tuple[tuple[str, str], ...]:
    return unsealed(entry, None, device="", inst="")


class Supervisor:
    """See the module. `mounts`: name -> (directory, writable). `mark` names us in process lists.

    unseal: the entry's secret variables in clear; they go to the worker over its socket and live in
    its memory and the guest's, nowhere else. memory: bytes for one guest whose entry has no limit,
    and for a compilation; None bounds neither. deny: capabilities no guest gets. trainer: what
    rounds of federated learning need; without one they are refused. talk: hears of messages of
    guests, of at most max_message bytes. site: who holds rounds in this device's place.
    externals: engines besides ours, by name. points: sensors and outputs of this device. outlets:
    where guests may send HTTP requests.
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
        memory: int | None = None,
        deny: tuple[str, ...] = (),
        unseal: Unseal = _no_secrets,
        trainer: Trainer | None = None,
        openings: Openings | None = None,
        externals: Mapping[str, External] = NO_EXTERNALS,
        talk: Talk = _talk_to_nobody,
        max_message: int = MAX_MESSAGE,
        site: Gateway | None = None,
        points: Points | None = None,
        outlets: Outlets = NO_OUTLETS,
    ) -> None:
        self._outlets = outlets
        self._points = Points() if points is None else points
        self._talk = talk
        self._max_message = max_message
        self._directory = directory
        self._mark = mark
        self._mounts = mounts
        self._blobs = blobs
        self._answers = answers
        self._clock = clock
        self._max_output = max_output
        self._memory = memory
        self._unseal = unseal
        self._externals = externals
        self._workers = Workers(mark, self, selector, clock)
        self._compiling = Compiling(
            directory / "native",
            blobs=blobs,
            workers=self._workers,
            clock=clock,
            judge=self._judge,
            openings=openings,
            memory=memory,
            deny=deny,
            externals=externals,
        )
        self.pools = Pools(self._workers, clock, self._over)
        self._trainer = trainer
        self._site: Site | None = None
        if site is not None and trainer is not None:
            post = site.post
            self._site = Site(
                site.socket,
                trainer,
                logs=self.logs,
                ended=lambda entry, told: post(lambda: self._site_ended(entry, told)),
            )
        self._gauges = Gauges()
        self._telling = Telling()
        self.last_warm_us = 0
        self.last_instance_us = 0

    # -- what the agent asks ----------------------------------------------------------------------

    def prepare(self, entry: Entry) -> None:
        """Look into the module and compile it; answered by `prepared` or `unfit`."""
        if entry.fl is not None:
            self._workers.load()
        self._compiling.prepare(entry)

    def start(self, entry: Entry) -> None:
        """Start the guest, or get ready for calls of it; answered by `ended`."""
        if not self._points.ready(entry):
            self._cannot(
                (entry.uid, entry.run),
                "an output of this device does not answer: what drove it before is not undone",
            )
            return
        if entry.serve is not None:
            self._serve(entry)
            return
        if entry.fl is not None and entry.fl.step in TALKS and self._trainer is not None:
            self._answers.ended((entry.uid, entry.run), self._trainer.talk(entry.fl))
            return
        if entry.fl is not None and self._site is not None:
            self.forget((entry.uid, entry.run))
            make_directory(self.logs((entry.uid, entry.run)))
            self._site.begin(entry)
            return
        try:
            secrets = self._unseal(entry)
            worker = self._workers.take()
        except WireError as error:
            self._cannot((entry.uid, entry.run), f"its secrets cannot be opened here: {error.what}")
            return
        except OSError as error:
            self._cannot((entry.uid, entry.run), f"no process could be started: {error.strerror}")
            return
        worker.key, worker.entry = (entry.uid, entry.run), entry
        if entry.timeout is not None:
            worker.deadline = self._clock() + entry.timeout + LATE_MS
            worker.cause = "timeout"
        if entry.mode == "once":
            self.forget(worker.key)
        make_directory(self.logs(worker.key))
        try:
            mounts = self._shown(entry)
        except OSError as error:
            worker.done = True
            self._workers.kill(worker)
            self._cannot(worker.key, f"its models cannot be laid out: {error.strerror}")
            return
        job = {
            "do": "run",
            "name": entry.ref,
            "native": str(self._compiling.native(entry)),
            "form": self._compiling.form(entry),
            "entrypoint": entrypoint(entry),
            "args": () if entry.fl is not None else entry.args,
            "env": (*entry.env, *secrets),
            "stdin": None if entry.fl is not None else entry.stdin,
            "mounts": mounts,
            "memory": self._memory if entry.memory is None else entry.memory,
            "fuel": entry.fuel,
            "timeout": entry.timeout,
            "output": min(entry.output, self._max_output),
            "dir": str(self.logs(worker.key)),
            "ring": entry.mode == "daemon",
            "topics": topic_rows(entry, self._max_message),
            "points": self._points.rows(entry),
            "http": self._outlets.told(entry),
            **self._lesson(entry),
            **self._elsewhere(entry, secrets),
        }
        self._workers.send(worker, job)
        self._workers.warm()

    def _cannot(self, key: Key, words: str) -> None:
        """It does not start."""
        self._answers.ended(key, Outcome(ok=False, error=words))

    def _shown(self, entry: Entry) -> list[tuple[str, str, bool]]:
        """Directories of the guest: those of the device, and its models. Raises OSError."""
        mounts = [
            (str(self._mounts[mount.name][0]), mount.path, mount.access == "ReadWrite")
            for mount in entry.mounts
        ]
        models = lay_out(entry, self.logs((entry.uid, entry.run)) / "models", self._blobs)
        return [*mounts, *models]

    def _serve(self, entry: Entry) -> None:
        key = (entry.uid, entry.run)
        try:
            secrets = self._unseal(entry)
        except WireError as error:
            self._cannot(key, f"its secrets cannot be opened here: {error.what}")
            return
        make_directory(self.logs(key))
        try:
            mounts = self._shown(entry)
        except OSError as error:
            self._cannot(key, f"its models cannot be laid out: {error.strerror}")
            return
        self.pools.open(
            entry,
            job_of(
                entry,
                secrets,
                native=self._compiling.native(entry),
                form=self._compiling.form(entry),
                mounts=mounts,
                memory=self._memory,
                topics=topic_rows(entry, self._max_message),
                points=self._points.rows(entry),
                http=self._outlets.told(entry),
            ),
            logs=self.logs(key),
            log_limit=min(entry.output, self._max_output),
        )

    def _lesson(self, entry: Entry) -> dict[str, object]:
        """What a job says besides, where it trains."""
        if entry.fl is None or self._trainer is None:
            return {}
        data = next((self._mounts[mount.name][0] for mount in entry.mounts), None)
        output = self._max_output
        return {"fl": self._trainer.lesson(entry.fl, data), "env": entry.env, "output": output}

    def _elsewhere(self, entry: Entry, secrets: tuple[tuple[str, str], ...]) -> dict[str, object]:
        """What a job says besides, where another engine runs it."""
        if entry.external is None:
            return {}
        engine = self._externals[entry.external]
        return {
            "do": "external",
            "command": engine.command(self._blobs.path(entry.module.digest), entry),
            "env": {**engine.environment(entry, secrets), MARK: self._mark},
        }

    def stop(self, key: Key, grace: int) -> None:
        """Stop the guest, after `grace` ms at the latest; answered by `ended`."""
        if self.pools.close(key, grace) or (self._site is not None and self._site.stop(key)):
            return
        for worker in self._workers.all():
            if worker.key == key and not worker.done:
                worker.deadline, worker.cause = self._clock() + grace + LATE_MS, "stop"
                self._workers.send(worker, {"do": "stop", "grace": grace})

    def hand(self, key: Key, message: Words) -> bool:
        """Give a message of a topic to the guest of a run. False where there is none."""
        for worker in self._workers.all():
            if worker.key == key and worker.pool is None and not worker.done:
                self._workers.send(worker, {"do": "message", **message})
                return True
        return False

    def logs(self, key: Key) -> Path:
        """Where a run's captured output is."""
        return self._directory / "runs" / key[1]

    def forget(self, key: Key) -> None:
        """The run is gone: so are its logs."""
        shutil.rmtree(self.logs(key), ignore_errors=True)

    def gauges(self) -> tuple[tuple[str, int], ...]:
        """What each guest takes, as named integers (`gauges`)."""
        now = self._clock()
        workers = self._workers.all()
        keys = {one.key for one in workers if one.key is not None and not one.done}
        return (
            *self._gauges.read(workers, now),
            *self.pools.gauges(now),
            *self._telling.gauges(),
            *lost_of((key[0], self.logs(key)) for key in sorted(keys)),
            *((f"dropped.{name}", count) for name, count in sorted(self._points.counts.items())),
        )

    def forget_native(self) -> None:
        """Native code of modules that are no longer here goes."""
        self._compiling.forget()

    # -- what workers say -------------------------------------------------------------------------

    def _judge(self, entry: Entry, facts: Facts) -> None:
        words = why_unfit(facts, entry) or self._why_sealed(entry) or self._why_here(entry)
        if entry.fl is not None and self._trainer is None:
            words = "this proplet takes no part in federated learning"
        key = (entry.uid, entry.run)
        if words:
            self._answers.unfit(key, entry.digest, words)
        else:
            self._answers.prepared(key, entry.digest)
            self._workers.warm()

    def _why_here(self, entry: Entry) -> str:
        """Why the engine it asks for cannot run it, or ""."""
        if entry.external is None:
            return ""
        engine = self._externals.get(entry.external)
        return f"no external engine {entry.external!r}" if engine is None else engine.refusal(entry)

    def _why_sealed(self, entry: Entry) -> str:
        try:
            self._unseal(entry)
        except WireError as error:
            return f"its secrets cannot be opened here: {error.what}"
        return ""

    def said(self, worker: Worker, message: Words) -> None:
        """Part of `Ears`."""
        if message.get("event") in ("publish", "receive"):
            if worker.key is not None and not worker.done:
                self._talk(worker.key, message)
            return
        if message.get("event") in ("drives", "points"):
            if worker.key is not None and not worker.done:
                self._points.said(worker.key, message)
            return
        if worker.pool is not None:
            worker.pool.said(worker, message)
            return
        metrics = message.get("metrics")
        if message.get("event") == "told" and isinstance(metrics, dict):
            if worker.key is not None and not worker.done:
                self._telling.said(worker.key, metrics)
            return
        match message.get("event"):
            case "started":
                worker.warm_us = self.last_warm_us = cast(int, message["us"])
                worker.pid = cast(int, message["pid"])
                self.last_instance_us = cast(int, message["instance"])
            case "prepared" if worker.looks is not None:
                worker.done, worker.deadline = True, self._clock() + LATE_MS
                self._compiling.looked(worker, message)
            case "ended" if worker.key is not None and not worker.done:
                worker.deadline = self._clock() + LATE_MS
                self._finish(worker, message)

    def gone(self, worker: Worker, status: int) -> None:
        """Part of `Ears`: speak for a worker that said nothing."""
        if worker.pool is not None:
            worker.pool.gone(worker, status)
            self._free(worker.key, worker)
            return
        if worker.looks is not None:
            self._compiling.looked(worker, None, died(status))
        elif worker.key is not None and not worker.done:
            self._finish(worker, {"cause": worker.cause, "error": died(status)})
        self._free(worker.key, worker)

    def _over(self, key: Key, outcome: Outcome) -> None:
        """Calls of a function are taken no more; those under way may go on for a while."""
        self._free(key)
        self._answers.ended(key, outcome)

    def _free(self, key: Key | None, gone: Worker | None = None) -> None:
        """What only the guest of that run drove becomes safe, if it has no process any more."""
        if key is None or self.pools.find(key) is not None:
            return
        workers = self._workers.all()
        if not any(one.key == key and not one.done and one is not gone for one in workers):
            self._points.ended(key)
            self._telling.ended(key)

    def _finish(self, worker: Worker, told: Words) -> None:
        assert worker.key is not None and worker.entry is not None
        worker.done = True
        self._free(worker.key)
        logs = self.logs(worker.key)
        if worker.entry.fl is not None and self._trainer is not None:
            outcome = self._trainer.outcome(worker.entry, told, logs)
        else:
            outcome = outcome_of(
                worker.entry, told, logs=logs, blobs=self._blobs, most=self._max_output
            )
        self._answers.ended(worker.key, outcome)

    def _site_ended(self, entry: Entry, told: Words) -> None:
        assert self._site is not None and self._trainer is not None
        key = (entry.uid, entry.run)
        self._site.over(key)
        self._answers.ended(key, self._trainer.outcome(entry, told, self.logs(key)))

    @property
    def _zygote(self) -> subprocess.Popen[bytes] | None:
        return self._workers.zygote

    # -- time -------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Kill what is past its deadline; try again what no process could be had for."""
        self._compiling.tick()
        self._workers.tick()
        self.pools.tick()

    def due(self) -> int | None:
        """When `tick` has something to do (monotonic ms)."""
        times = (self._compiling.due(), self._workers.due(), self.pools.due())
        return min((at for at in times if at is not None), default=None)

    def close(self) -> None:
        """Kill everything."""
        if self._site is not None:
            self._site.close()
        self._workers.close()
        self._points.close()
        self.pools.end()
