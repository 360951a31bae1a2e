"""The types of a component's exports, as plain values of our own.

Read once from wasmtime's types, then used by `component_values` for every call. What cannot be a
value in text (resources, streams, futures) and what wasmtime's package mixes up raises Unservable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from wasmtime.component import (
    F32,
    F64,
    S8,
    S16,
    S32,
    S64,
    U8,
    U16,
    U32,
    U64,
    Bool,
    BorrowType,
    Char,
    EnumType,
    FlagsType,
    ListType,
    OptionType,
    OwnType,
    RecordType,
    ResultType,
    String,
    TupleType,
    ValType,
    VariantType,
)

from propeller.components import TYPE

MOST = 1000
"""Types within types of one function: what is larger is refused, for a small binary says much."""
DEEP = 32
"""Types within types, one in the other."""


class Unservable(ValueError):
    """Why a function cannot be called with text, in words with their code."""

    def __init__(self, words: str) -> None:
        super().__init__(f"{TYPE}: {words}")


@dataclass(frozen=True, slots=True)
class Plain:
    """bool, s8 to u64, f32, f64, char or string."""

    name: str


@dataclass(frozen=True, slots=True)
class Bytes:
    """list<u8>."""


@dataclass(frozen=True, slots=True)
class Many:
    """list<element>."""

    element: Shape


@dataclass(frozen=True, slots=True)
class Row:
    """A tuple."""

    elements: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Fields:
    """A record."""

    fields: tuple[tuple[str, Shape], ...]


@dataclass(frozen=True, slots=True)
class Words:
    """An enum, or flags where any number of them may be set."""

    names: tuple[str, ...]
    several: bool


@dataclass(frozen=True, slots=True)
class Cases:
    """A variant, a result or an option; kind says which.

    tagged: whether wasmtime's package tells the cases apart by name, not by the class of the
    value. classes: those of each case then.
    """

    kind: str
    cases: tuple[tuple[str, Shape | None], ...]
    tagged: bool
    classes: tuple[frozenset[type], ...]


Shape: TypeAlias = Plain | Bytes | Many | Row | Fields | Words | Cases

_PLAIN: dict[type, str] = {
    Bool: "bool",
    S8: "s8",
    S16: "s16",
    S32: "s32",
    S64: "s64",
    U8: "u8",
    U16: "u16",
    U32: "u32",
    U64: "u64",
    F32: "f32",
    F64: "f64",
    Char: "char",
    String: "string",
}


class Shaping:
    """Reads types, so many in all. given: whether they are those of parameters."""

    def __init__(self) -> None:
        self._left = MOST

    def shape(self, kind: ValType, *, given: bool, depth: int = 0) -> Shape:
        """Raises Unservable."""
        self._left -= 1
        if self._left < 0 or depth > DEEP:
            raise Unservable(f"its types have more than {MOST} parts or are {DEEP} deep")

        def within(inner: ValType) -> Shape:
            return self.shape(inner, given=given, depth=depth + 1)

        plain = _PLAIN.get(type(kind))
        if plain is not None:
            return Plain(plain)
        match kind:
            case ListType():
                element = kind.element
                return Bytes() if isinstance(element, U8) else Many(within(element))
            case TupleType():
                return Row(tuple(within(one) for one in kind.elements))
            case RecordType():
                return Fields(tuple((name, within(one)) for name, one in kind.fields))
            case EnumType():
                return Words(tuple(kind.names), several=False)
            case FlagsType():
                return Words(tuple(kind.names), several=True)
            case VariantType():
                return self._cases("variant", kind.cases, given, depth)
            case OptionType():
                cases = [("none", None), ("some", kind.payload)]
                return self._cases("option", cases, given, depth)
            case ResultType():
                return self._cases("result", [("ok", kind.ok), ("err", kind.err)], given, depth)
            case OwnType() | BorrowType():
                raise Unservable("it takes or gives a resource, which has no form as text")
            case _:
                raise Unservable(
                    f"it takes or gives a {type(kind).__name__.removesuffix('Type').lower()},"
                    " which wasmtime's Python package cannot convert"
                )

    def _cases(
        self, kind: str, cases: Sequence[tuple[str, ValType | None]], given: bool, depth: int
    ) -> Cases:
        shapes = tuple(
            (name, None if one is None else self.shape(one, given=given, depth=depth + 1))
            for name, one in cases
        )
        classes = []
        for _, one in cases:
            found: set[type] = set()
            if one is None:
                found.add(object)
            else:
                one.add_classes(found)
            classes.append(frozenset(found))
        every = frozenset[type]().union(*classes)
        tagged = sum(map(len, classes)) > len(every)
        if given and not tagged and _alike(cases, classes):
            raise Unservable(
                f"it takes a {kind} whose cases wasmtime's Python package cannot tell apart"
            )
        return Cases(kind, shapes, tagged, tuple(classes))


def _alike(cases: Sequence[tuple[str, ValType | None]], classes: Sequence[frozenset[type]]) -> bool:
    """Whether a value of one case could be taken for one of another: the package asks isinstance,
    for which True is an int, and everything an object."""
    every = frozenset[type]().union(*classes)
    loose = any(
        object in found and one is not None for (_, one), found in zip(cases, classes, strict=True)
    )
    return loose or {bool, int} <= every


def text_of(shape: Shape | None) -> str:
    """The type as WIT has it, shortened where it is long."""
    if shape is None:
        return "_"
    match shape:
        case Plain():
            return shape.name
        case Bytes():
            return "list<u8>"
        case Many():
            return f"list<{text_of(shape.element)}>"
        case Row():
            return f"tuple<{', '.join(map(text_of, shape.elements))}>"[:200]
        case Fields():
            inner = ", ".join(f"{name}: {text_of(one)}" for name, one in shape.fields)
            return f"record {{{inner}}}"[:200]
        case Words():
            return f"{'flags' if shape.several else 'enum'} {{{', '.join(shape.names)}}}"[:200]
        case Cases(kind="option"):
            return f"option<{text_of(shape.cases[1][1])}>"
        case Cases(kind="result"):
            return f"result<{text_of(shape.cases[0][1])}, {text_of(shape.cases[1][1])}>"
        case _:
            inner = ", ".join(
                name if one is None else f"{name}({text_of(one)})" for name, one in shape.cases
            )
            return f"variant {{{inner}}}"[:200]
