"""Which objects are given which Secrets, so that a Secret that changed is looked for nowhere else.

Owned by `World`. A Secret counts as a user of itself: its own status tells how it is.
"""

from __future__ import annotations

from collections.abc import Collection

from propeller.model.ids import Uid
from propeller.model.inventory import Held
from propeller.model.specs import Daemon, Secret, Task, Workload


class SecretUsers:
    """(namespace, name) of a Secret -> the objects that use it."""

    def __init__(self) -> None:
        self._users: dict[tuple[str, str], set[Uid]] = {}

    def note(self, before: Held | None, held: Held | None) -> None:
        """An object came, changed or went."""
        if before is not None:
            for name in secrets_of(before):
                self._users[name].discard(before.uid)
        if held is not None:
            for name in secrets_of(held):
                self._users.setdefault(name, set()).add(held.uid)

    def of(self, name: tuple[str, str]) -> Collection[Uid]:
        """Who uses it."""
        return self._users.get(name, frozenset())


def name_of(secret: Secret) -> tuple[str, str]:
    return secret.meta.key.namespace, secret.meta.key.name


def secrets_of(held: Held) -> tuple[tuple[str, str], ...]:
    """The Secret that the object is, or those it uses."""
    thing = held.object
    if isinstance(thing, Secret):
        return (name_of(thing),)
    return given_to(thing) if isinstance(thing, Task | Daemon) else ()


def given_to(thing: Workload) -> tuple[tuple[str, str], ...]:
    return tuple((thing.meta.key.namespace, one.secret) for one in thing.run.secrets)
