"""`propeller tree`: Apps, their objects and where each copy is, as a tree."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from propeller.cli import statuses
from propeller.cli.context import add_state, existing_state, open_store
from propeller.cli.output import add_data, colour_on, print_data, say
from propeller.cli.statuses import Document
from propeller.cli.table import paint, printable

_STATE_TONES = {
    "Succeeded": "good",
    "Running": "good",
    "Failed": "bad",
    "Refused": "bad",
    "Interrupted": "bad",
    "BackOff": "bad",
    "Waiting": "odd",
    "Skipped": "dim",
}


_ALARMS = ("Reconciling", "Stalled", "Blocked", "DriftDetected")
_NEEDS = ("Healthy", "Delivered", "Fresh")

MANY = 100
"""Copies from which on a status document lists no more of them (`reconcile.project`)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `tree`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="only this App or object")
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    add_state(parser)
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Print; returns the exit code."""
    store = open_store(existing_state(args))
    try:
        found = list(statuses.documents(store))
        silent = {str(seen.id) for seen in store.fleet() if seen.presence != "Online"}
        root = None
        if args.name is not None and not _is_implicit_app(args.name, found):
            from propeller.cli.find import find

            uid, _ = find(store, args.name, namespace=args.namespace)
            root = next((one for one in found if one["metadata"]["uid"] == uid), None)
    finally:
        store.close()
    growth = _Growth(found, silent)
    nodes = [growth.node(root)] if root is not None else growth.roots(args.name)
    if args.output != "text":
        print_data(args.output, {"kind": "Tree", "items": nodes})
        return 0
    if not nodes:
        say("no objects yet")
    for node in nodes:
        for line in _lines(node, "", "", colour=colour_on()):
            print(line)
    return 0


def _is_implicit_app(name: str, found: Sequence[Document]) -> bool:
    """`default` and `run` are Apps that nobody wrote."""
    text = name.removeprefix("app/").removeprefix("App/")
    declared = any(one["kind"] == "App" and one["metadata"]["name"] == text for one in found)
    return not declared and any(one["metadata"]["app"] == text for one in found)


class _Growth:
    """Makes nodes of documents. silent: proplets whose copies are only as last heard."""

    def __init__(self, found: Sequence[Document], silent: Collection[str]) -> None:
        self._found = found
        self._silent = silent
        self._wholes = {statuses.key_text(one) for one in found if one["kind"] == "Workflow"}

    def roots(self, only: str | None) -> list[dict[str, Any]]:
        """The implicit Apps, which nobody wrote and everything else hangs on."""
        declared = {one["metadata"]["name"] for one in self._found if one["kind"] == "App"}
        implicit = sorted({one["metadata"]["app"] for one in self._found} - declared)
        if only is not None:
            implicit = [only.rpartition("/")[2]]
        return [
            {"object": f"App/{name}", "ready": None, "message": "", "below": self._of_app(name)}
            for name in implicit
        ]

    def node(self, document: Document) -> dict[str, Any]:
        """One object with what is below it."""
        if document["kind"] == "App":
            below = self._of_app(document["metadata"]["name"])
        elif document["kind"] == "Workflow":
            below = self._steps(document)
        else:
            copies = document["status"].get("copies", ())
            below = [self._copy(copy) for copy in copies]
            untold = document["status"].get("devices", {}).get("desired", 0) - len(copies)
            if len(copies) >= MANY and untold > 0:
                words = f"and {untold} more: `propeller why {statuses.key_text(document)}`"
                below.append({"object": words, "state": "", "message": "", "below": []})
        conditions = document["status"]["conditions"]
        return {
            "object": statuses.key_text(document),
            "ready": statuses.ready_cell(document).text,
            "conditions": {one["type"]: one["status"] for one in conditions},
            "message": statuses.message(document),
            "below": below,
        }

    def _steps(self, document: Document) -> list[dict[str, Any]]:
        """The steps of a Workflow in the order written, with the copies of their Tasks."""
        whole = statuses.key_text(document)
        tasks = {
            one["metadata"]["name"]: one
            for one in self._found
            if one["metadata"].get("partOf") == whole
        }
        rows = document["status"].get("steps")
        if rows is None:
            return [self.node(task) for task in tasks.values()]
        return [
            self._step(row, tasks.get(f"{document['metadata']['name']}-{row['name']}"))
            for row in rows
        ]

    def _step(self, row: Mapping[str, Any], task: Document | None) -> dict[str, Any]:
        words = [f"after {', '.join(row['after'])}"] if "after" in row else []
        words += [row["why"]] if "why" in row else []
        if "result" in row:
            words.append(f"result {row['result'].strip()[:60]!r}")
        copies = () if task is None else task["status"].get("copies", ())
        return {
            "object": f"step {row['name']}",
            "state": row["state"],
            "message": "; ".join(words),
            "below": [self._copy(copy) for copy in copies],
        }

    def _of_app(self, name: str) -> list[dict[str, Any]]:
        return [
            self.node(one)
            for one in self._found
            if one["metadata"]["app"] == name
            and one["metadata"].get("partOf") not in self._wholes
            and not (one["kind"] == "App" and one["metadata"]["name"] == name)
        ]

    def _copy(self, copy: dict[str, Any]) -> dict[str, Any]:
        words = []
        if copy["proplet"] in self._silent:
            words.append("not heard now")
        if copy.get("exit") is not None:
            words.append(f"exit {copy['exit']}")
        if copy.get("result") is not None:
            words.append(f"result {copy['result'].strip()[:60]!r}")
        if copy.get("restarts"):
            words.append(f"{copy['restarts']} restarts")
        if copy.get("error"):
            words.append(copy["error"])
        return {
            "object": f"on {copy['proplet']}",
            "run": copy["run"],
            "state": copy["state"],
            "message": ", ".join(words),
            "below": [],
        }


def _lines(node: dict[str, Any], head: str, indent: str, *, colour: bool) -> Iterator[str]:
    state = node.get("state") or node.get("ready") or ""
    tone = _STATE_TONES.get(state, "odd") if "state" in node else statuses.TONES.get(state, "")
    said = printable(node["message"])
    odd = _odd(node.get("conditions", {}))
    run = f"run {node['run'][:12]}" if "run" in node else ""
    parts = [node["object"], paint(state, tone, colour=colour), odd, said, run]
    yield head + "  ".join(part for part in parts if part)
    tee, corner, bar = _strokes()
    for number, below in enumerate(node["below"]):
        last = number == len(node["below"]) - 1
        yield from _lines(
            below,
            indent + (corner if last else tee),
            indent + ("   " if last else bar),
            colour=colour,
        )


def _odd(conditions: Mapping[str, str]) -> str:
    """The conditions worth a look: what is on that should not be, and what is not that should."""
    on = [name for name in _ALARMS if conditions.get(name) == "True"]
    off = [f"{name}=False" for name in _NEEDS if conditions.get(name) == "False"]
    return f"[{' '.join([*on, *off])}]" if on or off else ""


def _strokes() -> tuple[str, str, str]:
    encoding = (sys.stdout.encoding or "ascii").lower()
    if encoding.startswith("utf"):
        return "├─ ", "└─ ", "│  "
    return "|- ", "`- ", "|  "
