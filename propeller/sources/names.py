"""What is taken in one tree of specs: identities, uids, device ids, and the room of an App.

Called by `load` with one object after the other, in the order of their files.
"""

from __future__ import annotations

from collections import Counter

from propeller.model.ceilings import Ceilings
from propeller.model.ids import Key, Uid
from propeller.model.specs import Modular, Object
from propeller.sources.nodes import Path


class Names:
    """What is taken: identities, uids and device ids, each by the first who claims it."""

    def __init__(self) -> None:
        self._keys: dict[Key, Object] = {}
        self._uids: dict[Uid, Object] = {}
        self._devices: dict[str, Object] = {}
        self._workloads: Counter[str] = Counter()

    def clash(self, made: Object) -> tuple[Path, str] | None:
        """Who has it already, as (field, message); None, and it is taken, when nobody has."""
        meta = made.meta
        twin = self._keys.setdefault(meta.key, made)
        if twin is not made:
            return ("metadata", "name"), f"{meta.key} is declared in {_place(twin)} already"
        twin = self._uids.setdefault(meta.uid, made)
        if twin is not made:
            return ("metadata", "uid"), f"{twin.meta.key} in {_place(twin)} has the same uid"
        if meta.key.kind == "Proplet":
            twin = self._devices.setdefault(meta.key.name, made)
            if twin is not made:
                message = f"{twin.meta.key} in {_place(twin)} is the same device: names are ids"
                return ("metadata", "name"), message
        return None

    def crowded(self, made: Object, ceilings: Ceilings) -> tuple[Path, str] | None:
        """The same for one more than its App may have."""
        if isinstance(made, Modular):
            self._workloads[made.meta.app] += 1
            most = ceilings.workloads
            if most is not None and self._workloads[made.meta.app] > most:
                message = (
                    f'is one more than {most}: spec.ceilings.workloads of App "{made.meta.app}"'
                )
                return ("metadata", "name"), message
        return None


def _place(made: Object) -> str:
    return f"{made.meta.origin.file}:{made.meta.origin.line}"
