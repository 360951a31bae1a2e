"""A module goes to devices only if it is released, and if who must vouch for it does."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from propeller.model.ids import sha256_digest
from propeller.model.module import Module, ModuleProblem
from propeller.model.signing import Files, Mode, Rule, Signed, key_set, keys_of
from propeller.model.specs import ModuleRef
from propeller.plan.admission import admitted, opinions, repository_of
from propeller.plan.types import Assign, Policy

DIGEST = sha256_digest(b"module")
IMAGE = ModuleRef(image="oci://registry.example/plant/filter:1.4")


def module(*by: str, looked: bool = True) -> Module:
    """A resolved image that these keys vouch for."""
    signed = Signed(looked=key_set(["ana", "eve"]), by=by) if looked else None
    return Module(identity=DIGEST, digest=DIGEST, size=8, signed=signed)


def rule(**more: Any) -> Rule:
    """Who signs images of the plant."""
    fields: dict[str, Any] = {
        "name": "plant",
        "where": "propeller.yaml: modulePolicies[0]",
        "mode": Mode.REQUIRED,
        "repositories": ("registry.example/plant/*",),
        "keys": ("ana",),
    }
    return Rule(**{**fields, **more})


def of(w: ModuleType, ref: ModuleRef = IMAGE) -> Any:
    """A daemon with that module, as the inventory holds it."""
    return w.World(replace(w.daemon("d"), module=ref)).objects[w.uid("Daemon", "d")]


def refused(held: Any, found: Module, *rules: Rule, released: Any = None) -> str:
    """Why it is, "" when it is not."""
    policy = Policy(signing=rules, released=released)
    answer = admitted(held, found, policy)
    return answer.message if isinstance(answer, ModuleProblem) else ""


def test_signed_by_a_key_of_the_rule_is_let_in(w: ModuleType) -> None:
    """Any one of its keys; another signer's does not count."""
    held = of(w)
    assert refused(held, module("ana"), rule()) == ""
    assert refused(held, module("eve", "ana"), rule(keys=("ana", "bob"))) == ""
    assert "none of the keys ana signed it" in refused(held, module("eve"), rule())
    assert "none of the keys" in refused(held, module(), rule())


def test_the_refusal_says_where_what_and_what_to_do(w: ModuleType) -> None:
    """File, line, field, rule, and the command to type."""
    words = refused(of(w), module(), rule())
    assert words.startswith("d.yaml:1: spec.module: oci://registry.example/plant/filter:1.4: ")
    assert "propeller.yaml: modulePolicies[0] (plant)" in words
    assert "propeller sign oci://registry.example/plant/filter:1.4 --key KEY" in words


@pytest.mark.parametrize(
    "image",
    [
        "registry.example/other/filter:1",
        "registry.example/plantation:1",
        "evil.example/registry.example/plant/filter:1",
        "registry.example.evil.example/plant/filter:1",
    ],
)
def test_another_repository_is_refused_although_signed(w: ModuleType, image: str) -> None:
    """A signature moved with the bytes to somewhere else is none of ours."""
    words = refused(of(w, ModuleRef(image=image)), module("ana"), rule())
    assert "takes images of registry.example/plant/* only" in words


def test_files_and_urls_need_leave(w: ModuleType) -> None:
    """They have no signature here: refused unless the rule lets them."""
    for ref in (ModuleRef(file="a.wasm", digest=DIGEST), ModuleRef(url="https://x", digest=DIGEST)):
        assert "wants modules from a registry" in refused(of(w, ref), module("ana"), rule())
        assert refused(of(w, ref), module(looked=False), rule(files=Files.ALLOWED)) == ""


def test_not_looked_for_is_not_signed(w: ModuleType) -> None:
    """Resolved before there was a rule: refused until somebody looked."""
    assert "not looked for yet" in refused(of(w), module(looked=False), rule())


def test_rules_are_about_their_namespaces_and_apps(w: ModuleType) -> None:
    """Other objects are none of their business."""
    held = of(w)
    assert refused(held, module(), rule(namespaces=("plant-b",))) == ""
    assert refused(held, module(), rule(apps=("presses",))) == ""
    assert refused(held, module(), rule(namespaces=("default",), apps=("default",))) != ""


def test_several_rules_are_alternatives(w: ModuleType) -> None:
    """A vendor's repository with the vendor's key beside ours; the message is of the nearest."""
    vendor = rule(name="vendor", repositories=("vendor.example/*",), keys=("vendor",))
    from_vendor = of(w, ModuleRef(image="vendor.example/x:1"))
    assert refused(from_vendor, module("vendor"), rule(), vendor) == ""
    assert "none of the keys vendor" in refused(from_vendor, module("ana"), rule(), vendor)


def test_a_warning_lets_it_in_and_is_told(w: ModuleType) -> None:
    """Warn never refuses, and does not loosen a rule that does."""
    warn = rule(mode=Mode.WARN)
    assert refused(of(w), module(), warn) == ""
    (told,) = opinions(of(w), module(), (warn,))
    assert "none of the keys" in told.words
    assert refused(of(w), module(), warn, rule()) != ""


def test_what_is_not_released_is_not_sent(w: ModuleType) -> None:
    """The list is of what travels; an empty one refuses everything, none at all nothing."""
    held = of(w)
    assert refused(held, module(), released=frozenset({DIGEST})) == ""
    assert refused(held, module()) == ""
    words = refused(held, module(), released=frozenset())
    assert f"propeller release add {DIGEST} --key KEY" in words


def test_a_plan_places_nothing_that_is_refused_and_leaves_what_runs(w: ModuleType) -> None:
    """New copies wait, with the reason as the condition; a rule that is new stops no plant."""
    daemon = w.daemon("d", placement=w.anywhere(1))
    world = w.World(daemon, proplets=[w.proplet("p1"), w.proplet("p2")])
    strict = Policy(released=frozenset())
    world.policy = strict
    first = world.plan()
    assert not [one for one in first.actions if isinstance(one, Assign)]
    assert first.blocked[daemon.meta.uid].reason == "NotReleased"
    world.policy = Policy()
    world.settle()
    copies = dict(world.assignments[daemon.meta.uid])
    world.policy = strict
    later = world.plan()
    assert later.actions == ()
    assert dict(world.assignments[daemon.meta.uid]) == copies


def test_names_of_keys_and_repositories() -> None:
    """A set of keys has one name in any order; a repository is an image without tag and digest."""
    assert key_set(["b", "a", "a"]) == key_set(["a", "b"]) != key_set(["a"])
    assert keys_of([rule(keys=("a",)), rule(keys=("b",))]) == key_set(["a", "b"])
    for image in ("h.x:5000/a/b:1", "oci://h.x:5000/a/b@sha256:1", "h.x:5000/a/b"):
        assert repository_of(image) == "h.x:5000/a/b"
