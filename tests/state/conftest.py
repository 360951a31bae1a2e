"""A store in a temporary directory, and samples of everything one can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from propeller.model.checks import Tally
from propeller.model.ids import Digest, Key, PropletId, RunId, Uid, sha256_digest, uid_for
from propeller.model.inventory import Assignment, Held
from propeller.model.module import Aot, Export, Import, Module, ModuleProblem
from propeller.model.parse import parse_object
from propeller.model.seen import Facts, Presence, RunState, Seen, SeenRun
from propeller.model.specs import ModuleRef, Object, Suspend, Task
from propeller.model.versions import Course, Phase, Rejected, Version
from propeller.state.base import Store
from propeller.state.quotas import Quotas
from propeller.state.records import (
    Asked,
    Event,
    HistoryRow,
    OpRow,
    PropletHold,
    RevisionRecord,
    RunRecord,
    StatusRow,
    Upload,
)
from propeller.state.sqlite import SqliteStore

NOW = 1_750_000_000_000
DIGEST = sha256_digest(b"module")


class Samples:
    """One believable value of each type; keyword arguments change it."""

    now = NOW
    digest = DIGEST

    def key(self, name: str = "add", kind: str = "Task") -> Key:
        return Key(kind, "plant-a", name)

    def uid(self, name: str = "add", kind: str = "Task") -> Uid:
        return uid_for("domain", self.key(name, kind))

    def run_id(self, number: int = 1) -> RunId:
        return RunId(f"{number:032x}")

    def task(self, name: str = "add") -> Object:
        spec = {
            "module": {"file": "add.wat", "digest": DIGEST},
            "placement": {
                "selector": {"matchLabels": {"board": "gateway"}},
                "replicas": 2,
                "tolerations": {"offline": 60_000},
                "onOffline": "Keep",
            },
            "run": {
                "entrypoint": "add",
                "args": ["40", "2"],
                "env": [{"name": "Größe", "value": "5"}],
                "stdin": "hello\n",
                "mounts": [{"name": "data", "path": "/data", "access": "ReadWrite"}],
            },
            "limits": {"memory": 65536, "fuel": "Unlimited", "timeout": 600_000, "output": 65536},
            "retries": {"limit": 3, "backoff": {"base": 1000, "cap": 60_000}},
            "runKey": "1",
            "schedule": {
                "cron": "*/5 * * * *",
                "timeZone": "Europe/Berlin",
                "missed": "RunLatest",
                "overlap": "Forbid",
                "startingDeadline": 60_000,
            },
            "prune": "Enabled",
            "suspend": {"reason": "trial", "by": "ann", "until": NOW},
        }
        return self._object("Task", name, spec, labels={"app": "adder"}, protect=True)

    def daemon(self, name: str = "filter") -> Object:
        spec = {
            "module": {"image": "oci://r.example/filter:1"},
            "placement": {
                "proplets": ["p1", "p2"],
                "tolerations": {"offline": 60_000},
                "onOffline": "Reschedule",
            },
            "run": {"entrypoint": "_start", "args": [], "env": [], "mounts": []},
            "limits": {"memory": 65536, "fuel": 9, "timeout": "Unlimited", "output": 1024},
            "restart": {"policy": "Always", "backoff": {"base": 1000, "cap": 300_000}},
            "health": {"readyAfter": 5000, "maxRestarts": "Unlimited"},
            "readyWhen": {"min": 95, "within": "Unlimited"},
            "prune": "Never",
        }
        return self._object("Daemon", name, spec)

    def proplet_object(self, name: str = "p1") -> Object:
        spec = {
            "class": "linux",
            "scheduling": "Cordon",
            "capacity": {"memory": 1 << 20},
            "heartbeat": 30_000,
            "publicKey": "ed25519:AAAA",
        }
        return self._object("Proplet", name, spec)

    def app(self, name: str = "default") -> Object:
        spec = {
            "source": {"path": "apps/a"},
            "namespace": "plant-a",
            "prune": "Enabled",
            "discovery": "Allow",
        }
        return self._object("App", name, spec)

    def _object(self, kind: str, name: str, spec: dict[str, object], **meta: object) -> Object:
        head = {
            "namespace": "plant-a",
            "name": name,
            "uid": self.uid(name, kind),
            "app": "default",
            "file": f"specs/{name}.yaml",
            "line": 3,
            **meta,
        }
        return parse_object(kind, head, spec)

    def held(self, obj: Object | None = None, **change: object) -> Held:
        found = obj if obj is not None else self.task()
        given: dict[str, Any] = {
            "uid": found.meta.uid,
            "object": found,
            "generation": 3,
            "revision": "main@sha1:" + "a" * 40,
            "created_at": NOW,
            "changed_at": NOW + 1,
            "deleted_at": NOW + 2,
            "hold": Suspend(reason="quiet", by="bob", until=None),
            "last_slot": NOW - 300_000,
        }
        return Held(**{**given, **change})

    def assignment(self, **change: object) -> Assignment:
        given: dict[str, Any] = {
            "uid": self.uid(),
            "proplet": PropletId("p1"),
            "run": self.run_id(),
            "cause": "cron:1750000000000#2",
            "attempt": 2,
            "assigned_at": NOW,
            "releasing": True,
        }
        return Assignment(**{**given, **change})

    def version(self, number: int = 1) -> Version:
        module = self.modules()[ModuleRef(file="add.wat", digest=DIGEST)]
        thing = self.task()
        assert isinstance(module, Module)
        assert isinstance(thing, Task)
        return Version(
            digest=sha256_digest(b"version %d" % number),
            generation=number,
            revision=f"main@{number}",
            object=thing,
            module=module,
        )

    def course(self, **change: object) -> Course:
        given: dict[str, Any] = {
            "uid": self.uid(),
            "good": self.version(1),
            "target": self.version(2),
            "phase": Phase.PAUSED,
            "step": 2,
            "since": NOW,
            "forgiven": -1,
            "why": "3 of 10 copies failed",
            "by": "ada",
            "rejected": (Rejected(digest=DIGEST, at=NOW, by="", why="trap"),),
            "paused": DIGEST,
            "checks": (Tally(name="cpu", last=NOW, successful=2, inconclusive=1, said="odd"),),
            "unclear": True,
            "waived": True,
        }
        return Course(**{**given, **change})

    def modules(self) -> dict[ModuleRef, Module | ModuleProblem]:
        return {
            ModuleRef(file="add.wat", digest=DIGEST): Module(
                identity=DIGEST,
                digest=sha256_digest(b"wasm"),
                size=1234,
                imports=(Import("wasi_snapshot_preview1", "fd_write"),),
                exports=(Export("add", ("i32", "i32"), ("i32",)), Export("_start")),
                memory_min=65536,
                memory_max=131072,
                component=False,
                image="r.example/add@" + DIGEST,
            ),
            ModuleRef(image="oci://r.example/add:1", aot=True): Module(
                identity=DIGEST,
                digest=DIGEST,
                size=9,
                aot=(Aot("thumbv7/wamr-6", sha256_digest(b"aot"), 1804),),
            ),
            ModuleRef(image="oci://r.example/gone:1"): ModuleProblem("NotFound", "no tag", True),
        }

    def seen_run(self, number: int = 1, **change: object) -> SeenRun:
        given: dict[str, Any] = {
            "uid": self.uid(),
            "run": self.run_id(number),
            "digest": DIGEST,
            "cause": "once",
            "state": RunState.FAILED,
            "exit": 3,
            "result": "42",
            "result_digest": sha256_digest(b"result"),
            "result_size": 6,
            "error": "exit status 3",
            "restarts": 2,
            "ready": True,
            "started": NOW,
            "ended": NOW + 10,
        }
        return SeenRun(**{**given, **change})

    def facts(self, **change: object) -> Facts:
        given: dict[str, Any] = {
            "arch": "x86_64",
            "os": "linux",
            "runtime": "wasmtime",
            "runtime_version": "50.0.1",
            "agent_version": "0.1",
            "memory": 1 << 30,
            "tasks": 64,
            "max_module": 1 << 24,
            "max_payload": 65536,
            "imports": frozenset({"wasi_snapshot_preview1", "env.beep"}),
            "components": True,
            "mounts": frozenset({"data:rw", "etc"}),
            "encodings": ("json", "cbor"),
            "fetch": ("mqtt", "Direct"),
            "labels": {"zone": "a"},
            "public_key": "ed25519:BBBB",
        }
        return Facts(**{**given, **change})

    def seen(self, proplet: str = "p1", **change: object) -> Seen:
        given: dict[str, Any] = {
            "id": PropletId(proplet),
            "declared": True,
            "presence": Presence.OFFLINE,
            "last_heard": NOW,
            "offline_since": NOW + 1,
            "will_at": NOW + 2,
            "inst": "f" * 32,
            "boot": 4,
            "seq": 5,
            "conn": 6,
            "facts": self.facts(),
            "labels": {"board": "gateway", "zone": "a"},
            "observed_fence": NOW,
            "observed_gen": 7,
            "observed_digest": DIGEST,
            "reported": True,
            "quarantine": "DuplicateIdentity",
            "cordoned": True,
            "draining": True,
            "memory": 1 << 20,
            "tasks": 8,
            "heartbeat": 15_000,
        }
        given |= {"metrics": {"cpuPermille": 12, "rssBytes": 1 << 40}, "metrics_at": NOW}
        return Seen(**{**given, **change})

    def asked(self, **change: object) -> Asked:
        given: dict[str, Any] = {
            "proplet": PropletId("p1"),
            "inst": "f" * 32,
            "fence": NOW,
            "gen": 9,
            "digest": DIGEST,
            "asked_at": NOW,
            "due": NOW + 30_000,
            "attempts": 2,
            "body": b'{"v":1}\x00\xff',
        }
        return Asked(**{**given, **change})

    def revision(self, number: int = 1, **change: object) -> RevisionRecord:
        given: dict[str, Any] = {
            "name": f"main@sha1:{number:040x}",
            "digest": DIGEST,
            "source": "git+file:///specs?ref=main",
            "at": NOW + number,
            "outcome": "rejected",
            "author": "Ann <ann@example.org>",
            "message": "a typo",
            "time": NOW,
            "faults": ("specs/add.yaml:7: spec.replcias: unknown field",),
        }
        return RevisionRecord(**{**given, **change})

    def run(self, number: int = 1, **change: object) -> RunRecord:
        given: dict[str, Any] = {
            "uid": self.uid(),
            "key": self.key(),
            "run": self.run_id(number),
            "proplet": PropletId("p1"),
            "cause": "once#2",
            "attempt": 2,
            "state": "Succeeded",
            "exit": 0,
            "result": "42",
            "result_digest": DIGEST,
            "error": "",
            "restarts": 1,
            "assigned_at": NOW + number,
            "started": NOW + number,
            "ended": NOW + number,
        }
        return RunRecord(**{**given, **change})

    def event(self, number: int = 1, **change: object) -> Event:
        given: dict[str, Any] = {
            "at": NOW + number,
            "severity": "Warning",
            "reason": "Failed",
            "message": f"exit status {number}",
            "key": self.key(),
            "proplet": PropletId("p1"),
            "revision": "main@sha1:" + "a" * 40,
            "count": 1,
            "first_at": NOW + number,
        }
        return Event(**{**given, **change})

    def status(self, name: str = "add", **change: object) -> StatusRow:
        given: dict[str, Any] = {
            "uid": self.uid(name),
            "key": self.key(name),
            "ready": "True",
            "document": '{"conditions":[]}',
            "changed_at": NOW,
        }
        return StatusRow(**{**given, **change})

    def past(self, number: int = 1, **change: object) -> HistoryRow:
        given: dict[str, Any] = {
            "uid": self.uid(),
            "digest": Digest(f"sha256:{number:064x}"),
            "generation": number,
            "outcome": "Ready",
            "revision": "main@sha1:" + "a" * 40,
            "first": NOW + number,
            "last": NOW + number,
            "count": 1,
        }
        return HistoryRow(**{**given, **change})

    def hold(self, **change: object) -> PropletHold:
        given: dict[str, Any] = {
            "proplet": PropletId("p1"),
            "scheduling": "Drain",
            "labels": (("zone", "b"), ("old", None)),
            "by": "ann",
            "reason": "moving house",
        }
        return PropletHold(**{**given, **change})

    def op(self, number: int = 1, **change: object) -> OpRow:
        given: dict[str, Any] = {
            "id": f"op-{number}",
            "proplet": PropletId("p1"),
            "verb": "logs",
            "uid": self.uid(),
            "run": self.run_id(),
            "boot": 4,
            "conn": 6,
            "n": number,
            "state": "sent",
            "at": NOW + number,
            "due": NOW + 30_000,
        }
        return OpRow(**{**given, **change})

    def upload(self, number: int = 1, **change: object) -> Upload:
        given: dict[str, Any] = {
            "proplet": PropletId("p1"),
            "digest": Digest(f"sha256:{number:064x}"),
            "total": 1000,
            "have": 10,
            "state": "open",
            "at": NOW + number,
        }
        return Upload(**{**given, **change})


@pytest.fixture
def samples() -> Samples:
    """Builders of sample values."""
    return Samples()


Opener = Callable[..., Store]


@pytest.fixture(params=["sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the one store of this test, again and again; `quotas=` bounds it."""
    opened: list[Store] = []

    def sqlite(*, readonly: bool = False, quotas: Quotas | None = None) -> Store:
        store = SqliteStore.open(tmp_path / "propeller.db", readonly=readonly, quotas=quotas)
        opened.append(store)
        return store

    yield {"sqlite": sqlite}[request.param]
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Opener) -> Store:
    """An empty store, open for writing."""
    return open_store()
