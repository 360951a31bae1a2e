"""What planning makes of Secrets: it sees keyed digests, and blocks what lacks one."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

from propeller.model.ids import PropletId
from propeller.model.secrets import KnownSecret
from propeller.model.seen import Box
from propeller.model.specs import RunSpec, SecretVar
from propeller.plan.runs import run_digest
from propeller.plan.types import Assign, Plan

TOKEN = SecretVar(name="TOKEN", secret="broker", key="token")
BELIEVED = Box(announced="x25519:k", pinned="x25519:k", believed="x25519:k")
NAME = ("default", "broker")


def known(token: str, before: str = "") -> dict[tuple[str, str], KnownSecret]:
    """The Secret with that digest, and with another one before."""
    previous = {"token": before} if before else {}
    return {NAME: KnownSecret(digests={"token": token}, previous=previous)}


def reader(w: ModuleType, name: str = "d") -> Any:
    """A Daemon with a variable from the Secret."""
    return replace(w.daemon(name), run=RunSpec(secrets=(TOKEN,)))


def world_of(w: ModuleType, obj: Any, *, box: Box = BELIEVED) -> Any:
    """One proplet that can be given secrets."""
    return w.World(obj, proplets=[w.proplet("p1", box=box)])


def planned(world: Any, secrets: dict[tuple[str, str], KnownSecret]) -> Plan:
    """What is planned when this is known."""
    world.secrets = secrets
    plan: Plan = world.plan()
    return plan


def settled(world: Any, secrets: dict[tuple[str, str], KnownSecret]) -> None:
    """Everything runs as it should with these."""
    world.secrets = secrets
    world.settle()


def test_a_run_without_secrets_is_named_as_before(w: ModuleType) -> None:
    """Fleets that use none rerun nothing for this feature."""
    obj, module = w.daemon("d"), w.module()
    assert run_digest(obj, module) == run_digest(obj, module, {})


def test_another_value_is_another_run_and_another_variable_too(w: ModuleType) -> None:
    """The digest of the value is part of what names a run."""
    obj, module = reader(w), w.module()
    digests = {
        run_digest(obj, module, {"TOKEN": "a"}),
        run_digest(obj, module, {"TOKEN": "b"}),
        run_digest(obj, module, {"OTHER": "a"}),
        run_digest(obj, module, {}),
    }
    assert len(digests) == 4


def test_a_missing_secret_blocks_in_words(w: ModuleType) -> None:
    """Nothing starts, and it says what is missing."""
    world = world_of(w, reader(w))
    plan = planned(world, {})
    assert plan.actions == ()
    (block,) = plan.blocked.values()
    assert (block.reason, block.message) == (
        "SecretMissing",
        "there is no Secret broker in its namespace",
    )


def test_a_missing_key_names_those_that_are_there(w: ModuleType) -> None:
    """A typo is seen at once."""
    plan = planned(
        world_of(w, reader(w)), {NAME: KnownSecret(digests={"tokens": "a", "user": "b"})}
    )
    (block,) = plan.blocked.values()
    assert block.reason == "SecretMissing"
    assert block.message == "Secret broker has no key token; its keys: tokens, user"


def test_a_secret_of_another_namespace_is_not_there(w: ModuleType) -> None:
    """Names count within their namespace."""
    plan = planned(world_of(w, reader(w)), {("other", "broker"): known("a")[NAME]})
    (block,) = plan.blocked.values()
    assert block.reason == "SecretMissing"


def test_a_locked_secret_leaves_what_runs_alone(w: ModuleType) -> None:
    """A reconciler that lost its age key stops and restarts nothing."""
    world = world_of(w, reader(w))
    settled(world, known("a"))
    plan = planned(world, {NAME: KnownSecret(trouble="no identity")})
    assert plan.actions == ()
    (block,) = plan.blocked.values()
    assert block.reason == "SecretLocked"
    assert "no identity" in block.message


def test_a_changed_secret_restarts_with_its_name_as_the_reason(w: ModuleType) -> None:
    """`restart because secret broker changed`."""
    world = world_of(w, reader(w))
    settled(world, known("a"))
    (action,) = planned(world, known("b", before="a")).actions
    assert isinstance(action, Assign)
    assert action.reason == "secret broker changed"


def test_an_edit_is_not_blamed_on_a_secret(w: ModuleType) -> None:
    """The spec changed, and long ago a secret did."""
    world = world_of(w, reader(w))
    settled(world, known("b", before="a"))
    obj = reader(w)
    world.add(replace(obj, run=replace(obj.run, args=("x",))))
    (action,) = planned(world, known("b", before="a")).actions
    assert action.reason == "spec changed"


def test_a_proplet_without_a_key_is_no_place(w: ModuleType) -> None:
    """And the reason says what to do."""
    box = Box(announced="x25519:k", pinned="x25519:k", trouble="nobody vouches for it")
    plan = planned(world_of(w, reader(w), box=box), known("a"))
    assert plan.actions == ()
    (block,) = plan.blocked.values()
    assert block.reason == "SecretKeyUnknown"
    assert "p1: no key for secrets: nobody vouches for it" in block.message


def test_a_proplet_with_a_key_is_preferred_to_one_without(w: ModuleType) -> None:
    """Work goes where its secrets can go."""
    world = w.World(reader(w), proplets=[w.proplet("p1", box=Box()), w.proplet("p2", box=BELIEVED)])
    (action,) = planned(world, known("a")).actions
    assert action.proplet == PropletId("p2")
