"""From what a person types to the one object meant: name, kind/name, kind/namespace/name or uid.

Names that fit several objects are refused with the candidates, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from propeller.cli.names import kind_of, known_kind
from propeller.errors import UsageError
from propeller.model.ids import Key, Uid

if TYPE_CHECKING:
    from propeller.state.sqlite import SqliteStore

SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What was typed, read. None where nothing was said."""

    name: str
    kind: str | None = None
    namespace: str | None = None

    def fits(self, key: Key, uid: str) -> bool:
        """Whether this may mean that object."""
        if self.kind is not None and key.kind != self.kind:
            return False
        if self.namespace is not None and key.namespace != self.namespace:
            return False
        return self.name in (key.name, uid)


def read_name(text: str, *, namespace: str | None = None, kind: str | None = None) -> Named:
    """Read `name`, `kind/name` or `kind/namespace/name`. Raises UsageError."""
    parts = text.split("/")
    if not all(parts) or len(parts) > 3:
        raise UsageError(
            f"{text!r} names no object", hint="write NAME, KIND/NAME or KIND/NAMESPACE/NAME"
        )
    if len(parts) > 1:
        kind = known_kind(parts[0])
    if len(parts) == 3:
        namespace = parts[1]
    return Named(name=parts[-1], kind=kind, namespace=namespace)


def keys_of(store: SqliteStore) -> dict[Uid, Key]:
    """Every object of the inventory by uid."""
    known = {row.uid: row.key for row in store.statuses()}
    if not known:
        known = {held.uid: held.object.meta.key for held in store.inventory()}
    return known


def find(
    store: SqliteStore, text: str, *, namespace: str | None = None, kind: str | None = None
) -> tuple[Uid, Key]:
    """The one object that `text` means. Raises UsageError when it is none or several."""
    return choose(keys_of(store), text, namespace=namespace, kind=kind)


def choose(
    known: Mapping[Uid, Key], text: str, *, namespace: str | None = None, kind: str | None = None
) -> tuple[Uid, Key]:
    """As `find`, among `known`."""
    named = read_name(text, namespace=namespace, kind=kind)
    fits = sorted((key, uid) for uid, key in known.items() if named.fits(key, uid))
    if not fits:
        raise UsageError(f"there is no {_told(named)}", hint=_nearest(named, list(known.values())))
    if len(fits) > 1:
        listed = ", ".join(str(key) for key, _ in fits[:SHOWN])
        more = f" and {len(fits) - SHOWN} more" if len(fits) > SHOWN else ""
        raise UsageError(f"{text!r} may mean {listed}{more}", hint="say which: KIND/NAMESPACE/NAME")
    key, uid = fits[0]
    return uid, key


def _told(named: Named) -> str:
    kind = named.kind or "object"
    where = f" in namespace {named.namespace}" if named.namespace else ""
    return f"{kind} {named.name!r}{where}"


def _nearest(named: Named, keys: Sequence[Key]) -> str:
    import difflib

    if kind_of(named.name):
        return f"to list them: `propeller get {named.name}`"
    near = difflib.get_close_matches(named.name, {key.name for key in keys}, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return "`propeller get` lists what there is"
