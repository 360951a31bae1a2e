"""The files behind sensors and outputs: one number each, as the kernel's sysfs, hwmon and iio have.

Used by a guest's process for the guest, and by the agent to make an output safe. Nothing here waits
for a pipe or a device that has nothing to say; a driver may still take its time.
"""

from __future__ import annotations

import math
import os

MOST = 64
"""Bytes looked at: a number has fewer."""


class Unanswered(Exception):
    """The file gives no number, or takes none; in words."""


def read_number(path: str) -> float:
    """The number in the file, the first word of it. Raises Unanswered."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            data = os.read(handle, MOST)
        finally:
            os.close(handle)
    except OSError as error:
        raise Unanswered(error.strerror or "error") from None
    words = data.split(maxsplit=1)
    try:
        value = float(words[0]) if words and b"_" not in words[0] else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Unanswered("holds no number")
    return value


def write_number(path: str, value: float) -> None:
    """Put the number there, as the nearest whole one. Raises Unanswered."""
    data = b"%d\n" % round(value)
    try:
        flags = os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        handle = os.open(path, flags)
        try:
            if os.write(handle, data) != len(data):
                raise Unanswered("took a part of it")
        finally:
            os.close(handle)
    except OSError as error:
        raise Unanswered(error.strerror or "error") from None
