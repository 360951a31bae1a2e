"""The specs that pages show are specs that Propeller takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

import pytest
import wasmtime
import yaml

from propeller.errors import SpecError
from propeller.model.ids import sha256_digest
from propeller.registry.wasm import inspect
from propeller.sources.load import load
from propeller.sources.tree import Tree

STAND_IN = b"""(module
  (func (export "_start")) (func (export "train"))
  (func (export "add") (param i32 i32) (result i32) i32.const 0))"""


def kept(data):
    """A blob store that only names."""
    return sha256_digest(data)


def shown(reading, page):
    """The page's spec blocks, each as file name and text."""
    for number, block in enumerate(reading.blocks(page)):
        if reading.is_spec(block):
            yield block.file or f"block-{number}.yaml", block.text


PLUGIN = b"""(module (memory (export "memory") 1)
  (func (export "input") (param i32) (result i32) (i32.const 0))
  (func (export "admit")) (func (export "enrich"))
  (func (export "place") (result i64) (i64.const 0)))"""


def with_modules(files):
    """`files` and a stand-in for every module they name."""
    out = {name: text.encode() for name, text in files.items()}
    for name, text in files.items():
        for document in yaml.safe_load_all(text):
            spec = document.get("spec", {})
            for holder in (spec, *spec.get("steps", ())):
                module = holder.get("module", {}).get("file")
                if module:
                    text_form = module.endswith(".wat")
                    stands = PLUGIN if document["kind"] == "Plugin" else STAND_IN
                    data = stands if text_form else bytes(wasmtime.wat2wasm(stands.decode()))
                    out[str(PurePosixPath(name).parent / module)] = data
    return out


def below_their_folder(files):
    """`files` as `propeller up FOLDER` sees them, where all of them lie in one folder."""
    tops = {name.partition("/")[0] for name in files}
    if len(tops) != 1 or not all("/" in name for name in files):
        return files
    return {name.partition("/")[2]: text for name, text in files.items()}


def test_specs_load(reading, spec_page):
    """Every spec on the page is valid together with its neighbours."""
    files = below_their_folder(dict(shown(reading, spec_page)))
    tree = Tree(name=spec_page.name, files=with_modules(files))
    overlays = [name.rpartition("/")[0] for name in files if name.endswith("/overlay.yaml")]
    wanted = sum(
        document["kind"] not in ("Overlay", "Plugin")
        for text in files.values()
        for document in yaml.safe_load_all(text)
    )
    for overlay in overlays or [""]:
        try:
            revision = load(
                replace(tree, overlay=overlay), domain="docs", keep=kept, inspect=inspect
            )
        except SpecError as error:
            pytest.fail(f"{spec_page.name}:\n{error}")
        assert len(revision.objects) >= wanted


def test_there_are_specs_to_look_at(reading):
    """The finder finds: the README alone shows one."""
    assert dict(shown(reading, reading.ROOT / "README.md")).keys() == {"plant/add.yaml"}
