"""Lays a patch over a document: pure, on parsed nodes, which are never changed in place.

Mappings are merged, null removes, lists of objects with a `name` are merged by it, all else is
replaced. What comes from the patch keeps its own file and line, and notes what it lies over, so
that a fault can name both.
"""

from __future__ import annotations

from typing import Any, Final

from propeller.sources.nodes import Map, Path, Place, Seq

_IDENTITY: Final = ("kind", "namespace", "name")


class Merge:
    """Lays one patch, written in `file`, over documents of `base` (a file too).

    hits: paths of nulls that removed something, and `misses` of those that found nothing.
    """

    def __init__(self, file: str, base: str) -> None:
        self._file = file
        self._base = base
        self.hits: set[Path] = set()
        self.misses: dict[Path, int] = {}

    def over(self, under: Map, patch: Map) -> Map:
        """The document with the patch over it."""
        return self._maps(under, patch, (), under.line)

    def _any(
        self, under: Any, patch: Any, path: Path, line: int, patch_line: int
    ) -> tuple[Any, int]:
        """The value and its line. Given: the line of the value below, and that of the patch."""
        if isinstance(under, Map) and isinstance(patch, Map):
            return self._maps(under, patch, path, line), line
        if isinstance(under, Seq) and _named(under):
            if isinstance(patch, Map):
                return self._by_name(under, patch, path, line), line
            if isinstance(patch, Seq) and _named(patch):
                return self._lists(under, patch, path, line), line
        return self._placed(patch, line, path), self._place(patch_line, line)

    def _maps(self, under: Map, patch: Map, path: Path, line: int) -> Map:
        out = Map(under.line)
        out.update(under)
        out.lines = dict(under.lines)
        for key, value in patch.items():
            here, patch_line = (*path, key), patch.lines[key]
            if value is None:
                if out.pop(key, None) is None:
                    self.misses.setdefault(here, patch_line)
                else:
                    self.hits.add(here)
                    del out.lines[key]
                continue
            below = under.lines.get(key, line)
            out[key], out.lines[key] = self._any(under.get(key), value, here, below, patch_line)
        return out

    def _lists(self, under: Seq, patch: Seq, path: Path, line: int) -> Seq:
        out = _copy(under)
        for index, item in enumerate(patch):
            at = next((n for n, one in enumerate(out) if _same(one, item)), None)
            if at is None:
                out.append(self._placed(item, line, (*path, len(out))))
                out.lines.append(self._place(patch.lines[index], line))
            else:
                out[at] = self._maps(out[at], item, (*path, at), out.lines[at])
        return out

    def _by_name(self, under: Seq, patch: Map, path: Path, line: int) -> Seq:
        out = _copy(under)
        for name, item in patch.items():
            at = next((n for n, one in enumerate(out) if one["name"] == name), None)
            patch_line = patch.lines[name]
            if item is None:
                if at is None:
                    self.misses.setdefault((*path, name), patch_line)
                else:
                    self.hits.add((*path, name))
                    del out[at]
                    del out.lines[at]
            elif at is not None and isinstance(item, Map):
                out[at] = self._maps(out[at], item, (*path, at), out.lines[at])
            else:
                made = item
                if isinstance(item, Map) and "name" not in item:
                    made = Map(item.line)
                    made.update({"name": name, **item})
                    made.lines = {"name": patch_line, **item.lines}
                out.append(self._placed(made, line, (*path, len(out))))
                out.lines.append(self._place(patch_line, line))
        return out

    def _placed(self, value: Any, line: int, path: Path) -> Any:
        """A copy of a value of the patch that knows where it is from. Nulls in it say nothing."""
        if isinstance(value, Map):
            out = Map(self._place(value.line, line))
            for key, below in value.items():
                if below is None:
                    self.misses.setdefault((*path, key), value.lines[key])
                    continue
                out[key] = self._placed(below, line, (*path, key))
                out.lines[key] = self._place(value.lines[key], line)
            return out
        if isinstance(value, Seq):
            items = Seq(self._place(value.line, line))
            items.extend(self._placed(one, line, (*path, n)) for n, one in enumerate(value))
            items.lines = [self._place(one, line) for one in value.lines]
            return items
        return value

    def _place(self, line: int, under: int) -> Place:
        file = under.file if isinstance(under, Place) else self._base
        return Place(line, self._file, f"laid over {file}:{int(under)}")


def _copy(under: Seq) -> Seq:
    out = Seq(under.line)
    out.extend(under)
    out.lines = list(under.lines)
    return out


def _named(items: Seq) -> bool:
    """Whether this is a list of objects that are told apart by their names."""
    return bool(items) and all(
        isinstance(one, Map) and isinstance(one.get("name"), str) for one in items
    )


def _same(one: Map, other: Map) -> bool:
    return all(one[key] == other[key] for key in _IDENTITY if key in one and key in other)
