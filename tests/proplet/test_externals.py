"""Guests in engines besides ours: what reaches the engine, and that nothing of it outlives its end.

The engine is a script that does what its first argument says, so that each test shows what it did.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from propeller.wire.http_messages import WireHttp
from propeller.wire.messages import Entry, WireModule, WireMount
from proplet.externals import External, offered, read_engine, together
from proplet.orphans import kill_orphans

if TYPE_CHECKING:
    from conftest import Maker, Workshop

ENGINE = """#!{python} -IS
import json, os, signal, subprocess, sys, time
arguments = sys.argv[sys.argv.index("--") + 2:] if "--" in sys.argv else []
what = arguments[0] if arguments else "tell"
if what == "tell":
    module = open(sys.argv[sys.argv.index("--") + 1], "rb").read(4) if "--" in sys.argv else b""
    told = dict(argv=sys.argv[1:], env=dict(os.environ), magic=module.hex(), at=os.getcwd())
    told["files"] = sorted(os.listdir("/proc/self/fd"))
    told["stdin"] = sys.stdin.read()
    print(json.dumps(told))
elif what == "exit":
    print("half", file=sys.stderr)
    sys.exit(int(arguments[1]))
elif what == "spin":
    print("spinning", flush=True)
    while True:
        pass
elif what == "flood":
    while True:
        os.write(1, b"x" * 65536)
elif what == "hog":
    kept = [bytearray(os.urandom(1 << 20)) for _ in range(1000)]
elif what in ("leave", "stay"):
    # A grandchild in a session of its own that ignores polite signals, and knows nobody here.
    code = "import os, signal, time; signal.signal(15, 1); os.setsid(); time.sleep(600)"
    if os.fork() == 0:
        child = subprocess.Popen([sys.executable, "-c", code], stdout=1)
        print(child.pid, flush=True)
        os._exit(0)
    os.wait()
    if what == "stay":
        time.sleep(600)
elif what == "fork":
    for _ in range(40):
        if os.fork() == 0:
            time.sleep(600)
    time.sleep(600)
elif what == "die":
    os.kill(os.getpid(), signal.SIGSEGV)
"""
MODULE = '(module (memory (export "memory") 1) (func (export "_start")))'
NN = """(module (import "wasi_ephemeral_nn" "load" (func (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (func (export "_start")))"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script, as a program."""
    path = tmp_path_factory.mktemp("engine") / "engine"
    path.write_text(ENGINE.replace("{python}", sys.executable))
    path.chmod(0o755)
    return path


@pytest.fixture
def shop(make_workshop: Maker, engine: Path) -> Workshop:
    """A proplet that has the engine `fake`, and knows that it has wasi-nn."""
    made = make_workshop()
    made.externals |= together(
        (read_engine(f"fake={engine}"),), (("fake", "wasi_ephemeral_nn"),), ("APP_*",)
    )
    return made


def run(shop: Workshop, *args: str, **changes: object):
    return shop.run(MODULE, external="fake", args=args, **changes)


def alive(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_the_engine_gets_its_command_and_what_was_granted(shop: Workshop) -> None:
    """The module's file and the arguments behind `--`; no variable and no file of ours."""
    outcome = run(shop, stdin="in", env=(("APP_RATE", "5"),))
    assert outcome.ok, outcome.error
    result = outcome.result
    if outcome.blob is not None:
        result = shop.blobs.read(outcome.blob.digest).decode()
    told = json.loads(result)
    assert told["argv"][0] == "--"
    assert len(told["argv"]) == 2
    assert told["magic"] == "0061736d"
    assert set(told["env"]) - {"LC_CTYPE"} == {"APP_RATE", "PROPLET_GUEST"}
    assert told["at"] == "/"
    assert told["files"] == ["0", "1", "2", "3"], "3 is the folder that it lists"
    assert told["stdin"] == "in"


def test_an_exit_code_fails_the_run_and_its_stderr_is_kept(shop: Workshop) -> None:
    """As with any command."""
    outcome = run(shop, "exit", "3")
    assert (outcome.ok, outcome.exit, outcome.error) == (False, 3, "exit 3")
    (piece,) = shop.supervisor.logs((f"{'0' * 8}-0000-0000-0000-{1:012x}", f"{1:032x}")).glob(
        "stderr.*"
    )
    assert piece.read_text() == "half\n"


def test_an_engine_that_dies_says_of_what(shop: Workshop) -> None:
    """The signal by its name."""
    assert run(shop, "die").error == "its engine was ended by SIGSEGV"


def test_an_engine_ends_at_its_limit_of_time(shop: Workshop) -> None:
    """Whatever it does."""
    outcome = run(shop, "spin", timeout=300)
    assert outcome.error == "ran longer than its limit of 300ms"


def test_a_flood_of_output_is_drained_and_ends_the_run(shop: Workshop) -> None:
    """Nothing is kept past the limit."""
    outcome = run(shop, "flood", output=4096)
    assert "wrote more than its limit of 4KiB" in outcome.error.replace(" KiB", "KiB")


def test_an_engine_gets_no_more_memory_than_its_limit_and_room(shop: Workshop) -> None:
    """The kernel refuses it, or it is ended: either way it is over."""
    outcome = run(shop, "hog", memory=16 << 20)
    assert not outcome.ok


def test_what_an_engine_leaves_behind_ends_with_it(shop: Workshop) -> None:
    """Also what hid in a session of its own and held its output open."""
    outcome = run(shop, "leave")
    assert outcome.ok, outcome.error
    assert not alive(int(outcome.result))


def test_an_engine_may_not_be_many(shop: Workshop) -> None:
    """Past sixteen processes all of them are ended."""
    assert run(shop, "fork").error == "had more than 16 processes"


def test_a_stopped_daemon_takes_everything_below_it_along(shop: Workshop) -> None:
    """A stop is the end of all of its processes."""
    key, below = _daemon(shop)
    shop.supervisor.stop(key, 0)
    shop.until(lambda: key in shop.over)
    assert shop.over[key].error == "stopped"
    assert not alive(below)


def test_an_agent_that_is_killed_leaves_no_engine(shop: Workshop) -> None:
    """Workers see that it is gone and end what is below them, before they end themselves."""
    _, below = _daemon(shop)
    shop.supervisor.close()  # as the kernel does: sockets close, the zygote dies
    _gone(below)


def test_what_a_killed_worker_left_is_found_at_the_next_start(shop: Workshop) -> None:
    """By the mark in its environment."""
    _, below = _daemon(shop)
    for worker in shop.supervisor._workers.all():
        shop.supervisor._workers.kill(worker)
    shop.until(lambda: shop.over)
    assert alive(below), "nobody was left to end it"
    assert kill_orphans(shop.supervisor._mark) > 0
    _gone(below)


def _daemon(shop: Workshop) -> tuple[tuple[str, str], int]:
    """A daemon with something below it: its run, and the process of that."""
    key = shop.start(
        shop.entry(MODULE, external="fake", args=("stay",), mode="daemon", timeout=None)
    )
    told = shop.supervisor.logs(key) / "stdout.0"
    shop.until(lambda: told.exists() and told.read_text().endswith("\n"))
    below = int(told.read_text())
    assert alive(below)
    return key, below


def _gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(pid)


def test_wasi_nn_is_there_where_the_engine_is_said_to_have_it(shop: Workshop) -> None:
    """Our own engine has none, and neither has one of which nobody said so."""
    assert shop.prepare(shop.entry(NN, external="fake")) == ""
    assert "wasi_ephemeral_nn.load" in shop.prepare(shop.entry(NN, 2))
    shop.externals["fake"] = replace(shop.externals["fake"], imports=())
    refused = shop.prepare(shop.entry(NN.replace("i32 i32 i32", "i32 i32"), 3, external="fake"))
    assert "wasi_ephemeral_nn.load" in refused


REQUESTS = WireHttp(allow=("GET http://a.example",), requests=1, timeout=1_000, body=1)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"external": "other"}, "no external engine 'other'"),
        ({"env": (("LD_PRELOAD", "x"),)}, "LD_PRELOAD is not among those of externalEnv"),
        ({"fuel": 5}, "count no fuel"),
        (
            {"mounts": (WireMount(name="a", path="/a", access="ReadOnly"),)},
            "mounts, models, topics, points and HTTP requests",
        ),
        ({"http": REQUESTS}, "mounts, models, topics, points and HTTP requests"),
    ],
)
def test_what_a_command_cannot_carry_is_refused_in_words(
    shop: Workshop, changes: dict[str, object], why: str
) -> None:
    """Before anything is started."""
    entry = shop.entry(MODULE, **{"external": "fake", **changes})
    assert why in shop.prepare(entry)


NODE = """
import { WASI } from "node:wasi";
import { readFileSync } from "node:fs";
const [file, ...args] = process.argv.slice(2);
const wasi = new WASI({ version: "preview1", args: [file, ...args], env: { A: "1" } });
const module = await WebAssembly.compile(readFileSync(file));
process.exit(wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject())));
"""
HELLO = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "hello\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 100))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $exit (i32.const 0))))"""


def test_a_real_engine_runs_a_real_module(make_workshop: Maker, tmp_path: Path) -> None:
    """V8 with the WASI of Node.js, which has little in common with ours."""
    beside = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    node, script = shutil.which("node", path=beside), tmp_path / "run.mjs"
    assert node, "make test installs it"
    script.write_text(NODE)
    shop = make_workshop()
    command = f"v8={node} --no-warnings {script} {{module}} {{args}}"
    shop.externals |= together((read_engine(command),), (), ())
    outcome = shop.run(HELLO, external="v8", memory=1 << 30)  # V8 sets much of it aside
    assert (outcome.ok, outcome.exit, outcome.result) == (True, 0, "hello\n"), outcome.error


# -- the command, and what may stand in it ----------------------------------------------------


def an_entry(**changes: object) -> Entry:
    """What a document asks for, as far as a command depends on it."""
    entry = Entry(
        uid="00000000-0000-0000-0000-000000000001",
        ref="Task/default/a",
        run="0" * 32,
        cause="once",
        mode="once",
        digest="",
        module=WireModule(digest="sha256:" + "a" * 64, size=1),
        entrypoint="_start",
        external="e",
    )
    return replace(entry, **changes)  # type: ignore[arg-type]  # fields by name, as a table


def test_variables_stand_in_words_of_their_own() -> None:
    """A value is never a flag, whatever it says."""
    engine = External(words=("/e", "--env={name}={value}", "--", "{module}", "{args}"))
    entry = an_entry(env=(("A", "--x {module}"), ("B", "")), args=("--y",))
    assert engine.refusal(entry) == ""
    command = engine.command(Path("/m"), entry)
    assert command == ["/e", "--env=A=--x {module}", "--env=B=", "--", "/m", "--y"]
    assert engine.environment(entry, ()) == {}


def test_secrets_stand_in_no_command_line() -> None:
    """Anybody on the device can read those."""
    shown = External(words=("/e", "--env={name}={value}", "{module}"), env=("TOKEN",))
    named = replace(shown, words=("/e", "--env={name}", "{module}"))
    entry = an_entry(sealed=(("TOKEN", "x"),))
    assert "for all to see" in shown.refusal(entry)
    assert named.refusal(entry) == ""
    assert named.command(Path("/m"), entry) == ["/e", "--env=TOKEN", "/m"]
    assert named.environment(entry, (("TOKEN", "t"),)) == {"TOKEN": "t"}


def test_an_argument_that_looks_like_a_flag_needs_a_command_that_ends_flags() -> None:
    """Else the engine might take it for its own."""
    engine = External(words=("/e", "{module}", "{args}"))
    assert "--dir" in engine.refusal(an_entry(args=("--dir=/",)))
    assert engine.refusal(an_entry(args=("dir",))) == ""
    assert "takes no arguments" in External(words=("/e", "{module}")).refusal(an_entry(args=("a",)))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("e", "is not NAME=COMMAND"),
        ("E=/bin/true", "lowercase"),
        ("e=true", "not the absolute path"),
        ("e=/bin/true {module} {module}", "once"),
        ("e=/bin/true x{module}", "words of their own"),
        ("e=/bin/true {args} {module}", "the last word"),
        ("e=/bin/true {module} {what}", "known are"),
        ("e=/bin/true {name} {module}", "wanted a flag"),
        ("e=/bin/true --v={value} {module}", "stands beside"),
        ("e=/bin/true --flag", "wanted {module} once"),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused(text: str, why: str) -> None:
    """At start, in words."""
    with pytest.raises(ValueError, match=why.replace("{", r"\{")):
        read_engine(text)


def test_a_program_that_anybody_may_write_is_refused(tmp_path: Path) -> None:
    """It would run as this device."""
    path = tmp_path / "e"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o777)
    assert path.stat().st_mode & stat.S_IWOTH
    with pytest.raises(ValueError, match="anybody"):
        read_engine(f"e={path}")


def test_what_is_offered_names_engines_and_what_they_have(engine: Path) -> None:
    """So that planning finds them."""
    made = together((read_engine(f"fake={engine}"),), (("fake", "wasi_ephemeral_nn"),), ())
    assert offered(made) == ("external:fake", "external:fake:wasi_ephemeral_nn")
    with pytest.raises(ValueError, match="no engine other"):
        together((), (("other", "x"),), ())
