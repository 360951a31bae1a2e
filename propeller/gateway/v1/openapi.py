"""The OpenAPI 3.1 document, made from the route table and the schemas. Nothing is written twice."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from propeller.gateway.problem import PROBLEM_TYPE, TITLES
from propeller.gateway.routing import Call, Entry, Scope
from propeller.gateway.v1.schemas import DIGEST, KIND, NAME, NAMED, ref

_IN_PATH: Final = re.compile(r"\{(\w+)\}")

PATH_PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "kind": {"type": "string", "pattern": KIND, "examples": ["Task"]},
    "namespace": {"type": "string", "pattern": NAME, "examples": ["default"]},
    "name": {"type": "string", "pattern": NAME, "examples": ["add"]},
    "proplet": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "examples": ["gateway-1"]},
    "digest": {"type": "string", "pattern": DIGEST},
    "run": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    "round": {"type": "string", "pattern": "^([0-9]{1,9}|latest|best)$", "examples": ["latest"]},
}


def document_of(entries: Sequence[Entry], version: str) -> dict[str, Any]:
    """The document of these routes."""
    paths: dict[str, dict[str, Any]] = {}
    for entry in entries:
        paths.setdefault(entry.path, {})[entry.method.lower()] = _operation(entry)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Propeller",
            "version": version,
            "description": "The fleet for programs. `x-role` and `x-scope` of an operation say who"
            " may. Lists are paged: give `next` of one page as `after`. Writes take an"
            " `Idempotency-Key`: the same request again gets the same answer and is not done"
            " twice, for a day or until a restart.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(NAMED.items())),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "of `propeller token create`, or an access token of the"
                    " configured identity provider",
                }
            },
        },
    }


def _operation(entry: Entry) -> dict[str, Any]:
    out: dict[str, Any] = {
        "operationId": _name(entry),
        "summary": entry.summary,
        "x-role": str(entry.role) if entry.role is not None else "nobody",
        "x-scope": entry.scope.value,
        "parameters": _parameters(entry),
        "responses": _responses(entry),
    }
    if entry.scope is Scope.OPEN:
        out["security"] = []
    if entry.body is not None:
        name = next(name for name, schema in NAMED.items() if schema is entry.body)
        out["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": ref(name)}},
        }
    return out


def _name(entry: Entry) -> str:
    """`objects.suspend`: the path without what varies, and what it does."""
    words = [word for word in entry.path.split("/")[3:] if not word.startswith("{")]
    one = entry.path.endswith("}")
    verb = {"GET": "get" if one else "list", "PUT": "put", "DELETE": "delete"}.get(entry.method)
    return ".".join([*words, verb] if verb else words)


def _parameters(entry: Entry) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": dict(PATH_PARAMETERS[name])}
        for name in _IN_PATH.findall(entry.path)
    ]
    found += [
        {
            "name": one.name,
            "in": "query",
            "required": False,
            "description": one.words,
            "schema": dict(one.schema),
        }
        for one in entry.query
    ]
    if entry.writes:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "a name of your own for this write",
                "schema": {"type": "string", "minLength": 1, "maxLength": 128},
            }
        )
    return found


def _responses(entry: Entry) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "it went well"}
    if entry.answer is not None:
        good["content"] = {entry.media: {"schema": dict(entry.answer)}}
    else:
        kind = {"application/octet-stream": {}}.get(entry.media, {"type": "string"})
        good["content"] = {entry.media: {"schema": kind}}
    out: dict[str, Any] = {str(entry.status): good}
    problem = {PROBLEM_TYPE: {"schema": ref("Problem")}}
    refused = [400, 401, 403, 404, 429, 503]
    if entry.writes:
        refused += [408, 409, 413, 415, 422, 504]
    if "/logs" in entry.path:
        refused += [409, 504]
    if entry.scope is Scope.OPEN:
        refused = [429]
    for status in sorted(refused):
        out[str(status)] = {"description": TITLES[status], "content": problem}
    return out


def openapi_entry(entries: Sequence[Entry]) -> Entry:
    """The route that gives the document of the others, and of itself."""
    from propeller import __version__

    document: dict[str, Any] = {}

    async def openapi(_: Call) -> Response:
        return JSONResponse(document)

    own = Entry(
        method="GET",
        path="/api/v1/openapi.json",
        handler=openapi,
        role=None,
        scope=Scope.OPEN,
        summary="this document",
        answer={"type": "object"},
    )
    document.update(document_of([*entries, own], __version__))
    return own
