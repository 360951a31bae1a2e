"""What the loader promises for any bytes at all."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from propeller.errors import SpecError
from propeller.model.ids import sha256_digest
from propeller.model.revision import Revision
from propeller.registry.wasm import inspect
from propeller.sources.load import load
from propeller.sources.nodes import Build, UnreadableError
from propeller.sources.select import Selection
from propeller.sources.tree import Tree
from propeller.sources.yamltext import parse_yaml

GOOD = b"""apiVersion: propeller.dev/v1alpha1
kind: Task
metadata: {name: add, labels: {a: b}}
spec:
  module: {file: add.wat}
  placement: {selector: {matchLabels: {c: d}}, tolerations: {offline: 5m}}
  run: {entrypoint: add, args: [1, &x 2], env: [{name: A, value: *x}]}
  schedule: {cron: "*/5 * * * *", timeZone: Europe/Belgrade}
"""
WORDS = [
    b"&a ",
    b"*a",
    b"? ",
    b": ",
    b"- ",
    b"{",
    b"}",
    b"[",
    b"]",
    b"!!x ",
    b"<<",
    b"|",
    b">",
    b"---\n",
    b"...\n",
    b"%YAML 1.1\n",
    b"\t",
    b"\xff",
    b"\x00",
    b"null",
    b"1e9",
    b"\xef\xbb\xbf",
    b"#",
    b"'",
    b'"',
]


def loaded(files):
    tree = Tree("t", files)
    return load(tree, domain="d", keep=sha256_digest, inspect=inspect)


@st.composite
def mutations(draw):
    """The good file with a few pieces cut out, doubled or put in."""
    data = bytearray(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 12)))
        new = draw(
            st.one_of(
                st.sampled_from(WORDS), st.binary(max_size=4), st.just(bytes(data[at:end] * 2))
            )
        )
        data[at:end] = new
    return bytes(data)


@given(
    st.one_of(mutations(), st.binary(max_size=200)),
    st.sampled_from(["a.yaml", "a.yml", "a.json", ".propellerignore", "add.wat", "add.wasm"]),
)
def test_any_bytes_give_a_revision_or_faults(data, name):
    """Nothing but SpecError leaves, and every fault names a file of the tree and a line of it."""
    files = {
        "b.yaml": GOOD,
        "add.wat": b'(module (func (export "add") (param i32 i32)))',
        name: data,
    }
    try:
        assert isinstance(loaded(files), Revision)
    except SpecError as error:
        for fault in error.faults:
            assert fault.file in files
            lines = files[fault.file].count(b"\n") + files[fault.file].count(b"\r") + 1
            assert 0 <= fault.line <= lines + files[fault.file].count(b"\xe2\x80") + 1
            assert str(fault).isprintable()


@given(st.dictionaries(st.text(max_size=8), st.binary(max_size=20), max_size=4))
def test_any_names_of_files_are_borne(files):
    """Whatever they are called."""
    assert isinstance(loaded({f"x/{name}": data for name, data in files.items()}), Revision)


scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=12))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values, st.booleans())
def test_yaml_that_was_written_is_read_back(value, flow):
    """Every value a YAML writer puts down is understood as it was meant."""
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=flow)
    build = Build()
    try:
        parse_yaml(text.encode(), build)
    except UnreadableError:
        assert any(not character.isprintable() for character in text)
        return
    if not build.documents[0].flaws:
        assert build.documents[0].value == value


@given(st.text(max_size=60), st.text(max_size=40))
def test_any_ignore_file_answers(ignore, path):
    """No pattern raises, whatever it looks like."""
    assert Selection(ignore.encode()).is_spec(path + ".yaml") in (True, False)
