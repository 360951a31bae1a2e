"""`run.http`: what may be granted to whom, and which components need it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from propeller.errors import SpecError
from propeller.model.parse import parse_object, stored_form
from propeller.registry.wasm import inspect
from propeller.sources.directory import DirectorySource
from propeller.sources.load import load

QUIET = '(module (func (export "_start")))'
SENDS = """(component (import "wasi:http/outgoing-handler@0.2.3" (instance))
  (import "wasi:http/types@0.2.3" (instance))
  (instance $x) (export "wasi:cli/run@0.2.0" (instance $x)))"""


def load_one(folder: Path, *allow: str, kind: str = "Daemon", wat: str = QUIET, **run: Any) -> Any:
    """The object `fetch` with those rules, as loaded."""
    (folder / "m.wat").write_text(wat)
    if allow:
        run["http"] = {"allow": list(allow), **run.get("http", {})}
    document = {
        "apiVersion": "propeller.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "fetch"},
        "spec": {"module": {"file": "m.wat"}, "run": run},
    }
    (folder / "fetch.yaml").write_text(yaml.safe_dump(document))
    revision = load(
        DirectorySource(folder).read(), domain="d", keep=lambda data: "", inspect=inspect
    )
    (thing,) = revision.objects.values()
    return thing


def faults(folder: Path, *allow: str, **more: Any) -> str:
    """What is said of it."""
    with pytest.raises(SpecError) as refused:
        load_one(folder, *allow, **more)
    return str(refused.value)


@pytest.mark.parametrize("kind", ["Task", "Daemon", "Function"])
def test_a_grant_has_its_bounds_and_reads_back(tmp_path: Path, kind: str) -> None:
    """Defaults are filled in, rules have one spelling; what is stored is the same object again."""
    thing = load_one(
        tmp_path,
        "https://API.example.com:443/v1/",
        "HEAD GET http://*.sensors.example:8080",
        kind=kind,
        wat=SENDS,
        http={"requests": 3},
    )
    grant = thing.run.http
    assert [str(rule) for rule in grant.allow] == [
        "GET HEAD http://*.sensors.example:8080",
        "https://api.example.com/v1",
    ]
    assert (grant.requests, grant.timeout, grant.body) == (3, 10_000, 262_144)
    assert parse_object(**stored_form(thing)) == thing


def test_nothing_is_granted_by_default(tmp_path: Path) -> None:
    """And then a component that sends requests is refused, by the field it lacks."""
    assert load_one(tmp_path).run.http is None
    said = faults(tmp_path, wat=SENDS)
    assert "spec.run.http: m.wat imports wasi:http/outgoing-handler, which needs run.http" in said


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("ftp://a.example", "spec.run.http.allow[0]"),
        ("https://a.example/?q", "spec.run.http.allow[0]"),
        ("https://*", "*. needs a domain of two labels"),
        ("https://user@a.example", "spec.run.http.allow[0]"),
        ("CONNECT https://a.example", "CONNECT is none of DELETE, GET"),
        ("https://a.example/v1/../v2", "must have no . and no .."),
        ("http://127.1/", "is no address of four numbers"),
    ],
)
def test_a_rule_that_is_none_is_refused_where_it_stands(
    tmp_path: Path, rule: str, words: str
) -> None:
    """With its place in the list."""
    said = faults(tmp_path, rule, wat=SENDS)
    assert "spec.run.http.allow[0]" in said
    assert words in said


def test_who_gets_no_requests(tmp_path: Path) -> None:
    """Nobody who gets files as well, no external engine, no trainer; no rule twice, none at all."""
    rule = "https://a.example"
    said = faults(tmp_path, rule, wat=SENDS, mounts=[{"name": "data"}])
    assert "ComponentHttp: it sends requests, and such a component gets no files" in said
    assert "says the same as the one before" in faults(tmp_path, rule, f"{rule}:443/", wat=SENDS)
    assert "spec.run.http.allow" in faults(tmp_path, wat=SENDS, http={"allow": []})
    many = [f"https://a{number}.example" for number in range(17)]
    assert "spec.run.http.allow" in faults(tmp_path, *many, wat=SENDS)
