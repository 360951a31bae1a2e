"""The OpenAPI document: complete, kept, valid, and what the running API does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from propeller.gateway.v1.schemas import NAMED

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "docs" / "reference" / "openapi.json"


@pytest.fixture
def document(door):
    """What the gateway gives."""
    answer = door.ask("GET", "/api/v1/openapi.json")
    assert answer.status_code == 200
    return answer.json()


def test_the_kept_document_is_the_one_that_is_served(document):
    """`propeller schema openapi > docs/reference/openapi.json` after a route changed."""
    assert json.loads(KEPT.read_text()) == document


def test_every_api_route_is_in_it(door, document):
    """Nothing under /api/v1 is left out, no method of it."""
    served = {
        (method, route.path)
        for route in door.app.routes
        for method in route.methods
        if route.path.startswith("/api/v1/") and method != "HEAD"
    }
    told = {(method.upper(), path) for path, one in document["paths"].items() for method in one}
    assert told == served


def test_schemas_are_schemas_and_names_are_one_each(document):
    """Each is valid JSON Schema; each operation has its own name."""
    for schema in NAMED.values():
        Draft202012Validator.check_schema(schema)
    names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(names) == len(set(names))


EXAMPLES = 8
"""Requests an operation, of each kind; `make soak` has more."""


@pytest.mark.slow
def test_the_api_does_what_its_document_says(open_door, tmp_path):
    """schemathesis: requests made from the document, good ones and bad ones: every answer has a
    status, a type and a shape the document names, and none is a fault of the server."""
    door = open_door(monotonic=lambda: 0.0)
    door.gate._asking = Unbounded()
    door.gate._failing = Unbounded()
    document = json.loads(KEPT.read_text())
    for path in ("/api/v1/watch",):  # has no end of its own: tests/gateway/test_api_v1.py
        del document["paths"][path]
    schema = tmp_path / "openapi.json"
    schema.write_text(json.dumps(document))
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,"
    checks += "response_schema_conformance,negative_data_rejection"
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "schemathesis"),
            "run",
            str(schema),
            *("--url", door.base),
            *("--header", f"Authorization: Bearer {door.token('admin')}"),
            *("--checks", checks),
            *("--phases", "examples,fuzzing"),
            *("--max-examples", str(EXAMPLES)),
            *("--seed", "20261124"),
            *("--generation-database", "none"),
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]


class Unbounded:
    """No limit: this test asks more than a person."""

    def take(self, _):
        return 0.0

    def empty(self, _):
        return False
