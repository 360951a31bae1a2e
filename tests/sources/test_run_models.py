"""`run.models`: files of the tree get digest and size, others say theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from propeller.errors import SpecError
from propeller.model.ids import sha256_digest
from propeller.model.parse import parse_object, stored_form
from propeller.model.specs import ModelFile, models_of
from propeller.registry.wasm import inspect
from propeller.sources.directory import DirectorySource
from propeller.sources.load import load

DIGEST = "sha256:" + "a" * 64


def a_tree(folder: Path, *models: Any, kind: str = "Task", **more: Any) -> Any:
    """The object `infer` with those models, as loaded."""
    folder.mkdir(exist_ok=True)
    (folder / "m.safetensors").write_bytes(b"weights")
    (folder / "m.wat").write_text('(module (func (export "_start")))')
    spec = {"module": {"file": "m.wat"}, "run": {"models": list(models), **more}}
    document = {"apiVersion": "propeller.dev/v1alpha1", "kind": kind}
    document |= {"metadata": {"name": "infer"}, "spec": spec}
    (folder / "infer.yaml").write_text(yaml.safe_dump(document))
    kept: dict[str, bytes] = {}

    def keep(data: bytes) -> Any:
        kept[sha256_digest(data)] = data
        return sha256_digest(data)

    revision = load(DirectorySource(folder).read(), domain="d", keep=keep, inspect=inspect)
    (thing,) = revision.objects.values()
    return thing, kept


def test_a_file_of_the_tree_is_kept_and_named_by_its_bytes(tmp_path: Path) -> None:
    """Digest and size are filled in; other bytes are another object."""
    tree = tmp_path / "t"
    tree.mkdir()
    (tree / "w.safetensors").write_bytes(b"1234567")
    thing, kept = a_tree(tree, {"name": "weights", "file": "w.safetensors"})
    (model,) = thing.run.models
    assert model == ModelFile(
        name="weights", digest=sha256_digest(b"1234567"), size=7, file="w.safetensors"
    )
    assert kept[model.digest] == b"1234567"
    assert models_of(thing) == {model.digest}
    (tree / "w.safetensors").write_bytes(b"12345678")
    other, _ = a_tree(tree, {"name": "weights", "file": "w.safetensors"})
    assert other.meta.spec_digest != thing.meta.spec_digest


def test_what_is_stored_reads_back(tmp_path: Path) -> None:
    """Also with a registry in place of a file."""
    row = {"name": "w", "image": "oci://r.example/m", "digest": DIGEST, "size": 9}
    thing, _ = a_tree(tmp_path / "t", row, kind="Daemon")
    form = stored_form(thing)
    assert parse_object("Daemon", form["meta"], form["spec"]) == thing
    assert thing.run.models == (
        ModelFile(name="w", digest=DIGEST, size=9, image="oci://r.example/m"),
    )


@pytest.mark.parametrize(
    ("rows", "more", "words"),
    [
        ([{"name": "w"}], {}, "run.models[0].digest: required without file"),
        ([{"name": "w", "digest": DIGEST}], {}, "run.models[0].size: required without file"),
        ([{"name": "w", "file": "no.safetensors"}], {}, "there is no file no.safetensors"),
        ([{"name": "w", "file": "m.wat"}], {}, "must end in .safetensors"),
        ([{"name": "../w", "file": "m.safetensors"}], {}, "letters, digits, dots"),
        ([{"name": "w", "file": "../m.safetensors"}], {}, "must be inside the spec tree"),
        ([{"name": "w", "file": "m.safetensors", "digest": DIGEST}], {}, "does not match"),
        ([{"name": "w", "file": "m.safetensors"}] * 2, {}, "given twice"),
        (
            [{"name": "w", "file": "m.safetensors"}],
            {"mounts": [{"name": "models", "access": "ReadOnly"}]},
            "models are there",
        ),
    ],
)
def test_what_names_no_bytes_is_refused(
    tmp_path: Path, rows: list[Any], more: dict[str, Any], words: str
) -> None:
    """Each fault names the field."""
    with pytest.raises(SpecError) as refused:
        a_tree(tmp_path / "t", *rows, **more)
    assert words in str(refused.value), refused.value
