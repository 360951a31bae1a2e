"""Marked lines of specs: found where they stand, edited with everything around them kept."""

from __future__ import annotations

import pytest

from propeller.errors import SpecError
from propeller.sources.markers import MarkedText
from propeller.sources.nodes import Build
from propeller.sources.yamltext import parse_yaml

NEW = "registry.example/plant/filter:1.5.0@sha256:" + "a" * 64


def marks(text: str) -> MarkedText:
    return MarkedText("d.yaml", text.encode())


def edited(text: str, new: str = NEW) -> str:
    """The text with every marked image replaced."""
    found = marks(text)
    return found.replaced({one.image: new for one in found.marks}).decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("image: r.io/f:1", "image: NEW"),
        ('image: "r.io/f:1"', 'image: "NEW"'),
        ("image: 'r.io/f:1'", "image: 'NEW'"),
        ('"image"   :   r.io/f:1', '"image"   :   NEW'),
        ("module: {image: r.io/f:1}", "module: {image: NEW}"),
        ("module: {image: 'r.io/f:1', digest: d}", "module: {image: 'NEW', digest: d}"),
        ("module: { a: [x], image: r.io/f:1 , z: 1 }", "module: { a: [x], image: NEW , z: 1 }"),
        ("? image\n: r.io/f:1", "? image\n: NEW"),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_only_the_value_changes(before: str, after: str, ending: str):
    """Quotes, blanks, comments, line ends, other documents and a missing last line end stay."""
    frame = (
        "# head\n---\nname: é  # an é before it\n---\nspec:\n  text: |\n    # propeller: no mark\n"
        "{line}  #   propeller:  {{policy: tag}}   \n#  tail\n...\n---\nother: [1,  2]"
    )
    lines = [f"  {one}" for one in before.split("\n")]
    text = frame.format(line="\n".join(lines)).replace("\n", ending)
    wanted = frame.format(line="\n".join(f"  {one}" for one in after.split("\n")))
    assert edited(text) == wanted.replace("NEW", NEW).replace("\n", ending)


def test_a_marker_says_its_fields_and_place():
    """Line, path, values, and the digest beside the image."""
    text = 'spec:\n  module:\n    image: r.io/f:1 # propeller: {policy: semver, range: "1.x"}\n'
    (mark,) = marks(f"{text}    digest: sha256:0\n").marks
    assert (mark.line, mark.path) == (3, "spec.module.image")
    assert mark.fields == {"policy": "semver", "range": "1.x"}
    assert mark.image.value == "r.io/f:1"
    assert mark.digest is not None
    assert mark.digest.value == "sha256:0"


def test_a_marker_may_stand_beside_the_digest():
    """The line that changes most."""
    text = "module:\n  image: r.io/f:1\n  digest: sha256:0  # propeller: {policy: tag}\n"
    (mark,) = marks(text).marks
    assert (mark.line, mark.image.value) == (3, "r.io/f:1")


def test_every_document_of_a_file_is_edited():
    """At once, and each by its own marker."""
    one = "spec: {image: r.io/f:1}  # propeller: {policy: tag}\n"
    text = f"{one}---\n# nothing\n---\n{one}"
    found = marks(text)
    first, second = found.marks
    data = found.replaced({first.image: "r.io/f:2", second.image: "r.io/f:3"})
    build = Build()
    parse_yaml(data, build)
    values = [one.value["spec"]["image"] for one in build.documents if one.value]
    assert values == ["r.io/f:2", "r.io/f:3"]


@pytest.mark.parametrize(
    "text",
    [
        "a: 'image: x # propeller: {policy: tag}'\n",
        "a: |\n  image: x\n  y # propeller: {policy: tag}\n",
        "image: x#propeller:y\n",
        "image: x # propellers: {policy: tag}\n",
    ],
)
def test_what_only_looks_like_a_marker_is_none(text: str):
    """In a text, without a blank before it, or another word."""
    assert marks(text).marks == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image: r.io/f:1\na: 1 # propeller: {policy: tag}\n", "2: the marker stands beside no"),
        ("# propeller: {policy: tag}\nimage: r.io/f:1\n", "1: the marker stands beside no image"),
        ("[{image: a/b:1}, {image: c/d:1}] # propeller: {policy: tag}\n", "several images"),
        ("a: &x r.io/f:1\nimage: *x # propeller: {policy: tag}\n", "image is an alias"),
        ("image: &x r.io/f:1 # propeller: {policy: tag}\n", "image has an anchor or a tag"),
        ("image: !!str r.io/f:1 # propeller: {policy: tag}\n", "image has an anchor or a tag"),
        ("image: r.io/f:${V} # propeller: {policy: tag}\n", "image has a variable"),
        ("image: >- # propeller: {policy: tag}\n  r.io/f:1\n", "image goes over several lines"),
        ('image: "r.io/\\\n  f:1" # propeller: {policy: tag}\n', "several lines"),
        ("image: # propeller: {policy: tag}\n", "image is empty"),
        ("image: r.io/f:1 # propeller: {policy\n", "the marker cannot be read"),
        ("image: r.io/f:1 # propeller: tag\n", "write for instance"),
        ("image: r.io/f:1 # propeller:\n", "write for instance"),
        ("image: r.io/f:1 # propeller: {policy: [tag]}\n", "policy must be text"),
        ("image: [1 # propeller: {policy: tag}\n", "d.yaml:"),
        ("image: a\nimage: b # propeller: {policy: tag}\n", "duplicate key"),
    ],
)
def test_what_cannot_be_edited_is_refused_in_words(text: str, says: str):
    """With file and line."""
    with pytest.raises(SpecError) as refused:
        marks(text)
    assert says in str(refused.value)


def test_an_image_that_stands_for_others_too_is_left():
    """The mapping has an anchor: another place would change with it."""
    text = "a: &m {image: r.io/f:1}  # propeller: {policy: tag}\nb: *m\n"
    with pytest.raises(SpecError, match="without changing something else"):
        edited(text)


def test_a_file_has_a_bounded_number_of_markers():
    """Whoever wrote it."""
    with pytest.raises(SpecError, match="more than 1000 markers"):
        marks("".join("- image: r.io/f:1  # propeller: {policy: tag}\n" for _ in range(1_001)))
