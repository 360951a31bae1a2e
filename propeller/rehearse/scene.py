"""What `propeller simulate` plays: a tree of specs, a fleet, weather, faults; and how it went.

The planner, the loop, the store, rollouts and the agents are the real ones. What modules would do
is assumed: a task succeeds after a while, a daemon runs, and where a trap was asked for it traps.
No module is executed and no registry asked: an image stands for so many bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from propeller.sources.images import NOWHERE, Images


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A proplet to be played. memory: bytes for guests. mounts, points: as in a hello."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    imports: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    memory: int = 1 << 30
    max_module: int = 64 << 20
    max_payload: int = 256 << 10
    heartbeat: int = 30_000
    invented: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is asked for. Times in ms; loss, offline and traps' shares in 0..1.

    before: specs the fleet runs already when it begins, None for an empty fleet. back: within how
    long those that are off come back, None for never. traps: object name -> share of devices on
    which what is new of it traps. module_bytes: what an image weighs. restart_at: when the manager
    is killed and started again. plugin_images: who has modules of plugins.
    """

    specs: Path
    plugin_images: Images = NOWHERE
    before: Path | None = None
    seed: int = 1
    loss: float = 0.0
    offline: float = 0.0
    back: int | None = 600_000
    length: int = 3_600_000
    proplets: int = 0
    recorded: Sequence[Device] = ()
    traps: Mapping[str, float] = field(default_factory=dict)
    run_ms: int = 2_000
    module_bytes: int = 1 << 20
    restart_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One look. at: ms since the specs were taken. copies are as wanted of `wanted`."""

    at: int
    copies: int
    wanted: int
    ready: int
    objects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Something that happened, ms after the start."""

    at: int
    key: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it went. converged: when everything was Ready, ms, None if it never was.

    left: what was not Ready in the end and why. messages, sent: what the manager published.
    quantiles: share of copies -> when it was first reached and kept being, ms.
    """

    devices: int
    off: int
    curve: tuple[Point, ...]
    told: tuple[Told, ...]
    converged: int | None
    failed: bool
    left: tuple[str, ...]
    messages: int
    sent: int
    quantiles: Mapping[str, int | None]
    twice: int
