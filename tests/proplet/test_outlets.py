"""Where guests of a device may send requests: its owner's settings, and what it says of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from proplet_agent_world import a_task

from propeller.errors import SpecError
from propeller.outgoing import parse_rules, rules_in
from propeller.wire.http_messages import WireHttp
from propeller.wire.messages import Entry
from proplet import config
from proplet.ceilings import Ceilings
from proplet.outlets import Outlets
from proplet.runtime.fit import offered


def asking(*allow: str) -> Entry:
    return a_task(http=WireHttp(allow=allow, requests=1, timeout=1000, body=1000))


def test_nothing_leaves_a_device_whose_owner_says_nothing() -> None:
    """Whoever signed it."""
    words = Ceilings().refusal(asking("https://a.example"))
    assert words == "may send requests to nothing here (httpAllow), asks for https://a.example"
    assert Ceilings().refusal(a_task()) == ""


def test_what_an_owner_lets_out_bounds_every_grant() -> None:
    """Each rule of an entry is within one of the owner's; one that is no rule is refused too."""
    ceilings = Ceilings(outlets=Outlets(parse_rules(["GET https://*.example.com/v1"])))
    assert ceilings.refusal(asking("GET https://a.example.com/v1/keys")) == ""
    for wide in (
        "https://a.example.com/v1",
        "GET https://a.example.com",
        "GET https://example.com/v1",
        "GET http://a.example.com/v1",
        "nonsense",
    ):
        assert ceilings.refusal(asking("GET https://a.example.com/v1", wide))


def test_a_device_says_what_leaves_it() -> None:
    """So that the planner sends nothing where it would be refused; without rules it does not even
    offer the interface."""
    rules = parse_rules(["https://a.example", "GET http://b.example:8080/v1"])
    said = offered((), rules)
    assert "wasi:http/outgoing-handler" in said
    assert "propeller:http" in said
    assert sorted(map(str, rules_in(said))) == sorted(map(str, rules))
    assert not {"wasi:http/outgoing-handler", "propeller:http"} & {*offered()}
    assert max(map(len, said)) <= 128


def settings(folder: Path, *words: str) -> config.Settings:
    trust = folder / "root.pub"
    trust.write_text("x")
    flags = config.parser().parse_args(["--id", "p1", "--trust", str(trust), *words])
    return config.load(flags, {})


def test_an_owner_writes_rules_and_networks(tmp_path: Path) -> None:
    """As often as needed; shown as they are understood."""
    made = settings(
        tmp_path,
        *("--http-allow", "https://A.example:443/", "--http-allow", "GET http://b.example"),
        *("--http-network", "192.168.7.0/24"),
    )
    shown = config.shown(made)
    assert "httpAllow: https://a.example, GET http://b.example" in shown
    assert "httpNetworks: 192.168.7.0/24" in shown


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--http-allow", "a.example"), "httpAllow"),
        (("--http-allow", "https://*"), "two labels"),
        (("--http-network", "192.168.7.1/24"), "is no network"),
        (("--http-ca", "/nowhere/ca.pem"), "no such file"),
        (("--http-allow", "https://a.example/" + "x" * 120), "more than 120 characters"),
        (
            tuple(w for n in range(33) for w in ("--http-allow", f"https://a{n}.example")),
            "more than 32 rules",
        ),
    ],
)
def test_what_an_owner_got_wrong_is_told_before_anything_runs(
    tmp_path: Path, words: tuple[str, ...], fault: str
) -> None:
    """By its setting."""
    with pytest.raises(SpecError, match=fault):
        settings(tmp_path, *words)
