"""`fl promote`: the model of a good round into the spec that uses it, and nothing else changed."""

from __future__ import annotations

import subprocess

import pytest
from learned import Learned

from propeller.state.sqlite import SqliteStore

OLD = "sha256:" + "0" * 64
INFER = f"""\
# Who watches the line.
apiVersion: propeller.dev/v1alpha1
kind: Daemon
metadata: {{name: line-infer}}
spec:
  module: {{file: infer.wat}}
  placement: {{perProplet: true}}
  run:
    models:
      - {{name: limits.json, digest: "{OLD}", size: 3}}
      - name: line.safetensors   # made by FederatedTask/line
        digest: {OLD}  # promoted
        size: 9
"""
PROMOTE = {"when": "metrics.accuracy >= 0.8", "to": {"kind": "Daemon", "name": "line-infer"}}


@pytest.fixture
def line(state, tmp_path):
    """Three rounds; the second is the best and good enough."""
    store = SqliteStore.open(state.database)
    yield Learned(state, store, tmp_path / "specs", promote=PROMOTE)
    store.close()


@pytest.fixture
def tree(line, tmp_path):
    folder = tmp_path / "plant"
    folder.mkdir()
    (folder / "infer.yaml").write_text(INFER)
    (folder / "infer.wat").write_text('(module (func (export "_start")))')
    return folder


def edited(line, number):
    """The file with the model of a round in its last row."""
    blob = line.models[number]
    head, _, tail = INFER.rpartition(f"digest: {OLD}  # promoted\n        size: 9\n")
    return f"{head}digest: {blob.digest}  # promoted\n        size: {blob.size}\n{tail}"


def test_the_best_round_is_written_and_comments_stay(cli, line, tree):
    """Digest and size of one row; again it changes nothing."""
    said = cli("fl", "promote", "line", tree, "--model", "line.safetensors")
    assert said.code == 0, said.err
    assert (tree / "infer.yaml").read_text() == edited(line, 2)
    again = cli("fl", "promote", "line", tree, "--model", "line.safetensors")
    assert again.code == 0
    assert "already" in again.err


def test_a_round_that_is_not_good_enough_is_not_promoted(cli, line, tree):
    """The spec says what is; `--anyway` overrules it, and a dry run writes nothing."""
    asked = ("fl", "promote", "line", tree, "--model", "line.safetensors", "--round", "1")
    said = cli(*asked)
    assert said.code == 2
    assert "does not hold metrics.accuracy >= 0.8: accuracy 0.5" in said.err
    assert cli(*asked, "--anyway", "--dry-run").code == 0
    assert (tree / "infer.yaml").read_text() == INFER
    assert cli(*asked, "--anyway").code == 0
    assert (tree / "infer.yaml").read_text() == edited(line, 1)


@pytest.mark.parametrize(
    ("words", "more", "told"),
    [
        ((), {}, "There are: limits.json, line.safetensors"),
        (("--model", "x"), {}, "which of run.models"),
        (("--to", "Task/other"), {}, "has no Task/default/other"),
        (("--to", "Alert/x"), {}, "KIND is Daemon or Function or Task"),
        (("--push",), {}, "--push goes with"),
    ],
)
def test_what_is_not_clear_is_asked(cli, line, tree, words, more, told):
    """Nothing is guessed."""
    said = cli("fl", "promote", "line", tree, *words)
    assert said.code == 2
    assert told in said.err, said.err
    assert (tree / "infer.yaml").read_text() == INFER


def git(folder, *words):
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_branch_to_be_reviewed(cli, line, tree, tmp_path, monkeypatch):
    """Pushed, on top of the last commit; the work tree stays as it was."""
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(tree, "init", "--quiet", "--initial-branch=main")
    git(tree, "config", "user.name", "Ana")
    git(tree, "config", "user.email", "ana@example.org")
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "--message", "First")
    git(tree, "remote", "add", "origin", str(tmp_path / "origin.git"))
    said = cli(
        *("fl", "promote", "line", tree, "--model", "line.safetensors"),
        *("--branch", "promote/line", "--push"),
    )
    assert said.code == 0, said.err
    assert (tree / "infer.yaml").read_text() == INFER
    shown = git(tmp_path / "origin.git", "show", "promote/line:infer.yaml")
    assert shown + "\n" == edited(line, 2)
    message = git(tmp_path / "origin.git", "log", "-1", "--format=%B", "promote/line")
    assert message.startswith("Promote round 2 of line to Daemon/default/line-infer")
    assert "accuracy 0.9" in message
