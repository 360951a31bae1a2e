"""Which tag a policy chooses. Pure: tags are text that a registry gave, and it may give anything.

`tag` keeps the tag and asks what it means now. `semver` takes the highest version in a range, by
the precedence of Semantic Versioning 2.0 and ranges as npm writes them (`1.x`, `^1.2`, `~1.2.3`,
`>=1.2 <2`, `||` between alternatives). `newest` takes the last tag in natural order, where
`build-10` comes after `build-9`. No policy ever goes back behind the tag that stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import total_ordering

from propeller.errors import UsageError

MAX_RANGE = 200
"""Characters of a range or a pattern."""

_VERSION = re.compile(
    r"v?(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?\Z"
)
_PARTIAL = re.compile(
    r"v?(x|X|\*|[0-9]{1,9})(?:\.(x|X|\*|[0-9]{1,9}))?(?:\.(x|X|\*|[0-9]{1,9}))?"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?\Z"
)
_COMPARATOR = re.compile(r"(\^|~|>=|<=|>|<|=)?\s*([^\s<>=^~]+)")


class PolicyKind(StrEnum):
    """How the next tag is chosen."""

    TAG = "tag"
    SEMVER = "semver"
    NEWEST = "newest"


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """One of Semantic Versioning; build metadata cannot stand in a tag."""

    numbers: tuple[int, int, int]
    before: tuple[str, ...] = ()

    @staticmethod
    def parse(text: str) -> Version | None:
        """`1.2.3`, `v1.2.3-rc.1`; None for any other text."""
        found = _VERSION.match(text)
        if found is None:
            return None
        numbers = (int(found[1]), int(found[2]), int(found[3]))
        return Version(numbers, tuple(found[4].split(".")) if found[4] else ())

    def __lt__(self, other: Version) -> bool:
        return self._order() < other._order()

    def _order(self) -> tuple[object, ...]:
        """semver.org, item 11: a release is above what came before it; numbers are below words."""
        words = [(0, int(one[:18]), "") if one.isdigit() else (1, 0, one) for one in self.before]
        return (*self.numbers, not self.before, words)


@dataclass(frozen=True, slots=True)
class _Bound:
    operator: str
    version: Version

    def holds(self, version: Version) -> bool:
        match self.operator:
            case ">=":
                return version >= self.version
            case ">":
                return version > self.version
            case "<=":
                return version <= self.version
            case "<":
                return version < self.version
            case _:
                return version == self.version


@dataclass(frozen=True, slots=True)
class Range:
    """Alternatives of bounds that must all hold."""

    alternatives: tuple[tuple[_Bound, ...], ...]

    @staticmethod
    def parse(text: str) -> Range:
        """Raises UsageError saying what cannot be read."""
        if len(text) > MAX_RANGE:
            raise UsageError(f"a range is at most {MAX_RANGE} characters")
        return Range(tuple(tuple(_bounds(part)) for part in text.split("||")))

    def __contains__(self, version: Version) -> bool:
        """Versions before a release only where the range names one of the same release."""
        return any(
            all(bound.holds(version) for bound in bounds)
            and (
                not version.before
                or any(
                    bound.version.before and bound.version.numbers == version.numbers
                    for bound in bounds
                )
            )
            for bounds in self.alternatives
        )


def _bounds(text: str) -> Iterable[_Bound]:
    rest = text.strip()
    if not rest:
        raise UsageError("a range has an empty part", hint='write for instance "1.x"')
    if not re.fullmatch(rf"(?:{_COMPARATOR.pattern}\s*)+", rest):
        raise UsageError(f"{text.strip()!r} is no range", hint='write for instance "1.x"')
    for operator, words in _COMPARATOR.findall(rest):
        found = _PARTIAL.match(words)
        if found is None:
            raise UsageError(f"{words!r} is no version", hint='write for instance "1.x" or ">=1.2"')
        parts = [int(one) for one in _known(found.groups()[:3])]
        before = tuple(found[4].split(".")) if found[4] else ()
        yield from _bound(operator, parts, before)


def _known(parts: Iterable[str | None]) -> Iterable[str]:
    """The numbers before the first one that is left open."""
    for part in parts:
        if part is None or part in "xX*":
            return
        yield part


def _bound(operator: str, parts: list[int], before: tuple[str, ...]) -> Iterable[_Bound]:
    low = _padded(parts)
    least = Version(low, before)
    whole = len(parts) == 3
    match operator:
        case "^":
            first = next((place for place in range(len(parts)) if parts[place]), len(parts) - 1)
            yield _Bound(">=", least)
            yield from _below(parts, first)
        case "~":
            yield _Bound(">=", least)
            yield from _below(parts, min(1, len(parts) - 1))
        case ">" if not whole:
            yield from (_Bound(">=", one.version) for one in _below(parts, len(parts) - 1))
        case "<=" if not whole:
            yield from _below(parts, len(parts) - 1)
        case "" | "=" if not whole:
            yield _Bound(">=", least)
            yield from _below(parts, len(parts) - 1)
        case _:
            yield _Bound(operator or "=", least)


def _below(parts: list[int], place: int) -> Iterable[_Bound]:
    """Below the next number at that place; nothing where everything is open."""
    if place >= 0:
        raised = [*parts[:place], parts[place] + 1]
        yield _Bound("<", Version(_padded(raised), ()))


def _padded(parts: list[int]) -> tuple[int, int, int]:
    one, two, three = (*parts, 0, 0, 0)[:3]
    return one, two, three


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """range: of `semver`. match: only tags like that (`*` and `?` stand for anything)."""

    kind: PolicyKind
    range: Range | None = None
    match: str = ""
    text: str = field(default="", compare=False)

    @staticmethod
    def parse(given: dict[str, str]) -> Policy:
        """From the fields of a marker. Raises UsageError."""
        unknown = sorted(given.keys() - {"policy", "range", "match"})
        if unknown:
            raise UsageError(f"{unknown[0]!r} is unknown", hint="allowed are policy, range, match")
        try:
            kind = PolicyKind(given.get("policy", ""))
        except ValueError:
            allowed = ", ".join(PolicyKind)
            raise UsageError(f"policy must be one of {allowed}") from None
        if (kind is PolicyKind.SEMVER) != ("range" in given):
            raise UsageError("range goes with policy: semver, and that needs one")
        if kind is PolicyKind.TAG and "match" in given:
            raise UsageError("match does not go with policy: tag, which keeps the tag")
        match = given.get("match", "")
        if len(match) > MAX_RANGE or match.count("*") > 3:
            raise UsageError(f"match is at most {MAX_RANGE} characters with three *")
        return Policy(
            kind=kind,
            range=Range.parse(given["range"]) if "range" in given else None,
            match=match,
            text=" ".join([kind.value, *given.get("range", "").split()]),
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """tag: the one to use. why: where it is the one that stands although others were looked for."""

    tag: str
    why: str = ""


def choose(policy: Policy, current: str, list_tags: Callable[[], Iterable[str]]) -> Choice:
    """The tag that the policy wants. list_tags is called where it matters.

    Raises UsageError where no tag fits.
    """
    if policy.kind is PolicyKind.TAG:
        return Choice(current)
    fits = [tag for tag in list_tags() if not policy.match or fnmatchcase(tag, policy.match)]
    if policy.kind is PolicyKind.SEMVER:
        assert policy.range is not None
        known = [(version, tag) for tag in fits if (version := Version.parse(tag)) is not None]
        found = [(version, tag) for version, tag in known if version in policy.range]
        if not found:
            raise UsageError(f"none of {len(known)} versions fits {policy.text}")
        best, tag = max(found)
        stands = Version.parse(current)
        if stands is not None and best <= stands:
            return Choice(current, "" if best == stands else f"{tag} is older than what stands")
        return Choice(tag)
    if not fits:
        raise UsageError(f"no tag is like {policy.match!r}" if policy.match else "there is no tag")
    newest = max(fits, key=natural)
    alike = not policy.match or fnmatchcase(current, policy.match)
    if alike and natural(newest) < natural(current):
        return Choice(current, f"{newest} is older than what stands")
    return Choice(newest)


def natural(tag: str) -> tuple[tuple[int, int, str], ...]:
    """A key that puts `build-10` behind `build-9`."""
    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.findall(r"[0-9]{1,18}|[^0-9]+", tag)
    )
