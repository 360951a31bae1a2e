"""A component of WASI preview 2, deployed by its spec and called over HTTP: `examples/kv`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.live

EXAMPLE = Path(__file__).parents[2] / "examples" / "kv"


def test_the_store_of_the_examples_keeps_what_it_is_given(fleet: Any) -> None:
    """GET, PUT and DELETE through the gateway; values are files of the mount and outlive the
    proplet; what the device's mount does not hold cannot be reached."""
    for path in EXAMPLE.glob("kv.*"):
        shutil.copy(path, fleet.specs)
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
