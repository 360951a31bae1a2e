"""Writes `schemas/wire/vectors/agent/*.json`: `python tests/conversation/agent_vectors.py`.

The files are checked in; a test holds this to making the same files again, and the agent to them.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

from agent_alone import alone  # noqa: E402
from agent_releases import releases  # noqa: E402
from agent_rounds import rounds  # noqa: E402
from agent_script import (  # noqa: E402  found by the path set above
    CONFIG,
    MANAGER,
    ROOT,
    SECOND_MANAGER,
    Scene,
    Script,
    a_daemon,
    a_task,
    digest_of,
    document,
)
from agent_timed import timed, timed_alone  # noqa: E402

from propeller.wire import codec  # noqa: E402
from propeller.wire.frame import seal  # noqa: E402
from propeller.wire.messages import BlobRef, WireAot, WireModule, WireMount  # noqa: E402
from propeller.wire.point_messages import WirePoint  # noqa: E402
from proplet.effects import Outcome  # noqa: E402

FOLDER = HERE.parent.parent / "schemas" / "wire" / "vectors" / "agent"
WELL = Outcome(ok=True, exit=0, result="42")
BADLY = Outcome(ok=False, exit=3, error="exit status 3")


def first_contact() -> Script:
    script = Script(
        "From power on to a finished task: hello, keys, document, fetch, start, report."
    )
    script.boot()
    script.connect()
    script.wait(1_200)
    task = a_task()
    script.want(task)
    script.trust()
    script.want(task)
    script.started(task)
    script.wait(200)
    script.ended(task, WELL)
    script.wait(25_000)
    script.want(gen=2)
    script.wait(100)
    return script


def take_over() -> Script:
    script = Script("A new run takes over: the old one goes when it is ready, or before the fetch.")
    old = a_daemon(2)
    script.online(old)
    script.started(old)
    second = WireModule(digest=digest_of(b"b"), size=9)
    handed = a_daemon(2, run="f" * 32, module=second, update="HandOver", ready_after=1_000)
    script.want(handed, gen=2)
    script.fetched(handed.module.digest)
    script.prepared(handed)
    script.wait(5_000)
    script.ended(old, Outcome(ok=False, error="stopped"))
    script.wait(100)
    third = WireModule(digest=digest_of(b"c"), size=9)
    first = a_daemon(2, run="e" * 32, module=third, update="KillThenDownload")
    script.want(first, gen=3)
    script.wait(100)
    script.ended(handed, Outcome(ok=False, error="stopped"))
    script.fetched(first.module.digest)
    script.prepared(first)
    script.wait(5_000)
    return script


def documents() -> Script:
    script = Script("Which documents are taken, which refused with a word, which only counted.")
    task, daemon = a_task(), a_daemon(2)
    script.online(task, daemon, gen=5)
    script.started(task, daemon)
    script.wait(100)
    script.hear("desired", b"")
    script.want(task, daemon, gen=5)
    script.want(task, gen=5)
    script.want(task, gen=4)
    script.want(task, fence=99, gen=9)
    script.wait(100)
    script.want(task, gen=6, to="p2")
    script.want(task, gen=6, inst="f" * 32)
    script.want(task, gen=6, not_after=script.wall - 1)
    script.want(task, task, gen=6)
    script.want(task, gen=6, key=SECOND_MANAGER)
    script.hear("desired", codec.encode(document(task, gen=6)))
    script.hear("desired", b"P1 rubbish")
    script.wait(100)
    script.want(task, gen=6)
    script.ended(daemon, Outcome(ok=False, error="stopped"))
    script.wait(100)
    script.want(gen=7)
    script.ended(task, Outcome(ok=False, error="stopped"))
    script.wait(100)
    script.want(task, gen=8)
    script.wait(100)
    return script


def daemons() -> Script:
    script = Script("A daemon that fails, backs off, gives up, is edited, and is taken away.")
    daemon = a_daemon(backoff_base=1_000, backoff_cap=4_000, max_restarts=3, ready_after=500)
    script.online(daemon)
    script.started(daemon)
    for _ in range(4):
        script.wait(10)
        script.ended(daemon, BADLY)
        script.wait(4_000)
    edited = a_daemon(env=(("RATE", "5"),), max_restarts=3, ready_after=500)
    script.want(edited, gen=2)
    script.prepared(edited)
    script.wait(600)
    other = a_daemon(run="f" * 32, args=("x",))
    script.want(other, gen=3)
    script.fetched()
    script.unfit(other, "it needs an import that is not here")
    script.wait(100)
    mended = a_daemon(run="f" * 32, args=("z",))
    script.want(mended, gen=3, fence=101)
    script.fetched()
    script.wait(100)
    script.unfit(mended, "it still needs it")
    script.wait(100)
    again = a_daemon(run="e" * 32, args=("y",))
    script.want(again, gen=4, fence=101)
    script.prepared(again)
    script.ended(edited, Outcome(ok=False, error="stopped"))
    script.wait(100)
    script.want(gen=5, fence=101)
    script.ended(again, Outcome(ok=False, error="stopped"))
    script.wait(100)
    return script


def reboots() -> Script:
    script = Script("What a crash leaves: at most one start of a task, the next one of a daemon.")
    first, second, third, daemon = a_task(1), a_task(2), a_task(3), a_daemon(4)
    script.online(first, second, daemon)
    script.started(first, second, daemon)
    script.ended(first, WELL)
    script.wait(100)
    script.boot()
    script.fetched()
    script.prepared(daemon)
    script.wait(100)
    script.connect()
    script.wait(100)
    script.want(third, daemon, gen=2)
    script.boot()
    script.connect()
    script.want(first, third, daemon, gen=3)
    script.started(third, daemon)
    script.wait(100)
    return script


def capacity() -> Script:
    script = Script("What does not fit is refused in words, or waits for room.")
    big = a_task(1, memory=2 << 20)
    mount = a_task(2, mounts=(WireMount(name="secret", path="/secret", access="ReadOnly"),))
    write = a_task(4, mounts=(WireMount(name="data", path="/data", access="ReadWrite"),))
    long = a_task(3, module=WireModule(digest=digest_of(b"long"), size=1 << 20))
    script.online(big, mount, long, write)
    script.wait(100)
    many = [a_daemon(number, memory=300_000) for number in range(5, 10)]
    script.want(*many, gen=2)
    script.started(*many)
    script.wait(100)
    script.ended(many[0], Outcome(ok=False, error="exit status 1"))
    script.wait(2_000)
    sense = a_task(11, points=(WirePoint(name="t", read="temperature"),))
    drive = a_task(12, points=(WirePoint(name="heat", write="relay", rate=1),))
    script.want(sense, drive, gen=3)
    script.wait(2_000)
    return script


def native_code() -> Script:
    script = Script("Native code for an agent that offered to run none is refused in words.")
    aot = WireAot(digest=digest_of(b"native"), size=90, target="thumbv7/wamr-6")
    module = WireModule(digest=digest_of(b"module"), size=6, aot=aot)
    script.online(a_task(1, module=module), a_daemon(2, module=module))
    script.wait(100)
    daemon = a_daemon(2)
    script.want(daemon, gen=2)
    script.started(daemon)
    script.wait(100)
    return script


def blobs_down() -> Script:
    script = Script(
        "Pieces by offset: out of order, short, wrong, unanswered, given up, asked again."
    )
    size = 4 * CONFIG["chunk"] + 100
    task = a_task(module=WireModule(digest=digest_of(b"big"), size=size))
    digest = task.module.digest
    script.online(task)
    script.fetch_from(digest, size, 0)
    script.chunk(digest, 4096, size, 2, bytes(4096))
    script.chunk(digest, 0, size, 1, bytes(4000))
    script.chunk(digest, 4000, size, 5, bytes(96))
    script.chunk(digest, 4000, size, 5, bytes(96))
    script.chunk(digest, 0, size, 99, b"", "busy")
    script.chunk(digest, 8192, size, 3, b"", "busy")
    script.wait(1_000)
    script.disconnect()
    script.wait(60_000)
    script.connect()
    script.manager("offline")
    script.wait(30_000)
    script.manager("online")
    script.wait(400_000)
    script.fetch_from(digest, size, 8192)
    script.chunk(digest, 8192, size, 60, bytes(4096))
    script.fetch_failed(digest, "the bytes on disk were something else")
    script.wait(100)
    return script


def blob_documents() -> Script:
    script = Script("A document whose list is a blob is switched to whole, or not at all.")
    task, daemon = a_task(), a_daemon(2)
    script.online(task)
    script.started(task)
    data = codec.encode_tasks((task, daemon))
    ref = BlobRef(digest=digest_of(data), size=len(data))
    large = document(task, daemon, gen=2, tasks=None, body=ref)
    script.hear("desired", seal("desired", codec.encode(large), MANAGER))
    script.hear("desired", seal("desired", codec.encode(large), MANAGER))
    script.fetch_from(ref.digest, ref.size, 0)
    script.chunk(ref.digest, 0, ref.size, 1, data)
    script.fetched(ref.digest, data)
    script.prepared(daemon)
    script.wait(100)
    wrong = replace(large, gen=3, digest=codec.tasks_digest((task,)))
    script.hear("desired", seal("desired", codec.encode(wrong), MANAGER))
    script.fetched(ref.digest, data)
    script.wait(100)
    lost = replace(large, gen=4, body=BlobRef(digest=digest_of(b"lost"), size=9_000))
    script.hear("desired", seal("desired", codec.encode(lost), MANAGER))
    script.fetch_failed(digest_of(b"lost"), "nobody has it")
    script.hear("desired", seal("desired", codec.encode(lost), MANAGER))
    script.wait(100)
    return script


def blobs_up() -> Script:
    script = Script("A long result: one piece at a time, moved on by acks alone, over a reboot.")
    task = a_task()
    blob = BlobRef(digest=digest_of(b"result"), size=10_000)
    script.online(task)
    script.started(task)
    script.ended(task, Outcome(ok=True, exit=0, blob=blob))
    script.ack(blob.digest, 4_096, "open")
    script.wait(6_000)
    script.boot()
    script.connect()
    script.ack(blob.digest, 8_192, "open")
    script.ack(blob.digest, 0, "refused")
    script.wait(6_000)
    script.manager("online")
    script.ack(blob.digest, 10_000, "open")
    script.ack(blob.digest, 10_000, "stored")
    script.ack(blob.digest, 10_000, "stored")
    script.wait(100)
    other = a_task(2)
    second = BlobRef(digest=digest_of(b"second"), size=20)
    script.want(task, other, gen=2)
    script.started(other)
    script.ended(other, Outcome(ok=True, exit=0, blob=second))
    script.upload_lost(second.digest)
    return script


def large_reports() -> Script:
    script = Script("An inventory too long for one message travels as a blob; the newest counts.")
    tasks = [a_task(number) for number in range(1, 41)]
    data = codec.encode_tasks(tuple(tasks))
    script.online()
    listed = document(*tasks, tasks=None, body=BlobRef(digest=digest_of(data), size=len(data)))
    script.hear("desired", seal("desired", codec.encode(listed), MANAGER))
    script.fetched(digest_of(data), data)
    script.wait(100)
    newest = [
        effect["blob"]
        for line in script.lines
        for effect in line["effects"]
        if effect["do"] == "keepBlob"
    ][-1]
    script.ack(newest["digest"], newest["size"], "stored")
    script.fetch_failed(tasks[0].module.digest, "nobody has it")
    script.wait(100)
    return script


def operations() -> Script:
    script = Script("Which operations are heard, and their answers.")
    task, daemon = a_task(), a_daemon(2)
    script.online(task, daemon)
    script.started(task, daemon)
    script.wait(100)
    script.op("collect")
    script.op("collect", n=1)
    script.op("collect", conn=7)
    script.op("collect", boot=9)
    script.op("collect", inst="f" * 32)
    script.op("collect", to="p2")
    script.op("collect", not_after=script.wall - 1)
    script.op("logs", task)
    script.log_piece("op8", "hello\n", last=False)
    script.log_piece("op8", "", dropped=12, last=False)
    script.log_piece("op8", "bye\n", last=True)
    script.log_piece("op8", "late\n", last=True)
    script.op("logs", a_task(9))
    script.op("restart", task)
    script.op("restart", daemon)
    script.ended(daemon, Outcome(ok=False, error="stopped"))
    script.op("cancel", task)
    script.ended(task, Outcome(ok=False, error="stopped"))
    script.op("cancel", task)
    script.op("sing")
    script.wait(100)
    script.disconnect()
    script.connect()
    script.op("collect", n=1)
    return script


def connections() -> Script:
    script = Script(
        "Heartbeats, reconnects, managers that come and go, reports that did not leave."
    )
    task = a_task()
    script.online(task)
    script.started(task)
    script.wait(45_000)
    script.disconnect()
    script.ended(task, WELL)
    script.wait(30_000)
    script.connect()
    script.wait(100)
    script.manager("online", conn=1)
    script.manager("online", conn=1)
    script.wait(100)
    script.manager("offline", conn=1)
    script.manager("online", conn=2)
    script.untold()
    script.wait(1_100)
    return script


def keys() -> Script:
    script = Script(
        "Trust only grows, only by the root, and brings new managers and ends old ones."
    )
    task = a_task()
    script.boot()
    script.connect()
    script.trust(1, root=MANAGER)
    script.trust(3)
    script.trust(2, SECOND_MANAGER)
    script.want(task, key=SECOND_MANAGER)
    script.wait(2_100)
    script.want(task, key=SECOND_MANAGER)
    script.trust(4, SECOND_MANAGER)
    script.want(task, key=SECOND_MANAGER)
    script.want(task, gen=2)
    script.want(task, gen=2, key=ROOT)
    script.boot()
    script.want(task, gen=2, key=SECOND_MANAGER)
    return script


def clocks() -> Script:
    script = Script("Without a set clock time is no earlier than what was signed, and said so.")
    script.synced = False
    script.wall = 5_000
    task = a_task()
    script.online(task)
    script.started(task)
    script.wait(100)
    late = document(task, gen=2).iat
    script.want(task, gen=2, not_after=late - 1)
    script.want(task, gen=2, not_after=late + 1)
    script.synced = True
    script.wall = late + 10_000
    script.ended(task, WELL)
    script.want(task, gen=3, not_after=late + 1)
    script.wait(100)
    return script


def drains() -> Script:
    script = Script("Stopping in good order: guests end or are ended, it is told, and it leaves.")
    task, slow, daemon = a_task(1), a_task(2), a_daemon(3)
    script.online(task, slow, daemon)
    script.started(task, slow, daemon)
    script.wait(100)
    script.drain()
    script.ended(daemon, Outcome(ok=False, error="stopped"))
    script.wait(50)
    script.ended(task, WELL)
    script.wait(4_000)
    return script


SCENES: tuple[Scene, ...] = (
    first_contact,
    documents,
    daemons,
    take_over,
    reboots,
    capacity,
    native_code,
    blobs_down,
    blob_documents,
    blobs_up,
    large_reports,
    operations,
    connections,
    keys,
    clocks,
    drains,
    rounds,
    releases,
    alone,
    timed,
    timed_alone,
)


def all_files() -> dict[str, str]:
    """File name -> text."""
    return {f"{scene.__name__}.json": scene().text() for scene in SCENES}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in all_files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print((FOLDER / name).relative_to(FOLDER.parents[3]))


if __name__ == "__main__":
    main()
