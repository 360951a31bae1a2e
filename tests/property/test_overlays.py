"""Overlays made of anything: a revision or faults, never another error, and nothing by accident."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from propeller.errors import SpecError
from propeller.model.ids import sha256_digest
from propeller.registry.wasm import inspect
from propeller.sources.load import load
from propeller.sources.nodes import Build, Plain
from propeller.sources.patches import Merge
from propeller.sources.tree import Tree
from propeller.sources.variables import Substitution, Variable
from propeller.sources.yamltext import parse_yaml

HEAD = "apiVersion: propeller.dev/v1alpha1\n"
BASE = HEAD + "kind: Proplet\nmetadata: {name: a, labels: {tier: '${TIER:-edge}'}}\nspec: {}\n"

TEXT = st.text(max_size=12) | st.sampled_from(
    ["${A}", "$${A}", "${A:-x}", "${", "a${A}b", "kind", "name", "spec", "labels", "Proplet", "a"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXT,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXT, below, max_size=3),
    max_leaves=12,
)
PLAIN = st.recursive(
    st.integers(-5, 5) | st.sampled_from(["x", "y"]),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "c"]), below, max_size=3)
    ),
    max_leaves=10,
)


def node(value):
    """A value as our reader gives it."""
    build = Build()
    parse_yaml(json.dumps(value).encode(), build)
    return build.documents[0].value


@given(st.fixed_dictionaries({}, optional={
    "base": st.sampled_from(["../base", "..", "../../x", "../nosuch", "."]),
    "patches": st.lists(st.fixed_dictionaries({"target": VALUES, "patch": VALUES}), max_size=3),
    "variables": VALUES, "variablesFrom": VALUES,
}), VALUES)  # fmt: skip
def test_any_overlay_gives_a_revision_or_faults(spec, more):
    """Whatever stands in it, and in the file of variables beside it."""
    files = {
        "base/a.yaml": BASE.encode(),
        "prod/overlay.yaml": (HEAD + f"kind: Overlay\nspec: {json.dumps(spec)}\n").encode(),
        "prod/more.yaml": json.dumps(more).encode(),
    }
    tree = Tree("dir@test", files, overlay="prod")
    try:
        load(tree, domain="d", keep=sha256_digest, inspect=inspect)
    except SpecError as error:
        assert all(fault.message and fault.file for fault in error.faults)


@given(st.text(max_size=60), st.dictionaries(st.sampled_from("ABC"), st.text(max_size=8)))
def test_any_text_is_substituted_or_a_fault(text, values):
    """And what is known stands there exactly once, unread."""
    known = {name: Variable(value, "v.yaml:1") for name, value in values.items()}
    substitution = Substitution(known, "overlay.yaml")
    made = substitution.into(f"<{text}>", file="a.yaml", line=1)
    assert isinstance(made, str) or substitution.faults
    if "${" not in text:
        assert made == f"<{text}>"
    for name, value in values.items():
        assert substitution.into(f"<${{{name}}}>", file="a.yaml", line=1) == f"<{value}>"
        assert substitution.into(Plain(f"$${{{name}}}"), file="a", line=1) == f"${{{name}}}"


@given(PLAIN.filter(lambda value: isinstance(value, dict)), PLAIN)
def test_a_patch_laid_twice_is_a_patch_laid_once(under, patch):
    """And neither the document nor the patch is changed by it."""
    if not isinstance(patch, dict):
        patch = {"a": patch}
    below, above = node(under), node(patch)
    once = Merge("overlay.yaml", "base.yaml").over(below, above)
    assert Merge("overlay.yaml", "base.yaml").over(once, above) == once
    assert (below, above) == (under, patch)
    for key, value in patch.items():
        if not isinstance(value, dict):
            assert once[key] == value
