"""JSON Schemas of what `/api/v1` takes and gives: one mapping each, named in the OpenAPI document.

Times are Unix milliseconds, 0 or null for never. A status document is as open as the status files
are: kinds add fields to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
BOOLEAN: Final[Schema] = {"type": "boolean"}
MOMENT: Final[Schema] = {"type": "integer", "description": "Unix milliseconds, 0 for never"}

KIND: Final = "^[A-Z][A-Za-z]{0,62}$"
NAME: Final = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
DIGEST: Final = "^sha256:[0-9a-f]{64}$"


def _object(
    properties: Mapping[str, Any], *, needs: Sequence[str] | None = None, more: bool = False
) -> Schema:
    out: Schema = {"type": "object", "properties": dict(properties)}
    wanted = list(properties) if needs is None else list(needs)
    if wanted:
        out["required"] = wanted
    if not more:
        out["additionalProperties"] = False
    return out


def _maybe(schema: Mapping[str, Any]) -> Schema:
    return {"anyOf": [dict(schema), {"type": "null"}]}


def _many(schema: Mapping[str, Any]) -> Schema:
    return {"type": "array", "items": dict(schema)}


def ref(name: str) -> Schema:
    """A named schema of the OpenAPI document."""
    return {"$ref": f"#/components/schemas/{name}"}


def page_of(name: str) -> Schema:
    """A page of a list. next: what to give as `after` for the next page, null at the end."""
    return _object({"items": _many(ref(name)), "next": _maybe(TEXT), "serial": WHOLE})


_REASON = {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": r"\S"}

NAMED: Final[Mapping[str, Schema]] = {
    "Problem": _object(
        {
            "type": TEXT,
            "title": TEXT,
            "status": WHOLE,
            "detail": TEXT,
            "exit": {"type": "integer", "description": "what a command should end with"},
        },
        more=True,
    ),
    "Object": _object(
        {
            "apiVersion": TEXT,
            "kind": TEXT,
            "metadata": _object(
                {"name": TEXT, "namespace": TEXT}, needs=("name", "namespace"), more=True
            ),
            "status": _object({"conditions": _many({"type": "object"})}, more=True),
        },
        more=True,
    ),
    "Proplet": _object(
        {
            "name": TEXT,
            "state": {"enum": ["Online", "Silent", "Unknown", "Quarantined"]},
            "heard": MOMENT,
            "since": {**MOMENT, "description": "when its silence began, 0 while it is heard"},
            "declared": BOOLEAN,
            "scheduling": {"enum": ["Enabled", "Cordoned", "Draining"]},
            "labels": {"type": "object", "additionalProperties": TEXT},
            "runs": {"type": "integer", "description": "how many it holds"},
            "trouble": TEXT,
            "arch": TEXT,
            "os": TEXT,
            "runtime": TEXT,
            "memory": {"type": "integer", "description": "bytes for guests"},
        }
    ),
    "Usage": _object(
        {
            "proplet": TEXT,
            "at": {**MOMENT, "description": "when the minute or hour began"},
            "span": {"type": "integer", "description": "ms: a minute or an hour"},
            "mean": {
                "type": "object",
                "additionalProperties": {"type": "integer"},
                "description": "by name: cpu in thousandths of a core, rss in bytes, calls, queue"
                " and g/NAME in thousandths; of a proplet cpuPermille, rssBytes, blobBytes and its"
                " guests' names with the first digits of their uid",
            },
            "most": {"type": "object", "additionalProperties": {"type": "integer"}},
        }
    ),
    "Run": _object(
        {
            "run": TEXT,
            "proplet": TEXT,
            "cause": TEXT,
            "attempt": WHOLE,
            "state": TEXT,
            "exit": _maybe(WHOLE),
            "result": _maybe(TEXT),
            "resultDigest": _maybe(TEXT),
            "error": TEXT,
            "restarts": WHOLE,
            "assigned": MOMENT,
            "started": MOMENT,
            "ended": MOMENT,
        }
    ),
    "Event": _object(
        {
            "at": MOMENT,
            "firstAt": MOMENT,
            "severity": {"enum": ["Info", "Warning"]},
            "reason": TEXT,
            "message": TEXT,
            "object": _maybe(TEXT),
            "proplet": _maybe(TEXT),
            "revision": TEXT,
            "count": WHOLE,
        }
    ),
    "Revision": _object(
        {
            "name": TEXT,
            "digest": TEXT,
            "source": TEXT,
            "at": MOMENT,
            "outcome": {"enum": ["accepted", "rejected"]},
            "author": TEXT,
            "message": TEXT,
            "signedBy": TEXT,
            "faults": _many(TEXT),
        }
    ),
    "Plan": _object(
        {
            "digest": TEXT,
            "source": TEXT,
            "revision": TEXT,
            "at": MOMENT,
            "done": MOMENT,
            "created": WHOLE,
            "changed": WHOLE,
            "deleted": WHOLE,
            "waits": {"type": "boolean", "description": "for somebody to confirm it"},
            "guards": _many(
                _object({"app": TEXT, "guard": TEXT, "message": TEXT, "digest": TEXT, "by": TEXT})
            ),
        }
    ),
    "Share": _object(
        {
            "namespace": TEXT,
            "copies": _object({"used": WHOLE, "limit": _maybe(WHOLE)}),
            "memory": {
                **_object({"used": WHOLE, "limit": _maybe(WHOLE)}),
                "description": "bytes set aside for them",
            },
            "calls": {
                **_object({"used": WHOLE, "limit": _maybe(WHOLE)}),
                "description": "that its Functions may run at once",
            },
        }
    ),
    "Past": _object(
        {
            "generation": WHOLE,
            "outcome": TEXT,
            "digest": TEXT,
            "revision": TEXT,
            "first": MOMENT,
            "last": MOMENT,
            "count": WHOLE,
        }
    ),
    "Round": _object(
        {
            "number": WHOLE,
            "attempt": WHOLE,
            "state": TEXT,
            "cohort": _many(TEXT),
            "ended": {"type": "object", "additionalProperties": WHOLE},
            "metrics": {"type": "object", "additionalProperties": TEXT},
            "model": {"type": "string", "description": "digest of what it made, or nothing"},
            "size": WHOLE,
            "startedAt": MOMENT,
            "endedAt": MOMENT,
            "why": TEXT,
        }
    ),
    "Caller": _object(
        {
            "name": TEXT,
            "via": {"enum": ["socket", "token", "oidc", "anonymous"]},
            "grants": _many(_object({"role": TEXT, "namespaces": _many(TEXT)})),
        }
    ),
    "Deed": _object({"n": WHOLE, "at": MOMENT, "who": TEXT, "what": TEXT}, more=True),
    "Done": _object({"done": {"const": True}}, more=True),
    "Changed": _object(
        {
            "op": {"enum": ["create", "update", "delete", "none"]},
            "reason": TEXT,
            "fields": {**_many(TEXT), "description": "which; values may be secrets"},
            "dryRun": BOOLEAN,
        }
    ),
    # -- what is sent -------------------------------------------------------------------------
    "Suspension": _object(
        {
            "reason": _REASON,
            "until": {
                "anyOf": [
                    {"type": "integer", "minimum": 1, "maximum": 2**53 - 1},
                    {"type": "null"},
                ],
                "description": "Unix milliseconds when it ends by itself",
            },
        },
        needs=("reason",),
    ),
    "Reason": _object({"reason": _REASON}),
    "Nothing": _object({}),
    "Version": _object(
        {
            "reason": _REASON,
            "digest": {
                "type": "string",
                "pattern": "^(sha256:)?[0-9a-f]{0,64}$",
                "description": "the version meant, or its beginning; left out: the wanted one",
            },
        },
        needs=("reason",),
    ),
    "Back": _object(
        {
            "reason": _REASON,
            "to": {
                "anyOf": [
                    {"type": "integer", "minimum": 1, "maximum": 2**53 - 1},
                    {"type": "null"},
                ],
                "description": "the generation to go back to; left out: the last good one",
            },
        },
        needs=("reason",),
    ),
    "Course": _object(
        {"verb": {"enum": ["pause", "resume", "abort"]}, "reason": _REASON},
    ),
    "Scheduling": _object(
        {"scheduling": {"enum": ["Enabled", "Cordon", "Drain"]}, "reason": _REASON}
    ),
    "Wanted": _object(
        {
            "document": {"type": "object", "description": "the spec, as it would stand in a file"},
            "files": {
                "type": "object",
                "maxProperties": 64,
                "additionalProperties": {"type": "string", "contentEncoding": "base64"},
                "description": "module files that the spec names, by path, in base64",
            },
        },
        needs=("document",),
    ),
}
