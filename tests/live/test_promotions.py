"""A model from training into use by git alone: the reconciler opens the change, a person merges."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from live_trainers import READER, saying

from propeller.model.ids import sha256_digest

pytestmark = pytest.mark.live

KEY = "FederatedTask/default/quick"
TRAINER = saying(
    '{"update":[1,2,-0.5],"kind":"delta","num_samples":7,"metrics":{"loss":0.5}}',
)
LEARN = """apiVersion: propeller.dev/v1alpha1
kind: FederatedTask
metadata: {name: quick}
spec:
  module: {file: trainer.wat}
  rounds: 3
  cohort: {clientsPerRound: 2, close: Cohort}
  updateFormat: json-f64
  promote: {when: metrics.loss < 1, to: {kind: Task, name: infer}, mode: Branch}
"""
INFER = f"""# Reads what the fleet has learnt.
apiVersion: propeller.dev/v1alpha1
kind: Task
metadata: {{name: infer}}
spec:
  module: {{file: reader.wat}}
  run:
    models: [{{name: quick, digest: "{sha256_digest(b"no such model")}", size: 13}}]  # promoted
"""


def git(where: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Ana", "-c", "user.email=ana@example.org")
    done = subprocess.run(
        ["git", "-C", str(where), *who, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_reconciler_opens_the_promotion_and_a_merge_uses_it(fleet: Any):
    """Three rounds, a branch beside main, kill -9, a merge: the guest finds the 3 that was learnt.
    Main moves by the person's push only, and there is one branch."""
    origin = fleet.place / "origin.git"
    git(fleet.place, "init", "-q", "--bare", "-b", "main", str(origin))
    for name, text in (
        ("trainer.wat", TRAINER),
        ("reader.wat", READER),
        ("infer.yaml", INFER),
        ("quick.yaml", LEARN),
    ):
        fleet.write(name, text)
    git(fleet.specs, "init", "-q", "-b", "main")
    git(fleet.specs, "remote", "add", "origin", str(origin))
    git(fleet.specs, "add", "-A")
    git(fleet.specs, "commit", "-q", "-m", "what should run")
    git(fleet.specs, "push", "-q", "origin", "main")
    first = git(origin, "rev-parse", "main")
    fleet.broker()
    source = f"git+file://{origin}?ref=main"
    serving = fleet.serve(source=source)
    for name in ("press", "oven"):
        fleet.proplet(name)
    fleet.ready(KEY)

    def branches() -> list[str]:
        wanted = ("branch", "--list", "promote/*", "--format=%(refname:short)")
        return git(origin, *wanted).split()

    (branch,) = fleet.until(branches, "the branch of the promotion")
    status = fleet.until(
        lambda: (
            fleet.status(KEY)["status"].get("promote", {}).get("branch")
            and fleet.status(KEY)["status"]
        ),
        "the branch in the status",
    )
    assert status["promote"] == {
        "round": 1,
        "to": "Task/default/infer",
        "opened": 3,
        "branch": branch,
    }
    assert git(origin, "rev-parse", "main") == first
    changed = git(origin, "diff", "--numstat", "main", branch)
    assert changed.split() == ["1", "1", "infer.yaml"]
    serving.kill()
    fleet.serve(source=source)
    git(fleet.specs, "fetch", "-q", "origin")
    git(fleet.specs, "merge", "-q", "--ff-only", f"origin/{branch}")
    git(fleet.specs, "push", "-q", "origin", "main")
    fleet.until(
        lambda: (
            (fleet.status("Task/default/infer") or {"status": {}})["status"].get("copies")
            and "three"
            in [one.get("result") for one in fleet.status("Task/default/infer")["status"]["copies"]]
        ),
        "the guest reads what was learnt",
    )
    assert branches() == [branch]
