"""`modulePolicies` of the configuration: who has to vouch for which modules, with the keys read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from propeller.cli.keyfiles import public_key
from propeller.cli.settings import Fleet
from propeller.errors import UsageError
from propeller.model.signing import Files, Mode, Rule

if TYPE_CHECKING:
    from propeller.registry.cosignkey import PublicKey


def signing_of(fleet: Fleet) -> tuple[tuple[Rule, ...], tuple[PublicKey, ...]]:
    """The rules, and every key that one of them names. Raises UsageError naming file and field."""
    keys: dict[str, PublicKey] = {}
    rules: list[Rule] = []
    for number, row in enumerate(fleet.module_policies):
        where = f"{fleet.path}: modulePolicies[{number}]"
        if any(rule.name == row["name"] for rule in rules):
            raise UsageError(f"{where}.name: {row['name']} is there twice")
        mine = []
        for at, name in enumerate(row["keys"]):
            try:
                key = public_key(fleet.base / name)
            except UsageError as error:
                raise UsageError(f"{where}.keys[{at}]: {error.what}", hint=error.hint) from error
            keys[key.id] = key
            mine.append(key.id)
        if not mine or not row["repositories"]:
            raise UsageError(f"{where}: keys and repositories must each name one at least")
        rules.append(_rule(row, where, tuple(mine)))
    return tuple(rules), tuple(keys.values())


def _rule(row: Mapping[str, Any], where: str, keys: tuple[str, ...]) -> Rule:
    return Rule(
        name=row["name"],
        where=where,
        mode=Mode(row.get("mode") or Mode.REQUIRED),
        repositories=tuple(row["repositories"]),
        keys=keys,
        namespaces=tuple(row.get("namespaces") or ()),
        apps=tuple(row.get("apps") or ()),
        files=Files(row.get("files") or Files.REFUSED),
    )
