"""What is Ready, what has failed, what is on its way: the exit codes."""

from __future__ import annotations

from typing import Any

import pytest

from propeller.reconcile.standing import Standing, of_documents


def document(name: str, *conditions: tuple[str, str], **metadata: Any) -> dict[str, Any]:
    return {
        "kind": "Task",
        "metadata": {"namespace": "default", "name": name, "app": "default", **metadata},
        "status": {
            "conditions": [
                {
                    "type": kind,
                    "status": status,
                    "observedGeneration": 1,
                    "reason": f"{kind}Because",
                    "message": "",
                    "lastTransitionTime": "2027-01-15T08:00:00.000Z",
                }
                for kind, status in conditions
            ]
        },
    }


READY = ("Ready", "True")
WAITS = ("Ready", "False")
STALLED = ("Stalled", "True")


@pytest.mark.parametrize(
    ("documents", "code"),
    [
        ([], 0),
        ([document("a", READY)], 0),
        ([document("a", READY), document("b", WAITS)], 4),
        ([document("a", WAITS, STALLED)], 3),
        ([document("a", WAITS, STALLED), document("b", WAITS)], 4),
        ([document("a", ("Ready", "Unknown"))], 4),
        ([document("a")], 4),
        ([document("a", READY, deleted="2027-01-15T08:00:00.000Z")], 4),
        ([document("a", WAITS, app="run")], 0),
    ],
)
def test_exit_codes(documents: list[dict[str, Any]], code: int) -> None:
    """0 all Ready, 3 something failed for good, 4 something still moves (said first)."""
    standing = of_documents(documents)
    assert standing.exit_code == code
    assert standing.settled == (code != 4)


def test_every_object_that_is_not_ready_is_said() -> None:
    """A line each, with the reason where there is no message."""
    standing = of_documents(
        [document("a", READY), document("b", WAITS), document("c", WAITS, STALLED)]
    )
    assert (standing.ready, standing.total) == (1, 3)
    assert standing.lines() == [
        "failed   Task/default/c: StalledBecause",
        "pending  Task/default/b: ReadyBecause",
    ]


def test_nothing_wanted_is_settled() -> None:
    """An empty revision is at rest."""
    assert Standing(0, (), ()).settled


@pytest.mark.parametrize("reason", ["Suspended", "Orphaned"])
def test_nobody_waits_for_what_is_meant_to_stay(reason: str) -> None:
    """Neither ready nor pending: it is not counted."""
    idle = document("a", WAITS, **({"deleted": "2027-01-15"} if reason == "Orphaned" else {}))
    idle["status"]["conditions"][0]["reason"] = reason
    standing = of_documents([idle, document("b", READY)])
    assert (standing.ready, standing.total, standing.exit_code) == (1, 1, 0)


def test_a_guard_that_waits_is_five() -> None:
    """After everything that moves has moved, and before what has failed."""
    paused = ("paused   App line: maxDelete is 1",)
    assert Standing(1, (), (), paused).exit_code == 5
    assert Standing(1, (), (), paused).settled
    standing = of_documents([document("b", WAITS)])
    assert Standing(0, (), standing.pending, paused).exit_code == 4
    assert Standing(1, (), (), paused).lines() == list(paused)
