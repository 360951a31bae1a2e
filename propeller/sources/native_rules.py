"""What does not go with native code: `spec.module.aot`.

Called by `rules` on the canonical form. Builds stand beside an image, and nobody counts what they
do, so a spec that could never have one is refused here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from propeller.model.quantities import UNLIMITED
from propeller.sources.nodes import Path


def problems(spec: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Paths are relative to `spec`."""
    module = spec["module"]
    if module.get("aot") != "Allowed":
        return
    if module.get("image") is None:
        yield (
            ("module", "aot"),
            "needs an image: builds are pushed beside it, `propeller push --aot`",
        )
    if module.get("encrypted") == "Required":
        yield ("module", "aot"), "must not be Allowed where encrypted is Required: a build is plain"
    if spec.get("runtime") is not None:
        yield ("module", "aot"), "must not be Allowed: an external engine runs the module"
    if spec["limits"]["fuel"] != UNLIMITED:
        yield (
            ("limits", "fuel"),
            "is not counted in native code (module.aot): say Unlimited, and limit the time",
        )
