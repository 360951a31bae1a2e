"""`propeller`: find the verb, load only its module, map every ending to an exit code.

Start-up is a budget (`--help` in 60 ms): nothing heavy is imported here, and a verb imports what
it needs when it runs. An uncaught exception would exit 1, which `diff` must never confuse with
"changes": everything unforeseen is 2.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import TextIO, cast

from propeller.cli.verbs import VERBS, Verb, overview
from propeller.errors import Conflict, PropellerError
from propeller.terminal import Tame

RAW = frozenset({"logs", "run", "tasks"})
"""Verbs of which the output is what a guest wrote: data, when it goes to a file or a pipe."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code. What it prints steers no terminal."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    out, err = sys.stdout, sys.stderr
    raw = bool(arguments) and arguments[0] in RAW and not out.isatty()
    sys.stdout, sys.stderr = out if raw else cast("TextIO", Tame(out)), cast("TextIO", Tame(err))
    try:
        return _main(arguments)
    finally:
        sys.stdout, sys.stderr = out, err


def _main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview(everything="--all" in arguments))
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        from propeller import __version__

        print(f"propeller {__version__}")
        return 0
    verb = VERBS.get(arguments[0])
    if verb is None:
        import difflib

        near = difflib.get_close_matches(arguments[0], VERBS, n=1)
        hint = f", did you mean {near[0]!r}?" if near else "; `propeller --help` lists them"
        print(f"propeller: {arguments[0]!r} is not a command{hint}", file=sys.stderr)
        return 2
    return _run(verb, arguments[1:])


def parser_of(verb: Verb) -> argparse.ArgumentParser:
    """The parser of one verb (also used to write its reference and completion)."""
    module = importlib.import_module(verb.module)
    parser = argparse.ArgumentParser(
        prog=f"propeller {verb.name}",
        description=verb.summary,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    return parser


def _run(verb: Verb, arguments: list[str]) -> int:
    try:
        parser = parser_of(verb)
        parse = parser.parse_intermixed_args if verb.mixed else parser.parse_args
        args = parse(arguments)
        code = importlib.import_module(verb.module).run(args)
        sys.stdout.flush()
        return int(code)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not an error, and nothing more to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Conflict as error:
        print(f"propeller: {error}", file=sys.stderr)
        return verb.on_conflict
    except PropellerError as error:
        print(f"propeller: {error}", file=sys.stderr)
        return int(getattr(error, "exit", 2))
    except Exception as error:
        if os.environ.get("PROPELLER_LOG") == "debug":
            import traceback

            traceback.print_exc()
        print(
            f"propeller: this is a defect of propeller: {type(error).__name__}: {error}\n"
            "  PROPELLER_LOG=debug shows where",
            file=sys.stderr,
        )
        return 2


if __name__ == "__main__":
    sys.exit(main())
