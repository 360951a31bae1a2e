"""Apps with a folder of their own as their source, for scenarios."""

from __future__ import annotations

from pathlib import Path

from specs_text import WAT

from propeller.model.ids import Key
from propeller.rehearse.fleet import Sim


def app_yaml(name: str, folder: Path, spec: str = "") -> str:
    """An App with a folder of its own as its source."""
    return (
        "---\napiVersion: propeller.dev/v1alpha1\nkind: App\n"
        f"metadata: {{name: {name}}}\n"
        f"spec:\n  source: {{directory: {{path: {folder}}}}}\n  discovery: Allow\n{spec}"
    )


def save(sim: Sim, folder: Path, name: str, text: str) -> None:
    """Somebody commits to the source of an App, and it is looked at."""
    folder.mkdir(exist_ok=True)
    (folder / "m.wat").write_text(WAT)
    (folder / name).write_text(text)
    if sim.managers:
        sim.manager.read_apps()


def conditions(sim: Sim, key: Key) -> dict[str, tuple[str, str, str]]:
    reconciler = sim.manager.reconciler
    held = reconciler.world.find(key)
    assert held is not None
    rows = reconciler.projection.conditions(held.uid)
    return {one.type: (str(one.status), one.reason, one.message) for one in rows}


def app(name: str) -> Key:
    return Key("App", "default", name)
