"""Every message as a table: the CBOR number, the name, the kind and the meaning of each field.

The numbers are the wire: given once, never reused, never changed. `codec` reads and writes by
these tables, `schema` turns them into `schemas/wire/*.schema.json`. Limits are bytes of UTF-8 for
text and items for lists; they are what a receiver must be able to refuse, not what it must hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from propeller.wire import messages as m
from propeller.wire.basic_fields import (
    DIGEST,
    ID,
    INST,
    KID,
    NOTE,
    RUN,
    SIZE,
    TIME,
    U32,
    UID,
    VERSION_FIELD,
    WORD,
)
from propeller.wire.call_fields import CALL, CALL_ANSWER
from propeller.wire.entry_fields import BLOB_REF, CAUSE, ENTRY
from propeller.wire.kinds import MAX_U32, boolean, enum, integer, listed, named, text
from propeller.wire.point_messages import MAX_OFFERED
from propeller.wire.shapes import Exclusive, Field, Shape, shape
from propeller.wire.timed_messages import MOST_KEPT

MAX_TASKS = 1024
"""Entries of a desired document and runs of an inventory."""

RUN_STATE = enum(
    "Pending",
    "Fetching",
    "Running",
    "BackOff",
    "Stopping",
    "Succeeded",
    "Failed",
    "Interrupted",
    "Refused",
)
CLOCK = enum("Synced", "Unsynced")
PRESENCE = enum("online", "offline")
STREAM = enum("both", "stdout", "stderr")
ANSWER_STATE = enum("accepted", "progress", "done", "refused")
ACK_STATE = enum("open", "stored", "refused")

DESIRED = shape(
    m.Desired,
    [
        VERSION_FIELD,
        Field(1, "to", ID, "The device; agrees with the topic."),
        Field(2, "inst", INST, "The installation this is for; another one refuses it."),
        Field(3, "fence", SIZE, "The manager's lease: a higher fence wins."),
        Field(4, "gen", SIZE, "Grows with every change within a fence."),
        Field(5, "iat", TIME, "When it was issued, Unix milliseconds."),
        Field(
            6,
            "digest",
            DIGEST,
            "Over the canonical JSON of the tasks; echoed, never computed again.",
        ),
        Field(7, "tasks", listed(ENTRY.kind, MAX_TASKS), "All the device should hold."),
        Field(8, "body", BLOB_REF.kind, "The same list as a blob."),
        Field(9, "not_after", TIME, "Not accepted later than this; accepted work goes on."),
        Field(10, "trace", WORD, "W3C traceparent of what led to it; a bad one says nothing."),
    ],
    exclusive=Exclusive(("tasks", "body"), needed=True),
)
OBSERVED = shape(
    m.Observed,
    [
        Field(1, "fence", SIZE, "Of the last document accepted and persisted."),
        Field(2, "gen", SIZE, "Of the same."),
        Field(3, "digest", DIGEST, "Of the same; absent before the first."),
    ],
)
REFUSED = shape(
    m.Refused,
    [
        Field(1, "fence", SIZE, "Of the document that was refused."),
        Field(2, "gen", SIZE, "Of the same."),
        Field(3, "digest", text(71), "Of the same; empty where it could not be read."),
        Field(
            4,
            "reason",
            WORD,
            "stale, other_digest, other_inst, unknown_kid, expired, or a reject word.",
        ),
    ],
)
PAST_RUN = shape(
    m.PastRun,
    [
        Field(1, "slot", TIME, "The time of the schedule, Unix milliseconds."),
        Field(2, "state", RUN_STATE, "How it ended, or Running."),
        Field(3, "attempt", integer(1, MAX_U32), "Counts the runs of one time."),
        Field(4, "exit", integer(-(2**31), MAX_U32), "WASI exit status."),
        Field(5, "result", NOTE, "What it answered."),
        Field(6, "result_blob", BLOB_REF.kind, "A result longer than 256 bytes."),
        Field(7, "error", NOTE, "Why it failed, in short words."),
        Field(8, "started", TIME, "Unix milliseconds on the device's clock; 0: not known."),
        Field(9, "ended", TIME, "The same for its end."),
    ],
    exclusive=Exclusive(("result", "result_blob")),
)
RUN_REPORT = shape(
    m.RunReport,
    [
        Field(1, "uid", UID, "The object."),
        Field(2, "run", RUN, "The run."),
        Field(3, "digest", DIGEST, "Of the desired entry it was started from."),
        Field(4, "cause", CAUSE, "The entry's cause, echoed."),
        Field(5, "state", RUN_STATE, "Where the run stands."),
        Field(6, "exit", integer(-(2**31), MAX_U32), "WASI exit status."),
        Field(7, "result", NOTE, "What it answered."),
        Field(8, "result_blob", BLOB_REF.kind, "A result longer than 256 bytes."),
        Field(9, "error", NOTE, "Why it failed, in short words."),
        Field(10, "restarts", U32, "How often a daemon was started again."),
        Field(11, "ready", boolean(), "A daemon up for readyAfter; a task that succeeded."),
        Field(12, "started", TIME, "Unix milliseconds on the device's clock; 0: not known."),
        Field(13, "ended", TIME, "The same for its end."),
        Field(14, "spent", TIME, "The same for when its autonomy was spent last; 0: never."),
        Field(15, "past", listed(PAST_RUN.kind, MOST_KEPT + 1), "Runs a schedule began, in order."),
        Field(16, "lost", U32, "Of those, how many made way with no manager to tell."),
    ],
    exclusive=Exclusive(("result", "result_blob")),
)
FREE = shape(
    m.Free,
    [
        Field(1, "memory", SIZE, "Bytes left for guests."),
        Field(2, "tasks", U32, "Task slots left."),
        Field(3, "storage", SIZE, "Bytes of storage left."),
    ],
)
REPORT = shape(
    m.Report,
    [
        VERSION_FIELD,
        Field(1, "id", ID, "The device; agrees with the topic."),
        Field(2, "inst", INST, "128 random bits made when its storage was formatted."),
        Field(3, "boot", U32, "Counts boots; persisted."),
        Field(4, "seq", U32, "Counts reports within a boot."),
        Field(5, "conn", U32, "Counts connections within a boot."),
        Field(6, "observed", OBSERVED.kind, "The last desired document accepted and persisted."),
        Field(7, "inventory", DIGEST, "Names the list of runs; two equal lists have one name."),
        Field(
            8, "tasks", listed(RUN_REPORT.kind, MAX_TASKS), "Every run held; absent in a heartbeat."
        ),
        Field(9, "body", BLOB_REF.kind, "The same list as a blob."),
        Field(10, "refused", REFUSED.kind, "The last desired document that was not accepted."),
        Field(11, "free", FREE.kind, "What is left on the device."),
        Field(
            12, "metrics", named(integer(-(2**53 - 1)), 64), "Named integers, cpuPermille for one."
        ),
        Field(13, "clock", CLOCK, "Whether its clock is set."),
    ],
    exclusive=Exclusive(("tasks", "body")),
)
STATUS = shape(
    m.Status,
    [
        VERSION_FIELD,
        Field(1, "id", ID, "The device; agrees with the topic."),
        Field(2, "state", PRESENCE, "Offline is the will too, and then unsigned."),
        Field(3, "inst", INST, "See the report."),
        Field(4, "boot", U32, "See the report."),
        Field(5, "conn", U32, "Offline for an older connection is ignored."),
    ],
)
HELLO = shape(
    m.Hello,
    [
        VERSION_FIELD,
        Field(1, "id", ID, "The device; agrees with the topic."),
        Field(2, "inst", INST, "A new one is adopted only from here."),
        Field(3, "boot", U32, "See the report."),
        Field(4, "arch", WORD, "Processor, as x86_64, aarch64, thumbv7em."),
        Field(5, "os", WORD, "Operating system."),
        Field(6, "runtime", WORD, "Wasm engine."),
        Field(7, "runtime_version", WORD, "Its version."),
        Field(8, "agent", WORD, "The agent's version."),
        Field(9, "memory", SIZE, "Bytes for guests in all."),
        Field(10, "storage", SIZE, "Bytes of storage in all."),
        Field(11, "tasks", U32, "Runs held at one time."),
        Field(12, "max_module", SIZE, "Bytes of the largest module it can take."),
        Field(13, "max_payload", SIZE, "Bytes of the largest MQTT payload it can take."),
        Field(14, "min_run_interval", TIME, "Milliseconds between two runs, to spare its storage."),
        Field(15, "heartbeat", TIME, "Milliseconds between its reports."),
        Field(
            16,
            "imports",
            listed(text(128), 512),
            "Import modules it provides: module or module.name.",
        ),
        Field(17, "components", boolean(), "Whether it runs components."),
        Field(18, "mounts", listed(text(128), 64), "Directories it offers; :rw may be written to."),
        Field(
            19, "encodings", listed(WORD, 8), "json, cbor: what it reads, the one it prefers first."
        ),
        Field(20, "algs", listed(WORD, 8), "ed25519, p256: signatures it can verify."),
        Field(21, "fetch", listed(WORD, 8), "mqtt, direct: how it gets blobs."),
        Field(22, "labels", named(text(256), 64), "Labels it says it has."),
        Field(23, "key", text(128), "Its public key: ed25519:<base64> or p256:<base64>."),
        Field(24, "versions", listed(U32, 16), "Protocol versions it speaks."),
        Field(
            25,
            "box",
            text(128),
            "Its encryption key, x25519:<base64> or p256:<base64>; absent: it has none.",
        ),
        Field(26, "points", listed(text(80), MAX_OFFERED), "Sensors it has; outputs end in :w."),
    ],
)
OP = shape(
    m.Op,
    [
        VERSION_FIELD,
        Field(1, "id", ID, "The operation; its answers go to op/{id}."),
        Field(
            2, "verb", WORD, "logs, cancel, restart, collect; an unknown one is answered refused."
        ),
        Field(3, "to", ID, "The device; agrees with the topic."),
        Field(4, "inst", INST, "For this installation,"),
        Field(5, "boot", U32, "this boot"),
        Field(6, "conn", U32, "and this connection only."),
        Field(7, "src", ID, "Whose counter n is."),
        Field(8, "n", U32, "Grows; one not above the last of src is dropped."),
        Field(9, "uid", UID, "The object it is about."),
        Field(10, "run", RUN, "The run it is about."),
        Field(11, "stream", STREAM, "logs: which of them."),
        Field(12, "tail", SIZE, "logs: bytes from the end."),
        Field(13, "follow", TIME, "logs: milliseconds to keep sending; 0: once."),
        Field(14, "not_after", TIME, "An extra check where time is set."),
    ],
)
OP_ANSWER = shape(
    m.OpAnswer,
    [
        VERSION_FIELD,
        Field(1, "id", ID, "The device; agrees with the topic."),
        Field(2, "op", ID, "The operation; agrees with the topic."),
        Field(3, "inst", INST, "See the report."),
        Field(4, "boot", U32, "See the report."),
        Field(5, "n", U32, "Counts the answers to this operation from 0."),
        Field(6, "state", ANSWER_STATE, "done and refused are the last."),
        Field(7, "stream", enum("", "stdout", "stderr"), "logs: where the text is from."),
        Field(8, "text", text(4096, nul=True), "A piece of log, or a reason."),
        Field(9, "blob", BLOB_REF.kind, "An answer longer than that."),
        Field(10, "dropped", SIZE, "Bytes of log lost before this piece."),
    ],
)
BLOB_GET = shape(
    m.BlobGet,
    [
        VERSION_FIELD,
        Field(1, "id", ID, "The device; agrees with the topic."),
        Field(2, "digest", DIGEST, "The blob."),
        Field(3, "off", SIZE, "First byte wanted."),
        Field(4, "len", integer(1, 1 << 20), "Bytes wanted at most."),
        Field(5, "req", U32, "Echoed in the answer."),
    ],
)
BLOB_ACK = shape(
    m.BlobAck,
    [
        VERSION_FIELD,
        Field(1, "id", ID, "The device; agrees with the topic."),
        Field(2, "digest", DIGEST, "The blob."),
        Field(3, "have", SIZE, "Bytes fsynced and committed: put from here on."),
        Field(4, "state", ACK_STATE, "stored: the device may free its bytes."),
        Field(5, "reason", text(256), "Why it is refused."),
    ],
)
MANAGER_STATUS = shape(
    m.ManagerStatus,
    [
        VERSION_FIELD,
        Field(1, "state", PRESENCE, "Offline is the will, and then unsigned."),
        Field(2, "fence", SIZE, "The lease it holds."),
        Field(3, "src", ID, "Its client id."),
        Field(4, "conn", U32, "Counts its connections."),
    ],
)
ECHO = shape(
    m.Echo,
    [
        VERSION_FIELD,
        Field(1, "src", ID, "Who sent it, to itself; agrees with the topic."),
        Field(2, "conn", SIZE, "Which of its connections."),
        Field(3, "n", SIZE, "Which of its markers."),
        Field(4, "at", TIME, "When it was sent, on its clock."),
    ],
)
TRUSTED_KEY = shape(
    m.TrustedKey,
    [
        Field(1, "kid", KID, "First 16 hex digits of the sha256 of the key's bytes."),
        Field(
            2, "alg", integer(0, 255), "1 Ed25519, 2 ECDSA P-256 with SHA-256; others are skipped."
        ),
        Field(3, "pub", text(128), "The public key as text."),
        Field(
            4, "roles", listed(WORD, 16), "manager, gateway, release, device; others are skipped."
        ),
    ],
)
TRUST = shape(
    m.Trust,
    [
        VERSION_FIELD,
        Field(1, "version", integer(1), "Only ever grows; an older one is refused."),
        Field(
            2,
            "keys",
            listed(TRUSTED_KEY.kind, 64),
            "The fleet's keys; one that is absent is revoked.",
        ),
    ],
)
MAX_RELEASED = 800
"""Modules of one release list: a retained message every device takes, below 64 KiB."""
RELEASES = shape(
    m.Releases,
    [
        VERSION_FIELD,
        Field(1, "version", integer(1), "Only ever grows; an older one is refused."),
        Field(
            2,
            "modules",
            listed(DIGEST, MAX_RELEASED),
            "Digests of all modules that may be started, as they travel; no other may.",
        ),
        Field(3, "not_after", TIME, "Unix milliseconds; after it nothing new is started by it."),
    ],
)
LOG = shape(
    m.Log,
    [
        VERSION_FIELD,
        Field(1, "id", ID, "The device; agrees with the topic."),
        Field(2, "boot", U32, "See the report."),
        Field(3, "n", U32, "Counts the batches of this boot and run."),
        Field(4, "stream", enum("stdout", "stderr", "agent"), "Where the text is from."),
        Field(5, "text", text(8192, nul=True), "The lines."),
        Field(6, "uid", UID, "The object; absent: the agent's own lines."),
        Field(7, "run", RUN, "The run."),
        Field(8, "dropped", SIZE, "Bytes lost before this batch."),
    ],
)
METRICS = shape(
    m.Metrics,
    [
        VERSION_FIELD,
        Field(1, "id", ID, "The device; agrees with the topic."),
        Field(2, "boot", U32, "See the report."),
        Field(3, "n", U32, "Counts the batches of this boot."),
        Field(4, "at", TIME, "Unix milliseconds on the device's clock; 0: not known."),
        Field(5, "values", named(integer(-(2**53 - 1)), 256), "Named integers."),
        Field(6, "dropped", SIZE, "Batches lost before this one."),
    ],
)

BODIES: Mapping[type[Any], Shape] = {
    one.cls: one
    for one in (
        DESIRED,
        REPORT,
        STATUS,
        HELLO,
        OP,
        OP_ANSWER,
        CALL,
        CALL_ANSWER,
        BLOB_GET,
        BLOB_ACK,
        MANAGER_STATUS,
        ECHO,
        TRUST,
        RELEASES,
        LOG,
        METRICS,
    )
}
"""The messages that are JSON or CBOR. BlobChunk and BlobPut are binary: see `blob_frames`."""
