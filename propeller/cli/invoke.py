"""`propeller invoke NAME [ARG ...]`: call a Function and print its answer.

Through the reconciler that is running here. Arguments are numbers of an export; a body comes by
`--data`, `--json` or `--wave`. Exit: 0 it answered, 2 it cannot be called so, 3 it failed or its
fate is not known, 4 try again later.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from propeller.cli.context import add_state, existing_state
from propeller.cli.output import say
from propeller.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from propeller.state.layout import StateDir

MOST = 1 << 20
WAVE = "text/x-wave"
"""The content type of arguments in WAVE, and then of the answer."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `invoke`."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="a Function, or NAMESPACE/NAME")
    parser.add_argument("args", nargs="*", metavar="ARG", help="arguments of its export")
    add_state(parser)
    parser.add_argument("-n", "--namespace", default="default", help="where it is (default)")
    parser.add_argument(
        "--data", metavar="TEXT", help="the request; @FILE reads a file, @- standard input"
    )
    parser.add_argument("--json", metavar="TEXT", help="the request, which must be JSON")
    parser.add_argument(
        "--wave", metavar="TEXT", help='arguments of a component\'s export in WAVE, as (1, "two")'
    )
    parser.add_argument("--path", default="", help="what follows the name: /fn/NAMESPACE/NAME/PATH")
    parser.add_argument("--method", default="POST", help="of the request (POST)")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE")
    parser.add_argument("--timeout", metavar="T", help="less than the Function's own")
    parser.add_argument("--key", metavar="KEY", help="the same key again is the same call")
    parser.add_argument(
        "--async", dest="later", action="store_true", help="print the call's id and do not wait"
    )
    parser.add_argument(
        "-f", "--follow", action="store_true", help="print what it logs, as it comes, to stderr"
    )
    parser.add_argument("--result", metavar="ID", help="what became of an asynchronous call")
    parser.add_argument("--cancel", metavar="ID", help="end an asynchronous call")
    parser.add_argument("-i", "--include", action="store_true", help="print status and headers too")


def run(args: argparse.Namespace) -> int:
    """Call it; returns the exit code."""
    state = existing_state(args)
    if args.result or args.cancel:
        if args.name or args.args:
            raise UsageError("--result and --cancel take the id of a call and nothing else")
        return _result(state, args.result) if args.result else _cancel(state, args.cancel)
    if not args.name:
        raise UsageError("NAME is missing", hint="`propeller get functions` lists them")
    namespace, slash, name = args.name.removeprefix("Function/").partition("/")
    if not slash:
        namespace, name = args.namespace, namespace
    path = f"/fn/{quote(namespace, safe='')}/{quote(name, safe='')}"
    if args.path:
        path += "/" + quote(args.path.lstrip("/"), safe="/?=&%:,;+-._~")
    if args.follow and args.later:
        raise UsageError("--follow waits for the answer, --async does not")
    if args.follow:
        return _follow(state, args.method, path, _body(args), _headers(args))
    status, headers, body = _ask(state, args.method, path, _body(args), _headers(args))
    if args.include:
        say(f"{status}")
        for one, value in headers.items():
            say(f"{one}: {value}")
    if status == 202 and args.later:
        print(json.loads(body)["call"])
        return 0
    return _show(status, headers, body)


def _body(args: argparse.Namespace) -> bytes:
    given = [one for one in (args.data, args.json, args.wave) if one is not None]
    if len(given) + bool(args.args) > 1:
        raise UsageError("say one of ARG, --data, --json and --wave")
    if args.args:
        return json.dumps(args.args).encode()
    if args.wave is not None:
        return str(args.wave).encode()
    if args.json is not None:
        try:
            json.loads(args.json)
        except ValueError as error:
            raise UsageError(f"--json: {error}") from error
        return str(args.json).encode()
    if args.data is None:
        return b""
    if not args.data.startswith("@"):
        return str(args.data).encode()
    if args.data == "@-":
        return sys.stdin.buffer.read(MOST + 1)
    try:
        with Path(args.data[1:]).open("rb") as file:
            return file.read(MOST + 1)
    except OSError as error:
        raise UsageError(f"{args.data[1:]}: {error.strerror}") from error


def _headers(args: argparse.Namespace) -> dict[str, str]:
    found: dict[str, str] = {}
    if args.json is not None or args.args:
        found["Content-Type"] = "application/json"
    if args.wave is not None:
        found["Content-Type"] = WAVE
    for one in args.header:
        name, colon, value = one.partition(":")
        if not colon:
            raise UsageError(f"--header {one!r} is not NAME:VALUE")
        found[name.strip()] = value.strip()
    if args.timeout:
        found["Propeller-Timeout"] = args.timeout
    if args.key:
        found["Idempotency-Key"] = args.key
    if args.later:
        found["Prefer"] = "respond-async"
    if args.follow:
        found["Accept"] = "text/event-stream"
    return found


def _follow(state: StateDir, method: str, path: str, body: bytes, headers: dict[str, str]) -> int:
    """Print events as they come; the exit code is that of the answer."""
    from propeller.cli.unixhttp import SocketConnection

    connection = SocketConnection(state.socket, 7200)
    with contextlib.closing(connection):
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            if response.headers.get_content_type() != "text/event-stream":  # it did not begin
                return _show(response.status, dict(response.getheaders()), response.read())
            name = ""
            for line in response:
                field, _, text = line.decode("utf-8", "replace").rstrip("\n").partition(": ")
                if field == "event":
                    name = text
                elif field == "data" and name == "log":
                    _log(json.loads(text))
                elif field == "data" and name == "result":
                    return _end(json.loads(text))
        except (OSError, ValueError) as error:
            raise _gone(state) from error
    raise _gone(state)


def _log(told: dict[str, object]) -> None:
    if told.get("lost"):
        say(f"... {told['lost']} bytes of its log are missing ...")
    sys.stderr.write(str(told["text"]))
    sys.stderr.flush()


def _end(told: dict[str, object]) -> int:
    """The last event of a stream, as its answer would have been shown."""
    import base64

    if told["fate"] == "Done":
        sys.stdout.buffer.write(base64.b64decode(str(told["body"])))
        sys.stdout.flush()
        return 0 if int(str(told["status"])) < 400 else 3
    say(f"{told['error']} (call {told['call']})")
    return int(str(told["exit"]))


def _ask(
    state: StateDir, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    """Raises Unavailable when no reconciler runs here."""
    from propeller.cli.unixhttp import SocketConnection

    connection = SocketConnection(state.socket, 7200)
    with contextlib.closing(connection):
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        except OSError as error:
            raise _gone(state) from error


def _gone(state: StateDir) -> Unavailable:
    return Unavailable(
        f"no reconciler answers on {state.path}: the call may have run, if it began",
        hint="start one with `propeller up SPECS` or `propeller serve SOURCE`",
    )


def _show(status: int, headers: dict[str, str], body: bytes) -> int:
    lower = {name.lower(): value for name, value in headers.items()}
    if "propeller-call" in lower and "server-timing" in lower:  # the guest's own words
        sys.stdout.buffer.write(body)
        if sys.stdout.isatty() and not body.endswith(b"\n"):
            print()
        sys.stdout.flush()
        return 0 if status < 400 else 3
    return _refused(body, status)


def _refused(body: bytes, status: int) -> int:
    try:
        told = json.loads(body)
        say(f"{told['error']}" + (f" (call {told['call']})" if "call" in told else ""))
        return int(told.get("exit", 2))
    except (ValueError, KeyError, TypeError):
        say(f"{status}: {body[:200].decode(errors='replace')}")
        return 2


def _result(state: StateDir, id_: str) -> int:
    import base64

    status, _, body = _ask(state, "GET", f"/api/v1/calls/{quote(id_, safe='')}", b"", {})
    if status != 200:
        return _refused(body, status)
    told = json.loads(body)
    if told["state"] != "Ended":
        say(f"{told['function']}: {told['state']}")
        return 4
    if told["fate"] == "Done":
        sys.stdout.buffer.write(base64.b64decode(told["body"]))
        sys.stdout.flush()
        return 0 if told["status"] < 400 else 3
    say(f"{told['function']}: {told['fate']}: {told['error']}")
    return 4 if told["status"] in (429, 503, 504) else 3


def _cancel(state: StateDir, id_: str) -> int:
    status, _, body = _ask(state, "DELETE", f"/api/v1/calls/{quote(id_, safe='')}", b"", {})
    if status != 202:
        return _refused(body, status)
    say(f"{id_}: cancelled")
    return 0
