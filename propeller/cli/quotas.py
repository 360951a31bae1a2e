"""`quotas` of the configuration: how much each namespace may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from propeller.errors import UsageError
from propeller.model.quantities import size_bytes
from propeller.model.quotas import Quota

if TYPE_CHECKING:
    from collections.abc import Mapping

    from propeller.cli.settings import Fleet


def quotas_of(fleet: Fleet) -> Mapping[str, Quota]:
    """By namespace. Raises UsageError naming file and field."""
    found: dict[str, Quota] = {}
    for number, row in enumerate(fleet.quotas):
        where = f"{fleet.path}: quotas[{number}]"
        name = row["namespace"]
        if name in found:
            raise UsageError(f"{where}.namespace: {name} is there twice")
        memory = row.get("memory")
        found[name] = Quota(
            copies=row.get("copies"),
            memory=None if memory is None else size_bytes(memory),
            calls=row.get("calls"),
        )
    return found
