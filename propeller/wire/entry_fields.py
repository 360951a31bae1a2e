"""The words every message is made of, and the table of an entry: what a device is told to run.

Apart from `fields` for its length; the same rules hold (numbers are given once, never changed).
"""

from __future__ import annotations

from propeller.outgoing import MAX_RULE, MAX_RULES
from propeller.wire import messages as m
from propeller.wire.basic_fields import (
    DIGEST,
    REF,
    RUN,
    SIZE,
    TIME,
    U32,
    UID,
    WORD,
)
from propeller.wire.call_fields import SERVE
from propeller.wire.http_messages import MOST_HTTP_BODY, MOST_REQUESTS, WireHttp
from propeller.wire.kinds import (
    MAX_U32,
    boolean,
    enum,
    hexed,
    integer,
    listed,
    named,
    packed,
    spelled,
    text,
    variables,
)
from propeller.wire.point_messages import MAX_POINT_RATE, MAX_POINTS, WirePoint
from propeller.wire.shapes import Exclusive, Field, shape
from propeller.wire.timed_messages import MOST_KEPT, WireSchedule, WireSlots
from propeller.wire.topic_messages import (
    MAX_KEPT,
    MAX_MESSAGE,
    MAX_RATE,
    MAX_TOPIC,
    MAX_TOPICS,
    WireTopic,
)

MAX_SEALED = 66 * 1024
"""Bytes of one sealed value: 64 KiB of text and what sealing adds."""
ENGINE = spelled(r"[a-z0-9][a-z0-9-]{0,31}", "the name of an engine")
TARGET = text(64)
CAUSE = text(64)
MODE = enum("once", "daemon", "serve", "timed")
ACCESS = enum("ReadOnly", "ReadWrite")
RESTART = enum("Never", "OnFailure", "Always")
UPDATE = enum("KillThenDownload", "HandOver")
ROUND = integer(1, MAX_U32)
POSITIVE = text(40)
"""A decimal number above 0, as text; who counts with it looks at it."""

BLOB_REF = shape(
    m.BlobRef,
    [
        Field(1, "digest", DIGEST, "Digest of the blob's bytes."),
        Field(2, "size", SIZE, "Bytes in all."),
    ],
)
AOT = shape(
    m.WireAot,
    [
        Field(1, "digest", DIGEST, "Digest of the file."),
        Field(2, "size", SIZE, "Bytes in all."),
        Field(3, "target", TARGET, "What it was made for, as the device offered it."),
    ],
)
MODULE = shape(
    m.WireModule,
    [
        Field(1, "digest", DIGEST, "Digest of the bytes that travel."),
        Field(2, "size", SIZE, "Bytes in all."),
        Field(
            3,
            "image",
            text(512),
            "Pinned reference for devices that reach the registry themselves.",
        ),
        Field(4, "plain", DIGEST, "It is encrypted (age); digest of the Wasm bytes inside."),
        Field(5, "key", text(256), "Where a key service has what opens it."),
        Field(6, "aot", AOT.kind, "Run this instead: the same, compiled for this device."),
    ],
)
MODEL = shape(
    m.WireModel,
    [
        Field(
            1, "name", spelled(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "a file name"), "In `/models`."
        ),
        Field(2, "blob", BLOB_REF.kind, "Its bytes."),
    ],
)
RULE = listed(integer(0, 2880), 4)
SLOTS = shape(
    WireSlots,
    [
        Field(1, "minutes", hexed(8), "Bit n: minute n fits."),
        Field(2, "hours", integer(0, 2**24 - 1), "The same of hours."),
        Field(3, "days", integer(0, 2**32 - 1), "Days of a month; bit 0: its last."),
        Field(4, "months", integer(0, 2**13 - 1), "From bit 1 for January on."),
        Field(5, "weekdays", integer(0, 2**7 - 1), "From bit 0 for Sunday on."),
        Field(6, "either", boolean(), "A day fits by its number or by its weekday; else by both."),
        Field(7, "once", boolean(), "A time that the clock shows twice is one slot."),
        Field(8, "offset", integer(-1440, 1440), "Minutes east of UTC."),
        Field(9, "summer", integer(-1440, 1440), "The same in summer; absent: there is none."),
        Field(10, "starts", RULE, "Summer: month, day, weekday, minute of the clock that is left."),
        Field(11, "ends", RULE, "The same for its end."),
    ],
)
SCHEDULE = shape(
    WireSchedule,
    [
        Field(1, "cron", text(256), "Five fields."),
        Field(2, "zone", text(64), "IANA time zone the fields are read in."),
        Field(3, "missed", enum("RunLatest", "Skip"), "What a time that is too late becomes."),
        Field(4, "overlap", enum("Forbid", "Replace"), "What a time during a run becomes."),
        Field(5, "deadline", TIME, "Milliseconds until a time is too late."),
        Field(6, "jitter", TIME, "Milliseconds that a run may begin later."),
        Field(7, "keep", integer(1, MOST_KEPT), "Results held."),
        Field(8, "slots", SLOTS.kind, "The same times without cron's language and time zones."),
    ],
)
TOPIC = shape(
    WireTopic,
    [
        Field(1, "name", spelled(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "a name"), "For the guest."),
        Field(2, "publish", text(MAX_TOPIC), "A topic below the channel, never control/."),
        Field(3, "subscribe", text(MAX_TOPIC), "A filter below the channel, never control/."),
        Field(4, "size", integer(1, MAX_MESSAGE), "Bytes of a message at most."),
        Field(5, "rate", integer(1, MAX_RATE), "Messages a second it may publish."),
        Field(6, "keep", integer(1, MAX_KEPT), "Messages kept; the oldest go first."),
    ],
    exclusive=Exclusive(("publish", "subscribe"), needed=True),
)
_POINT = spelled(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "a name")
POINT = shape(
    WirePoint,
    [
        Field(1, "name", _POINT, "For the guest."),
        Field(2, "read", _POINT, "A sensor of the device."),
        Field(3, "write", _POINT, "An output of the device."),
        Field(4, "rate", integer(1, MAX_POINT_RATE), "Reads or writes a second."),
    ],
    exclusive=Exclusive(("read", "write"), needed=True),
)
HTTP = shape(
    WireHttp,
    [
        Field(1, "allow", listed(text(MAX_RULE), MAX_RULES), "Rules of what may leave."),
        Field(2, "requests", integer(1, MOST_REQUESTS), "In a call, and in each minute."),
        Field(3, "timeout", TIME, "Milliseconds of one request."),
        Field(4, "body", integer(1, MOST_HTTP_BODY), "Bytes of one body, either way."),
    ],
)
MOUNT = shape(
    m.WireMount,
    [
        Field(1, "name", text(128), "Name of a directory the device offers."),
        Field(2, "path", text(256), "Where the guest sees it."),
        Field(3, "access", ACCESS, "What the guest may do there."),
    ],
)
SECURE = shape(
    m.WireSecure,
    [
        Field(1, "range", POSITIVE, "Of each weighted number; what is beyond is cut."),
        Field(2, "bits", integer(2, 31), "Of a number in the sum."),
        Field(3, "most", integer(1, MAX_U32), "The largest weight, in samples."),
        Field(4, "members", integer(1, MAX_U32), "The most updates that are summed."),
        Field(5, "blob", BLOB_REF.kind, "What the step is about; absent in `keys`."),
    ],
)
TRAINING = shape(
    m.WireTraining,
    [
        Field(1, "job", UID, "The training job this round belongs to."),
        Field(2, "round", ROUND, "Counts from 1."),
        Field(3, "attempt", ROUND, "Of the round, from 1."),
        Field(
            4,
            "step",
            enum("train", "evaluate", "keys", "shares", "open"),
            "What is asked of the module; the last three of the device itself.",
        ),
        Field(5, "format", WORD, "Encoding of the update, by name."),
        Field(6, "nonce", hexed(16), "Of this invitation; signed along with the update."),
        Field(7, "seed", hexed(8), "Where the module's randomness starts."),
        Field(8, "model", BLOB_REF.kind, "The model to start from; absent: zeros."),
        Field(9, "layout", BLOB_REF.kind, "Names and shapes of its tensors; absent: one flat one."),
        Field(10, "params", named(text(1024), 64), "Hyperparameters as decimal text, by name."),
        Field(11, "guest", enum("Imports", "Env", "File"), "How the module gets the model."),
        Field(12, "samples", SIZE, "The most samples that count; absent: no cap."),
        Field(13, "clip", POSITIVE, "Largest L2 norm of the update; absent: any."),
        Field(14, "noise", POSITIVE, "Standard deviation of the device's noise, in `clip`."),
        Field(15, "secure", SECURE.kind, "Only sums of updates are seen."),
        Field(16, "control", BLOB_REF.kind, "State of the strategy that trainers need."),
        Field(17, "image", text(512), "Repository of a large model, for devices that reach it."),
    ],
)
ENTRY = shape(
    m.Entry,
    [
        Field(1, "uid", UID, "The object."),
        Field(2, "ref", REF, "The object as people name it."),
        Field(3, "run", RUN, "This run of it on this device; started at most once."),
        Field(
            4,
            "cause",
            CAUSE,
            "once, daemon, cron:<slot>, round:<n>, evaluate:<n>; from the second attempt #<n>.",
        ),
        Field(5, "mode", MODE, "Run to completion, kept running, or kept ready for calls."),
        Field(
            6,
            "digest",
            DIGEST,
            "Over the canonical JSON of the entry without this field and `update`.",
        ),
        Field(7, "module", MODULE.kind, "What to run."),
        Field(8, "entrypoint", text(128), "The export to call."),
        Field(9, "args", listed(text(65536), 128), "Arguments; the export's own types parse them."),
        Field(10, "env", variables(128, 393_216), "Environment, each NAME=value, in order."),
        Field(11, "stdin", text(65536, nul=True), "Standard input; absent: empty."),
        Field(12, "mounts", listed(MOUNT.kind, 16), "Directories shown to the guest."),
        Field(13, "memory", SIZE, "Bytes of linear memory; absent: unlimited."),
        Field(14, "fuel", SIZE, "Fuel units; absent: unlimited."),
        Field(15, "timeout", TIME, "Milliseconds of wall clock; absent: unlimited."),
        Field(16, "output", SIZE, "Bytes kept of each of stdout and stderr."),
        Field(17, "restart", RESTART, "When a daemon is started again."),
        Field(18, "backoff_base", TIME, "Milliseconds before the first restart; doubles."),
        Field(19, "backoff_cap", TIME, "Milliseconds it doubles up to."),
        Field(20, "max_restarts", U32, "After so many a daemon has failed; absent: never."),
        Field(21, "ready_after", TIME, "Milliseconds a daemon must run to be ready."),
        Field(
            22,
            "sealed",
            named(packed(MAX_SEALED), 128),
            "Variables whose values are sealed to this device for this run, in order of name.",
        ),
        Field(23, "fl", TRAINING.kind, "The round of federated learning it takes part in."),
        Field(
            24,
            "update",
            UPDATE,
            "How a daemon takes over from an older run of its object: the old one goes before"
            " anything is fetched, or stays until this one is ready; absent: until this one could"
            " start.",
        ),
        Field(25, "serve", SERVE.kind, "How it takes calls; only with mode serve."),
        Field(26, "models", listed(MODEL.kind, 8), "Blobs the guest reads in `/models`."),
        Field(27, "topics", listed(TOPIC.kind, MAX_TOPICS), "Topics the guest knows by a name."),
        Field(
            28, "autonomy", TIME, "Milliseconds it goes on without the manager; absent: for ever."
        ),
        Field(29, "external", ENGINE, "The engine of the device that runs it; absent: its own."),
        Field(30, "schedule", SCHEDULE.kind, "When it is run; only with mode timed."),
        Field(32, "points", listed(POINT.kind, MAX_POINTS), "Sensors and outputs, by a name."),
        Field(33, "http", HTTP.kind, "HTTP requests it may send."),
    ],
)
