"""From a table of fields to the functions that read and write one dataclass.

`shape(Report, [...])` is called once per message when `fields` is imported. What it makes touches
only the keys that are there: unknown keys are looked at for what may never be on the wire and then
forgotten, absent ones take the dataclass's default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from dataclasses import fields as fields_of
from operator import attrgetter
from typing import Any

from propeller.wire.kinds import MAX_INTEGER, Change, Kind
from propeller.wire.reject import Broken, Reject

FOREIGN_DEPTH = 4
"""Maps and lists inside each other that a field we do not know may hold."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `number` is its CBOR key: given once, never reused. `doc` goes into the schema."""

    number: int
    name: str
    kind: Kind
    doc: str

    @property
    def key(self) -> str:
        """Its JSON name: `not_after` is `notAfter`."""
        head, *rest = self.name.split("_")
        return head + "".join(part.capitalize() for part in rest)


@dataclass(frozen=True, slots=True)
class Exclusive:
    """Fields of which at most one, and if `needed` exactly one, is given."""

    names: tuple[str, ...]
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """A message class with its fields and what was compiled from them."""

    cls: type[Any]
    fields: tuple[Field, ...]
    required: frozenset[str]
    exclusive: Exclusive | None
    kind: Kind


def shape(
    cls: type[Any],
    fields: Sequence[Field],
    *,
    exclusive: Exclusive | None = None,
    always: frozenset[str] = frozenset({"v"}),
) -> Shape:
    """Compile. `always` are written even when they hold their default."""
    declared = frozenset(field.name for field in fields_of(cls))
    assert declared == {field.name for field in fields}, f"{cls.__name__}: table and class differ"
    assert len({field.number for field in fields}) == len(fields), f"{cls.__name__}: a number twice"
    must = (declared - _defaults(cls, frozenset()).keys()) | (always & declared)
    defaults = _defaults(cls, must)
    by_key = [(field.key, field.name, field.kind) for field in fields]
    by_number = [(field.number, field.name, field.kind) for field in fields]
    kind = Kind(
        _reader(cls, [(at, name, k.from_json) for at, name, k in by_key], must, exclusive),
        _writer(cls, [(at, name, k.to_json) for at, name, k in by_key], defaults, exclusive),
        _reader(cls, [(at, name, k.from_cbor) for at, name, k in by_number], must, exclusive),
        _writer(cls, [(at, name, k.to_cbor) for at, name, k in by_number], defaults, exclusive),
        _schema(cls, fields, must, exclusive),
    )
    return Shape(cls, tuple(fields), must, exclusive, kind)


def json_without(shape: Shape, *left_out: str) -> Change:
    """Write JSON values without the fields `left_out` (a digest over the rest)."""
    rows = [
        (field.key, field.name, field.kind.to_json)
        for field in shape.fields
        if field.name not in left_out
    ]
    return _writer(shape.cls, rows, _defaults(shape.cls, shape.required), shape.exclusive)


def _defaults(cls: type[Any], must: frozenset[str]) -> Mapping[str, object]:
    """What each field holds when absent; not for those that `must` be there."""
    return {
        field.name: () if field.default is MISSING else field.default
        for field in fields_of(cls)
        if (field.default is not MISSING or field.default_factory is not MISSING)
        and field.name not in must
    }


_ALWAYS = object()


def _reader(
    cls: Callable[..., object],
    rows: Sequence[tuple[object, str, Change]],
    must: frozenset[str],
    exclusive: Exclusive | None,
) -> Change:
    find = {at: (name, change) for at, name, change in rows}.get

    def read(value: object) -> object:
        if type(value) is not dict:
            raise Broken(Reject.WRONG_TYPE, f"wanted a map, got {type(value).__name__}")
        given: dict[str, object] = {}
        for key, item in value.items():
            found = find(key)
            try:
                if found is None:
                    check_foreign(item)
                else:
                    given[found[0]] = found[1](item)
            except Broken as broken:
                raise broken.at(f".{key}") from None
        if not must <= given.keys():
            lacking = ", ".join(sorted(must - given.keys()))
            raise Broken(Reject.MISSING_FIELD, f"lacks {lacking}")
        if exclusive is not None:
            _check_exclusive(exclusive, [name for name in exclusive.names if name in given])
        return cls(**given)

    return read


def _writer(
    cls: type[Any],
    rows: Sequence[tuple[object, str, Change]],
    defaults: Mapping[str, object],
    exclusive: Exclusive | None,
) -> Change:
    values_of = attrgetter(*(name for _, name, _ in rows))
    plan = tuple((at, change, defaults.get(name, _ALWAYS)) for at, name, change in rows)

    def write(value: object) -> object:
        if type(value) is not cls:
            raise Broken(Reject.WRONG_TYPE, f"wanted {cls.__name__}, got {type(value).__name__}")
        tree: dict[object, object] = {}
        for (key, change, default), item in zip(plan, values_of(value), strict=True):
            if item is default or item == default:
                continue
            try:
                tree[key] = change(item)
            except Broken as broken:
                raise broken.at(f".{key}") from None
        if exclusive is not None:
            given = [name for name in exclusive.names if getattr(value, name) is not None]
            _check_exclusive(exclusive, given)
        return tree

    return write


def _check_exclusive(rule: Exclusive, given: Sequence[str]) -> None:
    if len(given) > 1 or (rule.needed and not given):
        wanted = "one" if rule.needed else "at most one"
        raise Broken(Reject.CONFLICT, f"wanted {wanted} of {', '.join(rule.names)}")


def check_foreign(value: object, depth: int = 1) -> None:
    """Refuse in a field we do not know what may be nowhere: floats, big integers, deep nesting."""
    if type(value) is float:
        raise Broken(Reject.FLOAT, "a float")
    if isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise Broken(Reject.INTEGER_RANGE, "an integer beyond 2^53-1")
    elif isinstance(value, dict | list):
        if depth > FOREIGN_DEPTH:
            raise Broken(Reject.TOO_DEEP, f"nested deeper than {FOREIGN_DEPTH}")
        for item in value.values() if isinstance(value, dict) else value:
            check_foreign(item, depth + 1)


def _schema(
    cls: type[Any], fields: Sequence[Field], must: frozenset[str], exclusive: Exclusive | None
) -> Mapping[str, object]:
    schema: dict[str, object] = {
        "title": cls.__name__,
        "description": " ".join((cls.__doc__ or "").split("\n\n")[0].split()),
        "type": "object",
        "required": sorted(field.key for field in fields if field.name in must),
        "properties": {
            field.key: {**field.kind.schema, "description": field.doc, "x-cbor-key": field.number}
            for field in fields
        },
    }
    if exclusive is not None:
        keys = [field.key for field in fields if field.name in exclusive.names]
        if exclusive.needed:
            schema["oneOf"] = [{"required": [key]} for key in keys]
        else:
            schema["not"] = {"required": keys}
    return schema
