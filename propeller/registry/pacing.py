"""Which of the waiting `blob/get`s are answered now, so that a fleet does not drown its broker.

Used by the blob worker beside `serve.answer`. Pure: `now` comes in, in milliseconds of any
monotonic clock. A token is one answer on its way. We are not told when it arrived, so it ends when
the device's request numbers prove it (it may have `per_device` requests open, no more) or when
`expires` has passed. Devices take turns, each in the order it asked.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from propeller.wire.messages import BlobGet


@dataclass(slots=True)
class _Device:
    waiting: deque[BlobGet] = field(default_factory=deque)
    flying: dict[int, int] = field(default_factory=dict)  # req -> when its token expires
    free_at: int = 0  # what it was sent takes until then, at its rate


def _no_rate(_: str) -> int | None:
    return None


class Pacer:
    """Tokens in all and for each device. Time and counts only; it never sees bytes.

    waiting: requests kept for one device; one more is refused (answer `busy`). rate: bytes a second
    a device may be sent on average, None: any number.
    """

    def __init__(
        self,
        *,
        per_device: int = 2,
        in_all: int = 128,
        expires: int = 1000,
        waiting: int = 8,
        rate: Callable[[str], int | None] = _no_rate,
    ) -> None:
        self.per_device = per_device
        self.in_all = in_all
        self.expires = expires
        self.waiting = waiting
        self._rate = rate
        self._looked = 0
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
        self._looked = now
        for device in self._devices.values():
            self._expire(device, now)
        free = self.in_all - sum(len(device.flying) for device in self._devices.values())
        turn: list[BlobGet] = []
        progress = True
        while free > 0 and progress:
            progress = False
            for name in list(self._devices):
                device = self._devices[name]
                room = len(device.flying) < self.per_device and device.free_at <= now
                if free > 0 and device.waiting and room:
                    get = device.waiting.popleft()
                    rate = self._rate(name)
                    if rate is not None:
                        device.free_at = max(now, device.free_at) + -(-get.len * 1000 // rate)
                    device.flying[get.req] = now + self.expires
                    self._devices.move_to_end(name)
                    turn.append(get)
                    free -= 1
                    progress = True
        idle = [
            name
            for name, device in self._devices.items()
            if not device.waiting and not device.flying and device.free_at <= now
        ]
        for name in idle:
            del self._devices[name]
        return turn

    def next_at(self) -> int | None:
        """When to call `ready` again though nothing was heard; None when nothing waits."""
        waiting = [device for device in self._devices.values() if device.waiting]
        if not waiting:
            return None
        times = [at for device in self._devices.values() for at in device.flying.values()]
        # A pace that was due already waits for a token of somebody else's.
        times += [device.free_at for device in waiting if device.free_at > self._looked]
        return min(times, default=None)

    def forget(self, proplet: str) -> None:
        """The device went away: what it asked for is moot, and nothing flies to it."""
        self._devices.pop(proplet, None)

    def in_flight(self) -> int:
        """Tokens out at the last call."""
        return sum(len(device.flying) for device in self._devices.values())

    def _expire(self, device: _Device, now: int) -> None:
        for req in [req for req, at in device.flying.items() if at <= now]:
            del device.flying[req]
