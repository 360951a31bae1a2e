"""What does not go with an external engine: `spec.runtime.external` of a Task, Daemon or step.

Called by `rules` on the canonical form. Such an engine is started by a fixed command of the device,
so a spec that asks for what this command cannot give is refused here and never half obeyed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from propeller.model.quantities import UNLIMITED
from propeller.sources.nodes import Path


def problems(spec: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Paths are relative to `spec`."""
    if spec.get("runtime") is None:
        return
    run = spec["run"]
    if run["entrypoint"] != "_start":
        yield ("run", "entrypoint"), "must be _start: an external engine runs commands"
    if run["mounts"]:
        yield ("run", "mounts"), "are not given to an external engine: its command says its folders"
    if run.get("models"):
        yield ("run", "models"), "are not given to an external engine: its command says its folders"
    if run.get("topics"):
        yield ("run", "topics"), "are not given to an external engine"
    if run.get("points"):
        yield ("run", "points"), "are not given to an external engine"
    if run.get("http"):
        yield ("run", "http"), "is not given to an external engine"
    if spec["limits"]["fuel"] != UNLIMITED:
        yield ("limits", "fuel"), "is not counted by an external engine: say Unlimited"
    if spec["module"].get("encrypted") == "Required":
        yield ("module", "encrypted"), "must not be Required: an external engine reads a file"
