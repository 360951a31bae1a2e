"""The configuration: who wins, where a value came from, and what is refused."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from propeller.cli.quotas import quotas_of
from propeller.cli.settings import endpoint_of, fleet_of, registries_of, variable_of
from propeller.errors import SpecError, UsageError
from propeller.model.quotas import Quota
from propeller.registry.reference import parse_location
from propeller.sources.config import config_schema, read_config
from propeller.state.layout import StateDir

FILE = """\
# the plant
domain: plant
broker:
  address: broker.example:8883
  username: propeller
  passwordFile: secrets/broker
  ca: ca.pem
registries:
  registry.example: {mirror: cache.example/proxy}
  images.example: {layout: ./oci}
"""


def options(**given):
    """What a parser would hand over."""
    return argparse.Namespace(**given)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A spec tree with a configuration."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "plant"
    folder.mkdir()
    (folder / "propeller.yaml").write_text(FILE)
    return folder


def test_flags_win_over_environment_over_file(tree, monkeypatch):
    """And each value says where it came from."""
    fleet = fleet_of(options(domain=None), tree=tree)
    assert fleet.values["domain"].origin.endswith("propeller.yaml:2")
    assert fleet.values["broker.address"].origin.endswith("propeller.yaml:4")
    assert fleet.values["channel"].origin == "default"
    monkeypatch.setenv("PROPELLER_DOMAIN", "other")
    assert fleet_of(options(), tree=tree).values["domain"].origin == "PROPELLER_DOMAIN"
    fleet = fleet_of(options(domain="third"), tree=tree)
    assert (fleet.domain, fleet.values["domain"].origin) == ("third", "flag")


def test_files_are_relative_to_the_configuration(tree):
    """Not to where the command was typed."""
    (tree / "secrets").mkdir()
    (tree / "secrets" / "broker").write_text("hunter2\n")
    endpoint = endpoint_of(fleet_of(options(), tree=tree), "x")
    assert (endpoint.host, endpoint.port) == ("broker.example", 8883)
    assert (endpoint.username, endpoint.password) == ("propeller", "hunter2")
    assert endpoint.tls is not None
    assert endpoint.tls.ca == str(tree / "ca.pem")


def test_config_show_names_origins_and_no_secrets(cli, tree):
    """The file of a password is shown, the password never is."""
    (tree / "secrets").mkdir()
    (tree / "secrets" / "broker").write_text("hunter2\n")
    said = cli("config", "show", "plant")
    assert said.code == 0
    assert "plant/propeller.yaml:4" in said.out
    assert "secrets/broker" in said.out
    assert "hunter2" not in said.out
    data = json.loads(cli("config", "show", "plant", "-o", "json").out)
    assert data["values"]["domain"] == {"value": "plant", "origin": "plant/propeller.yaml:2"}
    assert data["registries"]["registry.example"] == {"mirror": "cache.example/proxy"}


def test_config_show_without_a_file(cli):
    """Defaults, as such."""
    said = cli("config", "show")
    assert said.code == 0
    assert ["domain", "propeller", "default"] in [line.split() for line in said.out.splitlines()]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("domian: x\n", 1, 'did you mean "domain"?'),
        ("domain: a b\n", 1, "letters, digits"),
        ("domain: 5\n", 1, "quotes"),
        ("broker: x\n", 1, "must be a mapping"),
        ("broker:\n  address: nowhere\n", 2, "HOST:PORT"),
        ("broker: {protocol: '4'}\n", 1, "3.1.1, 5"),
        ("registries:\n  r: {plainHttp: yes}\n", 2, "Allowed, Denied"),
        ("registries:\n  r: {plain: x}\n", 2, "plainHttp"),
        ("domain: a\ndomain: b\n", 2, "duplicate key"),
        ("- a\n", 1, "must be a mapping"),
        ("a: [\n", 1, "YAML"),
        ("a: 1\n---\nb: 2\n", 3, "one document"),
        ("domain: !!str x\nbroker: &a {}\n", None, None),
    ],
)
def test_faults_have_lines(text, line, words):
    """All at once, with what was meant."""
    _, flaws = read_config(text.encode())
    if line is None:
        assert flaws == ()
        return
    assert (flaws[0].line, words in flaws[0].message) == (line, True), flaws


@pytest.mark.parametrize("data", [b"\xff\xfe", b"x" * 300_000, b"\0"])
def test_hostile_bytes_are_flaws(data):
    """Nothing raises."""
    assert read_config(data)[1]


def test_an_empty_file_says_nothing():
    """So do comments and nulls."""
    for text in ("", "# nothing\n", "---\n", "domain:\nbroker: {address: null}\nregistries:\n"):
        assert read_config(text.encode())[1] == ()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(
        ["x", "a b", "5", "3.1.1", "Allowed", "h:1", "embedded", ""]
    ),
    lambda below: st.lists(below, max_size=2)
    | st.dictionaries(
        st.sampled_from(["domain", "channel", "broker", "registries", "address", "protocol",
                         "plainHttp", "mirror", "zzz"]), below, max_size=3),
    max_leaves=6,
)  # fmt: skip


def without_nulls(value):
    """Null is the same as left out."""
    if isinstance(value, dict):
        return {key: without_nulls(below) for key, below in value.items() if below is not None}
    return value


@given(VALUES)
def test_our_check_and_the_schema_agree(value):
    """One verdict for every value, whichever reader gives it."""
    if value is None:
        return
    _, flaws = read_config(json.dumps(value).encode())
    valid = Draft202012Validator(config_schema()).is_valid(without_nulls(value))
    assert valid is (not flaws)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"config": "nowhere.yaml"}, "no configuration file"),
        ({"domain": "a b"}, "no id"),
        ({"broker": "nowhere"}, "not HOST:PORT"),
        ({"broker": "host:99999"}, "not HOST:PORT"),
        ({}, "no broker is configured"),
    ],
)
def test_bad_values_are_usage(tmp_path, monkeypatch, given, words):
    """With what to say instead."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        endpoint_of(fleet_of(options(**given)), "x")


def test_a_bad_file_names_file_and_line(tree):
    """As specs do."""
    (tree / "propeller.yaml").write_text("a: 1\nb: 2\n")
    with pytest.raises(SpecError) as caught:
        fleet_of(options(), tree=tree)
    assert [(fault.line, fault.path) for fault in caught.value.faults] == [(1, "a"), (2, "b")]


def test_names_in_the_environment():
    """One spelling."""
    assert variable_of("broker.passwordFile") == "PROPELLER_BROKER_PASSWORD_FILE"


def test_local_images_live_in_the_state(tree, tmp_path):
    """And configured layouts beside the configuration."""
    registries = registries_of(fleet_of(options(), tree=tree), StateDir(tmp_path / "s"))
    with registries:
        local = registries.place(parse_location("local/add:1"))
        other = registries.place(parse_location("images.example/x:1"))
    assert not local.remote
    assert local.artifacts.directory == tmp_path / "s" / "oci"
    assert other.artifacts.directory == tree / "oci"


def test_a_path_in_a_file_named_relatively_is_joined_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--config conf/propeller.yaml` means conf/ca.pem, not conf/conf/ca.pem."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "propeller.yaml").write_text("broker: {ca: ca.pem}\n")
    monkeypatch.chdir(tmp_path)
    fleet = fleet_of(argparse.Namespace(config="conf/propeller.yaml"))
    assert fleet.file("broker.ca") == "conf/ca.pem"


def test_quotas_are_read_by_namespace(tree):
    """Memory with its unit; what is left out is any number; a namespace stands there once."""
    file = tree / "propeller.yaml"
    rows = [{"namespace": "a", "copies": 4, "memory": "2GiB"}, {"namespace": "b", "calls": 0}]
    file.write_text(json.dumps({"quotas": rows}))
    assert quotas_of(fleet_of(options(config=str(file)))) == {
        "a": Quota(copies=4, memory=2 << 30),
        "b": Quota(calls=0),
    }
    file.write_text(json.dumps({"quotas": [*rows, {"namespace": "a"}]}))
    with pytest.raises(UsageError, match=r"quotas\[2\]\.namespace: a is there twice"):
        quotas_of(fleet_of(options(config=str(file))))
    for field, value in (("memory", "much"), ("copies", -1), ("copies", "4"), ("calls", True)):
        file.write_text(json.dumps({"quotas": [{"namespace": "a", field: value}]}))
        with pytest.raises(SpecError, match=field):
            fleet_of(options(config=str(file)))
