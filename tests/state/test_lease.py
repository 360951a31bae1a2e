"""One holder a state, known by name, gone with its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from propeller.errors import Conflict, Unavailable
from propeller.state.lease import NAME, Holder, Lease

HOLDER = """
import sys, time
from pathlib import Path
from propeller.state.lease import Lease
held = Lease(Path(sys.argv[1])).acquire(verb="serve", started=7, socket="api.sock")
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The `run/` directory of a state; not made yet."""
    return tmp_path / "run"


def test_nobody_holds_a_new_state(run: Path) -> None:
    """Asking creates nothing."""
    assert Lease(run).holder() is None
    assert not run.exists()


def test_the_holder_is_named_while_it_holds(run: Path) -> None:
    """Readers learn who it is and where it listens; afterwards nobody is."""
    with Lease(run).acquire(verb="up", started=5, socket="/s/api.sock") as held:
        wanted = Holder(pid=os.getpid(), verb="up", started=5, socket="/s/api.sock")
        assert held.holder == wanted
        assert Lease(run).holder() == wanted
    assert Lease(run).holder() is None


def test_a_second_one_is_told_who_is_first(run: Path) -> None:
    """The message names the verb and the process, and says what still works."""
    with (
        Lease(run).acquire(verb="serve", started=5),
        pytest.raises(Conflict, match=f"propeller serve.*{os.getpid()}") as caught,
    ):
        Lease(run).acquire(verb="reconcile", started=6)
    assert "only read" in caught.value.hint
    Lease(run).acquire(verb="reconcile", started=6).release()


def test_a_failed_try_does_not_rename_the_holder(run: Path) -> None:
    """Who only tried leaves no trace."""
    with Lease(run).acquire(verb="serve", started=5):
        with pytest.raises(Conflict):
            Lease(run).acquire(verb="apply", started=6)
        holder = Lease(run).holder()
        assert holder is not None
        assert holder.verb == "serve"


def test_releasing_twice_is_nothing(run: Path) -> None:
    """The second release does not free somebody else's lease."""
    held = Lease(run).acquire(verb="up", started=1)
    held.release()
    with Lease(run).acquire(verb="serve", started=2):
        held.release()
        with pytest.raises(Conflict):
            Lease(run).acquire(verb="apply", started=3)


def test_the_kernel_takes_it_back_from_the_dead(run: Path) -> None:
    """kill -9 leaves the text in the file, yet the lease is free at once."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert Lease(run).holder() == Holder(
            pid=process.pid, verb="serve", started=7, socket="api.sock"
        )
        with pytest.raises(Conflict, match=str(process.pid)):
            Lease(run).acquire(verb="up", started=8)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()
    assert "serve" in (run / NAME).read_text()
    assert Lease(run).holder() is None
    Lease(run).acquire(verb="up", started=8).release()


def test_a_child_does_not_inherit_it(run: Path) -> None:
    """What the holder starts lives on after it without keeping the lease."""
    held = Lease(run).acquire(verb="up", started=1)
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        held.release()
        Lease(run).acquire(verb="up", started=2).release()
    finally:
        child.kill()
        child.wait()


def test_readers_who_ask_do_not_keep_a_writer_out(run: Path) -> None:
    """However many ask who holds it, a free lease is taken."""
    Lease(run).acquire(verb="up", started=1).release()
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.001):
            Lease(run).holder()

    readers = [threading.Thread(target=ask) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for number in range(50):
            Lease(run).acquire(verb="up", started=number).release()
    finally:
        done.set()
        for reader in readers:
            reader.join()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff" * 10])
def test_a_holder_whose_name_cannot_be_read_still_holds(run: Path, text: bytes) -> None:
    """The lock is the truth; the text is only its label."""
    with Lease(run).acquire(verb="up", started=1):
        (run / NAME).write_bytes(text)
        assert Lease(run).holder() == Holder(pid=0, verb="", started=0)
        with pytest.raises(Conflict, match="another process"):
            Lease(run).acquire(verb="serve", started=2)


def test_a_place_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    """A file where the directory should be is said, not a traceback."""
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(Unavailable):
        Lease(tmp_path / "run").acquire(verb="up", started=1)
