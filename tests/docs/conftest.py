"""Reads the pages: fenced blocks, links, and sessions that can be run.

In a session page a block whose first line is a comment with a file name is written to that file,
and a `console` block is typed: lines after `$ ` are commands, the others are what they print. There
`...` on a line of its own stands for any number of lines, inside a line for any text. A command
must succeed. All blocks of a page share one shell in a folder with the repository's `examples` and
`specs`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "specs/**/*.md")
    for path in ROOT.glob(pattern)
    if "node_modules" not in path.parts
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"^(?:#|;;|//) ([\w./-]+\.\w+)$")
MARK = "\x1e"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text and the line of its fence."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file this block shows, if its first line says so."""
        found = FILE_NAME.match(self.text.partition("\n")[0])
        return found[1] if found else None


@dataclass(frozen=True, slots=True)
class Step:
    """A command and what it should print."""

    command: str
    expected: tuple[str, ...]
    line: int


def blocks(page: Path) -> tuple[Block, ...]:
    """Every fenced block of a page, in order."""
    text = page.read_text()
    return tuple(
        Block(found[1], found[2], text[: found.start()].count("\n") + 1)
        for found in FENCE.finditer(text)
    )


def steps(block: Block) -> tuple[Step, ...]:
    """The commands of a console block; none when it shows commands without a prompt."""
    out: list[Step] = []
    for at, line in enumerate(block.text.splitlines(), start=block.line + 1):
        if line.startswith("$ "):
            out.append(Step(line[2:], (), at))
        elif out:
            last = out.pop()
            out.append(Step(last.command, (*last.expected, line.rstrip()), last.line))
    return tuple(out)


def matches(expected: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether what was printed is what the page shows."""
    if not expected:
        return not printed
    first, rest = expected[0], expected[1:]
    if first == "...":
        return any(matches(rest, printed[skip:]) for skip in range(len(printed) + 1))
    pattern = ".*".join(re.escape(part) for part in first.split("..."))
    return bool(printed) and bool(re.fullmatch(pattern, printed[0])) and matches(rest, printed[1:])


def type_page(page: Path, folder: Path, *, timeout: float) -> None:
    """Does in `folder` what the page says, and fails where it prints something else."""
    script = ["exec 2>&1"]
    todo: list[Step] = []
    for number, block in enumerate(blocks(page)):
        if block.file:
            kept = folder / ".blocks" / str(number)
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(block.text)
            script.append(f"mkdir -p $(dirname {block.file}) && cp .blocks/{number} {block.file}")
        elif block.language == "console":
            for step in steps(block):
                todo.append(step)
                script.append(f"{step.command}\nprintf '{MARK}%s\\n' $?")
    assert todo, f"{page}: no commands"
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "GIT_AUTHOR_NAME": "Ana",
        "GIT_AUTHOR_EMAIL": "ana@example.org",
        "GIT_COMMITTER_NAME": "Ana",
        "GIT_COMMITTER_EMAIL": "ana@example.org",
    }
    shell = subprocess.Popen(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = shell.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        printed, _ = shell.communicate()
        done = printed.count(MARK)
        pytest.fail(f"{page.name}:{todo[done].line}: $ {todo[done].command}: no end\n{printed}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
    pieces = re.split(rf"{MARK}(\d+)\n", printed)
    for step, output, status in zip(todo, pieces[::2], pieces[1::2], strict=False):
        lines = [line.rstrip() for line in output.splitlines()]
        where = f"{page.name}:{step.line}: $ {step.command}"
        assert status == "0", f"{where}: exit status {status}\n{output}"
        if step.expected:
            assert matches(step.expected, lines), f"{where} printed\n{output}"
    assert len(pieces[1::2]) == len(todo), f"{page.name}: ended early\n{printed}"


def is_spec(block: Block) -> bool:
    """Whether a block shows documents for Propeller."""
    return block.language == "yaml" and "apiVersion: propeller.dev/" in block.text


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with a `page` runs for every page, one with a `spec_page` for those with specs."""
    chosen = {
        "page": PAGES,
        "spec_page": [page for page in PAGES if any(is_spec(block) for block in blocks(page))],
    }
    for name in chosen.keys() & set(metafunc.fixturenames):
        metafunc.parametrize(name, chosen[name], ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture
def reading() -> ModuleType:
    """This module, for tests that read pages."""
    return sys.modules[__name__]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh folder that looks like a clone to a session."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in ("examples", "specs"):
        shutil.copytree(ROOT / name, folder / name)
    return folder
