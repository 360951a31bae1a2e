"""`propeller new app|module DIR`: a spec tree, or a module with its spec, to start from.

What it writes validates and runs as it is. Files that are there already are never touched.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

from propeller.cli import starters
from propeller.cli.output import add_dry_run, say
from propeller.errors import UsageError
from propeller.model.ids import is_dns_label


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `new`."""
    below = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    app = below.add_parser("app", help="a spec tree: configuration, a Task and its module")
    app.add_argument("directory", metavar="DIR", help="where; made if it is not there")
    module = below.add_parser("module", help="a module in WAT or C, and the Task that runs it")
    module.add_argument("directory", metavar="DIR", help="where; its name is the module's")
    module.add_argument("--name", metavar="NAME", help="another name than the folder's")
    for one in (app, module):
        one.add_argument("--lang", choices=("wat", "c"), default="wat", help="default wat")
        add_dry_run(one)


def run(args: argparse.Namespace) -> int:
    """Write; returns the exit code."""
    root = Path(args.directory)
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file")
    if args.what == "app":
        name = "hello"
        files = {"propeller.yaml": starters.CONFIG, **starters.module(name, args.lang)}
    else:
        name = args.name or root.resolve().name.lower().replace("_", "-")
        if not is_dns_label(name):
            raise UsageError(
                f"{name!r} cannot name an object",
                hint="lowercase letters, digits and '-'; say --name",
            )
        files = starters.module(name, args.lang)
    there = [str(root / path) for path in files if (root / path).exists()]
    if there:
        raise UsageError(f"{', '.join(there)} is there already", hint="choose another folder")
    if args.dry_run:
        for path in files:
            print(root / path)
        return 0
    try:
        for path, text in files.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            print(target)
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error
    built = args.lang == "wat" or _build(root, name)
    if built:
        say(f"try it: propeller up {root} --until-ready && propeller tasks results {name}")
    return 0


def _build(root: Path, name: str) -> bool:
    """Compile the C module where a compiler for it is installed; say how where it is not."""
    if shutil.which("clang") is not None:
        command = [*starters.C_COMMAND, "-o", f"{name}.wasm", f"{name}.c"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            print(root / f"{name}.wasm")
            return True
    say(
        f"{name}.wasm is not built: the spec is valid once it is there\n"
        "  on Debian: apt-get install clang lld wasi-libc libclang-rt-dev-wasm32\n"
        f"  then: make -C {root}"
    )
    return False
