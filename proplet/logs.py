"""Reading a run's log for `op logs`: the tail, then what comes, piece by piece.

Called by the shell. A piece is at most 4 KiB of text; bytes the ring lost before they were read are
counted, never skipped in silence.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from proplet.effects import TailLog
from proplet.records import Key
from proplet.runtime.capture import STREAMS, end_of, read

EVERY = 200
"""Ms between two looks at a log that is followed."""
PIECE = 4096
BATCH = 32 * 1024
"""Bytes read of one stream in one look, so that a talkative guest does not hold the loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Text for an op; `last` closes it."""

    op: str
    stream: str = ""
    text: str = ""
    dropped: int = 0
    last: bool = False


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


@dataclass(slots=True)
class _Reading:
    op: str
    directory: Path
    key: Key
    until: int
    next: int
    places: dict[str, int]
    decoders: dict[str, codecs.IncrementalDecoder] = field(default_factory=dict)


class LogReads:
    """The logs being read. `alive` says whether a run may still write."""

    def __init__(self, alive: Callable[[Key], bool]) -> None:
        self._alive = alive
        self._readings: dict[str, _Reading] = {}

    def begin(self, wanted: TailLog, directory: Path, now: int) -> None:
        """Read from the last `tail` bytes on; `now` in monotonic ms."""
        streams = STREAMS if wanted.stream == "both" else (wanted.stream,)
        places = {}
        for stream in streams:
            start = max(0, end_of(directory, stream) - wanted.tail)
            places[stream] = read(directory, stream, start, 0)[0]
        self._readings[wanted.op] = _Reading(
            wanted.op,
            directory,
            wanted.key,
            now + wanted.follow,
            now,
            places,
            {stream: _decoder() for stream in streams},
        )

    def poll(self, now: int) -> list[Piece]:
        """What there is to tell now."""
        told: list[Piece] = []
        for reading in list(self._readings.values()):
            if now < reading.next:
                continue
            over = now >= reading.until or not self._alive(reading.key)
            more = self._look(reading, told)
            if over and not more:
                del self._readings[reading.op]
                told.append(Piece(op=reading.op, last=True))
            reading.next = now if more else now + EVERY
        return told

    @staticmethod
    def _look(reading: _Reading, told: list[Piece]) -> bool:
        """Read a batch of each stream; whether there may be more at once."""
        more = False
        for stream, place in reading.places.items():
            begin, data = read(reading.directory, stream, place, BATCH)
            reading.places[stream] = begin + len(data)
            more = more or len(data) == BATCH
            text = reading.decoders[stream].decode(data)
            dropped = begin - place
            for piece in _cut(text) or ([""] if dropped else []):
                told.append(Piece(op=reading.op, stream=stream, text=piece, dropped=dropped))
                dropped = 0
        return more

    def due(self) -> int | None:
        """When `poll` has something to do (monotonic ms)."""
        return min((reading.next for reading in self._readings.values()), default=None)


def _cut(text: str) -> list[str]:
    """Pieces of at most `PIECE` bytes of UTF-8."""
    pieces = []
    while text:
        step = min(len(text), PIECE)
        while len(text[:step].encode()) > PIECE:
            step = step * 3 // 4
        pieces.append(text[:step])
        text = text[step:]
    return pieces
