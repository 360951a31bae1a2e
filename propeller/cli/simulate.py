"""`propeller simulate SPECS`: what taking SPECS would do to a fleet, played on a fake clock.

The planner, the rollouts and the agents are the real ones; modules are not executed. Touches no
device, no broker and no state. The same command prints the same text. Exit: 0 everything got Ready,
2 the specs or the command are wrong, 3 something failed or was rolled back, 4 not Ready in time.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propeller.cli.context import open_store
from propeller.cli.output import add_data, print_data, reader_may_leave, say
from propeller.cli.pluginimages import OfRegistries
from propeller.cli.settings import fleet_of
from propeller.cli.table import printable
from propeller.errors import UsageError

if TYPE_CHECKING:
    from propeller.rehearse.scene import Device, Outcome, Point, Scene

WIDTH = 40
"""Characters of a bar of the curve."""

MOST_LEFT = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `simulate`."""
    parser.add_argument("specs", metavar="SPECS", help="a spec file or folder")
    parser.add_argument(
        "--from", dest="before", metavar="SPECS", help="what the fleet runs already"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="chance (1)")
    parser.add_argument("--loss", default="0%", metavar="P", help="messages that are lost (0%%)")
    parser.add_argument(
        "--offline", default="0%", metavar="P", help="proplets that are off at the start (0%%)"
    )
    parser.add_argument(
        "--back", default="10m", metavar="T", help="within which they come back, or never (10m)"
    )
    parser.add_argument(
        "--proplets", type=int, default=0, metavar="N", help="invent proplets until there are N"
    )
    parser.add_argument("--fleet", metavar="STATE", help="play the proplets of this state")
    parser.add_argument(
        "--trap",
        action="append",
        default=[],
        metavar="NAME=P",
        help="what is new of this object traps on P of the proplets; as often as needed",
    )
    parser.add_argument("--restart-manager", metavar="T", help="kill and start it again after T")
    parser.add_argument("--run", default="2s", metavar="T", help="what a task takes, about (2s)")
    parser.add_argument("--image-size", default="1MiB", metavar="S", help="of an image (1MiB)")
    parser.add_argument(
        "--for", dest="length", default="1h", metavar="T", help="play this long (1h)"
    )
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Play it; returns the exit code."""
    from propeller.rehearse.play import play

    scene = _scene(args)
    with tempfile.TemporaryDirectory(prefix="propeller-") as folder:
        outcome = play(scene, Path(folder))
    if args.output == "text":
        with reader_may_leave():
            for line in lines(outcome, scene):
                print(line)
    else:
        print_data(args.output, data(outcome, scene))
    if outcome.failed:
        return 3
    return 0 if outcome.converged is not None else 4


def _scene(args: argparse.Namespace) -> Scene:
    """The scene as typed. Raises UsageError with what is wrong."""
    from propeller.rehearse.cast import MOST_PROPLETS
    from propeller.rehearse.scene import Scene
    from propeller.state.layout import StateDir

    if not 0 <= args.proplets <= MOST_PROPLETS:
        raise UsageError(f"--proplets must be from 0 to {MOST_PROPLETS}")
    traps = {}
    for text in args.trap:
        name, equals, share = text.partition("=")
        if not name or not equals:
            raise UsageError(f"--trap {text!r} is not NAME=P", hint="for instance pulse=30%")
        traps[name] = _share("--trap", share)
    specs = Path(args.specs)
    return Scene(
        specs=specs,
        plugin_images=OfRegistries(
            lambda: fleet_of(args, tree=specs), StateDir(Path(".propeller"))
        ),
        before=Path(args.before) if args.before else None,
        seed=args.seed,
        loss=_share("--loss", args.loss, most=0.9),
        offline=_share("--offline", args.offline),
        back=None if args.back == "never" else _ms("--back", args.back),
        length=_ms("--for", args.length),
        proplets=args.proplets,
        recorded=_recorded(Path(args.fleet)) if args.fleet else (),
        traps=traps,
        run_ms=_ms("--run", args.run),
        module_bytes=_bytes(args.image_size),
        restart_at=_ms("--restart-manager", args.restart_manager) if args.restart_manager else None,
    )


def _share(option: str, text: str, *, most: float = 1.0) -> float:
    number = text.removesuffix("%")
    try:
        value = float(number) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise UsageError(f"{option} {text!r} is not a share from 0% to {most:.0%}")
    return value


def _ms(option: str, text: str) -> int:
    from propeller.model.quantities import duration_ms

    try:
        value = duration_ms(text)
    except ValueError as error:
        raise UsageError(f"{option} {text!r}: {error}") from error
    if not 0 < value <= 30 * 86_400_000:
        raise UsageError(f"{option} {text!r} must be more than nothing and at most 30 days")
    return value


def _bytes(text: str) -> int:
    from propeller.model.quantities import size_bytes

    try:
        value = size_bytes(text)
    except ValueError as error:
        raise UsageError(f"--image-size {text!r}: {error}") from error
    if not 8 <= value <= 64 << 20:
        raise UsageError(f"--image-size {text!r} must be from 8 bytes to 64MiB")
    return value


def _recorded(path: Path) -> tuple[Device, ...]:
    """The proplets of a state that were ever heard, with what they said they are."""
    from propeller.rehearse.scene import Device
    from propeller.state.layout import StateDir

    state = StateDir(path)
    if not state.database.exists():
        raise UsageError(f"no state in {path}", hint="--fleet is the state folder of a reconciler")
    store = open_store(state)
    try:
        found = []
        for seen in store.fleet():
            if seen.facts is None:
                continue
            facts = seen.facts
            found.append(
                Device(
                    name=str(seen.id),
                    labels=dict(facts.labels),
                    imports=tuple(sorted(facts.imports)),
                    mounts=tuple(sorted(facts.mounts)),
                    points=tuple(sorted(facts.points)),
                    memory=facts.memory or 1 << 30,
                    max_module=facts.max_module or 64 << 20,
                    max_payload=facts.max_payload,
                    heartbeat=max(1_000, seen.heartbeat),
                )
            )
    finally:
        store.close()
    return tuple(found)


def lines(outcome: Outcome, scene: Scene) -> list[str]:
    """The text."""
    off = f", {outcome.off} of them off at the start" if outcome.off else ""
    out = [
        f"{outcome.devices} proplets{off}; seed {scene.seed}; modules are not executed",
        "",
        "   time  copies as wanted" + " " * (WIDTH - 15) + "  objects ready",
    ]
    for point in _moving(outcome.curve):
        share = point.copies / point.wanted if point.wanted else 0.0
        bar = "#" * round(share * WIDTH)
        count = f"{point.copies}/{point.wanted}"
        ready = f"{point.ready}/{point.objects}"
        out.append(f"{_clock(point.at):>7}  {bar:<{WIDTH}} {count:>11}  {ready}")
    if outcome.told:
        out += ["", "what happened:"]
        out += [
            f"{_clock(one.at):>7}  {one.key}  {one.reason}: {printable(one.message)}"
            for one in outcome.told
        ]
    out.append("")
    reached = ", ".join(
        f"{float(share):.0%} {'never' if at is None else 'after ' + _clock(at)}"
        for share, at in outcome.quantiles.items()
    )
    out.append(f"copies as wanted, and staying so: {reached}")
    out.append(f"the manager published {outcome.messages} messages, {outcome.sent} bytes")
    if outcome.converged is not None:
        out.append(f"everything was Ready after {_clock(outcome.converged)}")
    else:
        out.append(f"not everything was Ready after {_clock(outcome.curve[-1].at)}:")
        out += [f"  {printable(line)}" for line in outcome.left[:MOST_LEFT]]
        if len(outcome.left) > MOST_LEFT:
            say("the list goes on; -o json has more of it")
    return out


def _moving(curve: Sequence[Point]) -> Iterator[Point]:
    """The points at which something had moved, and the last one."""
    shown: Point | None = None
    for point in curve:
        moved = shown is None or replace(point, at=shown.at) != shown
        if moved or point is curve[-1]:
            yield point
            shown = point


def data(outcome: Outcome, scene: Scene) -> dict[str, Any]:
    """The same as data; times in ms."""
    return {
        "kind": "Rehearsal",
        "seed": scene.seed,
        "proplets": outcome.devices,
        "offline": outcome.off,
        "curve": [
            {
                "at": point.at,
                "copies": point.copies,
                "wanted": point.wanted,
                "ready": point.ready,
                "objects": point.objects,
            }
            for point in outcome.curve
        ],
        "events": [
            {"at": one.at, "object": one.key, "reason": one.reason, "message": one.message}
            for one in outcome.told
        ],
        "reached": dict(outcome.quantiles),
        "converged": outcome.converged,
        "failed": outcome.failed,
        "left": list(outcome.left),
        "messages": outcome.messages,
        "bytes": outcome.sent,
    }


def _clock(ms: int) -> str:
    """12.4s, 3m05s, 2h10m."""
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
