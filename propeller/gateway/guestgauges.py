"""Numbers that guests tell of themselves (`propeller.metric`), over the copies of each object.

Called by `metrics`. Devices name a guest by the first digits of its object's uid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from propeller.model.ids import Key, Uid
from propeller.model.samples import NAMED
from propeller.model.seen import Presence, Seen

MOST = 256
"""Pairs of object and number that are told: the first ones by name."""


def over_copies(seen: Iterable[Seen], objects: Mapping[Uid, Key]) -> dict[tuple[str, ...], float]:
    """By namespace, kind, name, gauge, and mean, min or max; of devices that are there."""
    known = {uid[:NAMED]: key for uid, key in objects.items()}
    found: dict[tuple[str, str, str, str], list[int]] = {}
    for one in seen:
        if one.presence is not Presence.ONLINE:
            continue
        for word, value in one.metrics.items():
            head, _, rest = word.partition("/")
            mark, _, gauge = rest.partition("/")
            key = known.get(mark)
            if head == "g" and key is not None:
                place = (key.namespace, key.kind, key.name, gauge)
                found.setdefault(place, []).append(value)
    told: dict[tuple[str, ...], float] = {}
    for place in sorted(found)[:MOST]:
        values = found[place]
        told[*place, "mean"] = sum(values) / len(values) / 1000
        told[*place, "min"], told[*place, "max"] = min(values) / 1000, max(values) / 1000
    return told
