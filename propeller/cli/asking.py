"""Asking a running reconciler to change something, for verbs that end with 0 or 2.

Names are looked up in the store first, so that a typo is told before anything is sent.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from propeller.cli.context import Client, Refused, existing_state, open_store
from propeller.cli.find import find
from propeller.errors import UsageError
from propeller.model.ids import Key, Uid

if TYPE_CHECKING:
    from propeller.state.layout import StateDir


def named_object(
    args: argparse.Namespace, text: str, *, kind: str | None = None
) -> tuple[StateDir, Uid, Key]:
    """The object a command is about, and its state. Raises UsageError."""
    state = existing_state(args)
    store = open_store(state)
    try:
        uid, key = find(store, text, namespace=getattr(args, "namespace", None), kind=kind)
    finally:
        store.close()
    return state, uid, key


def ask(state: StateDir, path: str, body: Mapping[str, object]) -> Mapping[str, Any]:
    """POST to the reconciler. Raises Unavailable when none runs, UsageError when it says no."""
    try:
        return Client(state).post(path, body)
    except Refused as error:
        raise UsageError(str(error)) from error
