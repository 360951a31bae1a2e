"""`logs` through the reconciler, and from local proplets when none runs."""

from __future__ import annotations

from propeller.reconcile.events import Operate


def piece(proplet, text="", *, state="progress", stream="stdout", done=False, dropped=0):
    """What the loop says of one answer of a device."""
    return {
        "proplet": proplet,
        "state": state,
        "stream": stream,
        "text": text,
        "dropped": dropped,
        "done": done,
    }


def test_one_copy_is_printed_as_it_is(cli, fleet, loop):
    """No names in front, no line break added."""
    loop.pieces = [
        piece("gateway-1", "be"),
        piece("gateway-1", "at 1"),
        piece("gateway-1", state="done", done=True),
    ]
    said = cli("logs", "filter", "--proplet", "gateway-1")
    assert (said.code, said.out) == (0, "beat 1")
    (event,) = loop.asked
    assert isinstance(event, Operate)
    assert (event.verb, event.proplet, event.stream) == ("logs", "gateway-1", "both")


def test_several_copies_are_told_apart(cli, fleet, loop):
    """Each line has its proplet's name; --tail counts lines."""
    loop.pieces = [
        piece("gateway-2", "b1\nb2\n"),
        piece("gateway-1", "a1\na2\n", done=True, state="done"),
        piece("gateway-2", done=True, state="done"),
    ]
    said = cli("logs", "filter", "--tail", "1")
    assert said.out == "gateway-1  a2\ngateway-2  b2\n"


def test_lost_bytes_and_silent_devices_are_told(cli, fleet, loop):
    """On stderr; the rest is still printed. Nothing at all is an error."""
    loop.pieces = [
        piece("gateway-1", "x\n", dropped=7),
        piece("gateway-1", done=True, state="done"),
        piece("gateway-2", "no answer in time", done=True, state="Unknown"),
    ]
    said = cli("logs", "filter")
    assert (said.code, said.out) == (0, "x\n")
    assert "7 bytes" in said.err
    assert "gateway-2: no answer in time" in said.err
    loop.pieces = loop.pieces[2:]
    assert cli("logs", "filter").code == 2


def test_a_refusal_is_two(cli, fleet, loop):
    """The API's own code does not show."""
    loop.refusal = "held by gateway-2, and none is online"
    said = cli("logs", "filter")
    assert said.code == 2
    assert "none is online" in said.err


def test_local_output_is_read_when_nothing_runs(cli, fleet, state):
    """Pieces of a ring are put together; streams can be chosen."""
    held = fleet.held("Daemon", "plant-a", "filter")
    run = fleet.assignments[held.uid]["gateway-1"].run
    folder = state.proplet("gateway-1") / "runs" / run
    folder.mkdir(parents=True)
    (folder / "stdout.100").write_text("beat 1\nbe")
    (folder / "stdout.109").write_text("at 2\n")
    (folder / "stderr.0").write_text("oh\n")
    assert cli("logs", "filter", "--stream", "stdout").out == "beat 1\nbeat 2\n"
    assert cli("logs", "filter", "--stream", "stderr").out == "oh\n"
    assert cli("logs", "filter", "--tail", "1", "--stream", "stdout").out == "beat 2\n"
    assert cli("logs", "filter", "--tail", "0").out == ""


def test_nothing_to_read_says_what_to_start(cli, fleet):
    """Neither a reconciler nor local output, nor anything to follow."""
    for words in (["logs", "filter"], ["logs", "filter", "-f"], ["logs", "filter", "--tail", "-1"]):
        said = cli(*words)
        assert (said.code, said.out) == (2, "")
