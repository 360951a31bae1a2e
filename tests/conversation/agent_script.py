"""Writes a conversation down: a world that answers the agent, and records every line of it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent_lines import Json, Player, hello_json, outcome_json, stored_from, stored_json

from propeller.wire import codec
from propeller.wire.frame import seal
from propeller.wire.keyring import trusted
from propeller.wire.messages import (
    BlobAck,
    BlobChunk,
    Desired,
    Entry,
    Hello,
    ManagerStatus,
    Op,
    Trust,
    WireModule,
)
from propeller.wire.signing import SigningKey
from proplet.effects import Outcome
from proplet.records import Stored

ROOT = SigningKey.from_seed(b"r" * 32)
MANAGER = SigningKey.from_seed(b"m" * 32)
SECOND_MANAGER = SigningKey.from_seed(b"n" * 32)
DEVICE = SigningKey.from_seed(b"d" * 32)
INST = "0123456789abcdef" * 2
WALL = 1_800_000_000_000
CONFIG = {"chunk": 4096, "grace": 2000, "debounce": 30}

HELLO = Hello(
    id="p1",
    inst=INST,
    boot=1,
    arch="armv7",
    os="linux",
    runtime="wamr",
    runtime_version="2",
    agent="1",
    memory=1 << 20,
    storage=1 << 20,
    tasks=4,
    max_module=1 << 16,
    max_payload=1 << 13,
    min_run_interval=0,
    heartbeat=10_000,
    imports=("wasi_snapshot_preview1",),
    components=False,
    mounts=("data", "scratch:rw"),
    encodings=("json",),
    algs=("ed25519",),
    fetch=("mqtt",),
    labels=(("site", "north"),),
    key=DEVICE.public.text,
)


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


MODULE = WireModule(digest=digest_of(b"module"), size=6)


def a_task(number: int = 1, **changes: Any) -> Entry:
    """A once-run."""
    entry = Entry(
        uid=f"00000000-0000-0000-0000-{number:012x}",
        ref=f"Task/default/t{number}",
        run=f"{number:032x}",
        cause="once",
        mode="once",
        digest="",
        module=MODULE,
        entrypoint="_start",
        memory=65536,
    )
    entry = replace(entry, **changes)
    return replace(entry, digest=codec.entry_digest(entry))


def a_daemon(number: int = 1, **changes: Any) -> Entry:
    """A daemon that is always restarted."""
    return a_task(number, **{"mode": "daemon", "cause": "daemon", "restart": "Always", **changes})


class Script:
    """One conversation. Every method is one call of the agent, and its line."""

    def __init__(self, about: str) -> None:
        self.head: Json = {
            "about": about,
            "root": ROOT.public.text,
            "config": CONFIG,
            "hello": hello_json(HELLO),
        }
        self.lines: list[Json] = []
        self.mono, self.wall, self.synced = 1_000, WALL, True
        self._player = Player(self.head)
        self._disk = stored_json(Stored())
        self._boot = 0
        self._conn = 0
        self._n = 0
        self._wake = 0

    def _line(self, call: str, **given: Any) -> list[Json]:
        line: Json = {
            "in": call,
            "mono": self.mono,
            "wall": self.wall,
            "synced": self.synced,
            **given,
        }
        line["effects"] = self._player.play(line)
        self.lines.append(line)
        for effect in line["effects"]:
            self._persist(effect)
            if effect["do"] == "wake":
                self._wake = effect["at"]
        effects: list[Json] = line["effects"]
        return effects

    def _persist(self, effect: Json) -> None:
        disk = self._disk
        match effect["do"]:
            case "saveDesired":
                disk |= {name: effect[name] for name in ("observed", "iat", "entries")}
            case "saveRun":
                record = effect["record"]
                others = [run for run in disk["runs"] if _name(run) != _name(record)]
                disk["runs"] = [*others, record]
            case "dropRun":
                uid, run = effect["key"]
                disk["runs"] = [one for one in disk["runs"] if _name(one) != (uid, run)]
            case "saveTrust":
                disk["trust"] = effect["frame"]
            case "saveTimes":
                held = [one for one in disk["times"] if one[0] != effect["key"]]
                now = [[effect["key"], effect["times"]]] if "times" in effect else []
                disk["times"] = [*held, *now]
            case "saveSilence":
                disk["silence"] = effect["silence"]
            case "saveReleases":
                disk |= {"releases": effect["frame"], "held": effect["held"]}
            case "saveUpload":
                disk["uploads"] = [*disk["uploads"], effect["blob"]]
            case "dropUpload":
                disk["uploads"] = [
                    one for one in disk["uploads"] if one["digest"] != effect["digest"]
                ]

    # -- life ---------------------------------------------------------------------------------

    def boot(self) -> list[Json]:
        """Power on, with what the disk holds."""
        self._boot += 1
        self._conn = 0
        stored: Json = json.loads(json.dumps(self._disk))
        assert stored_json(stored_from(stored)) == stored
        return self._line("boot", boot=self._boot, stored=stored)

    def connect(self) -> list[Json]:
        self._conn += 1
        return self._line("connected", conn=self._conn)

    def disconnect(self) -> list[Json]:
        return self._line("disconnected")

    def drain(self) -> list[Json]:
        return self._line("drain")

    def online(self, *entries: Entry, gen: int = 1) -> None:
        """The usual beginning: boot, connect, keys, and a document."""
        self.boot()
        self.connect()
        self.trust()
        if entries:
            self.want(*entries, gen=gen)

    def tick(self) -> list[Json]:
        return self._line("tick")

    def wait(self, ms: int) -> None:
        """Time goes by; the agent is woken when it asked to be."""
        end = self.mono + ms
        while self._wake <= end and self._wake > self.mono:
            self._pass(self._wake - self.mono)
            self.tick()
        self._pass(end - self.mono)

    def _pass(self, ms: int) -> None:
        self.mono += ms
        self.wall += ms

    # -- hearing ------------------------------------------------------------------------------

    def hear(self, topic: str, payload: bytes) -> list[Json]:
        return self._line("hear", topic=topic, payload=base64.b64encode(payload).decode())

    def trust(self, version: int = 1, *managers: SigningKey, root: SigningKey = ROOT) -> list[Json]:
        keys = tuple(trusted(key.public, "manager") for key in managers or (MANAGER,))
        frame = seal("trust", codec.encode(Trust(version=version, keys=keys)), root)
        return self.hear("trust", frame)

    def want(self, *entries: Entry, key: SigningKey = MANAGER, **changes: Any) -> list[Json]:
        return self.hear(
            "desired", seal("desired", codec.encode(document(*entries, **changes)), key)
        )

    def manager(self, state: str, *, conn: int = 1) -> list[Json]:
        status = ManagerStatus(state=state, fence=100, src="m", conn=conn)
        body = codec.encode(status)
        return self.hear(
            "manager/status", body if state == "offline" else seal("manager", body, MANAGER)
        )

    def op(self, verb: str, entry: Entry | None = None, **changes: Any) -> list[Json]:
        self._n += 1
        op = Op(
            id=f"op{self._n}",
            verb=verb,
            to="p1",
            inst=INST,
            boot=self._boot,
            conn=self._conn,
            src="m",
            n=self._n,
            uid=entry.uid if entry else "",
            run=entry.run if entry else "",
        )
        return self.hear("op", seal("op", codec.encode(replace(op, **changes)), MANAGER))

    def chunk(
        self, digest: str, off: int, total: int, req: int, data: bytes, error: str = ""
    ) -> list[Json]:
        piece = BlobChunk(digest=digest, off=off, total=total, req=req, data=data, error=error)
        return self.hear("blob/data", codec.encode(piece))

    def ack(self, digest: str, have: int, state: str) -> list[Json]:
        ack = BlobAck(id="p1", digest=digest, have=have, state=state)
        return self.hear("blob/ack", seal("ack", codec.encode(ack), MANAGER))

    # -- answers of the shell -----------------------------------------------------------------

    def fetched(self, digest: str = MODULE.digest, data: bytes | None = None) -> list[Json]:
        more = {} if data is None else {"data": base64.b64encode(data).decode()}
        return self._line("fetched", digest=digest, **more)

    def fetch_from(self, digest: str, size: int, have: int) -> list[Json]:
        return self._line("fetchFrom", digest=digest, size=size, have=have)

    def fetch_failed(self, digest: str, words: str) -> list[Json]:
        return self._line("fetchFailed", digest=digest, words=words)

    def prepared(self, entry: Entry) -> list[Json]:
        return self._line("prepared", uid=entry.uid, run=entry.run, digest=entry.digest)

    def unfit(self, entry: Entry, words: str) -> list[Json]:
        return self._line("unfit", uid=entry.uid, run=entry.run, digest=entry.digest, words=words)

    def started(self, *entries: Entry) -> None:
        """The module is there and fits, so these start."""
        self.fetched()
        for entry in entries:
            self.prepared(entry)

    def ended(self, entry: Entry, outcome: Outcome) -> list[Json]:
        return self._line("ended", uid=entry.uid, run=entry.run, outcome=outcome_json(outcome))

    def upload_lost(self, digest: str) -> list[Json]:
        return self._line("uploadLost", digest=digest)

    def untold(self) -> list[Json]:
        return self._line("untold")

    def log_piece(self, op: str, text: str, *, last: bool, dropped: int = 0) -> list[Json]:
        return self._line(
            "logPiece",
            op=op,
            stream="stdout" if text else "",
            text=text,
            dropped=dropped,
            last=last,
        )

    def text(self) -> str:
        """The file: a head and a line a call, so that a difference shows where it is."""
        head = json.dumps(self.head, ensure_ascii=False)[1:-1]
        lines = ",\n".join("  " + json.dumps(line, ensure_ascii=False) for line in self.lines)
        return f'{{{head},\n "lines": [\n{lines}\n ]}}\n'


def document(*entries: Entry, gen: int = 1, **changes: Any) -> Desired:
    """A desired document that lists these entries."""
    made = Desired(
        to="p1",
        inst=INST,
        fence=100,
        gen=gen,
        iat=WALL,
        digest=codec.tasks_digest(entries),
        tasks=entries,
    )
    return replace(made, **changes)


def _name(run: Json) -> tuple[str, str]:
    return (run["uid"], run["run"])


Scene = Callable[[], Script]
