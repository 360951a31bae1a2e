"""A repository of a hundred Apps with ten thousand objects: taking it, passing over it, editing it.

The loop, the store and the reader are the real ones (see `big_fleet`); devices are on paper.
It runs in a process of its own, so that what is weighed is one control plane.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from bench.big_fleet import CHANNEL, Fleet, hello
from bench.plant import API, daemon_wasm, rss_mb
from bench.rows import Row, beside, p50
from propeller.plan.preview import preview
from propeller.reconcile.events import SpecsTaken
from propeller.reconcile.sourcing import read_once
from propeller.sources.load import Cache
from propeller.sources.open import open_source

NAME = "gitops"


def measure(*, quick: bool) -> Iterator[Row]:
    """A hundred Apps with a hundred Daemons each, or three with four."""
    apps, each, changed = (3, 4, 2) if quick else (100, 100, 1_000)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        words = [sys.executable, "-m", "bench.gitops", folder, str(apps), str(each), str(changed)]
        done = subprocess.run(
            words, stdout=subprocess.PIPE, check=True, cwd=Path(__file__).parents[1]
        )
    seen = json.loads(done.stdout)
    yield Row("gitops.apps", apps, "")
    yield Row("gitops.objects", apps * each, "")
    yield Row("gitops.assigned", seen["assigned"], "")
    yield beside("gitops.load", seen["load"], "s", "yaml.safe_load", seen["safe_load"])
    yield Row("gitops.full_pass", p50(seen["passes"]) * 1000, "ms")
    yield Row("gitops.memory", seen["rss_mb"], "MB")
    yield Row("gitops.changed", seen["changed"], "")
    yield beside(
        "gitops.changed.load", seen["reload"], "s", "yaml.safe_load", seen["safe_load_changed"]
    )
    yield Row("gitops.changed.plan", seen["preview"], "s")
    yield Row("gitops.changed.turns", sum(seen["turns"]), "s")
    yield Row("gitops.changed.turn.first", seen["turns"][0], "s")
    yield Row("gitops.changed.turn.p99", sorted(seen["turns"])[-len(seen["turns"]) // 100 - 1], "s")
    yield Row("gitops.changed.turn.longest", max(seen["turns"]), "s")


def write(folder: Path, apps: int, each: int) -> list[Path]:
    """The tree; the files of its Daemons, a document each."""
    specs = folder / "specs"
    specs.mkdir()
    (specs / "pump.wasm").write_bytes(daemon_wasm("one"))
    (specs / "proplets.yaml").write_text(
        "---\n".join(
            f"{API}\nkind: Proplet\nmetadata: {{name: p{n:05d}}}\nspec: {{heartbeat: 15m}}\n"
            for n in range(proplets(apps, each))
        )
    )
    made = []
    for app in range(apps):
        (specs / f"app-{app:03d}").mkdir()
        (specs / f"app-{app:03d}.yaml").write_text(
            f"{API}\nkind: App\nmetadata: {{name: a{app}}}\n"
            f"spec: {{source: {{path: app-{app:03d}}}, namespace: n{app}}}\n"
        )
        for n in range(each):
            made.append(specs / f"app-{app:03d}" / f"d{n:03d}.yaml")
            made[-1].write_text(
                f"{API}\nkind: Daemon\nmetadata: {{name: d{n}}}\nspec:\n"
                f"  module: {{file: ../pump.wasm}}\n  run: {{args: ['{n}']}}\n"
                "  limits: {memory: 1MiB}\n"
            )
    return made


def proplets(apps: int, each: int) -> int:
    """Enough for every Daemon to have a place."""
    return max(2, apps * each // 50)


def _measure(folder: Path, apps: int, each: int, changed: int) -> dict[str, object]:
    files = write(folder, apps, each)
    fleet = Fleet(folder, now=time.time_ns() // 1_000_000)
    source, cache = open_source(str(folder / "specs"), cache=folder / "git"), Cache()

    def look() -> tuple[SpecsTaken, float]:
        began = time.perf_counter()
        taken = read_once(source, domain=CHANNEL.domain, keep=fleet.blobs.put, cache=cache)
        if not isinstance(taken, SpecsTaken):
            raise SystemExit(str(taken)[:2000])
        return taken, time.perf_counter() - began

    taken, load = look()
    fleet.turn([taken])
    fleet.settle()
    fleet.turn([hello(f"p{n:05d}") for n in range(proplets(apps, each))])
    fleet.later(15_000)
    fleet.later(15_000)
    while fleet.reconciler.delivery.unfinished:
        fleet.turn()
    passes = []
    for _ in range(5):
        fleet.reconciler.world.touched.everything = True
        passes.append(fleet.turn())
    world = fleet.reconciler.world
    assigned = sum(len(world.entries.wanted(name) or ()) for name in world.proplets)
    rss = rss_mb(os.getpid())
    step = max(1, len(files) // changed)
    edited = files[::step][:changed]
    time.sleep(2.1)  # times of change are trusted from two seconds on
    for path in edited:
        path.write_text(path.read_text().replace("1MiB", "2MiB"))
    again, reload = look()
    began = time.perf_counter()
    lines = preview(fleet.reconciler.snapshot(), again.revision, now=fleet.clock.now)
    planned = time.perf_counter() - began
    turns = [fleet.turn([again]), *fleet.at_once()]
    fleet.store.close()
    return {
        "load": load,
        "safe_load": _parse(files),
        "passes": passes,
        "assigned": assigned,
        "rss_mb": rss,
        "reload": reload,
        "safe_load_changed": _parse(edited),
        "preview": planned,
        "changed": len(lines),
        "turns": turns,
    }


def _parse(files: list[Path]) -> float:
    began = time.perf_counter()
    for path in files:
        yaml.safe_load(path.read_bytes())
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:5]))))
