"""Canonical form to typed object and back."""

from __future__ import annotations

import json

import pytest

from propeller.model.canonical import canonical_digest
from propeller.model.ids import Key
from propeller.model.parse import parse_object, stored_form
from propeller.model.selector import Operator, Requirement
from propeller.model.specs import Access, App, Daemon, Mount, OnOffline, Proplet, Task

META = {
    "namespace": "plant-a",
    "name": "x",
    "uid": "6f0ad6a5-4a53-5f0e-9a4e-0d9f6c2b7f11",
    "app": "default",
}
WORK = {
    "module": {"image": "oci://registry.example/a:1"},
    "placement": {
        "selector": {
            "matchLabels": {"zone": "a", "board": "gw"},
            "matchExpressions": [{"key": "old", "operator": "DoesNotExist"}],
        },
        "replicas": 2,
        "tolerations": {"offline": 1000},
        "onOffline": "Keep",
    },
    "run": {
        "entrypoint": "_start",
        "args": ["a"],
        "env": [{"name": "B", "value": "1"}, {"name": "A", "value": "2"}],
        "mounts": [{"name": "data", "path": "/d", "access": "ReadWrite"}],
    },
    "limits": {"memory": 65536, "fuel": "Unlimited", "timeout": "Unlimited", "output": 10},
    "prune": "Enabled",
}
TASK = {**WORK, "retries": {"limit": 1, "backoff": {"base": 10, "cap": 20}}, "runKey": "2"}
DAEMON = {
    **WORK,
    "restart": {"policy": "Always", "backoff": {"base": 10, "cap": 20}},
    "health": {"readyAfter": 5, "maxRestarts": "Unlimited"},
    "readyWhen": {"min": 95, "within": "Unlimited"},
    "suspend": {"reason": "r", "by": "b", "until": 7},
}
PROPLET = {"class": "linux", "scheduling": "Drain", "capacity": {"tasks": 3}, "heartbeat": 30000}
APP = {"source": {"path": "p"}, "namespace": "n", "prune": "Never", "discovery": "Deny"}


def test_a_task_says_what_its_spec_says():
    """Unlimited becomes None, selectors become rows, env keeps its order."""
    task = parse_object("Task", META, TASK)
    assert isinstance(task, Task)
    assert task.limits.fuel is None and task.limits.memory == 65536
    assert task.run.env == (("B", "1"), ("A", "2"))
    assert task.run.mounts == (Mount("data", "/d", Access.READ_WRITE),)
    assert task.placement.on_offline is OnOffline.KEEP
    assert task.placement.selector.requirements == (
        Requirement("board", Operator.IN, frozenset({"gw"})),
        Requirement("zone", Operator.IN, frozenset({"a"})),
        Requirement("old", Operator.DOES_NOT_EXIST),
    )
    assert task.meta.key == Key("Task", "plant-a", "x")
    assert task.meta.spec_digest == canonical_digest(TASK)


def test_a_daemon_says_what_its_spec_says():
    """Restart, health and readiness are fields of their own."""
    daemon = parse_object("Daemon", META, DAEMON)
    assert isinstance(daemon, Daemon)
    assert (daemon.max_restarts, daemon.ready_when.min_percent, daemon.ready_when.within) == (
        None,
        95,
        None,
    )
    assert daemon.suspend is not None and daemon.suspend.until == 7


def test_pinned_proplets_are_counted():
    """`proplets` sets the number of copies."""
    placement = {**WORK["placement"], "proplets": ["a", "b", "c"]}
    del placement["replicas"]
    task = parse_object("Task", META, {**TASK, "placement": placement})
    assert isinstance(task, Task)
    assert task.placement.replicas == 3


@pytest.mark.parametrize(
    ("kind", "spec", "made"),
    [
        ("Task", TASK, Task),
        ("Daemon", DAEMON, Daemon),
        ("Proplet", PROPLET, Proplet),
        ("App", APP, App),
    ],
)
def test_the_stored_form_gives_the_object_back(kind, spec, made):
    """Through JSON as well, with labels, annotations, protection and origin."""
    meta = {
        **META,
        "labels": {"a": "b"},
        "annotations": {"c": "d"},
        "protect": True,
        "file": "f",
        "line": 3,
    }
    found = parse_object(kind, meta, spec)
    assert isinstance(found, made)
    assert parse_object(**json.loads(json.dumps(stored_form(found)))) == found


def test_an_unknown_kind_is_a_broken_invariant():
    """The schema has refused it long before."""
    with pytest.raises(ValueError, match="no kind"):
        parse_object("Pod", META, {})


def test_rollouts_and_windows_say_what_the_spec_says():
    """Amounts are counts or shares; what is left out of a spec is not there."""
    rollout = {
        "steps": ["1", "10%"],
        "soak": 120000,
        "maxUnavailable": "25%",
        "offline": "ExcludeAfter",
        "offlineAfter": 5,
        "onFailure": "Pause",
        "errors": {"max": "3", "min": 2},
        "success": 95,
        "deadline": "Unlimited",
    }
    window = {"kind": "Deny", "cron": "0 22 * * *", "duration": 60000, "timeZone": "UTC"}
    spec = {**DAEMON, "rollout": rollout, "windows": [window]}
    daemon = parse_object("Daemon", META, spec)
    assert isinstance(daemon, Daemon)
    assert daemon.rollout is not None
    assert [str(wave) for wave in daemon.rollout.waves] == ["1", "10%", "100%"]
    assert (daemon.rollout.errors.max.down(100), daemon.rollout.errors.min) == (3, 2)
    assert (daemon.rollout.success, daemon.rollout.deadline) == (95, None)
    (one,) = daemon.windows
    assert (one.kind, one.duration) == ("Deny", 60000)
    assert parse_object(**stored_form(daemon)) == daemon
    plain = parse_object("Daemon", META, DAEMON)
    assert (plain.rollout, plain.windows) == (None, ())
