"""`diff`, `plan` and `validate`: what would change, and exit codes that never lie."""

from __future__ import annotations

import json
import sqlite3

import pytest

from propeller.state.sqlite import SqliteStore


def edit(folder, file, before, after):
    """Change a spec as a person would."""
    path = folder / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_nothing_to_do_is_zero(cli, fleet):
    """A silent device and a task without a place are no changes."""
    said = cli("diff", "plant")
    assert (said.code, said.out) == (0, "")
    assert "no changes" in said.err


def test_changes_are_one(cli, fleet, specs, golden):
    """Each with its reason, its fields and the devices it reaches; secrets masked."""
    edit(specs, "filter.yaml", '"5"', '"6"')
    edit(specs, "filter.yaml", "hunter2", "hunter3")
    (specs / "add.yaml").unlink()
    (specs / "more.yaml").write_text(
        (specs / "filter.yaml").read_text().partition("---")[0].replace("filter}", "x}")
        .replace("name: filter", "name: second")
    )  # fmt: skip
    said = cli("diff", "plant")
    assert said.code == 1
    assert "hunter" not in said.out
    golden("diff", said.out)


def test_the_plan_is_the_same_as_data(cli, fleet, specs):
    """Same digest as in the text, and for equal inputs; a field says before and after."""
    edit(specs, "filter.yaml", '"5"', '"6"')
    first, second = (json.loads(cli("plan", "plant", "-o", "json").out) for _ in "12")
    assert first == second
    assert first["digest"][:19] in cli("diff", "plant").out
    (change,) = first["changes"]
    assert (change["op"], change["object"]) == ("update", "Daemon/plant-a/filter")
    assert change["fields"] == [{"path": "spec.run.env[RATE].value", "before": "5", "after": "6"}]
    assert first["base"]["revision"].startswith("main@sha1:")


def test_plan_ends_with_zero_where_diff_ends_with_one(cli, fleet, specs):
    """Only `diff` tells of changes by its exit code."""
    edit(specs, "filter.yaml", '"5"', '"6"')
    assert cli("plan", "plant").code == 0
    assert cli("diff", "plant", "-q").code == 1


def test_durations_are_shown_as_written(cli, fleet, specs):
    """People read 30s, not 30000."""
    edit(specs, "fleet.yaml", "{name: gateway-1, labels: {zone: a}}\nspec: {heartbeat: 5s}",
         "{name: gateway-1, labels: {zone: a}}\nspec: {heartbeat: 30s}")  # fmt: skip
    assert 'spec.heartbeat:  "5s" -> "30s"' in cli("diff", "plant").out


def test_without_a_state_everything_is_new(cli, specs):
    """`diff` works before the first `up`, and says that there is nothing to compare with."""
    said = cli("diff", "plant")
    assert said.code == 1
    assert said.out.count("create") == 6  # five objects and the count
    assert "no state yet" in said.err


def test_diff_writes_nothing(cli, fleet, specs, state):
    """Neither the store nor anything beside it changes."""

    def picture():
        return {
            path: path.stat().st_mtime_ns
            for path in state.path.rglob("*")
            if path.is_file() and not path.name.endswith(("-shm", "-wal"))
        }

    edit(specs, "filter.yaml", '"5"', '"6"')
    before, serial = picture(), fleet.store.serial()
    assert cli("diff", "plant").code == 1
    assert picture() == before
    assert fleet.store.serial() == serial


@pytest.mark.parametrize("verb", ["diff", "plan", "validate"])
@pytest.mark.parametrize(
    "breakage", ["typo", "no folder", "bad flag", "config", "crash"], ids=lambda name: name
)
def test_every_failure_is_two(cli, fleet, specs, verb, breakage, monkeypatch):
    """A crash included: 1 means changes and nothing else."""
    words = [verb, "plant"]
    match breakage:
        case "typo":
            edit(specs, "filter.yaml", "entrypoint: run", "entrypiont: run")
        case "no folder":
            words = [verb, "nowhere"]
        case "bad flag":
            words = [verb, "plant", "--frobnicate"]
        case "config":
            (specs / "propeller.yaml").write_text("domian: x\n")
        case "crash":
            module = f"propeller.cli.{'validate' if verb == 'validate' else 'planning'}"

            def crash(*_args, **_options):
                raise ZeroDivisionError("a defect")

            monkeypatch.setattr(f"{module}.read_specs", crash)
    said = cli(*words)
    assert said.code == 2
    assert said.err or verb == "validate"


def test_a_broken_database_is_two(cli, specs, state):
    """What cannot be read is an error, not an empty state."""
    state.database.write_bytes(b"not a database" * 1000)
    assert cli("diff", "plant").code == 2


def test_a_database_of_another_program_is_two(cli, specs, state):
    """Nor is a file that happens to have the name."""
    with sqlite3.connect(state.database) as other:
        other.execute("CREATE TABLE x (y)")
    other.close()
    assert cli("diff", "plant").code == 2


def test_a_database_without_a_revision_is_no_error(cli, specs, state):
    """A state where nothing was accepted yet is compared like any other."""
    SqliteStore.open(state.database).close()
    assert cli("diff", "plant").code == 1


def test_an_image_that_was_never_resolved_is_open(cli, fleet, specs):
    """What only the registry knows is marked `?`, not guessed."""
    (specs / "image.yaml").write_text(
        "apiVersion: propeller.dev/v1alpha1\nkind: Task\nmetadata: {name: remote}\n"
        "spec: {module: {image: registry.example/x:1}}\n"
    )
    said = cli("diff", "plant")
    assert said.code == 1
    assert said.out.startswith("? Task/default/remote")
    assert "once registry.example/x:1 is resolved" in said.out


def test_what_propeller_run_started_is_not_deleted(cli, fleet):
    """Objects of no source are not part of any plan."""
    held = fleet.held("Task", "default", "add")
    fleet.change(held, object=fleet.objects[held.uid].object)
    meta = held.object.meta
    from dataclasses import replace

    from propeller.cli.statuses import RUN_APP

    extra = replace(
        held,
        uid="11111111-1111-5111-8111-111111111111",
        object=replace(
            held.object,
            meta=replace(
                meta,
                app=RUN_APP,
                uid="11111111-1111-5111-8111-111111111111",
                key=replace(meta.key, name="run-1"),
            ),
        ),
    )
    with fleet.store.transaction():
        fleet.store.put_held(extra)
    assert cli("diff", "plant").code == 0


def test_validate_lists_every_fault_where_it_is(cli, specs):
    """File as typed, line, path, and what was meant; all of them, on stdout."""
    edit(specs, "filter.yaml", "entrypoint: run", "entrypiont: run")
    edit(specs, "add.yaml", "module:", "modlue:")
    said = cli("validate", "plant")
    assert said.code == 2
    assert "plant/filter.yaml:8: spec.run.entrypiont: unknown field" in said.out
    assert "plant/add.yaml:7: spec.modlue" in said.out
    data = json.loads(cli("validate", "plant", "-o", "json").out)
    assert data["valid"] is False
    assert {(one["file"], one["line"]) for one in data["faults"]} >= {
        ("plant/filter.yaml", 8),
        ("plant/add.yaml", 7),
    }


def test_validate_lists_what_it_skipped(cli, specs):
    """A document of somebody else is no fault, and not passed over in silence either."""
    (specs / "k8s.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")
    said = cli("validate", "plant")
    assert said.code == 0
    assert "k8s.yaml:1: skipped" in said.out
    assert "2 Proplet, 2 Task" in said.err
    assert json.loads(cli("validate", "plant", "-o", "json").out)["skipped"] == ["k8s.yaml:1"]
