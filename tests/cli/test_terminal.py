"""What others wrote steers no terminal: every text of the CLI goes through one place."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propeller.cli.__main__ import main
from propeller.terminal import Tame, tamed

HOSTILE = {
    "clear": "\x1b[2J\x1b[H",
    "title": "\x1b]0;root\x07",
    "clipboard": "\x1b]52;c;cm0gLXJmIC8=\x07",
    "link": "\x1b]8;;https://evil.example\x1b\\press\x1b]8;;\x1b\\",
    "report": "\x1b[6n",
    "c1": "\x9b2J\x9d52;c;eA==\x9c",
    "backspace": "good\x08\x08\x08\x08evil",
    "return": "good\revil",
    "bidi": "a\u202etxt.exe\u202c",
    "isolate": "a\u2066b\u2069",
    "hidden": "a\u200bb\ufeff\U000e0041",
    "lines": "a\u2028b\u2029c",
    "surrogate": "a\udc9bb",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_steers_is_written_out(name: str) -> None:
    """Nothing of it is left, and what it was can still be read."""
    told = tamed(HOSTILE[name])
    assert told.isprintable(), told
    assert "\\u" in told


@given(st.text())
def test_no_text_steers_a_terminal(text: str) -> None:
    """Whatever it is: line feeds and tabs are all that is left of control characters."""
    bare = tamed(text).replace("\n", "").replace("\t", "")
    for colour in ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m"):
        bare = bare.replace(colour, "")
    assert not any(letter < " " or "\x7f" <= letter <= "\x9f" for letter in bare)
    assert not any(
        letter in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" for letter in bare
    )


@given(st.text())
def test_json_means_the_same_afterwards(text: str) -> None:
    """What is written out inside a JSON text is the escape JSON has for it."""
    assert json.loads(tamed(json.dumps(text, ensure_ascii=False))) == text


def test_our_own_colours_stay() -> None:
    """Red is red; the same sequence cut in two is none."""
    assert tamed("\x1b[31mbad\x1b[0m") == "\x1b[31mbad\x1b[0m"
    assert tamed("\x1b[3") + tamed("1mbad") == "\\u001b[31mbad"
    assert tamed("\x1b[38;5;1m") == "\\u001b[38;5;1m"


def test_bytes_for_a_terminal_are_tamed_and_bytes_for_a_file_are_data() -> None:
    """The answer of a function goes to a pipe as it is."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    Tame(screen).buffer.write(b"\x1b]52;c;eA==\x07")
    assert "\x1b" not in screen.getvalue()
    file = io.TextIOWrapper(io.BytesIO())
    Tame(file).buffer.write(b"\x1b[2J")
    assert file.buffer.getvalue() == b"\x1b[2J"


def test_faults_of_a_hostile_tree_steer_nothing(tmp_path: Path, capsys) -> None:
    """File names, fields and values of a repository somebody else can write to."""
    folder = tmp_path / "specs"
    folder.mkdir()
    for number, text in enumerate(HOSTILE.values()):
        name = text.replace("/", "").encode("utf-8", "surrogateescape")
        path = os.fsencode(folder) + b"/" + name[:60] + f"{number}.yaml".encode()
        value = json.dumps(text.encode("utf-8", "replace").decode())
        Path(os.fsdecode(path)).write_text(
            "apiVersion: propeller.dev/v1alpha1\nkind: Task\nmetadata: {name: a}\n"
            f"spec: {{module: {{file: {value}}}, {value}: 1}}\n"
        )
    assert main(["validate", str(folder)]) == 2
    said = capsys.readouterr()
    whole = said.out + said.err
    assert "validate" in whole or "spec" in whole
    assert tamed(whole) == whole


def test_an_argument_that_is_echoed_steers_nothing(capsys) -> None:
    """What was typed or pasted is said back in words."""
    assert main(["get", "\x1b]52;c;eA==\x07", "--state", "\x1b[2J"]) == 2
    assert main(["\x1b[2Jx"]) == 2
    assert "\x1b" not in "".join(capsys.readouterr())


@pytest.mark.live
def test_on_a_real_terminal_nothing_comes_through() -> None:
    """A pseudo terminal gets no byte of an escape sequence that is not ours."""
    leader, follower = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "propeller.cli", "get", "\x1b]52;c;eA==\x07\u202e"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        timeout=60,
        check=False,
    )
    os.close(follower)
    seen = os.read(leader, 65536)
    os.close(leader)
    assert done.returncode == 2
    assert b"\x1b]" not in seen
    assert "\u202e".encode() not in seen
