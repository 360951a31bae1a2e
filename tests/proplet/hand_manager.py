"""A manager small enough to read: signs documents, serves blobs, takes uploads, keeps reports."""

from __future__ import annotations

import hashlib
import random
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import wasmtime

from propeller.transport.base import Connected, Disconnected, Event, Received, Will
from propeller.transport.endpoint import Endpoint
from propeller.transport.mqtt import MqttTransport
from propeller.wire import codec
from propeller.wire.frame import open_frame, seal
from propeller.wire.keyring import Keyring, trusted
from propeller.wire.messages import (
    BlobAck,
    BlobChunk,
    BlobGet,
    BlobPut,
    BlobRef,
    Desired,
    Entry,
    Hello,
    ManagerStatus,
    Op,
    OpAnswer,
    Releases,
    Report,
    RunReport,
    Status,
    Trust,
    WireModule,
)
from propeller.wire.signing import SigningKey, VerifyKey
from propeller.wire.topics import Channel, Kind

CHANNEL = Channel("test", "floor")
ID = "p1"


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def unsealed(payload: bytes) -> bytes:
    """The body of a frame, whoever signed it; of the will, all of it."""
    return payload[4 + payload[3] + 64 :] if payload[:2] == b"P1" else payload


def an_entry(number: int, wasm: bytes, **changes: object) -> Entry:
    """A once-run of `wasm`, or what `changes` make of it."""
    entry = Entry(
        uid=f"00000000-0000-0000-0000-{number:012x}",
        ref=f"Task/default/t{number}",
        run=f"{number:032x}",
        cause="once",
        mode="once",
        digest="",
        module=WireModule(digest=sha256(wasm), size=len(wasm)),
        entrypoint="_start",
        memory=16 << 20,
        timeout=60_000,
    )
    entry = replace(entry, **changes)  # type: ignore[arg-type]  # fields by name, as a table
    return replace(entry, digest=codec.entry_digest(entry))


def wat(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


@dataclass
class HandManager:
    """One connection; everything heard is kept under a lock-free list and looked at by `until`."""

    endpoint: Endpoint
    root: SigningKey = field(default_factory=SigningKey.generate)
    key: SigningKey = field(default_factory=SigningKey.generate)
    release: SigningKey | None = None
    fence: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    serving: bool = True

    def __post_init__(self) -> None:
        self.gen = 0
        self.blobs: dict[str, bytes] = {}
        self.uploads: dict[str, bytearray] = {}
        self.stored: dict[str, bytes] = {}
        self.hellos: list[Hello] = []
        self.statuses: list[Status] = []
        self.reports: list[Report] = []
        self.answers: list[OpAnswer] = []
        self.asked: list[BlobGet] = []
        self.up = threading.Event()
        self.transport = MqttTransport(self.endpoint, random.Random(1))
        self.last: dict[str, RunReport] = {}

    def start(self) -> None:
        offline = ManagerStatus(state="offline", fence=self.fence, src="hand", conn=1)
        will = Will(CHANNEL.manager_status(), codec.encode(offline))
        self.transport.start(self._hear, will)
        assert self.up.wait(10), "no broker"

    def close(self) -> None:
        self.transport.close()

    # -- what is said --------------------------------------------------------------------------

    def _online(self) -> None:
        self.transport.subscribe(CHANNEL.control_filters() + CHANNEL.blob_filters())
        self.transport.publish(CHANNEL.trust(), self.trust(1), retain=True)
        online = ManagerStatus(state="online", fence=self.fence, src="hand", conn=1)
        payload = seal("manager", codec.encode(online), self.key)
        self.transport.publish(CHANNEL.manager_status(), payload, retain=True)
        self.up.set()

    def trust(self, version: int, *, root: SigningKey | None = None) -> bytes:
        """The fleet's keys, as the root signs them."""
        keys = [trusted(self.key.public, "manager")]
        if self.release is not None:
            keys.append(trusted(self.release.public, "release"))
        trust = Trust(version=version, keys=tuple(keys))
        return seal("trust", codec.encode(trust), root or self.root)

    def released(self, version: int, *modules: bytes, key: SigningKey | None = None) -> bytes:
        """A release list that names these modules, as its offline key signs it."""
        names = tuple(sorted(sha256(each) for each in modules))
        signer = key or self.release
        assert signer is not None
        return seal("releases", codec.encode(Releases(version=version, modules=names)), signer)

    def say(self, topic: str, payload: bytes) -> None:
        """Anything on any topic, retained: what a broker can do."""
        assert self.transport.publish(topic, payload, retain=True)

    def want(self, *entries: Entry, as_blob: bool = False) -> None:
        """Publish a document for the device that said hello last."""
        self.say(CHANNEL.desired(ID), self.document(*entries, as_blob=as_blob))

    def document(self, *entries: Entry, as_blob: bool = False) -> bytes:
        """The next document for the device that said hello last, signed."""
        self.gen += 1
        data = codec.encode_tasks(entries)
        body = None
        if as_blob:
            self.blobs[sha256(data)] = data
            body = BlobRef(digest=sha256(data), size=len(data))
        document = Desired(
            to=ID,
            inst=self.hellos[-1].inst,
            fence=self.fence,
            gen=self.gen,
            iat=time.time_ns() // 1_000_000,
            digest=codec.tasks_digest(entries),
            tasks=None if as_blob else entries,
            body=body,
        )
        return seal("desired", codec.encode(document), self.key)

    def ask(self, verb: str, entry: Entry | None = None, **changes: object) -> str:
        """Send an op for the present connection; its id."""
        status = self.statuses[-1]
        op = Op(
            id=secrets.token_hex(8),
            verb=verb,
            to=ID,
            inst=status.inst,
            boot=status.boot,
            conn=status.conn,
            src="hand",
            n=len(self.answers) + time.monotonic_ns() // 1_000_000 % 2**31,
            uid=entry.uid if entry else "",
            run=entry.run if entry else "",
        )
        op = replace(op, **changes)  # type: ignore[arg-type]  # fields by name, as a table
        self.transport.publish(CHANNEL.op(ID), seal("op", codec.encode(op), self.key))
        return op.id

    # -- what is heard -------------------------------------------------------------------------

    def _hear(self, event: Event) -> None:
        match event:
            case Connected():
                self._online()
            case Disconnected():
                self.up.clear()
            case Received(topic, payload, _):
                heard = CHANNEL.parse(topic)
                if heard is not None:
                    self._message(heard.kind, payload)

    def _message(self, kind: Kind, payload: bytes) -> None:
        ring = Keyring()
        if self.hellos:
            ring = Keyring.of_device(VerifyKey.parse(self.hellos[-1].key))
        match kind:
            case Kind.HELLO:
                self.hellos.append(codec.decode(Hello, unsealed(payload)))
            case Kind.STATUS:
                self.statuses.append(codec.decode(Status, unsealed(payload)))
            case Kind.REPORT:
                report = codec.decode(Report, open_frame("report", payload, ring).body)
                self.reports.append(report)
                if report.tasks is not None:
                    self.last = {run.run: run for run in report.tasks}
            case Kind.OP_ANSWER:
                self.answers.append(
                    codec.decode(OpAnswer, open_frame("answer", payload, ring).body)
                )
            case Kind.BLOB_GET:
                self._serve(codec.decode(BlobGet, payload))
            case Kind.BLOB_PUT:
                self._take(codec.decode(BlobPut, open_frame("put", payload, ring).body))

    def _serve(self, get: BlobGet) -> None:
        self.asked.append(get)
        if not self.serving:
            return
        data = self.blobs.get(get.digest)
        if data is None:
            chunk = BlobChunk(
                digest=get.digest, off=get.off, total=0, req=get.req, error="unknown_digest"
            )
        else:
            piece = data[get.off : get.off + get.len]
            chunk = BlobChunk(
                digest=get.digest, off=get.off, total=len(data), req=get.req, data=piece
            )
        self.transport.publish(CHANNEL.blob_data(ID), codec.encode(chunk))

    def _take(self, put: BlobPut) -> None:
        spool = self.uploads.setdefault(put.digest, bytearray())
        if put.off == len(spool):
            spool += put.data
        whole = len(spool) == put.total and sha256(bytes(spool)) == put.digest
        if whole:
            self.stored[put.digest] = bytes(spool)
        ack = BlobAck(
            id=ID, digest=put.digest, have=len(spool), state="stored" if whole else "open"
        )
        self.transport.publish(CHANNEL.blob_ack(ID), seal("ack", codec.encode(ack), self.key))

    # -- waiting -------------------------------------------------------------------------------

    def state(self, entry: Entry) -> str:
        run = self.last.get(entry.run)
        return run.state if run is not None else ""

    def until(self, met: Callable[[], object], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not met():
            assert time.monotonic() < end, f"it did not happen in time; last: {self.last}"
            time.sleep(0.01)


class Device:
    """A real proplet process."""

    def __init__(self, directory: Path, endpoint: Endpoint, root: SigningKey) -> None:
        self.directory = directory
        self.log = directory / "proplet.log"
        trust = directory / "root.pub"
        trust.write_text(root.public.text + "\n")
        self.command = [
            *(sys.executable, "-m", "proplet", "--id", ID),
            *("--broker", f"{endpoint.host}:{endpoint.port}"),
            *("--domain", CHANNEL.domain, "--channel", CHANNEL.channel),
            *("--data", str(directory / "data"), "--trust", str(trust), "--heartbeat", "500ms"),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*self.command, *more], stderr=log)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(20)

    def guests(self) -> list[int]:
        """Processes of this device's workers, the zygote and spare ones included."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes()
            except OSError:
                continue
            if b"proplet.runtime.zygote" in words and self.inst().encode() in words:
                found.append(int(path.parent.name))
        return found

    def inst(self) -> str:
        import sqlite3

        with sqlite3.connect(f"file:{self.directory}/data/agent.db?mode=ro", uri=True) as db:
            row = db.execute("SELECT value FROM meta WHERE name = 'inst'").fetchone()
        db.close()
        return str(row[0])
