"""examples/editor: what its files offer is what Propeller takes."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import yaml
from jsonschema import Draft202012Validator

from propeller.cli.__main__ import main
from propeller.errors import SpecError
from propeller.model.ids import sha256_digest
from propeller.registry.wasm import inspect
from propeller.sources.bundle import any_kind, bundled
from propeller.sources.load import load
from propeller.sources.schemas import KINDS, TREE_KINDS, load_schema
from propeller.sources.tree import Tree
from tests.docs.conftest import ROOT
from tests.docs.test_specs_in_pages import with_modules

EDITOR = ROOT / "examples" / "editor"
SNIPPETS = json.loads((EDITOR / "propeller.code-snippets").read_text())
OF_KINDS = {
    name.removeprefix("Propeller: "): snippet
    for name, snippet in SNIPPETS.items()
    if snippet["prefix"] != "propeller-schema"
}
PLACE = re.compile(r"(?<!\\)\$(?:\{\d+(?::([^}]*)|\|([^|}]*)\|)?\}|\d+)")
BESIDE = {
    "App": {"plants/a/note.yaml": "apiVersion: propeller.dev/v1alpha1\nkind: Proplet\n"
            "metadata: {name: gw-9}\n"},
    "Plugin": {"gw.yaml": "apiVersion: propeller.dev/v1alpha1\nkind: Proplet\n"
               "metadata: {name: gw-9}\n"},
    "Overlay": {"base/filter.yaml": "apiVersion: propeller.dev/v1alpha1\nkind: Daemon\n"
                "metadata: {name: filter}\nspec:\n  module: {file: filter.wasm}\n"
                "  run:\n    env: [{name: RATE, value: \"${RATE}\"}]\n"},
}  # fmt: skip
"""What a kind cannot stand without."""


def expanded(snippet, choose=0):
    """The text after Tab was pressed at every place; `choose`: which word of each choice."""

    def default(found):
        if found[2] is not None:
            words = found[2].split(",")
            return words[choose % len(words)]
        return found[1] or ""

    text = "\n".join(snippet["body"])
    return PLACE.sub(default, text).replace("\\$", "$")


def taken(kind, text):
    """The objects of a tree with this file, as the reconciler loads it. Raises SpecError."""
    name = "line/overlay.yaml" if kind == "Overlay" else "mine.yaml"
    files = with_modules({**BESIDE.get(kind, {}), name: text})
    tree = Tree(name="tree", files=files)
    if kind == "Overlay":
        tree = replace(tree, overlay="line")
    return load(tree, domain="docs", keep=sha256_digest, inspect=inspect).objects


def test_every_kind_has_a_snippet():
    """One each, found by `propeller-KIND`, for YAML only."""
    assert OF_KINDS.keys() == {*KINDS, *TREE_KINDS}
    for kind, snippet in OF_KINDS.items():
        assert snippet["prefix"] == f"propeller-{kind.lower()}"
    assert {snippet["scope"] for snippet in SNIPPETS.values()} == {"yaml"}


@pytest.mark.parametrize("choose", [0, 1, 2])
@pytest.mark.parametrize("kind", sorted(OF_KINDS.keys() - {"Secret"}))
def test_a_snippet_loads_as_it_is(kind, choose):
    """With its defaults, and with every other word of its choices."""
    text = expanded(OF_KINDS[kind], choose)
    assert "$" not in text
    objects = taken(kind, text)
    wanted = {"Overlay": "Daemon", "Plugin": "Proplet"}.get(kind, kind)
    assert wanted in {obj.meta.key.kind for obj in objects.values()}


def test_the_snippet_of_a_secret_lacks_only_its_encryption():
    """It is refused as it is, for that alone; the comment in it says how to encrypt it."""
    text = expanded(OF_KINDS["Secret"])
    assert "sops encrypt --encrypted-regex '^data$'" in text
    with pytest.raises(SpecError) as refused:
        taken("Secret", text)
    assert {fault.path.partition(".data")[0] for fault in refused.value.faults} == {"spec"}
    document = yaml.safe_load(text)
    document["spec"]["plaintext"] = "Allowed"
    assert len(taken("Secret", yaml.safe_dump(document))) == 1


def test_the_schemas_of_the_settings_are_those_that_are_written(tmp_path, monkeypatch, capsys):
    """`propeller schema all --into .schemas` makes every file that settings and snippets name."""
    monkeypatch.chdir(tmp_path)
    assert main(["schema", "all", "--into", ".schemas"]) == 0
    printed = capsys.readouterr().out.split()
    assert {name for name in printed if not (tmp_path / name).is_file()} == set()
    settings = json.loads((EDITOR / "settings.json").read_text())
    for name in settings["yaml.schemas"]:
        assert (tmp_path / name).is_file()
    header = expanded(SNIPPETS["Propeller: schema of this file"]).strip()
    path = header.removeprefix("# yaml-language-server: $schema=")
    assert (tmp_path / "specs" / ".." / path.removeprefix("../")).resolve().is_file()
    for file in (tmp_path / ".schemas").glob("*.schema.json"):
        Draft202012Validator.check_schema(json.loads(file.read_text()))


@pytest.mark.parametrize("kind", [*KINDS, *TREE_KINDS])
def test_a_schema_stands_on_its_own(kind):
    """With nothing to look up: the kind's example and snippet are good, an unknown field is not."""
    for schema in (bundled(kind), any_kind()):
        assert '"$ref": "http' not in json.dumps(schema)
        checks = Draft202012Validator(schema)
        good = load_schema(kind)["examples"][0]
        assert list(checks.iter_errors(good)) == []
        assert list(checks.iter_errors(yaml.safe_load(expanded(OF_KINDS[kind])))) == []
        assert list(checks.iter_errors({**good, "spec": {"nonsense": 1}})) != []


def test_another_kind_is_refused():
    """The schema for any kind names those there are."""
    checks = Draft202012Validator(any_kind())
    (fault,) = checks.iter_errors({"apiVersion": "propeller.dev/v1alpha1", "kind": "Pod"})
    assert "Task" in fault.message


def test_schemas_by_name(capsys):
    """A kind in any case is printed; a word that is none is refused with those there are."""
    for word, found in (("Task", "title"), ("openapi", "openapi"), ("config", "properties")):
        assert main(["schema", word]) == 0
        assert found in json.loads(capsys.readouterr().out)
    assert main(["schema", "tsk"]) == 2
    assert "federatedtask" in capsys.readouterr().err
    assert main(["schema", "all"]) == 2
