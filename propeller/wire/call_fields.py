"""The tables of the messages of a call. The rules of `fields` hold: numbers are given once."""

from __future__ import annotations

from propeller.wire import call_messages as m
from propeller.wire.basic_fields import ID, INST, RUN, SIZE, TIME, U32, UID, VERSION_FIELD, WORD
from propeller.wire.kinds import enum, integer, named, packed, text
from propeller.wire.shapes import Field, shape

VERB = enum("run", "recall", "cancel")
STATE = enum("done", "failed", "refused", "unknown", "running")
INTERFACE = enum("Command", "Values", "Bytes")
HEADERS = named(text(m.MAX_HEADERS), 64, name_limit=128)

SERVE = shape(
    m.WireServe,
    [
        Field(1, "interface", INTERFACE, "How a call reaches the module."),
        Field(2, "concurrency", integer(1, 64), "Calls at a time."),
        Field(3, "queue", integer(0, 1024), "Calls that wait for their turn."),
        Field(4, "ready", integer(0, 64), "Processes kept waiting."),
        Field(5, "invocations", integer(1, 1_000_000), "Calls of one instance."),
    ],
)
CALL = shape(
    m.Call,
    [
        VERSION_FIELD,
        Field(1, "id", ID, "The call; a device begins it at most once."),
        Field(2, "verb", VERB, "Begin it, say what became of it, or end it."),
        Field(3, "to", ID, "The device; agrees with the topic."),
        Field(4, "inst", INST, "For this installation,"),
        Field(5, "boot", U32, "this boot"),
        Field(6, "conn", U32, "and this connection only."),
        Field(7, "src", ID, "Whose counter n is; its answers go to call/{src}."),
        Field(8, "n", U32, "Grows; one not above the last of src is dropped."),
        Field(9, "uid", UID, "The Function."),
        Field(10, "run", RUN, "The run of it that should take the call."),
        Field(11, "timeout", TIME, "Milliseconds from when it comes, its wait included."),
        Field(12, "method", WORD, "Of the HTTP request."),
        Field(13, "path", text(2048), "What follows the Function's name."),
        Field(14, "query", text(8192), "Without the question mark."),
        Field(15, "headers", HEADERS, "Names in lower case."),
        Field(16, "body", packed(m.MAX_BODY), "The request."),
        Field(17, "trace", WORD, "W3C traceparent of the call; a bad one says nothing."),
        Field(18, "follow", integer(0, m.MAX_FOLLOW), "Bytes of its log to be told while it runs."),
    ],
)
CALL_ANSWER = shape(
    m.CallAnswer,
    [
        VERSION_FIELD,
        Field(1, "id", ID, "The device; agrees with the topic."),
        Field(2, "call", ID, "The call."),
        Field(3, "inst", INST, "See the report."),
        Field(4, "boot", U32, "See the report."),
        Field(5, "state", STATE, "refused: it never began."),
        Field(6, "cause", WORD, "Why, in a word; absent when it is done."),
        Field(7, "status", integer(0, 599), "Of the HTTP answer."),
        Field(8, "headers", HEADERS, "Names in lower case."),
        Field(9, "body", packed(m.MAX_BODY), "The answer."),
        Field(10, "error", text(1024, nul=True), "Why, in words."),
        Field(11, "wait", SIZE, "Microseconds it waited."),
        Field(12, "took", SIZE, "Microseconds it ran, the instance included."),
        Field(13, "log", text(4 * m.MAX_PIECE, nul=True), "With running: what it logged since."),
        Field(14, "lost", SIZE, "Bytes it logged before that and that are told nowhere."),
        Field(15, "n", U32, "Counts answers of state running, from 1."),
    ],
)
