"""The bill of materials of a release: `sbom.py [WHEEL]`, CycloneDX 1.6 on stdout.

Made of `run.lock` and, where one is given, the wheel: the same input gives the same bytes. A
component's hashes are those of all files of that version, since which one is installed depends on
the machine: they stand in `externalReferences` of type `distribution`.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import uuid
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAME = "propeller-gitops"
_LINE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^ ;\\]+)(?: ; ([^\\]+?))? \\$")
_HASH = re.compile(r"^    --hash=sha256:([0-9a-f]{64})(?: \\)?$")


def locked(text: str) -> list[dict[str, Any]]:
    """The packages of a lock: name, version, marker ("" everywhere), hashes. Raises ValueError."""
    found: list[dict[str, Any]] = []
    for number, line in enumerate(text.splitlines(), 1):
        head, digest = _LINE.match(line), _HASH.match(line)
        if head is not None:
            name, version, marker = head.groups()
            found.append({"name": name, "version": version, "marker": marker or "", "hashes": []})
        elif digest is not None and found:
            found[-1]["hashes"].append(digest[1])
        elif line.strip():
            raise ValueError(f"line {number} is no line of a lock: {line[:80]}")
    return found


def bill(packages: list[dict[str, Any]], *, version: str, wheel: Path | None) -> dict[str, Any]:
    """The document."""
    release: dict[str, Any] = {
        "type": "application",
        "bom-ref": f"pkg:pypi/{NAME}@{version}",
        "name": NAME,
        "version": version,
        "purl": f"pkg:pypi/{NAME}@{version}",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    if wheel is not None:
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        release["hashes"] = [{"alg": "SHA-256", "content": digest}]
    components = [_component(one) for one in sorted(packages, key=lambda one: str(one["name"]))]
    body = json.dumps([release, components], sort_keys=True)
    serial = uuid.uuid5(uuid.NAMESPACE_URL, hashlib.sha256(body.encode()).hexdigest())
    needs = [one["bom-ref"] for one in components]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": release},
        "components": components,
        "dependencies": [{"ref": release["bom-ref"], "dependsOn": needs}],
    }


def _component(one: dict[str, Any]) -> dict[str, Any]:
    purl = f"pkg:pypi/{one['name'].lower().replace('_', '-')}@{one['version']}"
    made: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": one["name"],
        "version": one["version"],
        "purl": purl,
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{one['name']}/{one['version']}/",
                "hashes": [{"alg": "SHA-256", "content": each} for each in one["hashes"]],
            }
        ],
    }
    if one["marker"]:
        made["scope"] = "optional"
        made["properties"] = [{"name": "propeller:marker", "value": one["marker"]}]
    return made


def version_of(package: Path) -> str:
    """The version a checkout says it is."""
    found = re.search(r'^__version__ = "([^"]+)"', package.read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"{package} names no version")
    return found[1]


def main() -> int:
    """See the module."""
    packages = locked((HERE / "run.lock").read_text())
    wheel = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    version = version_of(HERE.parents[1] / "propeller" / "__init__.py")
    print(json.dumps(bill(packages, version=version, wheel=wheel), indent=1, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
