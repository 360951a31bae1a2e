"""The schemas are the source of truth: complete, valid, and in step with the code."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from propeller.model.parse import parse_object
from propeller.sources.explain import explain
from propeller.sources.fill import fill_for, spelled
from propeller.sources.nodes import Build
from propeller.sources.schemas import (
    API_VERSION,
    KINDS,
    SHARED,
    TREE_KINDS,
    load_schema,
    schema_root,
    walk,
)
from propeller.sources.yamltext import parse_yaml

MINIMAL = {
    "Alert": {"sinks": [{"name": "s", "slack": {"urlRef": "u"}}]},
    "App": {"source": {"path": "p"}},
    "Daemon": {"module": {"image": "r.example/a:1"}},
    "FederatedTask": {
        "module": {"image": "r.example/a:1"},
        "rounds": 1,
        "cohort": {"clientsPerRound": 1},
    },
    "Function": {"module": {"image": "r.example/a:1"}},
    "Plugin": {"module": {"file": "rules.wasm"}, "hooks": ["Admit"]},
    "Proplet": {},
    "Secret": {"data": {"token": ""}},
    "Task": {"module": {"image": "r.example/a:1"}},
    "Workflow": {"steps": [{"name": "a", "module": {"image": "r.example/a:1"}}]},
}


def document(kind, spec):
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "x"}, "spec": spec}


def plain_validator(kind):
    """What an editor has: the schema and nothing of ours."""
    shared = load_schema(SHARED)
    registry = Registry().with_resource(shared["$id"], Resource.from_contents(shared))
    return Draft202012Validator(load_schema(kind), registry=registry)


def with_nulls(value, kind, path="spec"):
    """Every optional field that is left out, as null."""
    below = [p.rpartition(".") for p, _ in walk(kind) if not p.endswith("[]")]
    names = [name for above, _, name in below if above == path]
    return {name: value.get(name) for name in names}


@pytest.mark.parametrize("name", [*KINDS, *TREE_KINDS, SHARED])
def test_every_schema_is_valid_and_knows_its_address(name):
    """Draft 2020-12, one file a kind."""
    schema = load_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"https://propeller.dev/schemas/spec/{name.lower()}.schema.json"
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_there_is_no_schema_nobody_loads():
    """One file a kind, and what they share."""
    found = {entry.name for entry in (schema_root() / "spec").iterdir()}
    assert found == {f"{name.lower()}.schema.json" for name in (*KINDS, *TREE_KINDS, SHARED)}


def test_an_unknown_name_is_no_schema():
    """Nothing outside the folder can be loaded by name."""
    with pytest.raises(KeyError):
        load_schema("../wire/hello")


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_explained_with_an_example(kind):
    """`explain` and editors have something to show for each."""
    for path, field in walk(kind):
        assert field.get("description"), path
        assert field.get("examples"), path


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_a_kind_is_valid(kind):
    """For an editor and for us."""
    for example in load_schema(kind)["examples"]:
        plain_validator(kind).validate(example)
        fill_for(kind)(example)


@pytest.mark.parametrize("kind", KINDS)
def test_examples_of_fields_are_valid(kind):
    """Each example of each field stands where the field stands."""
    registry = plain_validator(kind)
    for path, field in walk(kind):
        for example in field["examples"]:
            errors = list(registry.evolve(schema=field).iter_errors(example))
            assert not errors, f"{path}: {errors}"


@pytest.mark.parametrize("kind", KINDS)
def test_null_is_the_same_as_left_out(kind):
    """For an editor and for us."""
    plain = document(kind, MINIMAL[kind])
    nulls = document(kind, with_nulls(MINIMAL[kind], kind))
    plain_validator(kind).validate(nulls)
    assert fill_for(kind)(nulls) == fill_for(kind)(plain)


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_what_a_person_could_have_written(kind):
    """Spelling a filled spec out and filling it again changes nothing."""
    filled = fill_for(kind)(document(kind, MINIMAL[kind]))["spec"]
    again = fill_for(kind)(document(kind, spelled(kind, filled)))["spec"]
    assert again == filled


def test_the_defaults_of_a_task():
    """As the reference says."""
    spec = fill_for("Task")(document("Task", MINIMAL["Task"]))["spec"]
    assert spec["limits"] == {
        "memory": 64 << 20,
        "fuel": "Unlimited",
        "timeout": 600_000,
        "output": 64 << 10,
    }
    assert spec["placement"] == {"tolerations": {"offline": 300_000}, "onOffline": "Keep"}
    assert spec["retries"] == {"limit": 0, "backoff": {"base": 1000, "cap": 300_000}}


def test_the_defaults_of_a_daemon():
    """As the reference says."""
    spec = fill_for("Daemon")(document("Daemon", MINIMAL["Daemon"]))["spec"]
    assert spec["limits"]["timeout"] == "Unlimited"
    assert spec["placement"]["onOffline"] == "Reschedule"
    assert spec["restart"] == {"policy": "Always", "backoff": {"base": 1000, "cap": 300_000}}


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"Plugin"}))
def test_every_field_reaches_the_object(kind):
    """What the schema lets through, the typed objects take: nothing is read and dropped."""
    for example in load_schema(kind)["examples"]:
        filled = fill_for(kind)(example)
        meta = {**filled["metadata"], "namespace": "n", "uid": "u", "app": "a"}
        spec = dict(filled["spec"])
        if "run" in spec:
            spec["run"] = {**spec["run"], "mounts": []}
        assert parse_object(kind, meta, spec).meta.spec == spec


def test_whoever_refuses_a_document_says_why():
    """The fast path and jsonschema agree on what is wrong here."""
    build = Build()
    parse_yaml(b"apiVersion: propeller.dev/v1alpha1\nkind: Task\nmetadata: {name: x}\n", build)
    flaws = explain("Task", build.documents[0].value, 1)
    assert [flaw.message for flaw in flaws] == [
        "required, for example {module: {file: add.wat}, run: {entrypoint: add, args: [40, 2]}}"
    ]
