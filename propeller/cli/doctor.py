"""`propeller doctor`: the usual set-up faults, each with what mends it.

Exit: 0, or 2 if one is bad. A warning is something that will bite later; only what is broken now
fails the command.
"""

from __future__ import annotations

import argparse
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propeller.cli.checks import BAD, GOOD, WARN, Check
from propeller.cli.clock import ago, now_ms
from propeller.cli.context import add_state, open_store, state_dir
from propeller.cli.output import add_data, colour_on, print_data
from propeller.cli.settings import add_fleet, fleet_of
from propeller.cli.table import paint, printable
from propeller.errors import PropellerError

if TYPE_CHECKING:
    from propeller.cli.settings import Fleet
    from propeller.state.layout import StateDir
    from propeller.state.records import RevisionRecord

LOW_SPACE = 256 << 20
"""Free bytes below which a state directory is in trouble soon."""

MOST_SKEW_S = 30
"""Seconds between two clocks that are kept in step."""

OLDEST_GIT = (2, 25)
"""The first git that reads what we ask of it (partial fetches of one commit)."""

_TONES = {GOOD: "good", WARN: "odd", BAD: "bad"}
_MARKS = {GOOD: "ok", WARN: "warn", BAD: "BAD"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `doctor`."""
    parser.add_argument(
        "specs", nargs="?", metavar="SPECS", help="the spec tree, for its propeller.yaml"
    )
    add_state(parser)
    parser.add_argument(
        "--timeout", type=float, default=5.0, metavar="S", help="seconds for each outside check (5)"
    )
    add_fleet(parser)
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Check everything; returns the exit code."""
    found = list(_checks(args))
    if args.output != "text":
        data: dict[str, Any] = {"kind": "Doctor", "checks": [one.data() for one in found]}
        print_data(args.output, data)
    else:
        colour = colour_on()
        width = max(len(one.name) for one in found)
        for one in found:
            mark = f"{_MARKS[one.state]:<4}"
            print(
                f"{paint(mark, _TONES[one.state], colour=colour)}  {one.name:<{width}}"
                f"  {printable(one.words)}"
            )
            if one.mend:
                print(f"{'':<{width + 8}}mend: {one.mend}")
    return 2 if any(one.state == BAD for one in found) else 0


def _checks(args: argparse.Namespace) -> Iterator[Check]:
    state = state_dir(args)
    yield _python()
    yield _git()
    yield _clock()
    yield from _guarded("state", lambda: _state(state))
    yield from _guarded("lease", lambda: _lease(state))
    yield from _guarded("keys", lambda: _keys(state))
    try:
        fleet = fleet_of(args, tree=Path(args.specs) if args.specs else None)
    except PropellerError as error:
        yield Check("config", BAD, str(error), "mend the file; `propeller config show` prints it")
        return
    where = str(fleet.path) if fleet.path is not None else "no propeller.yaml, defaults hold"
    yield Check("config", GOOD, where)
    yield from _guarded("broker", lambda: _broker(fleet, state, args.timeout))
    yield from _guarded("registries", lambda: _registries(fleet, args.timeout))
    yield _mosquitto()


def _guarded(name: str, check: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """A check that cannot be made is a finding, not the end of the others."""
    try:
        yield from check()
    except PropellerError as error:
        yield Check(name, BAD, error.what.replace("\n", "; "), error.hint or "see the message")
    except OSError as error:
        yield Check(name, BAD, str(error), "see the message")


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Check("python", GOOD, f"{version} at {sys.executable}")


def _git() -> Check:
    try:
        done = subprocess.run(
            ["git", "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Check("git", WARN, f"not found ({error})", "install git to follow repositories")
    words = done.stdout.strip()
    numbers = [int(part) for part in words.split()[2].split(".")[:2] if part.isdecimal()]
    if tuple(numbers) < OLDEST_GIT:
        oldest = ".".join(str(part) for part in OLDEST_GIT)
        return Check("git", WARN, words, f"install git {oldest} or newer")
    return Check("git", GOOD, words)


def _clock() -> Check:
    from propeller.cli.checks import clock_synchronised

    if now_ms() < 1_735_689_600_000:  # 2025: older than this program
        return Check("clock", BAD, "is years behind", "set the clock, for instance with chrony")
    if clock_synchronised() is False:
        return Check(
            "clock",
            WARN,
            "is not kept in step by anything",
            "run chrony or systemd-timesyncd: cron tasks and signed documents go by it",
        )
    return Check("clock", GOOD, "plausible")


def _state(state: StateDir) -> Iterator[Check]:
    path = state.path
    if not state.exists():
        yield Check("state", GOOD, f"none in {path} yet; `propeller up SPECS` makes one")
        return
    if not os.access(path, os.W_OK):
        yield Check("state", BAD, f"{path} cannot be written", f"chown -R $USER {path}")
        return
    free = shutil.disk_usage(path).free
    if free < LOW_SPACE:
        mib = free >> 20
        yield Check("state", WARN, f"only {mib} MiB are free under {path}", "free some space")
    else:
        yield Check("state", GOOD, f"{path}, {free >> 30} GiB free")
    for private in (state.keys, state.run, state.journal):
        if private.is_dir() and stat.S_IMODE(private.stat().st_mode) & 0o077:
            yield Check("state", BAD, f"{private} is open to others", f"chmod 700 {private}")
    if state.database.exists():
        yield from _guarded("store", lambda: _database(state))


def _database(state: StateDir) -> Iterator[Check]:
    from propeller.cli.fleetcheck import check_devices

    store = open_store(state)
    try:
        fleet = store.fleet()
        revisions = store.revisions(1)
    finally:
        store.close()
    yield _newest(max((one.last_heard for one in fleet), default=0), revisions)
    yield from check_devices(fleet)


def _newest(newest: int, revisions: Sequence[RevisionRecord]) -> Check:
    if newest > now_ms() + 60_000:
        return Check(
            "store", WARN, "devices were heard in the future: the clock went back", "set the clock"
        )
    if revisions and revisions[0].outcome == "rejected":
        return Check(
            "store",
            WARN,
            "the newest revision was refused; the last good one stands",
            "`propeller history` says why, `propeller validate PATH` lists every fault",
        )
    taken = (
        f"newest revision taken {ago(revisions[0].at, now_ms())}" if revisions else "no revision"
    )
    return Check("store", GOOD, f"readable, {taken}")


def _lease(state: StateDir) -> Iterator[Check]:
    from propeller.cli.context import Client
    from propeller.state.lease import Lease

    holder = Lease(state.run).holder()
    if holder is None:
        yield Check("lease", GOOD, "free: no reconciler runs on this state")
        return
    since = ago(holder.started, now_ms())
    if holder.verb and holder.socket and not Client(state).running():
        yield Check(
            "lease",
            WARN,
            f"held by {holder} since {since}, which does not answer on its socket",
            f"if it hangs: kill {holder.pid}",
        )
        return
    yield Check("lease", GOOD, f"held by {holder} since {since}")


def _keys(state: StateDir) -> Iterator[Check]:
    if not (state.keys / "root.pub").exists():
        yield Check("keys", GOOD, "none yet; `propeller up` makes them")
        return
    open_ones = [
        path
        for path in sorted(state.keys.rglob("*.pem"))
        if stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    for path in open_ones:
        yield Check("keys", BAD, f"{path} can be read by others", f"chmod 600 {path}")
    if not open_ones:
        yield Check("keys", GOOD, f"{state.keys}: private to this user")


def _broker(fleet: Fleet, state: StateDir, timeout: float) -> Iterator[Check]:
    from propeller.cli.brokercheck import check_broker
    from propeller.cli.context import Client
    from propeller.cli.settings import endpoint_of
    from propeller.cli.tlscheck import check_tls
    from propeller.transport.endpoint import Endpoint

    name = f"doctor-{os.getpid()}"
    address = fleet.text("broker.address")
    if ":" in address:
        configured = endpoint_of(fleet, name)
        yield from check_tls(configured, timeout, now_ms() / 1000)
        yield from check_broker(configured, fleet, timeout)
        return
    port = state.read_ports().get("broker")
    if port is None or not Client(state).running():
        yield Check("broker", GOOD, "none configured; `propeller up` starts one of its own")
        return
    endpoint = Endpoint(host="127.0.0.1", port=port, client_id=name)
    yield from check_broker(endpoint, fleet, timeout)


def _registries(fleet: Fleet, timeout: float) -> Iterator[Check]:
    from propeller.registry.http import Http

    plain = [
        host for host, entry in fleet.registries.items() if entry.get("plainHttp") == "Allowed"
    ]
    for host, entry in sorted(fleet.registries.items()):
        name = f"registry {host}"
        if "layout" in entry:
            folder = fleet.base / str(entry["layout"])
            if (folder / "index.json").is_file():
                yield Check(name, GOOD, f"layout {folder}")
            else:
                yield Check(name, WARN, f"no layout in {folder} yet", "push something, or copy it")
            continue
        asked = str(entry.get("mirror", host)).partition("/")[0]
        http = Http(plain_http=plain, connect=timeout, read=timeout, deadline=timeout)
        scheme = "http" if http.plain_allowed(asked) else "https"
        try:
            with http.request("GET", f"{scheme}://{asked}/v2/", where=asked) as response:
                status, date = response.status_code, response.headers.get("Date", "")
        except PropellerError as error:
            yield Check(
                name, BAD, error.what, "check address, TLS and proxy; plainHttp: Allowed for HTTP"
            )
            continue
        finally:
            http.close()
        yield from skew(asked, date, now_ms() // 1000)
        if status in (200, 401):
            yield Check(
                name, GOOD, f"{asked} answers ({'open' if status == 200 else 'wants a login'})"
            )
        else:
            yield Check(name, BAD, f"{asked} answers {status} on /v2/", "is this a registry?")


def skew(host: str, date: str, now: int) -> Iterator[Check]:
    """What somebody else's clock says of ours. date: as HTTP has it. now: Unix seconds."""
    try:
        there = int(parsedate_to_datetime(date).timestamp())
    except ValueError:
        return
    if abs(now - there) > MOST_SKEW_S:
        words = f"{abs(now - there)} s {'ahead of' if now > there else 'behind'} {host}'s"
        yield Check("clock", WARN, words, "run chrony or systemd-timesyncd here, or there")


def _mosquitto() -> Check:
    from propeller.transport.broker import which

    found = which("mosquitto")
    words = found if found is not None else "not installed; `propeller up` brings its own broker"
    return Check("mosquitto", GOOD, words)
