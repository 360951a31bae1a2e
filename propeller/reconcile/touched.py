"""What has to be looked at in the next turn, so that one report costs one proplet's work.

Filled by `World` and whoever changes it, emptied by the loop and the projection.
"""

from __future__ import annotations

from propeller.model.ids import PropletId, Uid


class Touched:
    """What has to be looked at in the next turn."""

    def __init__(self) -> None:
        self.everything = True
        self.objects: set[Uid] = set()
        self.proplets: set[PropletId] = set()
        self.documents: set[PropletId] = set()
        """Proplets whose wanted content may have changed."""
        self.deliveries: set[PropletId] = set()
        """Proplets that said something about what they hold."""
        self.statuses: set[Uid] = set()
        self.facts_moved = False

    def clear(self) -> None:
        """Forget what was touched by planning; statuses and documents have their own takers."""
        self.everything = False
        self.facts_moved = False
        self.objects = set()
        self.proplets = set()
