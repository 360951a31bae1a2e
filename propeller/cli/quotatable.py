"""`propeller get quotas`: what each namespace has of what it may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from propeller.cli import output
from propeller.plan.fit import size_text

if TYPE_CHECKING:
    from propeller.cli.output import Row
    from propeller.state.sqlite import SqliteStore

HEADS = ("NAMESPACE", "COPIES", "MEMORY", "CALLS")
WORDS = (["quota"], ["quotas"])
"""What `get` is asked with for it."""


def print_quotas(form: str, store: SqliteStore, namespace: str | None) -> None:
    """One row a namespace that has a quota or holds something; only this one, if given."""
    from propeller.reconcile.allotment import allotment, share_form

    with store.transaction():
        items = [share_form(one) for one in allotment(store) if namespace in (None, one.namespace)]
    if not items and form in ("table", "wide"):
        output.say("no namespace holds anything, and none has a quota")
        return
    output.print_list(
        form, items, heads=HEADS, row=_row, name=lambda item: f"Quota/{item['namespace']}"
    )


def _row(item: Mapping[str, Any]) -> Row:
    return (
        item["namespace"],
        _cell(item["copies"], str),
        _cell(item["memory"], size_text),
        _cell(item["calls"], str),
    )


def _cell(share: Mapping[str, Any], text: Any) -> str:
    used = text(share["used"])
    return used if share["limit"] is None else f"{used} of {text(share['limit'])}"
