"""Whether a module may be sent to devices at all: is it released, and does who must vouch for it.

Called for each object wherever its module is looked up to place copies. What copies run already is
left alone: a rule that is new stops no plant. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from propeller.model.inventory import Held
from propeller.model.module import Module, ModuleProblem, Resolved
from propeller.model.signing import Files, Mode, Rule
from propeller.model.specs import Modular, ModuleRef
from propeller.plan.types import Policy

NOT_RELEASED, UNSIGNED = "NotReleased", "ModuleUnsigned"
NOT_ENCRYPTED = "NotEncrypted"


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a rule says of a module. words: "" where it is content."""

    rule: Rule
    words: str


def admitted(held: Held, resolved: Resolved | None, policy: Policy) -> Resolved | None:
    """`resolved`, or why the module of this object may not be used."""
    thing = held.object
    assert isinstance(thing, Modular)
    if not isinstance(resolved, Module):
        return resolved
    if thing.module.encrypted and resolved.plain is None:
        return ModuleProblem(
            NOT_ENCRYPTED,
            f"{_where(held)}: {thing.module}: plain bytes, where encrypted: Required stands;"
            " `propeller push FILE IMAGE --encrypt-to KEY`, and name the image",
            retry=False,
        )
    if policy.released is None and not policy.signing:
        return resolved
    where = _where(held)
    if policy.released is not None and resolved.digest not in policy.released:
        return ModuleProblem(
            NOT_RELEASED,
            f"{where}: {thing.module}: {resolved.digest} is on no release list; who keeps the"
            f" release key adds it: `propeller release add {resolved.digest} --key KEY`",
            retry=False,
        )
    for one in opinions(held, resolved, policy.signing):
        if one.words and one.rule.mode is Mode.REQUIRED:
            return ModuleProblem(UNSIGNED, f"{where}: {one.words}", retry=False)
    return resolved


def _where(held: Held) -> str:
    origin = held.object.meta.origin
    return f"{origin.file}:{origin.line}: spec.module" if origin.file else "spec.module"


def opinions(held: Held, module: Module, rules: tuple[Rule, ...]) -> tuple[Opinion, ...]:
    """What rules say of the module of this object; see `judged`."""
    thing = held.object
    assert isinstance(thing, Modular)
    meta = thing.meta
    return judged(thing.module, module, rules, namespace=meta.key.namespace, app=meta.app)


def judged(
    ref: ModuleRef, module: Module, rules: tuple[Rule, ...], *, namespace: str, app: str
) -> tuple[Opinion, ...]:
    """What each rule that is about this module says; the first content one is enough of a mode.

    Rules of one mode are alternatives: a repository may stand in any of them, with its keys.
    namespace, app: of what uses it.
    """
    found: list[Opinion] = []
    for mode in Mode:
        mine = [rule for rule in rules if rule.mode is mode and _about(rule, namespace, app)]
        said = [Opinion(rule, _says(rule, ref, module)) for rule in mine]
        content = [one for one in said if not one.words]
        near = [one for one in said if _names(one.rule, ref)]
        found += content[:1] or near[:1] or said[:1]
    return tuple(found)


def _about(rule: Rule, namespace: str, app: str) -> bool:
    return (not rule.namespaces or namespace in rule.namespaces) and (
        not rule.apps or app in rule.apps
    )


def _says(rule: Rule, ref: ModuleRef, module: Module) -> str:
    told = f"{ref}: {rule.where} ({rule.name})"
    if ref.image is None:
        if rule.files is Files.ALLOWED:
            return ""
        return (
            f"{told} wants modules from a registry, signed; `propeller push` it and name the image,"
            " or say files: Allowed there"
        )
    if not _names(rule, ref):
        allowed = ", ".join(rule.repositories)
        return f"{told} takes images of {allowed} only; push it there, or add its repository"
    if module.signed is None:
        return f"{told}: its signatures were not looked for yet"
    if not set(rule.keys) & set(module.signed.by):
        keys = ", ".join(rule.keys)
        return (
            f"{told}: none of the keys {keys} signed it; `propeller sign {ref} --key KEY`,"
            " then it is looked at again within a minute"
        )
    return ""


def _names(rule: Rule, ref: ModuleRef) -> bool:
    if ref.image is None:
        return False
    return allows(rule, repository_of(ref.image))


def allows(rule: Rule, repository: str) -> bool:
    """Whether images may come from there by this rule."""
    return any(fnmatchcase(repository, one) for one in rule.repositories)


def repository_of(image: str) -> str:
    """`host/repository` of an image, without scheme, tag and digest."""
    rest = image.removeprefix("oci://").partition("@")[0]
    head, colon, tag = rest.rpartition(":")
    return head if colon and "/" not in tag else rest
