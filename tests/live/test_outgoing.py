"""Components that send HTTP requests, deployed by specs to real proplets."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.live

BESIDE = Path(__file__).parents[1] / "proplet"


def beside(name: str) -> Any:
    """A module of tests/proplet, by the name its siblings import it by."""
    known = f"proplet_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, BESIDE / f"{name}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[known] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[known])
    return sys.modules[known]


def test_a_component_reaches_what_spec_and_owner_name_and_nothing_else(fleet: Any) -> None:
    """It runs on the proplet whose owner lets its requests out and on no other; a request beyond
    its grant is a code; a grant beyond what any owner lets out is placed nowhere, in words. A
    Function does so by each call, here with arguments in WAVE."""
    beside("handler_wat")
    fetches = beside("caller_wat").fetches
    with beside("http_peer").peer() as server, beside("http_peer").peer() as other:
        for name, port, allow in (
            ("fetch", server.port, server.url),
            ("astray", other.port, server.url),
            ("wide", other.port, other.url),
        ):
            fleet.write(f"{name}.wat", fetches("command", f"127.0.0.1:{port}", "/v1/x"))
            run = {"http": {"allow": [allow], "timeout": "30s"}}
            spec = {"module": {"file": f"{name}.wat"}, "run": run, "limits": {"timeout": "60s"}}
            fleet.spec("Task", name, spec)
        fleet.write("ask.wat", fetches("typed", f"127.0.0.1:{server.port}", "/v1/y"))
        run = {"entrypoint": "fetch", "http": {"allow": [f"GET {server.url}/v1/"]}}
        spec = {"module": {"file": "ask.wat"}, "run": run, "interface": "Values"}
        fleet.spec("Function", "ask", spec)
        fleet.broker()
        fleet.serve()
        fleet.proplet("yard")
        fleet.proplet("hall", "--http-allow", server.url)

        def result(name: str) -> tuple[str, str] | None:
            copies = fleet.copies(f"Task/default/{name}")
            ended = [copy for copy in copies if copy.get("result")]
            return (ended[0]["proplet"], ended[0]["result"]) if ended else None

        assert fleet.until(lambda: result("fetch"), "an answer") == ("hall", "200 said:")
        assert fleet.until(lambda: result("astray"), "a refusal") == ("hall", "1015 ")

        def told() -> bool:
            said = fleet.on("why", "Task/default/wide").out
            return (
                f"does not let out {other.url} (httpAllow)" in said
                and "lets no guest send HTTP requests (httpAllow)" in said
            )

        fleet.until(told, "the reason of each proplet")
        fleet.ready("Function/default/ask")
        assert fleet.on("invoke", "ask", "--wave", "()").out.strip() == "200"
        refused = fleet.on("invoke", "ask", "--wave", "(1)")
        assert refused.code == 2
        paths = [heard.split(b" ")[1] for heard in server.heard]
        assert paths == [b"/v1/x", b"/v1/y"]
        assert other.connections == 0
