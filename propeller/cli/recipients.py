"""Whom a module is encrypted to: keys as they are written, devices of this fleet, files of keys."""

from __future__ import annotations

import argparse
from pathlib import Path

from propeller.cli.keyfiles import read_small
from propeller.errors import UsageError

_DEVICE = "proplet/"


def recipients_of(args: argparse.Namespace, given: list[str]) -> list[str]:
    """Every key, each once, as age spells it. Raises UsageError for what is none."""
    from propeller.registry.encrypted import recipient

    found: dict[str, None] = {}
    for text in given:
        for one in _expanded(args, text):
            found[recipient(one)] = None
    return list(found)


def _expanded(args: argparse.Namespace, text: str) -> list[str]:
    if text.startswith(("x25519:", "age1")):
        return [text]
    if text.startswith(_DEVICE):
        return [_device(args, text.removeprefix(_DEVICE))]
    lines = read_small(Path(text)).decode("utf-8", "replace").splitlines()
    keys = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if not keys:
        raise UsageError(f"{text}: holds no encryption key")
    return keys


def _device(args: argparse.Namespace, proplet: str) -> str:
    """The encryption key that the key directory has for a device."""
    from propeller.cli.context import state_dir
    from propeller.cli.settings import fleet_of
    from propeller.state.keys import Keys

    place = fleet_of(args).keyed(state_dir(args)).keys
    box = Keys(place).enrolled_box(proplet) if (place / "root.pub").exists() else None
    if box is None:
        raise UsageError(
            f"proplet/{proplet}: no encryption key of it in {place}",
            hint=f"`propeller describe proplet {proplet}` shows the one it announces: x25519:...",
        )
    return box.text
