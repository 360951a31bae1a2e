"""How objects are named on the command line: kinds and their short forms, revisions and digests.

Pure words; `find` looks objects up by them.
"""

from __future__ import annotations

import re

from propeller.errors import UsageError

_COMMIT = re.compile("[0-9a-f]{40}")

KINDS = {
    "alert": "Alert",
    "alerts": "Alert",
    "app": "App",
    "apps": "App",
    "daemon": "Daemon",
    "daemons": "Daemon",
    "federatedtask": "FederatedTask",
    "federatedtasks": "FederatedTask",
    "fl": "FederatedTask",
    "fn": "Function",
    "function": "Function",
    "functions": "Function",
    "plugin": "Plugin",
    "plugins": "Plugin",
    "proplet": "Proplet",
    "proplets": "Proplet",
    "secret": "Secret",
    "secrets": "Secret",
    "task": "Task",
    "tasks": "Task",
    "workflow": "Workflow",
    "workflows": "Workflow",
    "wf": "Workflow",
}
"""What people type for a kind, in lower case."""


def kind_of(text: str) -> str | None:
    """The kind `text` names in any case, one or many; None when it names none."""
    return KINDS.get(text.lower())


def known_kind(text: str) -> str:
    """As `kind_of`. Raises UsageError with the kinds there are."""
    kind = kind_of(text)
    if kind is None:
        import difflib

        near = difflib.get_close_matches(text.lower(), KINDS, n=1)
        kinds = ", ".join(sorted({kind.lower() for kind in KINDS.values()}))
        hint = f"did you mean {near[0]!r}?" if near else f"kinds: {kinds}"
        raise UsageError(f"no kind is called {text!r}", hint=hint)
    return kind


def short_revision(name: str) -> str:
    """`main@sha1:450796d...` as `main@450796d`, a bare commit as `450796d`; others as they are."""
    if _COMMIT.fullmatch(name):
        return name[:7]
    ref, at, digest = name.rpartition("@")
    algorithm, colon, hexes = digest.partition(":")
    if not at or not colon or algorithm not in ("sha1", "sha256"):
        return name
    return f"{ref}@{hexes[:7]}"


def short_digest(digest: str) -> str:
    """`sha256:8f0c...` with twelve digits, as people compare them."""
    algorithm, colon, hexes = digest.partition(":")
    return f"{algorithm}{colon}{hexes[:12]}"
