"""`tasks start` edits specs without disturbing them; `tasks results` prints what runs answered."""

from __future__ import annotations

import json
import subprocess

import pytest

from propeller.cli.specedit import SpecText, next_run_key
from propeller.errors import UsageError
from propeller.model.ids import Key
from propeller.registry.blobs import BlobStore
from propeller.sources.nodes import Build
from propeller.sources.yamltext import parse_yaml

HEAD = "# first\napiVersion: propeller.dev/v1alpha1\nkind: Task\nmetadata: {name: x}\n"

LAYOUTS = {
    "block": (
        HEAD + "spec:\n  # why\n  module: {file: x.wat}\n",
        HEAD + 'spec:\n  runKey: "2"\n  # why\n  module: {file: x.wat}\n',
    ),
    "block with a key": (
        HEAD + "spec:\n  module: {file: x.wat}\n  runKey: '7'  # seven\n",
        HEAD + 'spec:\n  module: {file: x.wat}\n  runKey: "8"  # seven\n',
    ),
    "bare key": (
        HEAD + "spec:\n    runKey: 9\n    module: {file: x.wat}\n",
        HEAD + 'spec:\n    runKey: "10"\n    module: {file: x.wat}\n',
    ),
    "flow": (
        HEAD + "spec: {module: {file: x.wat}}\n",
        HEAD + 'spec: {runKey: "2", module: {file: x.wat}}\n',
    ),
    "flow with a key": (
        HEAD + 'spec: {runKey: a, module: {file: x.wat}}\n',
        HEAD + 'spec: {runKey: "a-2", module: {file: x.wat}}\n',
    ),
    "second document": (
        HEAD.replace("name: x", "name: y") + "spec:\n  module: {}\n---\n" + HEAD
        + "spec:\n  module: {file: x.wat}\n...\n",
        HEAD.replace("name: x", "name: y") + "spec:\n  module: {}\n---\n" + HEAD
        + 'spec:\n  runKey: "2"\n  module: {file: x.wat}\n...\n',
    ),
    "carriage returns": (
        (HEAD + "spec:\n  module: {file: x.wat}\n").replace("\n", "\r\n"),
        (HEAD + 'spec:\n  runKey: "2"\n  module: {file: x.wat}\n').replace("\n", "\r\n"),
    ),
    "no last line break": (
        HEAD + "spec:\n  module: {file: x.wat}",
        HEAD + 'spec:\n  runKey: "2"\n  module: {file: x.wat}',
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_edit_keeps_comments_and_layout(tmp_path, layout):
    """One line in, or one value changed; every other byte stays."""
    before, after = LAYOUTS[layout]
    path = tmp_path / "x.yaml"
    path.write_bytes(before.encode())
    spec = SpecText(path, Key("Task", "default", "x"), 2)
    spec.bump_run_key()
    spec.write()
    assert path.read_bytes().decode() == after


SUSPENDED = {
    "flow on its line": (
        "spec:\n  suspend: {reason: x, by: y}\n  module: {}\n",
        "spec:\n  module: {}\n",
    ),
    "block": (
        "spec:\n  module: {}\n  suspend:\n    reason: x\n\n    by: y\n\n# end\n",
        "spec:\n  module: {}\n\n# end\n",
    ),
    "inside flow": (
        "spec: {suspend: {reason: x, by: y}, module: {}}\n",
        "spec: {module: {}}\n",
    ),
    "last in flow": (
        "spec: {module: {}, suspend: {reason: x, by: y}}\n",
        "spec: {module: {}}\n",
    ),
}


@pytest.mark.parametrize("layout", SUSPENDED)
def test_a_suspension_is_taken_out(tmp_path, layout):
    """Whatever its layout."""
    before, after = SUSPENDED[layout]
    path = tmp_path / "x.yaml"
    path.write_text(HEAD + before)
    spec = SpecText(path, Key("Task", "default", "x"), 2)
    assert spec.suspended
    spec.clear_suspend()
    spec.write()
    assert path.read_text() == HEAD + after


def test_json_is_edited_too(tmp_path):
    """On its own line where the mapping has lines."""
    path = tmp_path / "x.json"
    head = '{\n  "kind": "Task",\n  "metadata": {"name": "x"},\n'
    text = head + '  "spec": {\n    "module": {}\n  }\n}\n'
    path.write_text(text)
    spec = SpecText(path, Key("Task", "default", "x"), 1)
    spec.bump_run_key()
    spec.write()
    assert json.loads(path.read_text())["spec"] == {"runKey": "2", "module": {}}
    assert path.read_text().count("\n") == text.count("\n") + 1


@pytest.mark.parametrize(
    "spec",
    [
        "spec: &a\n  {module: {}}\n",
        "spec:\n  ? module\n  : {}\n",
        'spec:\n  module: {}\n  runKey:\n    "1"\n',
    ],
    ids=["anchor", "complex key", "value on its own line"],
)  # fmt: skip
def test_what_cannot_be_edited_safely_is_left_alone(tmp_path, spec):
    """It says what to write where; the file stays as it was, or is right."""
    path = tmp_path / "x.yaml"
    path.write_text(HEAD + spec)
    text = SpecText(path, Key("Task", "default", "x"), 2)
    try:
        text.bump_run_key()
    except UsageError as error:
        assert "runKey" in str(error)
        assert str(path) in str(error)
        return
    text.write()
    build = Build()
    parse_yaml(path.read_bytes(), build)
    assert build.documents[0].value["spec"]["runKey"] == "2"


def test_the_next_key():
    """Counts on where there is something to count."""
    assert [next_run_key(old) for old in ("", "2", "9", "v1.9", "again")] == [
        "2",
        "3",
        "10",
        "v1.10",
        "again-2",
    ]
    assert len(next_run_key("x" * 64)) <= 64


def test_start_edits_where_the_spec_came_from(cli, fleet, specs, loop):
    """The path on stdout, the edit on stderr; the reconciler is told to look, the hold lifted."""
    fleet.hold(fleet.held("Task", "default", "add"))
    said = cli("tasks", "start", "task/default/add")
    assert said.code == 0, said.err
    assert said.out == "plant/add.yaml\n"
    assert '  runKey: "2"\n  # the module beside this file\n' in (specs / "add.yaml").read_text()
    assert loop.asked[0].suspend is None
    assert loop.looks == 1
    assert "spec.runKey" in cli("diff", "plant").out


def test_start_without_a_reconciler_edits_for_the_next_one(cli, fleet, specs):
    """Unless somebody holds it: then nothing is edited either."""
    assert cli("tasks", "start", "task/default/add").code == 0
    before = (specs / "add.yaml").read_text()
    fleet.hold(fleet.held("Task", "default", "add"))
    said = cli("tasks", "start", "task/default/add")
    assert said.code == 2
    assert "propeller up" in said.err
    assert (specs / "add.yaml").read_text() == before


def test_start_dry_run_touches_nothing(cli, fleet, specs, loop):
    """It says what it would write."""
    before = (specs / "add.yaml").read_text()
    said = cli("tasks", "start", "task/default/add", "--dry-run")
    assert said.code == 0
    assert "runKey" in said.err
    assert (specs / "add.yaml").read_text() == before
    assert loop.asked == []


def test_start_elsewhere_says_which_file_to_commit(cli, fleet, specs):
    """Where the tree is not on this machine; --specs says where it is."""
    moved = specs.rename(specs.parent / "moved")
    said = cli("tasks", "start", "task/default/add")
    assert said.code == 2
    assert "add.yaml" in said.err
    assert "--specs" in said.err
    assert cli("tasks", "start", "task/default/add", "--specs", moved).code == 0


def test_start_commits_on_request(cli, fleet, specs):
    """With git, this file alone."""
    git = ["git", "-C", str(specs), "-c", "user.name=Ana", "-c", "user.email=ana@example.org"]
    for words in (["init", "--quiet"], ["config", "user.name", "Ana"],
                  ["config", "user.email", "ana@example.org"], ["add", "."],
                  ["commit", "--quiet", "--message", "first"]):  # fmt: skip
        subprocess.run([*git, *words], check=True)
    assert cli("tasks", "start", "task/default/add", "--commit").code == 0
    log = subprocess.run(
        [*git, "log", "-1", "--name-only", "--format=%s"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert log.stdout.split("\n")[0] == 'Start Task/default/add: runKey is now "2"'
    assert "add.yaml" in log.stdout


def test_results_are_bare(cli, fleet):
    """The value and a line break: `$(propeller tasks results NAME)` is the result."""
    said = cli("tasks", "results", "task/default/add")
    assert (said.code, said.out, said.err) == (0, "42\n", "")


def test_results_of_the_run_that_counts(cli, fleet):
    """A run that was replaced is not printed beside its successor; --all has it."""
    fleet.another_run(fleet.held("Task", "default", "add"), proplet="gateway-1", result="43\n")
    assert cli("tasks", "results", "task/default/add").out == "43\n"
    assert cli("tasks", "results", "task/default/add", "--all").out == "43\n42\n"
    assert cli("tasks", "results", "task/default/add", "--proplet", "gateway-2").code == 2


def test_long_results_come_from_the_blob_store(cli_bytes, fleet, state):
    """Byte for byte; one that has not arrived yet says so."""
    data = bytes(range(256)) * 8
    held = fleet.held("Task", "default", "add")
    digest = BlobStore(state.blobs).put(data)
    fleet.another_run(held, proplet="gateway-1", digest=digest)
    assert cli_bytes("tasks", "results", "task/default/add") == (0, data)
    BlobStore(state.blobs).delete(digest)
    assert cli_bytes("tasks", "results", "task/default/add") == (2, b"")


def test_a_run_without_a_result_says_why(cli, fleet):
    """A failed one with its error, one under way as such; exit 2."""
    held = fleet.held("Task", "default", "add")
    fleet.another_run(held, proplet="gateway-1", state="Failed", error="unreachable executed")
    said = cli("tasks", "results", "task/default/add")
    assert (said.code, said.out) == (2, "")
    assert "gateway-1: Failed, exit 3: unreachable executed" in said.err
    assert "not run yet" in cli("tasks", "results", "task/plant-a/add").err


def test_tasks_list_is_get_tasks(cli, fleet):
    """Same table."""
    assert cli("tasks", "list").out == cli("get", "tasks").out
    assert cli("tasks", "list", "-n", "plant-a", "-o", "name").out == "Task/plant-a/add\n"
