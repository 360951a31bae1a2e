"""When an older run of an object gives way to its successor. Pure.

Called by `runs`. An entry says how it takes over (`update`): left out, the old guest is stopped
once the new one could start; `KillThenDownload` has it gone before anything is fetched; `HandOver`
has it go on until the new one is ready. Only daemons take over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from propeller.wire.messages import Hello
from proplet.capacity import Room
from proplet.effects import Effect, Say
from proplet.live import Live, Phase

_COMING = frozenset({Phase.WAITING, Phase.FETCHING, Phase.PREPARING})


def older(live: Live, lives: Collection[Live]) -> list[Live]:
    """The runs of the same object that are not listed any more and still here."""
    return [
        one
        for one in lives
        if not one.wanted and one.record.uid == live.record.uid and one is not live
    ]


def awaited(
    old: Live, lives: Collection[Live], hello: Hello, emit: Callable[[Effect], None]
) -> bool:
    """Whether a guest that is not listed any more goes on for its successor's sake."""
    if not old.daemon:
        return False
    uid = old.record.uid
    return any(
        _needs_it(one, lives, hello, emit)
        for one in lives
        if one.wanted and one.daemon and one.record.uid == uid
    )


def _needs_it(
    new: Live, lives: Collection[Live], hello: Hello, emit: Callable[[Effect], None]
) -> bool:
    could_start = new.prepared == new.entry.digest
    if new.kills_first:
        return False
    if not new.hands_over:
        return new.phase in _COMING and not could_start
    if new.ready:
        return False
    if new.phase in _COMING and could_start and not Room(hello, lives).fits(new):
        words = f"{new.entry.ref}: there is no room for two copies, so the old one is stopped first"
        emit(Say("warning", words))
        return False
    # Not ready yet, or failed: the old one serves until the list says otherwise.
    return True
