"""A Secret as it is written -> its canonical spec, still sealed; and what is wrong with it.

Called by `documents`. Nothing is opened here: no key is needed to load specs, and the sealed form
is what the store keeps. SOPS signs the whole document, so what its MAC covers is gathered here,
where the document still is as it was written, in its order:

    sops: {age: [{recipient, enc}], lastModified, mac, macOnlyEncrypted, over: [[kind, text]]}

where kind is `plain` (text as SOPS hashes it) or `data` (a key of `spec.data`, hashed in clear).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from propeller.model.secrets import ARMOR, ARMOR_END, SEALED
from propeller.sources.nodes import Flaw, Map, Number, Path, Seq

ENCRYPT: Final = "sops encrypt --age RECIPIENT --encrypted-regex '^data$' -i FILE"
MAX_RECIPIENTS: Final = 64

Problem = tuple[Path, str]


def canonical(
    document: Map, spec: Mapping[str, Any], *, alone: bool
) -> tuple[dict[str, Any], list[Problem]]:
    """The canonical spec of a Secret, and problems with paths from the document's root.

    spec: as the schema filled it. alone: whether the document is the only one of its file. No
    message repeats a value.
    """
    sops = document.get("sops")
    problems = list(_values(spec, has_sops=sops is not None))
    made: dict[str, Any] = {"data": spec["data"], "plaintext": spec["plaintext"]}
    if isinstance(sops, Map):
        if not alone:
            message = "a file that sops encrypted holds one document: its MAC covers all of it"
            problems.append((("sops",), message))
        found = list(_envelope(sops))
        problems += found
        if not found:
            only = sops.get("mac_only_encrypted") is True
            over, wrong = _covered(document, only=only)
            problems += wrong
            made["sops"] = {
                "age": [
                    {"recipient": str(one["recipient"]), "enc": str(one["enc"])}
                    for one in sops["age"]
                ],
                "lastModified": str(sops["lastmodified"]),
                "mac": str(sops["mac"]),
                "macOnlyEncrypted": only,
                "over": over,
            }
    return made, problems


def discreet(flaws: Iterable[Flaw]) -> list[Flaw]:
    """Faults of a Secret without what stood there: it may be the secret."""
    return [
        Flaw(flaw.line, flaw.path, flaw.message.partition(", not ")[0])
        if flaw.path[:2] == ("spec", "data") or flaw.path[:1] == ("sops",)
        else flaw
        for flaw in flaws
    ]


def _values(spec: Mapping[str, Any], *, has_sops: bool) -> Iterator[Problem]:
    for name, text in spec["data"].items():
        where: Path = ("spec", "data", name)
        if text.startswith("ENC["):
            if SEALED.match(text) is None:
                yield where, "is not a value as SOPS writes them: it was cut or changed"
            elif not has_sops:
                yield where, "was sealed by sops, but the file has no `sops` any more"
        elif text.lstrip().startswith(ARMOR):
            if not text.rstrip().endswith(ARMOR_END):
                yield where, f"must end with {ARMOR_END}"
        elif text and spec["plaintext"] != "Allowed":
            yield (
                where,
                f"is plain text; encrypt it (`{ENCRYPT}`), or say spec.plaintext: Allowed",
            )


def _envelope(sops: Map) -> Iterator[Problem]:
    age = sops.get("age")
    if not isinstance(age, Seq) or not age:
        yield ("sops", "age"), "must name an age recipient: other kinds of keys are not read"
    elif len(age) > MAX_RECIPIENTS:
        yield ("sops", "age"), f"must name at most {MAX_RECIPIENTS} recipients"
    else:
        for index, one in enumerate(age):
            good = isinstance(one, Map) and isinstance(one.get("recipient"), str)
            enc = one.get("enc") if good else None
            if not isinstance(enc, str) or not enc.strip().startswith(ARMOR):
                yield ("sops", "age", index), "must have recipient and enc, as sops writes them"
    if sops.get("key_groups"):
        yield ("sops", "key_groups"), "keys that only open a file together are not read"
    if not isinstance(sops.get("lastmodified"), str):
        yield ("sops", "lastmodified"), "required: sops writes it"
    mac = sops.get("mac")
    if not isinstance(mac, str) or SEALED.match(mac) is None:
        yield ("sops", "mac"), "required: a file without its MAC may have been changed by anyone"


def _covered(document: Map, *, only: bool) -> tuple[list[list[str]], list[Problem]]:
    """What the MAC is over, in the order of the document."""
    over: list[list[str]] = []
    problems: list[Problem] = []

    def walk(value: Any, path: Path) -> None:
        if isinstance(value, Map):
            for name, below in value.items():
                if path or name != "sops":
                    walk(below, (*path, name))
        elif isinstance(value, Seq):
            for below in value:
                walk(below, path)
        elif value is not None:
            text = _hashed(value)
            if SEALED.match(text) is None:
                if not only:
                    over.append(["plain", text])
            elif path[:2] == ("spec", "data") and len(path) == 3:
                over.append(["data", str(path[2])])
            else:
                message = "must not be encrypted: only the values of spec.data may be"
                problems.append((path, f"{message} (`{ENCRYPT}`)"))

    walk(document, ())
    return over, problems


def _hashed(value: Any) -> str:
    """A value as SOPS hashes it."""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, Number):
        try:
            return f"{Decimal(value):f}"
        except ArithmeticError:
            return str(value)
    return str(value)
