"""What came over the API is judged by the plugins that bind Apps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from wasmtime import wat2wasm

from propeller.errors import SpecError, Unavailable
from propeller.gateway.bridge import Bridge
from propeller.model.binding import Binding
from propeller.model.ids import sha256_digest
from propeller.model.plugins import Hook, Plugin
from propeller.model.scoring import Failing
from propeller.registry.blobs import BlobStore
from propeller.sources.plugins import Bound

ROOT = Path(__file__).parents[2]
RULES = bytes(wat2wasm((ROOT / "examples" / "plugins" / "house-rules.wat").read_text()))
TASK = (
    "apiVersion: propeller.dev/v1alpha1\nkind: Task\nmetadata: {name: a}\n"
    "spec: {module: {file: a.wat}}\n"
)
FILES = {"a.yaml": TASK.encode(), "a.wat": b'(module (func (export "_start")))'}


def bridge(folder: Path, *, kept: bool = True) -> Bridge:
    """Over a service whose tree has the house rules. kept: whether their module is still there."""
    blobs = BlobStore(folder / "blobs")
    digest = blobs.put(RULES) if kept else sha256_digest(RULES)
    rule = Plugin(
        name="house-rules",
        digest=digest,
        hooks=frozenset({Hook.ADMIT}),
        kinds=frozenset({"Task"}),
        namespaces=("*",),
        failing=Failing.CLOSED,
        fuel=50_000_000,
        memory=16 << 20,
        timeout=1_000,
    )
    service = SimpleNamespace(blobs=blobs, bound=lambda: Bound(Binding((rule,)), blobs.read))
    return Bridge(service, domain="d", cache=folder)  # type: ignore[arg-type]


def test_a_rule_of_the_fleet_judges_what_has_no_source(tmp_path: Path) -> None:
    """Refused in its own words; with the label it is taken."""
    with pytest.raises(SpecError, match="needs a label team: who is called when it fails"):
        bridge(tmp_path).load(FILES)
    labelled = TASK.replace("name: a", "name: a, labels: {team: blue}").encode()
    assert len(bridge(tmp_path).load({**FILES, "a.yaml": labelled}).objects) == 1


def test_a_rule_that_cannot_answer_takes_nothing(tmp_path: Path) -> None:
    """Whoever asks may ask again."""
    with pytest.raises(Unavailable, match="onFailure is Closed"):
        bridge(tmp_path, kept=False).load(FILES)
