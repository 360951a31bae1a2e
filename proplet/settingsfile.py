"""The settings file of a proplet: YAML into texts by setting, with the line of each.

Read by `config`, which knows what the texts mean. A name may be one that SuperMQ or the first
Propeller has for the same thing; `client_id` is both the id and the user, unless those are given.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propeller.errors import Fault, SpecError, UsageError

if TYPE_CHECKING:
    from proplet.settings import Setting

MAX_FILE = 64 * 1024
MAX_KEY = 200


def read_file(
    path: Path, settings: Sequence[Setting], faults: list[Fault]
) -> dict[str, tuple[int, list[str]]]:
    """Key -> (line, texts) of a settings file. Adds faults; UsageError if it is unreadable."""
    import yaml

    try:
        if path.stat().st_size > MAX_FILE:
            raise UsageError(f"{path}: larger than {MAX_FILE} bytes")
        root = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}", hint="give another --config") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise SpecError([Fault(str(path), line, "", str(error.problem))]) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        words = "nested too deep" if isinstance(error, RecursionError) else "not YAML"
        raise SpecError([Fault(str(path), 0, "", words)]) from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise SpecError([Fault(str(path), 1, "", "not a mapping of settings")])
    known: dict[str, list[Setting]] = {}
    for setting in settings:
        for name in dict.fromkeys(setting.names):
            known.setdefault(name, []).append(setting)
    found: dict[str, tuple[int, list[str]]] = {}
    old: dict[str, tuple[int, list[str]]] = {}
    seen: set[str] = set()
    for key_node, node in root.value:
        key, line = str(key_node.value)[:MAX_KEY], key_node.start_mark.line + 1
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f', did you mean "{near[0]}"?' if near else ""
            faults.append(Fault(str(path), line, key, f"unknown setting{hint}"))
        elif key in seen:
            faults.append(Fault(str(path), line, key, "given twice"))
        else:
            seen.add(key)
            for setting in known[key]:
                try:
                    into = found if key == setting.key else old
                    into.setdefault(setting.key, (line, _texts(setting, node)))
                except ValueError as error:
                    faults.append(Fault(str(path), line, key, str(error)))
    return {**old, **found}


def _texts(setting: Setting, node: Any) -> list[str]:
    """A value of the file as the texts a flag would have."""
    import yaml

    if isinstance(node, yaml.ScalarNode) and not setting.many:
        return [str(node.value)]
    if setting.many and isinstance(node, yaml.SequenceNode):
        items = node.value
        if all(isinstance(item, yaml.ScalarNode) for item in items):
            return [str(item.value) for item in items]
    if setting.many and isinstance(node, yaml.MappingNode):
        pairs = node.value
        if all(isinstance(value, yaml.ScalarNode) for _, value in pairs):
            return [f"{name.value}={value.value}" for name, value in pairs]
    wanted = "a list or a mapping of texts" if setting.many else "a single value"
    raise ValueError(f"wanted {wanted}")
