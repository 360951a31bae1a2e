"""Roles by namespace: what a caller was granted. Pure.

Four roles, each with what the one before has:

    viewer    sees
    operator  suspends, resumes, rejects, rolls back, cordons, restarts, invokes
    deployer  brings in and takes away objects of the API, lets plans through
    admin     reads the audit log

A grant is for some namespaces or for all (`*`). What belongs to the whole fleet (a proplet, a
plan) is seen by whoever may see anything, and changed by grants for all namespaces only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

EVERYWHERE: Final = "*"


class Role(StrEnum):
    """From least to most."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    DEPLOYER = "deployer"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """Larger may more."""
        return _ORDER.index(self)

    def includes(self, other: Role) -> bool:
        """Whether who has this role may do what `other` may."""
        return self.rank >= other.rank


_ORDER: Final = (Role.VIEWER, Role.OPERATOR, Role.DEPLOYER, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Grant:
    """A role in some namespaces; `*` among them means all."""

    role: Role
    namespaces: tuple[str, ...] = (EVERYWHERE,)

    def covers(self, role: Role, namespace: str) -> bool:
        """Whether it allows what `role` may in `namespace` (`*`: in all of them)."""
        known = EVERYWHERE in self.namespaces or namespace in self.namespaces
        return known and self.role.includes(role)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks. name: for records (`by`). via: socket, token, session, oidc or anonymous."""

    name: str
    via: str
    grants: tuple[Grant, ...]

    def may(self, role: Role, namespace: str = EVERYWHERE) -> bool:
        """Whether `role` was granted in `namespace` (`*`: in all of them)."""
        return any(grant.covers(role, namespace) for grant in self.grants)

    def may_somewhere(self, role: Role) -> bool:
        """Whether `role` was granted in any namespace."""
        return any(grant.namespaces and grant.role.includes(role) for grant in self.grants)

    @property
    def roles(self) -> list[dict[str, object]]:
        """The grants, for people and programs that ask who they are."""
        return [{"role": str(one.role), "namespaces": list(one.namespaces)} for one in self.grants]


ANONYMOUS: Final = Principal(name="anonymous", via="anonymous", grants=(Grant(Role.VIEWER),))
"""Who looks from this machine without a login, where that is allowed."""


FIRST_CLIENTS: Final = Principal(
    name="anonymous",
    via="anonymous",
    grants=(Grant(Role.VIEWER), Grant(Role.DEPLOYER, ("upstream",))),
)
"""Where the first Propeller's command line is used from this machine: it cannot show a login."""


def local(name: str) -> Principal:
    """Who may open the private socket may do everything: the state is theirs."""
    return Principal(name=name, via="socket", grants=(Grant(Role.ADMIN),))
