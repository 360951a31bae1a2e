"""Which tag a policy chooses."""

from __future__ import annotations

from typing import Any

import pytest

from propeller.errors import UsageError
from propeller.registry.tags import Choice, Policy, Range, Version, choose, natural


def semver(range_: str, **more: str) -> Policy:
    return Policy.parse({"policy": "semver", "range": range_, **more})


@pytest.mark.parametrize(
    ("range_", "inside", "outside"),
    [
        ("1.x", "1.0.0 1.9.12 1.2.3", "0.9.9 2.0.0"),
        ("1.2.x", "1.2.0 1.2.9", "1.1.9 1.3.0"),
        ("1", "1.0.0 1.9.9", "2.0.0"),
        ("*", "0.0.1 9.9.9", "1.0.0-rc.1"),
        ("^1.2.3", "1.2.3 1.9.0", "1.2.2 2.0.0"),
        ("^0.2.3", "0.2.3 0.2.9", "0.3.0 0.2.2"),
        ("^0.0.3", "0.0.3", "0.0.4 0.0.2"),
        ("^0", "0.0.1 0.9.0", "1.0.0"),
        ("~1.2.3", "1.2.3 1.2.9", "1.3.0"),
        ("~1", "1.0.0 1.9.0", "2.0.0"),
        (">=1.2 <2", "1.2.0 1.99.0", "2.0.0 1.1.9"),
        (">1.2", "1.3.0 2.0.0", "1.2.0 1.2.9"),
        ("<=1.2", "1.2.9 0.1.0", "1.3.0"),
        ("1.2.3", "1.2.3", "1.2.4 1.2.2"),
        ("=1.2", "1.2.7", "1.3.0"),
        ("1.2.x || 2.x", "1.2.4 2.5.0", "1.3.0 3.0.0"),
        (">=1.0.0-rc.1 <2", "1.0.0-rc.1 1.0.0-rc.2 1.0.0 1.5.0", "1.0.0-beta 1.5.0-rc.1"),
    ],
)
def test_ranges_mean_what_npm_means(range_: str, inside: str, outside: str):
    """Versions before a release are out unless the range names that release's."""
    found = Range.parse(range_)
    assert [one for one in inside.split() if Version.parse(one) not in found] == []
    assert [one for one in outside.split() if Version.parse(one) in found] == []


def test_versions_are_ordered_as_semver_org_says():
    """The example of item 11, and numbers by their value."""
    told = "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 "
    told += "1.0.0-rc.1 1.0.0 1.0.2 1.0.10 1.2.0 1.10.0 2.0.0"
    versions = [Version.parse(one) for one in told.split()]
    shuffled = [versions[index * 5 % len(versions)] for index in range(len(versions))]
    assert None not in versions
    assert sorted(shuffled) == versions


@pytest.mark.parametrize("text", ["1.2", "01.2.3", "latest", "1.2.3.4", "1.2.3+x", "", "1.2.3-"])
def test_what_is_no_version(text: str):
    """It is passed over, whatever a registry lists."""
    assert Version.parse(text) is None


@pytest.mark.parametrize("text", ["", "||", "1.x ||", "one", ">", "1.2.3.4", "1.x" * 100, "1 - 2"])
def test_what_is_no_range_is_refused(text: str):
    """In words, and before any registry is asked."""
    with pytest.raises(UsageError):
        Range.parse(text)


def test_the_highest_version_in_range_is_chosen():
    """By value and not as text; other tags and the `v` in front make no difference."""
    tags = ["latest", "v1.9.0", "1.10.0", "2.0.0", "1.11.0-rc.1"]
    assert choose(semver("1.x"), "1.2.0", lambda: tags) == Choice("1.10.0")


def test_semver_never_goes_back():
    """A release that was deleted at the registry is no reason to run an older one."""
    found = choose(semver("1.x"), "1.9.0", lambda: ["1.2.0", "1.3.0"])
    assert found == Choice("1.9.0", "1.3.0 is older than what stands")


def test_what_fits_nothing_is_said():
    """With how many versions there were."""
    with pytest.raises(UsageError, match=r"none of 2 versions fits semver 3\.x"):
        choose(semver("3.x"), "1.0.0", lambda: ["1.0.0", "2.0.0", "latest"])


def test_newest_goes_by_natural_order():
    """Of the tags that are like the pattern."""
    newest = Policy.parse({"policy": "newest", "match": "build-*"})
    tags = ["build-9", "build-10", "nightly-99", "build-1"]
    assert choose(newest, "build-9", lambda: tags) == Choice("build-10")
    assert choose(newest, "build-11", lambda: tags).tag == "build-11"
    dates = Policy.parse({"policy": "newest"})
    assert choose(dates, "2026-01-31", lambda: ["2026-01-31", "2026-02-01"]).tag == "2026-02-01"
    assert natural("a10") > natural("a9")


def test_tag_asks_for_no_list():
    """The tag stays; a registry that lists nothing is good enough."""

    def never() -> list[str]:
        raise AssertionError("asked")

    assert choose(Policy.parse({"policy": "tag"}), "stable", never) == Choice("stable")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "policy must be one of tag, semver, newest"),
        ({"policy": "Semver"}, "policy must be one of"),
        ({"policy": "semver"}, "that needs one"),
        ({"policy": "tag", "range": "1.x"}, "range goes with"),
        ({"policy": "tag", "match": "x"}, "match does not go"),
        ({"policy": "newest", "regex": "x"}, "'regex' is unknown"),
        ({"policy": "newest", "match": "*a*b*c*d*"}, "three"),
    ],
)
def test_a_marker_that_means_nothing_is_refused(given: Any, says: str):
    """With what is allowed."""
    with pytest.raises(UsageError, match=says):
        Policy.parse(given)
