"""Sensors and outputs of this device: what its owner configured, and what an output falls back to.

The owner names each and says which file is behind it: sysfs, hwmon and iio are files of one number.
Guests read and write them in their own processes (`runtime.points`), so a driver that hangs holds
up nobody else. An output that a guest drove goes back to its safe value when the guest has ended,
all of them when the agent starts and when it leaves. That is done here, on a thread of its own.
"""

from __future__ import annotations

import logging
import math
import queue
import re
import shlex
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from propeller.wire.messages import Entry
from propeller.wire.point_messages import MAX_OFFERED, MAX_POINT_RATE, OUTPUT
from proplet.records import Key
from proplet.runtime.pointfiles import Unanswered, write_number
from proplet.runtime.talk import Words

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_UNIT = re.compile(r"[A-Za-z0-9%/.*^-]{1,16}")
_log = logging.getLogger("proplet")

PATIENCE = 3.0
"""Seconds that a guest's start, or the agent's leaving, waits for outputs to become safe."""

COUNTED: Final = ("pointDenied", "pointFast", "pointFailed")
"""What a worker says of calls that were not carried out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One sensor or output. `file` holds a raw number: value = (raw + offset) * scale.

    low, high: values an output takes, in its unit; safe: the one it has when nobody drives it.
    rate: reads or writes a second that the owner allows one process.
    """

    name: str
    file: Path
    output: bool
    scale: float = 1.0
    offset: float = 0.0
    low: float = 0.0
    high: float = 1.0
    safe: float = 0.0
    rate: int = MAX_POINT_RATE
    unit: str = ""

    @property
    def offered(self) -> str:
        """As a hello names it."""
        return f"{self.name}{OUTPUT}" if self.output else self.name

    def raw(self, value: float) -> float:
        """What the file is given."""
        return value / self.scale - self.offset


NONE: Final[Mapping[str, Point]] = MappingProxyType({})


def read_sensor(text: str) -> Point:
    """`NAME=FILE [scale=X] [offset=X] [rate=N] [unit=TEXT]`, words as a shell has them."""
    return _point(text, output=False)


def read_output(text: str) -> Point:
    """`NAME=FILE [min=X] [max=X] [safe=X] [scale=X] [offset=X] [rate=N] [unit=TEXT]`."""
    return _point(text, output=True)


def _point(text: str, *, output: bool) -> Point:
    name, equals, rest = text.partition("=")
    form = f"{text[:80]!r} is not NAME=FILE and words such as scale=0.001"
    if not equals or _NAME.fullmatch(name) is None:
        raise ValueError(form)
    try:
        path, *words = shlex.split(rest)
    except ValueError:
        raise ValueError(form) from None
    if not path.startswith("/"):
        raise ValueError(f"{name}: {path[:80]!r} is not an absolute path")
    numbers = {"scale": 1.0, "offset": 0.0}
    if output:
        numbers |= {"min": 0.0, "max": 1.0}
    rate, unit = MAX_POINT_RATE, ""
    for word in words:
        key, equals, value = word.partition("=")
        if key == "rate" and value.isdecimal() and 1 <= int(value) <= MAX_POINT_RATE:
            rate = int(value)
        elif key == "unit" and _UNIT.fullmatch(value):
            unit = value
        elif key in numbers or (output and key == "safe"):
            numbers[key] = _finite(name, key, value)
        else:
            known = ", ".join([*numbers, *(["safe"] if output else []), "rate", "unit"])
            raise ValueError(f"{name}: {word[:80]!r} is none of {known}, or not one it may be")
    if not numbers["scale"]:
        raise ValueError(f"{name}: scale must not be 0")
    low, high = numbers.get("min", 0.0), numbers.get("max", 1.0)
    safe = numbers.get("safe", low)
    if not low <= safe <= high:
        raise ValueError(f"{name}: safe={safe:g} is not between min={low:g} and max={high:g}")
    return Point(
        name=name,
        file=Path(path),
        output=output,
        scale=numbers["scale"],
        offset=numbers["offset"],
        low=low,
        high=high,
        safe=safe,
        rate=rate,
        unit=unit,
    )


def _finite(name: str, key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name}: {key}={text[:40]!r} is not a number")
    return value


def together(sensors: Iterable[Point], outputs: Iterable[Point]) -> dict[str, Point]:
    """All by name. Raises ValueError."""
    found: dict[str, Point] = {}
    for point in (*sensors, *outputs):
        if point.name in found:
            raise ValueError(f"the point {point.name!r} is given twice")
        found[point.name] = point
    if len(found) > MAX_OFFERED:
        raise ValueError(f"{len(found)} points, the most is {MAX_OFFERED}")
    return found


def there(points: Mapping[str, Point]) -> dict[str, Point]:
    """Those whose file is there: a sensor that is unplugged is offered to nobody."""
    for point in points.values():
        if not point.file.exists():
            _log.warning("point %s is not offered: there is no %s", point.name, point.file)
    return {name: point for name, point in points.items() if point.file.exists()}


def shown(points: Iterable[Point]) -> list[str]:
    """For `--check-config`."""
    return [
        f"{point.name}={point.file}" + (f" (safe={point.safe:g})" if point.output else "")
        for point in points
    ]


class Points:
    """See the module. Every method but those of its thread is the shell's."""

    def __init__(self, points: Mapping[str, Point] = NONE) -> None:
        self._points = points
        self._driven: dict[str, set[Key]] = {}
        self._jobs: queue.SimpleQueue[Point | threading.Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.counts: Counter[str] = Counter()

    def rows(self, entry: Entry) -> list[tuple[object, ...]]:
        """What a worker is told of its points: `runtime.points` reads it."""
        found: list[tuple[object, ...]] = []
        for grant in entry.points:
            point = self._points.get(grant.read if grant.read is not None else grant.write or "")
            if point is None or point.output != (grant.write is not None):
                continue  # refused before; a guest is told that there is none
            rate = min(grant.rate, point.rate)
            numbers = (point.scale, point.offset, point.low, point.high)
            way = "write" if point.output else "read"
            found.append((grant.name, way, point.name, str(point.file), rate, *numbers))
        return found

    def rest(self) -> None:
        """Make every output safe: nobody drives one when an agent has just started."""
        for point in self._points.values():
            if point.output:
                self._put(point)

    def ready(self, entry: Entry) -> bool:
        """Whether what was to be made safe is, so that a new guest's word comes after. Bounded."""
        if self._thread is None or not any(grant.write is not None for grant in entry.points):
            return True
        return self._settled()

    def said(self, key: Key, message: Words) -> None:
        """A worker is about to drive an output, or tells what was not carried out."""
        if message.get("event") == "drives":
            name = str(message.get("name"))
            if name in self._points and self._points[name].output:
                self._driven.setdefault(name, set()).add(key)
            return
        for name in COUNTED:
            count = message.get(name)
            if isinstance(count, int) and 0 < count < 1 << 31:
                self.counts[name] += count

    def ended(self, key: Key) -> None:
        """The guest is gone: what it alone drove becomes safe."""
        for name, keys in list(self._driven.items()):
            keys.discard(key)
            if not keys:
                del self._driven[name]
                self._put(self._points[name])

    def close(self) -> None:
        """No guest is left: what they drove becomes safe before the agent leaves."""
        for name in list(self._driven):
            del self._driven[name]
            self._put(self._points[name])
        if self._thread is not None and not self._settled():
            _log.error("outputs did not become safe in %g s", PATIENCE)

    def _put(self, point: Point) -> None:
        self._jobs.put(point)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="points", daemon=True)
            self._thread.start()

    def _settled(self) -> bool:
        done = threading.Event()
        self._jobs.put(done)
        return done.wait(PATIENCE)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if isinstance(job, threading.Event):
                job.set()
                continue
            try:
                write_number(str(job.file), job.raw(job.safe))
            except Unanswered as error:
                _log.error("output %s is not safe: %s: %s", job.name, job.file, error)
