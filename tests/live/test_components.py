"""Components of WASI preview 2, deployed by specs and called over HTTP."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.live

EXAMPLE = Path(__file__).parents[2] / "examples" / "kv"


HANDLER = Path(__file__).parents[1] / "proplet" / "handler_wat.py"


def echo() -> str:
    """The handler of tests/proplet: answers 201 with path, a header, a variable and the body."""
    spec = importlib.util.spec_from_file_location("live_handler_wat", HANDLER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.ECHO)


def test_the_store_of_the_examples_keeps_what_it_is_given(fleet: Any) -> None:
    """A handler answers; GET, PUT and DELETE of the store through the gateway. Values are files of
    the mount and outlive the proplet; what the device's mount does not hold cannot be reached."""
    shutil.copy(EXAMPLE / "kv.wat", fleet.specs)
    text = (EXAMPLE / "kv.yaml").read_text()
    assert "timeout: 5s" in text
    (fleet.specs / "kv.yaml").write_text(text.replace("timeout: 5s", "timeout: 20s"))
    fleet.write("echo.wat", echo())
    run = {"env": [{"name": "RATE", "value": "5"}]}
    fleet.spec("Function", "echo", {"module": {"file": "echo.wat"}, "run": run})
    fleet.broker()
    folder = fleet.place / "data"
    folder.mkdir()
    (fleet.place / "secret").write_text("secret")
    (folder / "way-out").symlink_to("../secret")
    fleet.serve("--dashboard", "127.0.0.1:0")
    started = fleet.proplet("gw-01", "--mount", f"kv={folder}:rw")
    fleet.ready("Function/default/kv")
    done = fleet.on("token", "create", "caller", "--role", "operator")
    ports = json.loads((fleet.state / "run" / "ports.json").read_text())
    base = f"http://127.0.0.1:{ports['dashboard']}/fn/default/kv"
    head = {"Authorization": f"Bearer {str(done.out).strip().splitlines()[-1]}"}

    fleet.ready("Function/default/echo")
    said = requests.put(
        f"{base[:-3]}/echo/a/b?c=d", data=b"ping", headers={**head, "X-Who": "ana"}, timeout=60
    )
    assert (said.status_code, said.content) == (201, b"/a/b?c=dana5ping")
    assert (said.headers["x-mine"], "connection" in said.headers) == ("yes", False)

    def call(method: str, key: str, data: bytes = b"") -> tuple[int, bytes]:
        said = requests.request(method, f"{base}/{key}", data=data, headers=head, timeout=60)
        return said.status_code, said.content

    value = bytes(range(256)) * 300
    assert call("GET", "color") == (404, b"there is no such key\n")
    assert call("PUT", "color", b"green") == (204, b"")
    assert call("PUT", "large", value) == (204, b"")
    assert call("GET", "color") == (200, b"green")
    assert call("GET", "large") == (200, value)
    assert call("PUT", "color", b"") == (204, b"")
    assert call("GET", "color") == (200, b"")
    assert call("GET", "way-out")[0] == 404, "a link leads nowhere"
    assert call("PUT", "a/b", b"x")[0] == 400
    assert call("POST", "color")[0] == 405
    started.kill()
    fleet.proplet("gw-01", "--mount", f"kv={folder}:rw")

    def back() -> bool:
        return call("GET", "large") == (200, value)

    fleet.until(back, "an answer of the proplet that is back")
    assert call("DELETE", "large") == (204, b"")
    assert call("DELETE", "large")[0] == 404
    assert sorted(path.name for path in folder.iterdir()) == ["color", "way-out"]
    assert (fleet.place / "secret").read_text() == "secret"
