"""What a plugin said is told by `validate`, `diff` and `why`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from propeller.model.parse import parse_object, stored_form
from propeller.state.sqlite import SqliteStore

RULES = Path(__file__).parents[2] / "examples" / "plugins"


def test_validate_and_diff_tell_what_it_added(cli, state):
    """A line each, and in the data."""
    told = cli("validate", str(RULES))
    assert "Task/default/hello: house-rules@" in told.out
    assert "added labels reviewed; added env LOG_LEVEL" in told.out
    plan = json.loads(cli("diff", str(RULES), "-o", "json").out)
    assert [one["object"] for one in plan["plugins"]] == ["Task/default/hello"]


def test_validate_tells_what_it_refused(cli, tmp_path):
    """At the object's own line, with the plugin's version and words."""
    for path in RULES.iterdir():
        text = path.read_text().replace("team: line-3", "squad: line-3")
        (tmp_path / path.name).write_text(text)
    told = cli("validate", str(tmp_path))
    assert told.code == 2
    assert "specs.yaml:10: metadata.name: the plugin house-rules@" in told.out
    assert "refuses: needs a label team: who is called when it fails?" in told.out


def test_a_plugin_comes_from_a_registry(cli, tmp_path):
    """`bump` pins it, `validate` asks it; without a digest it is no plugin."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for path in RULES.iterdir():
        if path.suffix == ".yaml":
            text = path.read_text().replace(
                "module: {file: house-rules.wat}",
                'module: {image: "local/rules:1.0.0"}  # propeller: {policy: semver, range: 1.x}',
            )
            (tree / path.name).write_text(text)
        elif path.name != "house-rules.wat":
            (tree / path.name).write_bytes(path.read_bytes())
    pushed = cli("push", str(RULES / "house-rules.wat"), "local/rules:1.0.0")
    assert pushed.code == 0, pushed.err
    said = cli("validate", str(tree))
    assert said.code == 2
    assert "spec.module.image: needs a digest" in said.out
    assert cli("bump", str(tree)).code == 0
    told = cli("validate", str(tree))
    assert told.code == 0, told.out + told.err
    assert "Task/default/hello: house-rules@" in told.out
    assert "added labels reviewed; added env LOG_LEVEL" in told.out
    assert cli("simulate", str(tree), "--proplets", "1", "--for", "1m").code == 0


def test_why_tells_what_it_said_of_an_object(cli, fleet, state):
    """A link of its own, from what was taken."""
    store = SqliteStore.open(state.database)
    with store.transaction():
        held = next(one for one in store.inventory() if one.object.meta.key.name == "filter")
        form = stored_form(held.object)
        form["meta"]["annotations"] = {"plugins.propeller.dev/rules": "rules@12ab: warns: old"}
        store.put_held(replace(held, object=parse_object(**form)))
    store.close()
    chain = json.loads(cli("why", "filter", "-o", "json").out)
    found = [one for one in chain["links"] if one["name"] == "plugin"]
    assert [(one["words"], one["state"]) for one in found] == [("rules@12ab: warns: old", "ok")]
