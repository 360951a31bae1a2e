"""`propeller logs NAME`: what its copies printed.

A running reconciler asks the devices. Where none runs, the output of local proplets is read from
the state directory, so that `logs` still answers after `up` has ended.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from propeller.cli.context import Client, Refused, add_state, existing_state, open_store
from propeller.cli.find import find
from propeller.cli.output import say
from propeller.errors import Unavailable, UsageError
from propeller.model.ids import Key, PropletId, Uid, is_wire_id

if TYPE_CHECKING:
    from propeller.state.layout import StateDir
    from propeller.state.sqlite import SqliteStore

FOLLOW = 10 * 60 * 1000
"""ms one operation follows; asked again until interrupted."""

BYTES_A_LINE = 256
"""What a line is taken for where devices are asked for bytes."""

MOST_TAIL = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `logs`."""
    parser.add_argument("name", metavar="NAME", help="a Task, a Daemon or a Function")
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    add_state(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until interrupted")
    parser.add_argument("--proplet", metavar="P", help="only the copy on this proplet")
    parser.add_argument(
        "--tail", type=int, metavar="N", help="at most the last N lines of each copy"
    )
    parser.add_argument(
        "--stream", choices=("stdout", "stderr", "both"), default="both", help="default: both"
    )


def run(args: argparse.Namespace) -> int:
    """Print; returns the exit code."""
    if args.tail is not None and not 0 <= args.tail <= 1_000_000:
        raise UsageError("--tail must be from 0 to 1000000")
    if args.proplet is not None and not is_wire_id(args.proplet):
        raise UsageError(f"{args.proplet!r} is no proplet id")
    state = existing_state(args)
    store = open_store(state)
    try:
        uid, key = find(store, args.name, namespace=args.namespace)
        if key.kind not in ("Task", "Daemon", "Function"):
            raise UsageError(f"{key} prints nothing", hint="Tasks and Daemons do")
        client = Client(state)
        if client.running():
            return _ask(client, key, args)
        if args.follow:
            raise Unavailable(
                f"no reconciler is running on {state.path}: nothing can be followed",
                hint="start one with `propeller up SPECS` or `propeller serve SOURCE`",
            )
        return _local(state, store, uid, key, args)
    finally:
        store.close()


class _Lines:
    """Prints text of several copies line by line, each with its proplet's name in front.

    One copy alone (not `named`) is printed as it comes. Both streams go to stdout: they are data.
    """

    def __init__(self, *, named: bool) -> None:
        self._named = named
        self._open: dict[tuple[str, str], str] = {}

    def put(self, proplet: str, stream: str, text: str) -> None:
        """A piece of a stream."""
        if not self._named:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        whole = self._open.pop((proplet, stream), "") + text
        *lines, rest = whole.split("\n")
        for line in lines:
            print(f"{proplet}  {line}")
        if rest:
            self._open[proplet, stream] = rest
        sys.stdout.flush()

    def end(self) -> None:
        """Print what did not end with a line break."""
        for (proplet, _), rest in self._open.items():
            print(f"{proplet}  {rest}")
        self._open.clear()


def _ask(client: Client, key: Key, args: argparse.Namespace) -> int:
    """Ask the devices through the reconciler."""
    tail = MOST_TAIL if args.tail is None else min(MOST_TAIL, args.tail * BYTES_A_LINE)
    body: dict[str, object] = {"verb": "logs", "key": str(key), "stream": args.stream}
    if args.proplet:
        body["proplet"] = args.proplet
    first = True
    while first or args.follow:
        body["tail"] = tail if first else 0
        body["follow"] = FOLLOW if args.follow else 0
        try:
            code = _print_answers(client.stream("/api/v1/operate", body), args, cut=first)
        except Refused as error:
            raise UsageError(str(error)) from error
        if code != 0:
            return code
        first = False
    return 0


def _print_answers(
    answers: Iterator[Mapping[str, Any]], args: argparse.Namespace, *, cut: bool
) -> int:
    """Pieces as they come. Where lines are counted (no --follow) they are gathered first."""
    gathered: dict[tuple[str, str], str] = {}
    troubles: list[str] = []
    live = _Lines(named=args.follow and not args.proplet)
    for answer in answers:
        proplet, state = str(answer.get("proplet", "")), answer.get("state", "")
        if "error" in answer:
            troubles.append(str(answer["error"]))
        elif state in ("refused", "Unknown"):
            troubles.append(f"{proplet}: {answer.get('text') or 'did not answer'}")
        elif answer.get("text") or answer.get("dropped"):
            stream = str(answer.get("stream") or "stdout")
            text = str(answer.get("text", ""))
            if answer.get("dropped"):
                say(f"{proplet}: {answer['dropped']} bytes of {stream} were lost in between")
            if args.follow:
                live.put(proplet, stream, text)
            else:
                gathered[proplet, stream] = gathered.get((proplet, stream), "") + text
    live.end()
    _print_gathered(gathered, args.tail if cut else None)
    for trouble in troubles:
        say(trouble)
    return 2 if troubles and not gathered else 0


def _print_gathered(gathered: Mapping[tuple[str, str], str], tail: int | None) -> None:
    lines = _Lines(named=len({proplet for proplet, _ in gathered}) > 1)
    for (proplet, stream), text in sorted(gathered.items()):
        lines.put(proplet, stream, text if tail is None else _last_lines(text, tail))
    lines.end()


def _last_lines(text: str, count: int) -> str:
    return "".join(text.splitlines(keepends=True)[-count:]) if count else ""


def _local(
    state: StateDir, store: SqliteStore, uid: Uid, key: Key, args: argparse.Namespace
) -> int:
    """What local proplets kept of the newest run on each of them."""
    from proplet.runtime.capture import pieces, read

    gathered: dict[tuple[str, str], str] = {}
    found = False
    streams = ("stdout", "stderr") if args.stream == "both" else (args.stream,)
    for proplet, run in _newest_runs(store, uid).items():
        if args.proplet not in (None, proplet):
            continue
        directory = state.proplet(proplet) / "runs" / run
        if not directory.is_dir():
            continue
        found = True
        for stream in streams:
            kept = pieces(directory, stream)
            if kept:
                _, data = read(directory, stream, kept[0][0], MOST_TAIL)
                gathered[proplet, stream] = data.decode("utf-8", errors="replace")
    if not found:
        where = f" on {args.proplet}" if args.proplet else ""
        raise Unavailable(
            f"no reconciler is running on {state.path}, and no local proplet kept output of"
            f" {key}{where}",
            hint="start one with `propeller up SPECS` or `propeller serve SOURCE`",
        )
    _print_gathered(gathered, args.tail)
    return 0


def _newest_runs(store: SqliteStore, uid: Uid) -> dict[PropletId, str]:
    """The run each proplet has, or had last."""
    newest: dict[PropletId, str] = {}
    for record in store.runs(uid, 1000):
        newest.setdefault(record.proplet, record.run)
    for assignment in store.assignments():
        if assignment.uid == uid:
            newest[assignment.proplet] = assignment.run
    return newest
