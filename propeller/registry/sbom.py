"""A bill of materials for one module: CycloneDX, as a referrer of what was pushed.

All of it is read out of the module: digest, size, what it imports and exports, and the `producers`
section in which toolchains say their names (WebAssembly tool conventions). No time and no random
serial number, so the same module always has the same bill.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping

from propeller.errors import WireError
from propeller.model.ids import Digest, sha256_digest
from propeller.registry import manifest as layout_of
from propeller.registry.artifacts import Artifacts
from propeller.registry.reference import Reference
from propeller.registry.referrers import attach
from propeller.registry.wasm import WasmFacts
from propeller.registry.wasm import inspect as inspect_wasm
from propeller.registry.wasm_reader import Reader

CYCLONEDX = "application/vnd.cyclonedx+json"
SPEC_VERSION = "1.5"
MAX_TOOLS = 64
MAX_NAME = 256
_NAMESPACE = uuid.UUID("5f9d3c1e-6a54-5d0b-9d0c-0f2f4f6f7a11")
_CUSTOM, _HEADER = 0, 8


def bill(module: bytes, *, name: str, source: str = "", agent: str) -> bytes:
    """The CycloneDX document of a module, canonical JSON. Raises WireError for what is no module.

    name: of the artifact, for people. source: where it was built from, as its maker says. agent:
    who wrote the document (`propeller 1.2`).
    """
    facts = inspect_wasm(module)
    digest = sha256_digest(module)
    tools, _, version = agent.partition(" ")
    component: dict[str, object] = {
        "type": "application",
        "bom-ref": digest,
        "name": name,
        "hashes": [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}],
        "properties": _properties(module, facts),
    }
    if source:
        component["externalReferences"] = [{"type": "vcs", "url": source}]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest + name + source)}",
        "version": 1,
        "metadata": {
            "component": component,
            "tools": {
                "components": [{"type": "application", "name": tools, "version": version or "0"}]
            },
        },
        "components": [
            {
                "type": "application",
                "bom-ref": f"{role}:{each}@{number}",
                "name": each,
                **({"version": number} if number else {}),
                "properties": [{"name": "wasm:producer", "value": role}],
            }
            for role, each, number in producers(module)
        ],
    }
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def push_bill(artifacts: Artifacts, ref: Reference, manifest: Digest, document: bytes) -> Digest:
    """Let it refer to the module's manifest; the digest of the referrer."""
    size = len(artifacts.read_manifest(ref.pinned(manifest)))
    subject = {"mediaType": layout_of.MANIFEST, "digest": manifest, "size": size}
    layer = {
        "mediaType": CYCLONEDX,
        "digest": artifacts.write_blob(ref, document),
        "size": len(document),
    }
    return attach(artifacts, ref, subject, CYCLONEDX, [layer])


def producers(module: bytes) -> tuple[tuple[str, str, str], ...]:
    """(role, name, version) of each tool that the module names: `language`, `processed-by`, `sdk`.

    A damaged section counts as none: it is what the module says of itself, nothing more.
    """
    try:
        return tuple(_producers(module))[:MAX_TOOLS]
    except WireError:
        return ()


def _producers(module: bytes) -> list[tuple[str, str, str]]:
    found: dict[tuple[str, str, str], None] = {}
    reader = Reader(module, _HEADER, len(module))
    while reader.at < reader.end:
        kind, section = reader.byte(), reader.part()
        if kind != _CUSTOM or section.name() != "producers":
            continue
        for _ in range(section.count(MAX_TOOLS, "roles")):
            role = section.name()
            for _ in range(section.count(MAX_TOOLS, "tools")):
                name, version = section.name(), section.name()
                found[role[:MAX_NAME], name[:MAX_NAME], version[:MAX_NAME]] = None
    return list(found)


def _properties(module: bytes, facts: WasmFacts) -> list[Mapping[str, str]]:
    rows = [("wasm:size", str(len(module)))]
    rows.append(("wasm:kind", "component" if facts.component else "module"))
    rows.append(("wasm:memoryMin", str(facts.memory_min)))
    rows += [
        ("wasm:import", f"{one.module}.{one.name}" if one.name else one.module)
        for one in facts.imports
    ]
    rows += [("wasm:export", one.name) for one in facts.exports]
    return [{"name": name, "value": value} for name, value in rows]
