"""`fl create` writes a spec that the tree takes, suspended; `tasks start` begins it."""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml

QUICK = (
    *("--mode", "train", "--image-url", "registry.example.com/fl-model:v1", "--rounds", "3"),
    *("--clients-per-round", "2", "--min-clients", "2", "--update-format", "json-f64"),
)
"""The flags of the published quick start, after the name."""


@pytest.fixture
def tree(here):
    """A spec tree, in which commands are typed."""
    (here / "propeller.yaml").write_text("# nothing\n")
    return here


def read(path):
    return yaml.safe_load(path.read_text())


def test_the_quick_starts_flags_make_a_suspended_task(cli, tree):
    """The name alone on stdout, so that it can be the <task-id> of what comes next."""
    said = cli("fl", "create", "my-fl-task", *QUICK)
    assert (said.code, said.out) == (0, "my-fl-task\n"), said.err
    written = read(tree / "my-fl-task.yaml")
    assert written["kind"] == "FederatedTask"
    assert written["metadata"] == {"name": "my-fl-task"}
    assert written["spec"].pop("suspend")["reason"] == "not started yet"
    assert written["spec"] == {
        "module": {"image": "registry.example.com/fl-model:v1"},
        "mode": "Train",
        "rounds": 3,
        "cohort": {"clientsPerRound": 2, "minClients": 2},
        "updateFormat": "json-f64",
    }
    assert cli("validate", ".").code == 0


def test_every_other_flag_has_its_field(cli, tree):
    """Parameters keep their digits; a pinned model is pinned by its own digest."""
    digest = "sha256:" + "ab" * 32
    said = cli(
        *("fl", "create", "more", *QUICK, "-n", "plant-a", "--model-ref", f"r.example/m@{digest}"),
        *("--round-timeout", "90s", "--local-epochs", "2", "--batch-size", "16"),
        *("--learning-rate", "0.050"),
    )
    assert said.code == 0, said.err
    written = read(tree / "more.yaml")
    assert written["metadata"] == {"name": "more", "namespace": "plant-a"}
    spec = written["spec"]
    assert spec["roundDeadline"] == "90s"
    assert spec["hyperparameters"] == {
        "localEpochs": "2",
        "batchSize": "16",
        "learningRate": "0.050",
    }
    assert spec["model"] == {"image": "r.example/m", "initial": digest}


def test_json_has_id_name_and_file(cli, tree):
    """For scripts."""
    said = cli("fl", "create", "my-fl-task", *QUICK, "-o", "json")
    assert json.loads(said.out) == {
        "id": "my-fl-task",
        "name": "my-fl-task",
        "file": "my-fl-task.yaml",
    }


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--min-clients", "3"), "--min-clients: must be at most clientsPerRound, 2"),
        (("--update-format", "pickle"), "--update-format: "),
        (("--mode", "dream"), "--mode: "),
        (("--rounds", "0"), "--rounds: "),
        (("--round-timeout", "soon"), "--round-timeout: "),
        (("--model-ref", "r.example/m:1"), "--model-ref r.example/m:1: neither"),
        (("--model-ref", "gone.safetensors"), "--model-ref: "),
        (("--image-url", "https://x"), "--image-url: "),
    ],
    ids=lambda one: one[0] if isinstance(one, tuple) else "",
)
def test_what_the_tree_would_not_take_is_not_written(cli, tree, more, told):
    """It is refused in terms of the flag; nothing lies about afterwards."""
    said = cli("fl", "create", "my-fl-task", *QUICK, *more)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert [path.name for path in tree.glob("*.yaml")] == ["propeller.yaml"]


def test_a_name_that_is_taken_is_refused(cli, tree):
    """By a file of that name, or by an object of that name in another file."""
    assert cli("fl", "create", "a", *QUICK).code == 0
    before = (tree / "a.yaml").read_text()
    assert "is there already" in cli("fl", "create", "a", *QUICK).err
    assert (tree / "a.yaml").read_text() == before
    (tree / "a.yaml").rename(tree / "other.yaml")
    said = cli("fl", "create", "a", *QUICK)
    assert said.code == 2
    assert "FederatedTask/default/a" in said.err
    assert not (tree / "a.yaml").exists()
    assert cli("fl", "create", "../a", *QUICK).code == 2


def test_faults_of_other_files_do_not_stand_in_the_way(cli, tree):
    """Only what the new file brings is its fault."""
    (tree / "wrong.yaml").write_text("apiVersion: propeller.dev/v1alpha1\nkind: Nonsense\n")
    assert cli("fl", "create", "a", *QUICK).code == 0
    said = cli("fl", "create", "b", *QUICK, "--min-clients", "3")
    assert said.code == 2
    assert "Nonsense" not in said.err


def test_without_a_tree_it_says_how_to_name_one(cli, here, specs):
    """`--specs` does."""
    said = cli("fl", "create", "a", *QUICK)
    assert said.code == 2
    assert "--specs" in said.err
    assert cli("fl", "create", "a", *QUICK, "--specs", specs).code == 0
    assert (specs / "a.yaml").exists()


def test_the_tree_that_is_followed_will_do(cli, here, specs, fleet):
    """Where a reconciler reads a folder of this disk, that is the tree."""
    said = cli("fl", "create", "a", *QUICK)
    assert said.code == 0, said.err
    assert (specs / "a.yaml").exists()


def test_dry_run_prints_the_spec(cli, tree):
    """And writes nothing."""
    said = cli("fl", "create", "a", *QUICK, "--dry-run")
    assert said.code == 0
    assert yaml.safe_load(said.out)["spec"]["rounds"] == 3
    assert not (tree / "a.yaml").exists()


def test_start_takes_the_suspension_out_of_what_nobody_has_read_yet(cli, tree):
    """Comments and everything else stay; no reconciler and no state is needed."""
    cli("fl", "create", "my-fl-task", *QUICK)
    before = (tree / "my-fl-task.yaml").read_text()
    said = cli("tasks", "start", "my-fl-task")
    assert (said.code, said.out) == (0, "my-fl-task.yaml\n"), said.err
    after = (tree / "my-fl-task.yaml").read_text()
    lines = [line for line in before.splitlines() if "not started" not in line]
    lines = [line for line in lines if "suspend:" not in line and "by: " not in line]
    assert after.splitlines() == lines
    assert "spec" in read(tree / "my-fl-task.yaml")


def test_a_state_that_is_only_beginning_does_not_stand_in_the_way(cli, tree):
    """`up` has made its folder and not its database yet: the spec can be started all the same."""
    (tree / ".propeller").mkdir()
    assert cli("fl", "create", "a", *QUICK).code == 0
    assert "Pending" in cli("fl", "status", "a").out
    assert cli("tasks", "start", "a").code == 0


def test_start_of_what_is_nowhere_is_refused(cli, tree):
    """With the names there are."""
    cli("fl", "create", "my-fl-task", *QUICK)
    said = cli("tasks", "start", "my-fl-tusk")
    assert said.code == 2
    assert "did you mean 'my-fl-task'" in said.err


def test_create_and_start_commit_on_request(cli, tree):
    """One commit each, with git."""
    git = ["git", "-C", str(tree)]
    for words in (["init", "--quiet"], ["config", "user.name", "Ana"],
                  ["config", "user.email", "ana@example.org"]):  # fmt: skip
        subprocess.run([*git, *words], check=True)
    assert cli("fl", "create", "a", *QUICK, "--commit").code == 0
    assert cli("tasks", "start", "a", "--commit").code == 0
    log = subprocess.run([*git, "log", "--format=%s"], capture_output=True, text=True, check=True)
    assert log.stdout.splitlines() == [
        "Start FederatedTask/default/a: suspend removed",
        "Create FederatedTask a, suspended",
    ]


def test_a_running_reconciler_is_told_to_look(cli, fleet, specs, loop):
    """So that the next command finds it."""
    assert cli("fl", "create", "a", *QUICK).code == 0
    assert loop.looks == 1
