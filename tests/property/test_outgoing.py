"""Nothing outside of its list leaves a guest: rules for outgoing HTTP against what servers do."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propeller.outgoing import (
    METHODS,
    Rule,
    Target,
    both,
    covered,
    may_reach,
    parse_rule,
    parse_rules,
    parse_target,
)

hosts = st.sampled_from(
    ["example.com", "api.example.com", "*.example.com", "a.b.example.com", "10.0.0.7", "[::1]"]
)
plain_hosts = hosts.filter(lambda host: "*" not in host)
schemes = st.sampled_from(["http", "https"])
ports = st.sampled_from([80, 443, 8080])
segments = st.sampled_from(["v1", "v2", "keys", "a.b", "..."])
paths = st.lists(segments, max_size=3).map(lambda all_: "".join(f"/{one}" for one in all_))
methods = st.lists(st.sampled_from(METHODS), min_size=1, unique=True).map(
    lambda all_: tuple(sorted(all_))
)
rules = st.builds(Rule, schemes, hosts, ports, paths, methods)
tricky = st.lists(
    st.sampled_from(
        [
            *(
                "v1",
                "v2",
                "keys",
                "..",
                ".",
                "%2e%2e",
                "%2E.",
                "%252e%252e",
                "%2f",
                "%5c..",
                "..;a=b",
            ),
            *("%c0%ae%c0%ae", "%EF%BC%8E%EF%BC%8E", "%20..", "x", ""),
        ]
    ),
    max_size=6,
).map(lambda all_: "/" + "/".join(all_))


@st.composite
def near(draw: st.DrawFn) -> tuple[Rule, Target]:
    """A rule, and a request that differs from it in little or nothing."""
    rule = draw(rules)
    host = rule.host.replace("*", draw(st.sampled_from(["api", "a.b", "x"])))
    same = st.integers(0, 7).map(lambda number: number > 0)
    target = Target(
        rule.methods[0] if draw(same) else draw(st.sampled_from(METHODS)),
        rule.scheme if draw(same) else draw(schemes),
        host if draw(same) else draw(plain_hosts),
        rule.port if draw(same) else draw(ports),
        (rule.path if draw(same) else draw(paths)) + draw(tricky),
    )
    return rule, target


@given(rules)
@settings(max_examples=150)
def test_a_rule_has_one_spelling(rule: Rule) -> None:
    """Its text is read back as the same rule."""
    assert parse_rule(str(rule)) == rule


@given(near())
@settings(max_examples=400)
def test_what_a_rule_admits_is_of_its_origin_method_and_path(pair: tuple[Rule, Target]) -> None:
    """Scheme, port, method and host are the rule's, and however often a server undoes escapes
    and dots, the path it comes to is the rule's or below it."""
    rule, target = pair
    if not rule.admits(target):
        return
    assert (target.scheme, target.port) == (rule.scheme, rule.port)
    assert target.method in rule.methods
    if rule.host.startswith("*."):
        assert target.host.split(".", 1)[1] == rule.host[2:]
    else:
        assert target.host == rule.host
    path = target.path
    for _ in range(4):
        for read in (path, path.replace("\\", "/")):
            place = posixpath.normpath("/" + read.lstrip("/"))
            if rule.path:
                assert place == rule.path or place.startswith(f"{rule.path}/")
        path = unquote(path, "latin-1")


@given(near(), st.lists(rules, max_size=3), rules)
@settings(max_examples=300)
def test_what_two_lists_have_in_common_is_what_both_let_out(
    pair: tuple[Rule, Target], other: list[Rule], more: Rule
) -> None:
    """No request more, none less."""
    one, target = [pair[0], more], pair[1]
    other = [*other, replace(pair[0], methods=METHODS)]
    together = any(rule.admits(target) for rule in both(one, other))
    assert together == (
        any(rule.admits(target) for rule in one) and any(rule.admits(target) for rule in other)
    )


@given(near(), rules)
@settings(max_examples=300)
def test_a_list_that_covers_a_rule_lets_out_all_it_lets_out(
    pair: tuple[Rule, Target], other: Rule
) -> None:
    """What the planner asks once holds for every request."""
    rule, target = pair
    wider = [other, replace(rule, path="/".join(rule.path.split("/")[:2]))]
    for list_ in (wider, [other]):
        if covered(rule, list_) and rule.admits(target):
            assert any(one.admits(target) for one in list_)
    assert covered(rule, wider)


@pytest.mark.parametrize(
    "text",
    [
        *("ftp://a.example", "https://", "https://u@a.example", "https://u:p@a.example/"),
        *("https://a.example?x", "https://a.example/v1?x", "https://a.example/#x"),
        *("https://a.example:0", "https://a.example:65536", "https://a.example:x"),
        *("https://*", "https://*.com", "https://a.*.example.com", "https://*a.example.com"),
        *("https://a.example/..", "https://a.example/v1/../v2", "https://a.example/%2e"),
        *("https://a..example", "https://.example.com", "https://a.example.", "https://ä.example"),
        *("http://127.1", "http://0x7f.0.0.1", "http://2130706433", "http://010.0.0.1"),
        *("http://[::1", "http://[fe80::1%eth0]", "http://[1.2.3.4]", "http://a\\b.example"),
        *("CONNECT https://a.example", "get https://a.example", "GET  https://a.example"),
        "https://a.example/" + "x" * 300,
    ],
)
def test_what_could_mean_two_things_is_no_rule(text: str) -> None:
    """Users, queries, wildcards in odd places, addresses that resolvers alone understand."""
    with pytest.raises(ValueError, match=r"\w"):
        parse_rule(text)


@pytest.mark.parametrize(
    ("method", "scheme", "authority", "path"),
    [
        ("CONNECT", "https", "a.example", "/"),
        ("GET", "file", "a.example", "/etc/passwd"),
        ("GET", "https", "a.example@evil.example", "/"),
        ("GET", "https", "a.example:443:80", "/"),
        ("GET", "https", "*.example.com", "/"),
        ("GET", "https", "a.example\r\nHost: b", "/"),
        ("GET", "https", "", "/"),
        ("GET", "http", "0177.0.0.1", "/"),
        ("GET", "https", "a.example", "http://evil.example/"),
        ("GET", "https", "a.example", "/ HTTP/1.1\r\nX: y"),
        ("GET", "https", "a.example", "/a b"),
        ("GET", "https", "a.example", "/ä"),
        ("GET", "https", "a.example", "/#x"),
        ("GET", "https", "a.example", "/" + "x" * 5000),
    ],
)
def test_what_is_no_request_goes_nowhere(
    method: str, scheme: str, authority: str, path: str
) -> None:
    """Before any list is asked."""
    with pytest.raises(ValueError, match=r"\w"):
        parse_target(method, scheme, authority, path)


def test_names_are_compared_as_hosts_are() -> None:
    """Upper case, default ports and a missing path say the same."""
    (rule,) = parse_rules(["https://API.Example.com:443/", "https://api.example.com"])
    assert str(rule) == "https://api.example.com"
    assert rule.admits(parse_target("GET", "https", "Api.Example.Com:443", ""))
    assert not rule.admits(parse_target("GET", "http", "api.example.com:443", "/"))


LOCAL = (
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "::", "::1", "fe80::1", "fc00::1"),
    *("ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
    *("::127.0.0.1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "fec0::1", "64:ff9b:1::1"),
)


@pytest.mark.parametrize("text", LOCAL)
def test_a_name_that_leads_to_a_local_address_reaches_nothing(text: str) -> None:
    """Loopback, private, link-local, the metadata service of clouds, and all of them in disguise;
    unless the owner of the device spelled that address out, or opened its network."""
    address = ip_address(text)
    assert not may_reach(address, (), ())
    assert may_reach(address, (address,), ())
    assert may_reach(address, (), (ip_network(f"{text}/32" if address.version == 4 else text),))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=200)
def test_a_disguise_changes_nothing(number: int) -> None:
    """An address of IPv4 inside one of IPv6 is reached if and only if it is reached itself."""
    inner = IPv4Address(number)
    for prefix in (0xFFFF << 32, 0x64FF9B << 96):
        assert may_reach(IPv6Address(prefix | number), (), ()) == may_reach(inner, (), ())


def test_the_internet_is_reached() -> None:
    """Both families."""
    for text in ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"):
        assert may_reach(ip_address(text), (), ())
