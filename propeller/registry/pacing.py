"""Which of the waiting `blob/get`s are answered now, so that a fleet does not drown its broker.

Used by the blob worker beside `serve.answer`. Pure: `now` comes in, in milliseconds of any
monotonic clock. A token is one answer on its way. We are not told when it arrived, so it ends when
the device's request numbers prove it (it may have `per_device` requests open, no more) or when
`expires` has passed. Devices take turns, each in the order it asked.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from propeller.wire.messages import BlobGet


@dataclass(slots=True)
class _Device:
    waiting: deque[BlobGet] = field(default_factory=deque)
    flying: dict[int, int] = field(default_factory=dict)  # req -> when its token expires


class Pacer:
    """Tokens in all and for each device. Time and counts only; it never sees bytes.

    waiting: requests kept for one device; one more is refused (answer `busy`).
    """

    def __init__(
        self, *, per_device: int = 2, in_all: int = 128, expires: int = 1000, waiting: int = 8
    ) -> None:
        self.per_device = per_device
        self.in_all = in_all
        self.expires = expires
        self.waiting = waiting
        self._devices: OrderedDict[str, _Device] = OrderedDict()

    def offer(self, get: BlobGet, now: int) -> bool:
        """Take a request; `ready` gives it back when its turn comes. False: too many wait already.

        A repeat of one that waits replaces it. Its number tells which answers have arrived.
        """
        device = self._devices.setdefault(get.id, _Device())
        self._expire(device, now)
        for req in [each for each in device.flying if each <= get.req - self.per_device]:
            del device.flying[req]
        for index, each in enumerate(device.waiting):
            if (each.digest, each.off) == (get.digest, get.off):
                device.waiting[index] = get
                return True
        if len(device.waiting) >= self.waiting:
            return False
        device.waiting.append(get)
        return True

    def ready(self, now: int) -> list[BlobGet]:
        """The requests to answer now; each takes a token."""
        for device in self._devices.values():
            self._expire(device, now)
        free = self.in_all - sum(len(device.flying) for device in self._devices.values())
        turn: list[BlobGet] = []
        progress = True
        while free > 0 and progress:
            progress = False
            for name in list(self._devices):
                device = self._devices[name]
                if free > 0 and device.waiting and len(device.flying) < self.per_device:
                    get = device.waiting.popleft()
                    device.flying[get.req] = now + self.expires
                    self._devices.move_to_end(name)
                    turn.append(get)
                    free -= 1
                    progress = True
        for name in [n for n, d in self._devices.items() if not d.waiting and not d.flying]:
            del self._devices[name]
        return turn

    def next_at(self) -> int | None:
        """When to call `ready` again though nothing was heard; None when nothing waits."""
        if not any(device.waiting for device in self._devices.values()):
            return None
        return min(
            (at for device in self._devices.values() for at in device.flying.values()), default=None
        )

    def forget(self, proplet: str) -> None:
        """The device went away: what it asked for is moot, and nothing flies to it."""
        self._devices.pop(proplet, None)

    def in_flight(self) -> int:
        """Tokens out at the last call."""
        return sum(len(device.flying) for device in self._devices.values())

    def _expire(self, device: _Device, now: int) -> None:
        for req in [req for req, at in device.flying.items() if at <= now]:
            del device.flying[req]
