"""What waits for a window as rows, and back. Imported by `windows` when the first one is read."""

from __future__ import annotations

from propeller.model.ids import Uid
from propeller.model.module import Module
from propeller.model.withheld import Override, Withheld
from propeller.state.columns import from_json, shared, to_json
from propeller.state.database import Row
from propeller.state.inventory_rows import held_of, held_row, resolved_of, resolved_text


def withheld_row(withheld: Withheld) -> Row:
    return (
        withheld.uid,
        None if withheld.held is None else to_json(list(held_row(withheld.held))),
        None if withheld.module is None else resolved_text(withheld.module),
    )


def withheld_of(row: Row) -> Withheld:
    uid, held, module = row
    resolved = None if module is None else resolved_of(module)
    assert resolved is None or isinstance(resolved, Module)
    return Withheld(
        uid=Uid(shared(uid)),
        held=None if held is None else held_of(tuple(from_json(held))),
        module=resolved,
    )


def override_of(row: Row) -> Override:
    uid, mark, by, reason, at = row
    return Override(uid=Uid(shared(uid)), mark=mark, by=by, reason=reason, at=at)
