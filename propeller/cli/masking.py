"""Secrets in what is printed: masked, and numbered so that equal ones are recognisable.

A value counts as secret when it stands in a Secret, or by the name it goes under.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from propeller.plan.types import FieldDiff

_SECRET = re.compile(
    r"(?:^|[_.\-\[])(?:pass(?:word|wd|phrase)?|pwd|secret|token|api_?key|private_?key|credentials?)"
    r"(?:$|[_.\-\]])",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Whether what goes under this name should not be shown."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return _SECRET.search(spaced) is not None


class Mask:
    """Masks the values of one plan. Equal values get equal numbers.

    same: of sealed values that could be compared, what is equal where the values are.
    """

    def __init__(self, same: Mapping[str, str] = MappingProxyType({})) -> None:
        self._same = same
        self._numbers: dict[str, int] = {}

    def text(self, value: str) -> str:
        """`*** (#1)` for the first secret, and for every one equal to it."""
        value = self._same.get(value, value)
        number = self._numbers.setdefault(value, len(self._numbers) + 1)
        return f"*** (#{number})"

    def spec(self, kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        """A whole spec as it may be shown."""
        if kind != "Secret":
            shown: dict[str, Any] = self.value(spec)
            return shown
        return {
            name: self._data(below) if name == "data" else below for name, below in spec.items()
        }

    def field(self, one: FieldDiff, *, kind: str = "") -> FieldDiff:
        """The field as it may be shown. kind: of the object it belongs to."""
        if kind == "Secret" and one.path.startswith("spec.data"):
            return replace(one, before=self._data(one.before), after=self._data(one.after))
        secret = ".env[" in one.path and is_secret_name(one.path.partition(".env[")[2])
        return replace(
            one,
            before=self.value(one.before, secret=secret),
            after=self.value(one.after, secret=secret),
        )

    def _data(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self._data(below) for key, below in value.items()}
        return None if value is None else self.text(str(value))

    def value(self, value: Any, *, secret: bool = False) -> Any:
        """A value, or a whole tree of them, as it may be shown."""
        if isinstance(value, Mapping):
            name = value.get("name")
            named = secret or (isinstance(name, str) and is_secret_name(name))
            return {
                key: self.value(below, secret=named and key == "value")
                for key, below in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(below, secret=secret) for below in value]
        return self.text(str(value)) if secret and value is not None else value
