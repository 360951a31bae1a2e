"""Schedules that a device keeps, as an agent lives them: two conversations for `agent_vectors`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent_script import WALL, Script, a_daemon, digest_of

from propeller.deviceslots import device_slots
from propeller.wire.messages import BlobRef, Entry
from propeller.wire.timed_messages import WireSchedule, WireSlots, slot_run
from proplet.effects import Outcome

MINUTE = 60_000
EVERY = "* * * * *"
WELL = Outcome(ok=True, exit=0, result="21")
BADLY = Outcome(ok=False, exit=1, error="no sensor")
STOPPED = Outcome(ok=False, error="stopped")


def _timed(
    number: int, cron: str, zone: str = "UTC", *, more: dict[str, Any] | None = None, **changes: Any
) -> Entry:
    slots = device_slots(cron, zone)
    assert isinstance(slots, WireSlots)
    schedule = WireSchedule(cron=cron, zone=zone, slots=slots, **(more or {}))
    return a_daemon(number, mode="timed", schedule=schedule, **changes)


def _child(entry: Entry, slot: int, attempt: int = 1) -> Entry:
    """The run of one time, as both sides name it."""
    return replace(entry, run=slot_run(entry.run, slot, attempt))


def _slot(number: int) -> int:
    """The slot that is the so-many-th minute after the beginning."""
    return (WALL // MINUTE + number) * MINUTE


def timed() -> Script:
    """Times come, fail, are tried again, overlap, and results beyond those held go."""
    script = Script(
        "Schedules kept by the device: each time once, retries, overlap, results held and let go,"
        " an edit between two runs, logs of the newest, cancelled and taken away."
    )
    plain = _timed(1, EVERY, more={"keep": 2}, max_restarts=1, backoff_base=4_000)
    second = _timed(2, EVERY, more={"overlap": "Replace", "jitter": 30_000})
    script.online(plain, second)
    script.started(plain, second)
    script.manager("online")
    script.wait(MINUTE)
    script.ended(_child(plain, _slot(1)), WELL)
    script.wait(MINUTE)
    script.ended(_child(plain, _slot(2)), BADLY)
    script.wait(5_000)  # once more, as retries say
    script.ended(_child(plain, _slot(2), 2), BADLY)
    script.op("logs", plain)
    script.log_piece("op1", "seen", last=True)
    script.wait(35_000)  # the other is still at its first time: the next takes over
    script.ended(_child(second, _slot(1)), STOPPED)
    script.wait(20_000)
    large = replace(WELL, result=None, blob=BlobRef(digest=digest_of(b"large"), size=5))
    script.ended(_child(plain, _slot(3)), large)
    script.ack(digest_of(b"large"), 5, "stored")
    script.ended(_child(second, _slot(2)), WELL)
    edited = _timed(1, "1 4 * * *", "Europe/Belgrade", more={"keep": 2})
    script.wait(MINUTE)
    script.want(edited, second, gen=2)  # one is under way: the edit waits
    script.prepared(edited)
    script.wait(10)
    script.ended(_child(plain, _slot(4)), WELL)
    script.prepared(edited)
    script.wait(5_000)
    script.op("restart", edited)  # there is no guest to wait for
    script.op("cancel", second)
    for slot in (_slot(3), _slot(4)):
        script.ended(_child(second, slot), STOPPED)
    script.wait(1_000)
    script.want(gen=3)
    script.wait(1_000)
    return script


def timed_alone() -> Script:
    """The same with no manager, no clock, and over reboots."""
    script = Script(
        "A schedule without its manager: results that go with nobody to tell are counted, a power"
        " cut ends a run, missed times are one or none, a spent budget and an unset clock begin"
        " nothing."
    )
    plain = _timed(1, EVERY, more={"keep": 1, "missed": "Skip", "deadline": 10_000})
    brief = _timed(2, EVERY, more={"keep": 1}, autonomy=150_000, max_restarts=0)
    script.online(plain, brief)
    script.started(plain, brief)
    script.manager("online")
    script.wait(10_000)
    script.disconnect()
    for number in (1, 2):
        script.wait(_slot(number) + 1_000 - script.wall)
        script.ended(_child(plain, _slot(number)), WELL)
        script.ended(_child(brief, _slot(number)), WELL)
    script.wait(_slot(3) + 1_000 - script.wall)  # the budget of one is spent, the other runs
    script.boot()
    script.synced = False
    script.fetched()
    script.prepared(plain)
    script.prepared(brief)
    script.wait(MINUTE)  # its clock is not set: nothing is begun
    script.wall += 30_000
    script.synced = True
    script.wait(2 * MINUTE)
    script.connect()
    script.manager("online", conn=2)
    script.prepared(brief)
    script.wait(MINUTE)
    script.drain()
    for entry in (plain, brief):
        for number in range(3, 9):
            script.ended(_child(entry, _slot(number)), STOPPED)
    script.wait(5_000)
    return script
