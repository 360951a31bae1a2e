"""Every verb has help and a place in the reference page; starting up stays cheap; defects are 2."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from propeller.cli import __main__ as program
from propeller.cli import reference
from propeller.cli.verbs import VERBS
from propeller.errors import Conflict, Unavailable, UsageError

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"

HEAVY = {
    "yaml", "jsonschema", "numpy", "wasmtime", "paho", "oras", "cryptography", "requests",
    "starlette", "uvicorn", "watchfiles", "http.client", "asyncio", "subprocess",
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(cli, verb):
    """`--help` prints its options and exits 0."""
    said = cli(verb, "--help")
    assert said.code == 0
    assert f"propeller {verb}" in said.out
    assert VERBS[verb].summary.split("(")[0][:20] in said.out


def test_the_reference_page_is_what_the_parsers_say():
    """Made by `python -m propeller.cli.reference`; every verb is on it."""
    assert PAGE.read_text() == "\n".join(reference.page()) + "\n"
    for verb in VERBS:
        assert f"## propeller {verb}\n" in PAGE.read_text()


@pytest.mark.parametrize(
    "words", [["--help"], ["get"], ["get", "tasks", "-o", "json"], ["wait", "--all"]]
)
def test_what_is_asked_often_imports_little(fleet, state, words):
    """No heavy library is loaded: start-up is a budget."""
    code = (
        "import json, sys\n"
        "before = set(sys.modules)\n"  # what this installation loads at start is not ours
        "from propeller.cli.__main__ import main\n"
        f"main({[*words, '--timeout', '1ms'] if words[0] == 'wait' else words!r})\n"
        "print('MODULES', json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PROPELLER_STATE": str(state.path), "PATH": ""},
    )
    loaded = json.loads(done.stdout.partition("MODULES ")[2])
    assert {
        name.partition(".")[0] if name != "http.client" else name for name in loaded
    } & HEAVY == set()


@pytest.mark.parametrize("verb", VERBS)
def test_a_defect_is_two(cli, verb, monkeypatch):
    """An uncaught exception of any verb never ends with 1."""

    def crash(*_):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(program, "parser_of", crash)
    said = cli(verb)
    assert said.code == 2
    assert "defect" in said.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (Unavailable("x", hint="start it"), 2),
        (Conflict("x"), 2),
        (KeyboardInterrupt(), 130),
        (SystemExit("x"), 2),
        (RecursionError(), 2),
        (MemoryError(), 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_get_have_their_code(cli, monkeypatch, error, code):
    """Expected ones are told in their words, with the next step."""

    def fail(_):
        raise error

    monkeypatch.setattr("propeller.cli.get.run", fail)
    assert cli("get").code == code


def test_only_apply_and_reconcile_end_with_five():
    """Where someone else was first; for all others that is 2."""
    assert {name for name, verb in VERBS.items() if verb.on_conflict == 5} == {"apply", "reconcile"}


def test_an_unknown_verb_gets_a_suggestion(cli):
    """Exit 2."""
    said = cli("gte")
    assert said.code == 2
    assert "did you mean 'get'" in said.err


def test_a_reader_that_leaves_does_not_change_what_diff_found(specs, tmp_path):
    """`diff | head -0` is 1 for changes, not 0."""
    line = '"$0" -m propeller.cli diff plant | true; echo ${PIPESTATUS[0]}'
    done = subprocess.run(
        ["bash", "-c", line, sys.executable],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_verb(cli, shell, tmp_path):
    """And is a script that its shell takes, where the shell is here to ask."""
    said = cli("completion", shell)
    assert said.code == 0
    for verb in VERBS:
        assert verb in said.out
    assert "--until-ready" in said.out or "until-ready" in said.out
    if shutil.which(shell):
        script = tmp_path / "script"
        script.write_text(said.out)
        subprocess.run([shell, "-n", str(script)], check=True)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ge", {"get"}),
        ("get --sta", {"--state", "--status-selector"}),
        ("tasks st", {"start", "stop"}),
        ("get dae", {"daemon", "daemons"}),
        ("completion z", {"zsh"}),
    ],
)
def test_bash_completes(cli, tmp_path, line, expected):
    """Verbs, options, actions and kinds."""
    script = tmp_path / "script"
    script.write_text(cli("completion", "bash").out)
    words = ["propeller", *line.split(" ")]
    listed = " ".join(f"'{word}'" for word in words)
    code = (
        f"source {script}; COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; _propeller;"
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert expected <= set(done.stdout.split())
    assert "apply" not in done.stdout.split()
