"""One spec file's bytes -> its documents in canonical form, or what is wrong with them.

Depends on the bytes and the kind of file only, never on its name or its neighbours: the answer is
cached by content, so a revision that changes one file of 5,000 reads one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from propeller.model.secrets import SEALED
from propeller.sources import rules, sealed
from propeller.sources.explain import did_you_mean, explain, show
from propeller.sources.fill import RefusedError, fill_for
from propeller.sources.jsontext import parse_json
from propeller.sources.nodes import Build, Flaw, Map, Parsed, Path, UnreadableError, line_of
from propeller.sources.schemas import API_GROUP, API_VERSION, KINDS, TREE_KINDS
from propeller.sources.yamltext import parse_yaml

MAX_SPEC_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Document:
    """One of our documents; `meta` and `spec` are canonical.

    index: counts all documents of the file, foreign ones too.
    own_prune: whether the author wrote `prune`, or it may come from the App.
    within: where its spec stands in what was written.
    """

    index: int
    line: int
    kind: str
    meta: Mapping[str, Any]
    spec: Mapping[str, Any]
    own_prune: bool = False
    within: Path = ("spec",)


@dataclass(frozen=True, slots=True)
class SpecFile:
    """What one file holds. `foreign` are the first lines of documents that are not ours."""

    documents: tuple[Document, ...] = ()
    foreign: tuple[int, ...] = ()
    flaws: tuple[Flaw, ...] = ()


def read_spec_file(data: bytes, *, json: bool) -> SpecFile:
    """Everything in `data` and everything wrong with it. Never raises for any bytes."""
    return spec_file(*parse_documents(data, json=json))


def spec_file(parsed: Sequence[Parsed], flaws: Sequence[Flaw] = ()) -> SpecFile:
    """The same for what was parsed before, and perhaps changed by an overlay since."""
    flaws = [*flaws]
    documents: list[Document] = []
    foreign: list[int] = []
    alone = sum(1 for one in parsed if one.value is not None) == 1
    for index, one in enumerate(parsed):
        if one.value is None:
            continue
        claim = _claim(one.value)
        if claim is None:
            foreign.append(one.line)
            continue
        flaws += one.flaws
        found = claim or _kind_flaws(one)
        if found or not isinstance(one.value, Map):
            flaws += found
            continue
        if not one.flaws:
            document = _document(index, one, flaws, alone=alone)
            if document is not None:
                documents.append(document)
        else:
            flaws += _explained(one)
    return SpecFile(tuple(documents), tuple(foreign), tuple(flaws))


class Lines:
    """Finds the lines of one file again: they are not kept, because faults are rare."""

    def __init__(self, parsed: Sequence[Parsed]) -> None:
        self._parsed = parsed

    @staticmethod
    def of(data: bytes, *, json: bool) -> Lines:
        """The lines of a file as it is."""
        return Lines(parse_documents(data, json=json)[0])

    def line(self, index: int, path: Path) -> int:
        """The line of `path` in document `index`, or of the deepest part of it that is there."""
        if index >= len(self._parsed):
            return 0
        return line_of(self._parsed[index].value, path, self._parsed[index].line)


def parse_documents(data: bytes, *, json: bool) -> tuple[list[Parsed], list[Flaw]]:
    """The documents of a file before anything is asked of them, and why reading ended early."""
    build = Build()
    try:
        text = _utf8(data)
        if json:
            parse_json(text, build)
        else:
            parse_yaml(text.encode(), build)
    except UnreadableError as broken:
        whole = build.documents[:-1] if build.depth else build.documents
        return whole, [broken.flaw]
    return build.documents, []


def _utf8(data: bytes) -> str:
    if len(data) > MAX_SPEC_BYTES:
        raise UnreadableError(0, too_large(len(data)))
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UnreadableError(1, "must be UTF-8, not UTF-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableError(
            line, f"must be UTF-8; byte 0x{data[error.start]:02x} is not"
        ) from error


def too_large(size: int) -> str:
    """Words for a spec file of `size` bytes."""
    return f"a spec file must be at most {MAX_SPEC_BYTES} bytes, this one has {size}; split it"


def _claim(value: Any) -> list[Flaw] | None:
    """None: not ours. Empty: ours. Otherwise ours by all appearances, with a typo that hides it.

    A typo must never read as a deletion, so a near miss of `apiVersion` is a fault.
    """
    if not isinstance(value, Map):
        return None
    version = value.get("apiVersion")
    if isinstance(version, str):
        if "sops" in value and SEALED.match(version):
            message = f"is encrypted: sops must leave it alone (`{sealed.ENCRYPT}`)"
            return [Flaw(value.lines["apiVersion"], ("apiVersion",), message)]
        group = version.partition("/")[0]
        if group == API_GROUP.rstrip("/"):
            return []
        if did_you_mean(group, [API_GROUP.rstrip("/")]):
            line = value.lines["apiVersion"]
            message = f'must be "{API_VERSION}", not {show(version)}'
            return [Flaw(line, ("apiVersion",), message)]
        return None
    for key, below in value.items():
        if isinstance(below, str) and below.startswith(API_GROUP) and key != "apiVersion":
            message = 'unknown field, did you mean "apiVersion"?'
            return [Flaw(value.lines[key], (key,), message)]
    return None


def _kind_flaws(one: Parsed) -> list[Flaw]:
    version, kind = one.value.get("apiVersion"), one.value.get("kind")
    flaws: list[Flaw] = []
    if version != API_VERSION:
        line = line_of(one.value, ("apiVersion",), one.line)
        message = f'must be "{API_VERSION}", not {show(version)}'
        flaws.append(Flaw(line, ("apiVersion",), message))
    if kind not in KINDS:
        line = line_of(one.value, ("kind",), one.line)
        near = did_you_mean(kind, KINDS) if isinstance(kind, str) else None
        hint = f', did you mean "{near}"?' if near else ""
        got = "required" if kind is None else f"must be one of {', '.join(KINDS)}, not {show(kind)}"
        got = f"{got}: one of {', '.join(KINDS)}" if kind is None else got + hint
        if kind in TREE_KINDS:
            got = f"an {kind} stands in a file of its own, {kind.lower()}.yaml"
        flaws.append(Flaw(line, ("kind",), got))
    return flaws


def _explained(one: Parsed) -> list[Flaw]:
    kind: str = one.value["kind"]
    found = explain(kind, one.value, one.line)
    return sealed.discreet(found) if kind == "Secret" else found


def _document(index: int, one: Parsed, flaws: list[Flaw], *, alone: bool = True) -> Document | None:
    kind: str = one.value["kind"]
    try:
        canonical = fill_for(kind)(one.value)
    except RefusedError:
        flaws += _explained(one) or [Flaw(one.line, (), f"does not fit the schema of {kind}")]
        return None
    spec = canonical["spec"]
    wrong: list[rules.Problem] = [
        (("spec", *below), message) for below, message in rules.problems(kind, spec)
    ]
    if kind == "Secret":
        spec, more = sealed.canonical(one.value, spec, alone=alone)
        wrong += more
    for path, message in wrong:
        flaws.append(Flaw(line_of(one.value, path, one.line), path, message))
    if wrong:
        return None
    written = one.value.get("spec")
    own_prune = isinstance(written, Map) and written.get("prune") is not None
    return Document(
        index, one.line, kind, canonical["metadata"], rules.finish(kind, spec), own_prune
    )
