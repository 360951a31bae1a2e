"""The table of proplets: declared ones and those that announced themselves, as last heard.

Used by `get proplets` and `proplets list`. Silence has an age and is shown as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from propeller.cli import output
from propeller.cli.clock import age, span
from propeller.cli.statuses import Document, documents, message, ready_cell
from propeller.cli.table import Cell
from propeller.model.conditions import moment

if TYPE_CHECKING:
    from propeller.model.seen import Seen
    from propeller.state.layout import StateDir
    from propeller.state.sqlite import SqliteStore

HEADS = ("NAME", "READY", "PRESENCE", "RUNS", "HEARD", "MESSAGE")
WIDE = ("DECLARED", "RUNTIME", "MEMORY", "TASKS", "LABELS")


def proplet_items(store: SqliteStore, now: int) -> list[dict[str, Any]]:
    """One item a proplet, sorted by name; `status.conditions` only where it is declared."""
    declared: dict[str, Document] = {}
    for document in documents(store):
        if document["kind"] == "Proplet":
            declared[document["metadata"]["name"]] = document
    seen = {str(one.id): one for one in store.fleet()}
    return [
        _item(name, declared.get(name), seen.get(name), now) for name in sorted({*declared, *seen})
    ]


def print_proplets(form: str, items: Sequence[dict[str, Any]]) -> None:
    """Print them as `form` says."""
    output.print_list(
        form,
        items,
        heads=HEADS,
        row=_row,
        name=lambda item: (
            f"Proplet/{item['metadata']['namespace']}/{item['metadata']['name']}"
            if item["declared"]
            else f"Proplet/{item['metadata']['name']}"
        ),
        wide_heads=WIDE,
        wide_row=_wide,
    )


def tell_silence(state: StateDir) -> None:
    """Presence is what a reconciler last heard: say so where none listens."""
    from propeller.state.lease import Lease

    if Lease(state.run).holder() is None:
        output.say("no reconciler is running: this is as last heard")


def _item(name: str, document: Document | None, seen: Seen | None, now: int) -> dict[str, Any]:
    if document is not None:
        item: dict[str, Any] = dict(document)
        item["status"] = dict(item["status"])
    else:
        item = {"kind": "Proplet", "metadata": {"name": name}, "status": {"conditions": []}}
    item["declared"] = document is not None
    if seen is None:
        item["seen"] = None
        return item
    item["seen"] = {
        "presence": str(seen.presence),
        "lastHeard": moment(seen.last_heard) if seen.last_heard else None,
        "silentMs": now - seen.offline_since if seen.offline_since else None,
        "runs": len(seen.runs),
        "labels": dict(sorted(seen.labels.items())),
        "scheduling": "Drain" if seen.draining else "Cordon" if seen.cordoned else "Enabled",
        "quarantine": seen.quarantine,
        "memory": seen.memory if seen.memory is not None else (seen.facts and seen.facts.memory),
        "tasks": seen.tasks if seen.tasks is not None else (seen.facts and seen.facts.tasks),
        "runtime": f"{seen.facts.runtime} {seen.facts.runtime_version}".strip()
        if seen.facts
        else "",
        "heard": age(seen.last_heard, now),
    }
    return item


def _row(item: Document) -> output.Row:
    seen = item["seen"]
    name = item["metadata"]["name"]
    if seen is None:
        return (name, ready_cell(item), Cell("Unknown", "odd"), "-", "never", message(item))
    presence = seen["presence"]
    tone = {"Online": "good", "Offline": "bad"}.get(presence, "odd")
    words = []
    if seen["quarantine"]:
        words.append(f"quarantined: {seen['quarantine']}")
    if seen["silentMs"] is not None and presence != "Online":
        words.append(f"silent for {span(seen['silentMs'])}")
    if seen["scheduling"] != "Enabled":
        words.append("draining" if seen["scheduling"] == "Drain" else "cordoned")
    if not item["declared"]:
        words.append("discovered, not declared")
    ready = ready_cell(item) if item["declared"] else Cell("-")
    heard = "never" if seen["lastHeard"] is None else f"{seen['heard']} ago"
    said = "; ".join(words) or (message(item) if item["declared"] else "")
    return (name, ready, Cell(presence, tone), str(seen["runs"]), heard, said)


def _wide(item: Document) -> output.Row:
    from propeller.model.quantities import size_text

    seen = item["seen"]
    declared = "yes" if item["declared"] else "no"
    if seen is None:
        return (declared, "-", "-", "-", "-")
    memory = size_text(seen["memory"]) if seen["memory"] else "-"
    labels = ",".join(f"{name}={value}" for name, value in seen["labels"].items())
    return (declared, seen["runtime"], memory, str(seen["tasks"] or "-"), labels)
