"""The message calls of the SDKs: guests in AssemblyScript and in C that hear and say."""

from __future__ import annotations

import base64
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.wire.topic_messages import WireTopic

if TYPE_CHECKING:
    from conftest import Workshop

_SDK = importlib.util.spec_from_file_location(
    "function_sdk", Path(__file__).with_name("test_function_sdk.py")
)
assert _SDK is not None
assert _SDK.loader is not None
sdk = importlib.util.module_from_spec(_SDK)
_SDK.loader.exec_module(sdk)

THERMOSTAT = sdk.EXAMPLES / "messages" / "thermostat.c"


def _said(shop: Workshop, module: bytes, entrypoint: str, *names: str) -> tuple[list, object]:
    """A guest that runs, and what it has published so far."""
    hears, says = names
    said: list[str] = []

    def talk(_key: object, told: dict[str, str]) -> None:
        if told["event"] == "publish":
            said.append(base64.b64decode(told["data"]).decode())

    shop.supervisor._talk = talk
    topics = (
        WireTopic(name=hears, subscribe="a/+"),
        WireTopic(name=says, publish="b", rate=1000),
    )
    entry = shop.entry(module, entrypoint=entrypoint, topics=topics, timeout=60_000)
    return said, shop.start(entry)


def _hand(shop: Workshop, key: object, name: str, text: str) -> None:
    data = base64.b64encode(text.encode()).decode()
    assert shop.supervisor.hand(key, {"name": name, "topic": "a/x", "data": data})


def test_assemblyscript_hears_and_says(workshop: Workshop, tmp_path: Path) -> None:
    """What it hears it says again, with the topic it came on."""
    asc = tmp_path / "node/node_modules/.bin/asc"
    sdk.run("make", "-C", sdk.EXAMPLES / "modules", f"OUT={tmp_path}", asc)
    flags = ["--runtime", "stub", "-O3", "--use", "abort="]
    sdk.run(asc, sdk.SDK / "assemblyscript" / "echo.ts", *flags, "-o", tmp_path / "e.wasm")
    said, key = _said(workshop, (tmp_path / "e.wasm").read_bytes(), "echo", "in", "out")
    _hand(workshop, key, "in", "hi")
    workshop.until(lambda: key in workshop.over)
    assert (said, workshop.over[key].result) == (["a/x hi"], "1")


def test_the_thermostat_follows_what_is_wanted(workshop: Workshop, tmp_path: Path) -> None:
    """The example in C: it says where it is, and goes where it is told."""
    flags = ["--target=wasm32", "-O2", "-nostdlib", "-Wall", "-Wextra", "-Werror", "-Wl,--no-entry"]
    sdk.run("clang", *flags, "-I", sdk.SDK / "c", "-o", tmp_path / "t.wasm", THERMOSTAT)
    said, key = _said(workshop, (tmp_path / "t.wasm").read_bytes(), "_start", "wanted", "measured")
    workshop.until(lambda: said)
    _hand(workshop, key, "wanted", "17")
    workshop.until(lambda: "17=" in said)
    assert said[0] == "19+"
    workshop.supervisor.stop(key, 0)
    workshop.until(lambda: key in workshop.over)
