"""Writes `firmware/tests/vectors/slots.json`: `python tests/firmware/slot_vectors.py`.

What `propeller.slots` says of schedules around changes of the clock and at random, for the C core.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from propeller.deviceslots import device_slots  # noqa: E402  found by the path set above
from propeller.slots import slot_after, slot_before  # noqa: E402
from propeller.wire.entry_fields import SLOTS  # noqa: E402
from propeller.wire.timed_messages import WireSlots  # noqa: E402

FILE = "firmware/tests/vectors/slots.json"
HOUR = 3_600_000
START = 1_767_225_600_000
"""2026-01-01 in UTC."""
SCHEDULES = (
    ("* * * * *", "UTC"),
    ("*/15 6-18 * * *", "Europe/Belgrade"),
    ("30 2 * * *", "Europe/Belgrade"),
    ("0,30 1-3 * * *", "America/New_York"),
    ("*/20 2 * * *", "America/New_York"),
    ("15 */2 * * *", "Australia/Adelaide"),
    ("45 1 * * *", "Australia/Lord_Howe"),
    ("0 0 * * *", "Asia/Beirut"),
    ("30 0 * * *", "America/Havana"),
    ("0 */6 * * *", "America/Santiago"),
    ("59 23 * * 5", "Africa/Cairo"),
    ("0 12 L * *", "Asia/Kolkata"),
    ("0 4 29 2 *", "Pacific/Auckland"),
    ("0 4 1,15 * 1", "Pacific/Chatham"),
    ("0 4 */5 * 1-3", "America/Nuuk"),
    ("5 4 31 4,12 *", "Antarctica/Troll"),
    ("0 5 * * 0", "Asia/Jerusalem"),
    ("0 0 30 2 1", "UTC"),
)


def _moments(cron: str, zone: str) -> Iterator[int]:
    chance = random.Random(f"{cron} {zone}")
    for _ in range(6):
        yield START + chance.randrange(12 * 366 * 24 * HOUR)
    # Days on which a clock of the list changes, hour by hour, and one ms beside.
    for day in (1_774_742_400_000, 1_792_886_400_000, 1_772_928_000_000, 1_775_260_800_000):
        for hour in (0, 1, 2, 3, 6, 9, 15, 22):
            yield day + hour * HOUR
        yield day + chance.randrange(48) * HOUR // 2 - 1


def _newest(cron: str, zone: str, at: int) -> int | None:
    """The last slot not later than `at`: those after one long ago, one by one, for in an hour that
    comes twice cronsim does not see back what it saw ahead."""
    newest = slot_before(cron, zone, at - 24 * HOUR)
    following = slot_after(cron, zone, at - 24 * HOUR)
    while following is not None and following <= at:
        newest, following = following, slot_after(cron, zone, following)
    return newest


def cases() -> list[Any]:
    """A schedule, what it is on the wire, and its slots after and before some moments."""
    made = []
    for cron, zone in SCHEDULES:
        slots = device_slots(cron, zone)
        assert isinstance(slots, WireSlots)
        asked = [
            [at, slot_after(cron, zone, at), _newest(cron, zone, at)] for at in _moments(cron, zone)
        ]
        made.append({"cron": cron, "zone": zone, "slots": SLOTS.kind.to_json(slots), "at": asked})
    return made


def all_files() -> dict[str, str]:
    """File name -> text."""
    return {FILE: "[\n" + ",\n".join(json.dumps(case) for case in cases()) + "\n]\n"}


def main() -> None:
    """Write it."""
    for name, text in all_files().items():
        (ROOT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
