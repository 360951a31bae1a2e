"""`python -m tests.fuzz [--seconds N] [TARGET...]`: the fuzz targets, for as long as you like.

With atheris installed (`pip install atheris`, CPython 3.11 to 3.13 on Linux) inputs are guided by
coverage; without it, or with `--plain`, they are random mutants of the seeds. Each target runs in a
process of its own, for it ends with one. Prints a line a target: how many inputs, and how they
ended. Exit code 1 when something escaped; the input is written to `crash-TARGET`.
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import os
import random
import subprocess
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=10, help="for each target (10)")
    parser.add_argument("--plain", action="store_true", help="without atheris")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    guided = not args.plain and importlib.util.find_spec("atheris") is not None
    if args.one:
        return _one(args, guided=guided)
    names = args.targets or list(_targets())
    failed = 0
    for name in names:
        command = [sys.executable, str(HERE / "__main__.py"), "--one", name]
        command += ["--seconds", str(args.seconds), "--seed", str(args.seed)]
        done = subprocess.run([*command, *(["--plain"] if args.plain else [])], check=False)
        failed += done.returncode != 0
    print(f"{len(names)} targets, {failed} with findings, {'atheris' if guided else 'plain'}")
    return 1 if failed else 0


def _targets() -> dict[str, object]:
    sys.path.insert(0, str(HERE.parents[1]))
    spec = importlib.util.spec_from_file_location("fuzz_targets", HERE / "targets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_targets"] = module
    spec.loader.exec_module(module)
    return module.TARGETS


def _one(args: argparse.Namespace, *, guided: bool) -> int:
    ends: collections.Counter[str] = collections.Counter()
    if guided:
        import atheris

        with atheris.instrument_imports(include=["propeller", "proplet"]):
            targets = _targets()
    else:
        targets = _targets()
    from fuzz_targets import survives

    target = targets[args.one]
    until = time.monotonic() + args.seconds  # what importing took does not count

    def tell() -> None:
        words = ", ".join(f"{name} {count}" for name, count in ends.most_common())
        print(f"{args.one:22} {sum(ends.values()):>9} inputs: {words}", flush=True)

    def run(data: bytes) -> None:
        try:
            ends[survives(target, data)] += 1
        except BaseException:
            Path(f"crash-{args.one}").write_bytes(data)
            traceback.print_exc()
            print(f"{args.one}: escaped after {sum(ends.values())} inputs", flush=True)
            os._exit(1)
        if time.monotonic() > until:
            tell()
            os._exit(0)

    for seed in target.seeds:
        run(seed)
    if guided:
        import tempfile

        corpus = Path(tempfile.mkdtemp(prefix="propeller-corpus-"))
        for number, seed in enumerate(target.seeds):
            (corpus / str(number)).write_bytes(seed)
        options = ["fuzz", str(corpus), "-verbosity=0", f"-seed={args.seed}", "-max_len=65536"]
        sys.stderr.flush()
        atheris.Setup(options, run)
        atheris.Fuzz()
    chance = random.Random(args.seed)
    while True:
        run(_mutant(chance, target))


def _mutant(chance: random.Random, target: object) -> bytes:
    data = bytearray(chance.choice(target.seeds))
    for _ in range(chance.randrange(1, 8)):
        at, gone = chance.randrange(len(data) + 1), chance.choice((0, 0, 1, 2, 8, 64))
        pieces = [chance.randbytes(chance.randrange(5)), bytes(data[at : at + 40])]
        data[at : at + gone] = chance.choice([*pieces, *target.tokens])
    if chance.random() < 0.1:
        del data[chance.randrange(len(data) + 1) :]
    return bytes(data)


if __name__ == "__main__":
    sys.exit(main())
