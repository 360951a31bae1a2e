"""Bad specs and exactly what is said about them, with the line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

HEAD = "apiVersion: propeller.dev/v1alpha1\n"
TASK = HEAD + "kind: Task\nmetadata: {name: add}\nspec:\n  module: {file: add.wat}\n"
APP = HEAD + "kind: App\nmetadata: {name: a}\nspec:\n"
PROPLET = HEAD + "kind: Proplet\nmetadata: {name: gw}\nspec:\n"
WORKFLOW = HEAD + "kind: Workflow\nmetadata: {name: w}\nspec:\n  steps:\n"
HEADS = {
    "@workflow\n": WORKFLOW,
    "@task\n": TASK,
    "@app\n": APP,
    "@proplet\n": PROPLET,
    "@head\n": HEAD,
}


def records():
    """(text, fault) of each record of bad_fields.txt."""
    blocks = Path(__file__).with_name("bad_fields.txt").read_text("utf-8").split("\n\n")
    for block in blocks[1:]:
        text, _, fault = block.partition("=> ")
        for token, head in HEADS.items():
            text = text.replace(token, head)
        yield pytest.param(text, fault.strip(), id=fault.partition(": ")[2][:60].strip())


SYNTAX = [
    (TASK + "  run: {}\n  run: {}\n", "a.yaml:7: spec.run: duplicate key, first given in line 6"),
    (
        TASK + "  run: {args: [!!binary aGk=]}\n",
        "a.yaml:6: spec.run.args[0]: tags such as !!binary are not allowed",
    ),
    (TASK + "  run: !mine {}\n", "a.yaml:6: spec.run: tags such as !mine are not allowed"),
    (TASK + "  ? [a]\n  : b\n", "a.yaml:6: a key must be text, not a mapping or list"),
    (TASK + "\trun: {}\n", "a.yaml:6: a tab may not indent YAML; use spaces"),
    (
        TASK + "  run: {\n",
        "a.yaml:6: not YAML: while parsing a flow node, did not find expected node content",
    ),
    (
        TASK + "  run: *nothing\n",
        "a.yaml:6: the alias *nothing has no anchor &nothing that is complete before it",
    ),
    (
        TASK + "  run: &a {args: *a}\n",
        "a.yaml:6: the alias *a has no anchor &a that is complete before it",
    ),
    (TASK.encode() + b"  runKey: caf\xe9\n", "a.yaml:6: must be UTF-8; byte 0xe9 is not"),
    (TASK.encode("utf-16"), "a.yaml:1: must be UTF-8, not UTF-16"),
    (
        TASK + '  run: {args: ["a\u2028b"]}\n',
        'a.yaml:6: must not contain U+2028, a line break of old; write "\\u2028"',
    ),
    (TASK + "  runKey: a\x07b\n", "a.yaml:6: a control character may not stand in YAML"),
    ("a: " * 3 + "\n", "a.yaml:1: not YAML: mapping values are not allowed in this context"),
    ("[" * 40 + "]" * 40, "a.yaml:1: more than 32 levels deep; nothing needs that"),
    ("---\n{}\n" * 10_001, "a.yaml:20001: more than 10000 documents in one file; split it"),
    (
        b"#" * ((1 << 20) + 1),
        "a.yaml: a spec file must be at most 1048576 bytes, this one has 1048577; split it",
    ),
]

JSON = [
    ('{"a": 1, "a": 2', 'a.json:1: not JSON: "," expected'),
    ('{"a": tru}', "a.json:1: not JSON: 'tru' is no value"),
    ('{"a": 01}', 'a.json:1: not JSON: "," expected'),
    ("{}\n{}", "a.json:2: not JSON: something follows the value; one file holds one value"),
    ('["\\ud800"]', "a.json:1: not JSON: a string holds an escape that is no character"),
    ("[1,\n]", "a.json:2: not JSON: a value expected after the comma"),
    ("[" * 5000, "a.json:1: more than 32 levels deep; nothing needs that"),
]


@pytest.mark.parametrize(("text", "fault"), list(records()))
def test_a_bad_field_is_named_with_its_line_and_what_is_allowed(loading, text, fault):
    """One fault in, one message out."""
    assert loading.faults_of(text)[0] == f"a.yaml:{fault}"


@pytest.mark.parametrize(("text", "fault"), SYNTAX)
def test_bad_yaml_is_named_with_its_line(loading, text, fault):
    """Nothing is guessed, converted or silently dropped."""
    assert loading.faults_of(text) == [fault]


@pytest.mark.parametrize(("text", "fault"), JSON)
def test_bad_json_is_named_with_its_line(loading, text, fault):
    """JSON files are as strict, and know their lines too."""
    assert loading.faults_of(text, "a.json") == [fault]


def test_a_merge_key_is_refused_in_words(loading):
    """`<<` is YAML 1.1."""
    text = TASK + "  run: {<<: {args: []}}\n"
    assert 'a.yaml:6: spec.run.<<: merge keys ("<<") are not YAML 1.2; write the fields out' in (
        loading.faults_of(text)
    )


def test_an_alias_bomb_stops_early(loading):
    """Nine levels of nine aliases would be 387 million values."""
    levels = "".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
    (fault,) = loading.faults_of(TASK + "  a0: &a0 [x]\n" + levels)
    assert fault.startswith("a.yaml:11: more than 100000 values, aliases followed")


def test_all_faults_of_all_files_come_at_once(loading):
    """Sorted by file and line, so an author mends them in one go."""
    faults = loading.faults(
        {
            "b/two.yaml": TASK + "  replica: 1\n---\n" + TASK + "  prune: x\n  limits: {fuel: 0}\n",
            "a.yaml": "x: [",
            "c.json": json.dumps({"apiVersion": "propeller.dev/v1alpha1", "kind": "Pod"}, indent=1),
        }
    )
    assert [fault.split(": ")[0] for fault in faults] == [
        "a.yaml:1",
        "b/two.yaml:6",
        "b/two.yaml:13",
        "b/two.yaml:14",
        "c.json:3",
    ]


def test_a_flood_of_faults_ends(loading):
    """One document shows the first fifty and says that there are more."""
    text = TASK + "".join(f"  x{number}: 1\n" for number in range(200))
    faults = loading.faults_of(text)
    assert len(faults) == 51
    assert "a.yaml:1: and more; these first" in faults
