"""`schedule.runOn`: whose clock a Task's schedule is on, and what does not go with that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from propeller.errors import SpecError
from propeller.model.parse import parse_object, stored_form
from propeller.model.specs import Task, Timed
from propeller.registry.wasm import inspect
from propeller.sources.directory import DirectorySource
from propeller.sources.load import load


def load_one(folder: Path, schedule: dict[str, Any], **more: Any) -> Any:
    """The Task `t`, as loaded."""
    (folder / "m.wat").write_text('(module (func (export "_start")))')
    document = {
        "apiVersion": "propeller.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": "t"},
        "spec": {
            "module": {"file": "m.wat"},
            "schedule": {"cron": "*/5 * * * *", **schedule},
            **more,
        },
    }
    (folder / "t.yaml").write_text(yaml.safe_dump(document))
    revision = load(
        DirectorySource(folder).read(), domain="d", keep=lambda data: "", inspect=inspect
    )
    (thing,) = revision.objects.values()
    return thing


def test_a_schedule_on_devices_is_there_to_stay_and_reads_back(tmp_path: Path) -> None:
    """Placed and healed as a Daemon is; 16 results are held where nobody says."""
    thing = load_one(tmp_path, {"runOn": "Proplet"}, retries={"limit": 2})
    assert isinstance(thing, Timed)
    assert (thing.history, thing.max_restarts, thing.meta.key.kind) == (16, 2, "Task")
    assert parse_object(**stored_form(thing)) == thing
    assert isinstance(load_one(tmp_path, {"runOn": "Manager"}), Task)
    assert isinstance(load_one(tmp_path, {}), Task)


@pytest.mark.parametrize(
    ("schedule", "more", "field", "words"),
    [
        ({"history": 5}, {}, "schedule.history", "goes with runOn: Proplet"),
        (
            {"runOn": "Proplet"},
            {"run": {"env": [{"name": "A", "secretRef": {"name": "s", "key": "k"}}]}},
            "run.env[0].secretRef",
            "does not go with runOn: Proplet",
        ),
        ({"runOn": "Proplet"}, {"rollout": {"steps": ["1"]}}, "rollout", "beside schedule"),
        ({"runOn": "Proplet", "history": 65}, {}, "schedule.history", "64"),
        ({"runOn": "Device"}, {}, "schedule.runOn", "Proplet"),
    ],
)
def test_what_does_not_go_with_it_is_refused_in_words(
    tmp_path: Path, schedule: dict[str, Any], more: dict[str, Any], field: str, words: str
) -> None:
    """With the field."""
    with pytest.raises(SpecError) as refused:
        load_one(tmp_path, schedule, **more)
    assert f"spec.{field}" in str(refused.value)
    assert words in str(refused.value)
