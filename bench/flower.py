"""`python -m bench.flower`: our fold and our rounds beside Flower's, on the same machine.

Needs `flwr` (the extra `bench`), which brings many dependencies: give it an environment of its own.
Each case runs in a fresh process: milliseconds, and the memory it adds to the process. Flower is
handed the updates in memory, as its grid does; we read them from a file.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench import superlink
from bench.rows import HEAD, Row, beside, line, machine, write

CASES: tuple[tuple[str, int, int, str, str, dict[str, str]], ...] = (
    ("mean.large", 100, 1_000_000, "FedAvg", "FedAvg", {}),
    ("mean.small", 1000, 650, "FedAvg", "FedAvg", {}),
    ("median", 100, 1_000_000, "Median", "FedMedian", {}),
    ("trimmed", 100, 1_000_000, "TrimmedMean", "FedTrimmedAvg", {"beta": "0.2"}),
    ("multikrum", 100, 1_000_000, "MultiKrum", "MultiKrum", {"faulty": "3"}),
)
"""Name, clients, numbers, our rule and Flower's, our parameters."""


def measure(*, quick: bool) -> Iterator[Row]:
    """Time and memory of both, one after the other so that both meet the same machine."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for name, clients, numbers, our_rule, their_rule, asked in CASES:
            count = min(numbers, 5_000) if quick else numbers
            path = Path(folder) / f"{clients}x{count}"
            if not path.exists():
                _write(path, clients, count)
            took: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
            for _ in range(1 if quick else 3):
                for side, work in (
                    ("ours", partial(_ours, path, clients, count, our_rule, asked)),
                    ("theirs", partial(_theirs, path, clients, count, their_rule)),
                ):
                    with context.Pool(1) as pool:
                        took[side].append(pool.apply(work))
            (ours, room), (theirs, their_room) = (
                (min(each[0] for each in took[side]), min(each[1] for each in took[side]))
                for side in ("ours", "theirs")
            )
            yield beside(f"flower.{name}", ours, "ms", f"Flower {their_rule}", theirs)
            yield beside(f"flower.{name}.memory", room, "MB", "Flower, updates held", their_room)
    yield from superlink.measure(quick=quick)


def _write(path: Path, clients: int, count: int) -> None:
    draw = np.random.default_rng(0)
    with path.open("wb") as file:
        for _ in range(clients):
            file.write(draw.standard_normal(count, np.float32).astype("<f4").tobytes())


def _ours(
    path: Path, clients: int, count: int, rule: str, asked: dict[str, str]
) -> tuple[float, float]:
    """ms and MB of one step from the spool file."""
    from propeller.fl.fold import Contribution, Spooled
    from propeller.fl.strategies.base import Round
    from propeller.fl.strategies.registry import strategy

    number = os.open(path, os.O_RDONLY)
    read = partial(os.pread, number)
    members = tuple(
        Contribution(
            proplet=f"p{index:04}", samples=index + 1, deltas=Spooled(read, 4 * count * index)
        )
        for index in range(clients)
    )
    base, chosen = np.ones(count, np.float32), strategy(rule, asked)
    return _timed(lambda: chosen.step(Round(base=base, contributions=members)), _memory())


def _theirs(path: Path, clients: int, count: int, rule: str) -> tuple[float, float]:
    """ms and MB of aggregating replies that are in memory, as Flower's grid hands them over."""
    import logging

    from flwr.common import ArrayRecord, Message, MetricRecord, RecordDict
    from flwr.serverapp import strategy as rules
    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    logging.getLogger("flwr").setLevel(logging.ERROR)
    before = _memory()
    matrix = np.fromfile(path, "<f4").reshape(clients, count)
    replies = []
    for index in range(clients):
        content = RecordDict(
            {
                "arrays": ArrayRecord([matrix[index]]),
                "metrics": MetricRecord({"num-examples": index + 1}),
            }
        )
        asked = Message(content=RecordDict(), dst_node_id=index + 1, message_type="train")
        replies.append(Message(content=content, reply_to=asked))
    del matrix
    more: dict[str, Any] = {"num_malicious_nodes": 3, "num_nodes_to_select": clients - 3}
    chosen = getattr(rules, rule)(**(more if rule == "MultiKrum" else {}))
    return _timed(lambda: chosen.aggregate_train(1, replies), before)


def _timed(work: Callable[[], object], before: float) -> tuple[float, float]:
    """ms, and MB of the peak above `before`."""
    Path("/proc/self/clear_refs").write_text("5")
    began = time.perf_counter()
    work()
    took = (time.perf_counter() - began) * 1000
    return took, _memory("VmHWM") - before


def _memory(field: str = "VmRSS") -> float:
    """MB, from the kernel."""
    text = Path("/proc/self/status").read_text()
    rows = text.splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith(field + ":")) / 1024


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table and write the rows."""
    parser = argparse.ArgumentParser(prog="python -m bench.flower", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/flower.json"), metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only that it runs")
    args = parser.parse_args(argv)
    print(machine())
    print(HEAD)
    rows = []
    for row in measure(quick=args.quick):
        rows.append(row)
        print(line(row), flush=True)
    write(rows, args.out, where=machine())
    return 0


if __name__ == "__main__":
    sys.exit(main())
