"""A module's bill of materials says what is in the module, and always the same."""

from __future__ import annotations

import json

import pytest

from propeller.errors import WireError
from propeller.model.ids import sha256_digest
from propeller.registry.layout import Layout
from propeller.registry.reference import Reference
from propeller.registry.referrers import read_attached, read_layer
from propeller.registry.sbom import CYCLONEDX, bill, producers, push_bill

EMPTY = bytes.fromhex("0061736d01000000")


def name(text):
    return bytes([len(text)]) + text.encode()


def with_producers(*fields):
    body = name("producers") + bytes([len(fields)])
    for role, tools in fields:
        body += name(role) + bytes([len(tools)])
        body += b"".join(name(tool) + name(version) for tool, version in tools)
    return EMPTY + b"\0" + bytes([len(body)]) + body


MODULE = with_producers(("language", [("Rust", "2021")]), ("processed-by", [("rustc", "1.80")]))


def test_toolchains_are_named():
    """The `producers` section becomes components with versions."""
    assert producers(MODULE) == (
        ("language", "Rust", "2021"),
        ("processed-by", "rustc", "1.80"),
    )
    document = json.loads(bill(MODULE, name="filter", source="https://x/y", agent="propeller 1"))
    assert [(one["name"], one["version"]) for one in document["components"]] == [
        ("Rust", "2021"),
        ("rustc", "1.80"),
    ]
    main = document["metadata"]["component"]
    assert main["hashes"] == [{"alg": "SHA-256", "content": sha256_digest(MODULE)[7:]}]
    assert main["externalReferences"] == [{"type": "vcs", "url": "https://x/y"}]
    assert document["bomFormat"] == "CycloneDX"


def test_equal_modules_have_equal_bills():
    """No time, no random number: pushing again changes nothing in the registry."""
    one, two = (bill(MODULE, name="filter", agent="propeller 1") for _ in range(2))
    assert one == two
    assert bill(EMPTY, name="filter", agent="propeller 1") != one


@pytest.mark.parametrize("cut", range(9, len(MODULE)))
def test_a_damaged_section_names_nobody(cut):
    """It is what the module says of itself: a broken word is none, and raises nothing."""
    assert isinstance(producers(MODULE[:cut]), tuple)


def test_no_bill_for_what_is_no_module():
    """Refused before anything is pushed."""
    with pytest.raises(WireError):
        bill(b"text", name="x", agent="propeller 1")


def test_the_bill_is_found_from_the_module(tmp_path):
    """As a referrer of its manifest, with the artifact type that scanners look for."""
    shelf, ref = Layout(tmp_path), Reference("registry.example", "plant/filter", "1")
    document = bill(MODULE, name="filter", agent="propeller 1")
    manifest = shelf.push(ref, MODULE)
    for _ in range(2):
        push_bill(shelf, ref, manifest, document)
    (one,) = shelf.referrers(ref, CYCLONEDX)
    found = read_attached(shelf, ref, one)
    assert read_layer(shelf, ref, found.layers[0], limit=1 << 20) == document
