"""Guards, confirmations and what is held back, on the whole product."""

from __future__ import annotations

import re
from pathlib import Path

from plants import plant, until_ready
from specs_text import EVERYWHERE, daemon_yaml

from propeller.reconcile.events import Confirm
from propeller.reconcile.standing import of_reconciler
from propeller.rehearse.fleet import SECOND, Sim


def app_yaml(name: str = "line", spec: str = "") -> str:
    """An App over the folder of its name."""
    return (
        "---\napiVersion: propeller.dev/v1alpha1\nkind: App\n"
        f"metadata: {{name: {name}}}\nspec:\n  source: {{path: {name}}}\n{spec}"
    )


def line_of(folder: Path, spec: str = "", count: int = 3) -> Sim:
    """An App `line` with some Daemons of two copies each, all running."""
    sim = plant(folder)
    sim.write("line/m.wat", (sim.specs / "m.wat").read_text())
    for number in range(count):
        sim.write(f"line/d{number}.yaml", daemon_yaml(f"d{number}", EVERYWHERE))
    sim.write("app.yaml", app_yaml(spec="  discovery: Allow\n" + spec))
    until_ready(sim)
    return sim


def digest_of(sim: Sim, app: str = "line") -> str:
    """What the reconciler says must be confirmed."""
    return sim.manager.reconciler.specs.approvals.pauses[app].digest


def say_yes(sim: Sim, digest: str) -> None:
    """What `propeller confirm` does."""
    answers = sim.manager.ask(lambda reply: Confirm(what=digest, by="ana", reply=reply))
    sim.run(SECOND)
    assert answers == [{"done": True, "waited": True}]


def test_a_revision_that_deletes_too_much_waits_whole(tmp_path: Path) -> None:
    """Nothing of the App is deleted, created or restarted; other objects go on."""
    sim = line_of(tmp_path, "  guards: {maxDelete: 1}\n")
    before = sim.running()
    sim.remove("line/d0.yaml")
    sim.run(20 * SECOND)
    assert "Daemon/default/d0" not in sim.running(), "one is allowed"
    sim.write("other.yaml", daemon_yaml("other", EVERYWHERE))
    sim.write("line/new.yaml", daemon_yaml("new", EVERYWHERE))
    (sim.specs / "line/d1.yaml").unlink()
    sim.remove("line/d2.yaml")
    sim.run(20 * SECOND)
    running = sim.running()
    assert {"Daemon/default/d1", "Daemon/default/d2", "Daemon/default/other"} <= set(running)
    assert running["Daemon/default/d1"] == before["Daemon/default/d1"]
    standing = of_reconciler(sim.manager.reconciler)
    assert standing.exit_code == 5
    (line,) = standing.paused
    assert "maxDelete is 1, and 2 of" in line
    assert re.search(r"propeller confirm sha256:[0-9a-f]{64}$", line)
    assert "GuardTripped" in sim.manager.reasons()


def test_the_digest_lets_it_through_and_only_that_one(tmp_path: Path) -> None:
    """Another digest is kept, and changes nothing here."""
    sim = line_of(tmp_path, "  guards: {maxDelete: 0}\n")
    sim.remove("line/d0.yaml")
    sim.run(20 * SECOND)
    digest = digest_of(sim)
    answers = sim.manager.ask(
        lambda reply: Confirm(what="sha256:" + "0" * 64, by="ana", reply=reply)
    )
    sim.run(20 * SECOND)
    assert answers == [{"done": True, "waited": False}]
    assert "Daemon/default/d0" in sim.running()
    say_yes(sim, digest)
    sim.run(20 * SECOND)
    assert "Daemon/default/d0" not in sim.running()
    assert of_reconciler(sim.manager.reconciler).exit_code == 0
    assert "GuardConfirmed" in sim.manager.reasons()


def test_a_confirmation_is_used_up(tmp_path: Path) -> None:
    """The same deletion once more needs another yes."""
    sim = line_of(tmp_path, "  guards: {maxDelete: 0}\n")
    text = (sim.specs / "line/d0.yaml").read_text()
    sim.remove("line/d0.yaml")
    sim.run(5 * SECOND)
    say_yes(sim, digest_of(sim))
    sim.run(20 * SECOND)
    sim.write("line/d0.yaml", text)
    until_ready(sim)
    sim.remove("line/d0.yaml")
    sim.run(20 * SECOND)
    assert "Daemon/default/d0" in sim.running()
    assert of_reconciler(sim.manager.reconciler).exit_code == 5


def test_a_later_commit_moves_the_digest_and_the_old_yes_with_it(tmp_path: Path) -> None:
    """What was approved is what runs, or nothing does."""
    sim = line_of(tmp_path, "  guards: {maxDelete: 0}\n")
    sim.remove("line/d0.yaml")
    sim.run(5 * SECOND)
    old = digest_of(sim)
    sim.remove("line/d1.yaml")
    sim.run(5 * SECOND)
    assert digest_of(sim) != old
    sim.manager.ask(lambda reply: Confirm(what=old, by="ana", reply=reply))
    sim.run(20 * SECOND)
    assert {"Daemon/default/d0", "Daemon/default/d1"} <= set(sim.running())


def test_a_commit_that_brings_it_back_ends_the_pause(tmp_path: Path) -> None:
    """Nobody has to confirm what nobody wants any more."""
    sim = line_of(tmp_path, "  guards: {maxDelete: 0}\n")
    text = (sim.specs / "line/d0.yaml").read_text()
    sim.remove("line/d0.yaml")
    sim.run(5 * SECOND)
    assert of_reconciler(sim.manager.reconciler).paused
    sim.write("line/d0.yaml", text)
    until_ready(sim)
    assert of_reconciler(sim.manager.reconciler).exit_code == 0
    assert sim.manager.store.pauses() == []


def test_a_pause_and_a_confirmation_survive_a_restart(tmp_path: Path) -> None:
    """Both are rows; the yes given just before the crash counts."""
    sim = line_of(tmp_path, "  guards: {maxDelete: 0}\n")
    sim.remove("line/d0.yaml")
    sim.run(5 * SECOND)
    digest = digest_of(sim)
    sim.restart_manager(away=3 * SECOND)
    sim.run(20 * SECOND)
    assert digest_of(sim) == digest
    assert "Daemon/default/d0" in sim.running()
    sim.manager.ask(lambda reply: Confirm(what=digest, by="ana", reply=reply))
    sim.run(40)
    sim.restart_manager()
    sim.run(20 * SECOND)
    assert "Daemon/default/d0" not in sim.running()


def test_a_yes_may_come_before_its_plan(tmp_path: Path) -> None:
    """As on a pull request: confirmed first, merged afterwards."""
    sim = line_of(tmp_path, "  guards: {maxDelete: 0}\n")
    sim.remove("line/d0.yaml")
    sim.run(5 * SECOND)
    digest, text = digest_of(sim), (sim.specs / "line/d1.yaml").read_text().replace("d1", "d0")
    sim.write("line/d0.yaml", text)
    until_ready(sim)
    sim.manager.ask(lambda reply: Confirm(what=digest, by="ana", reply=reply))
    sim.run(SECOND)
    sim.remove("line/d0.yaml")
    sim.run(20 * SECOND)
    assert "Daemon/default/d0" not in sim.running()


def test_an_empty_tree_deletes_nothing(tmp_path: Path) -> None:
    """Not even of the App nobody declared: all that is left is a question."""
    sim = line_of(tmp_path)
    for path in sorted(sim.specs.rglob("*.yaml")):
        path.unlink()
    sim.write("notes.txt", "nothing here")
    sim.run(60 * SECOND)
    assert sorted(sim.running()) == [f"Daemon/default/d{number}" for number in range(3)]
    standing = of_reconciler(sim.manager.reconciler)
    assert standing.exit_code == 5
    assert len(standing.paused) == 2, "the App and the one around it"


def test_an_app_says_that_it_waits(tmp_path: Path) -> None:
    """In its conditions, and so in `get`, `wait` and the status file."""
    sim = line_of(tmp_path, "  guards: {maxDelete: 0}\n")
    sim.remove("line/d0.yaml")
    sim.run(5 * SECOND)
    rows = {str(row.key): row for row in sim.manager.store.statuses()}
    assert rows["App/default/line"].ready == "False"
    for name in ("App/default/line", "Daemon/default/d0"):
        assert '"reason":"GuardTripped"' in rows[name].document
        assert f"propeller confirm {digest_of(sim)}" in rows[name].document


def test_a_revision_that_restarts_too_much_waits(tmp_path: Path) -> None:
    """The runs stay the ones they were."""
    sim = line_of(tmp_path, "  guards: {maxRestart: 50%}\n")
    before = {one.id: dict(one.starts) for one in sim.proplets.values()}
    for number in range(2):
        (sim.specs / f"line/d{number}.yaml").write_text(
            daemon_yaml(f"d{number}", EVERYWHERE + '  run: {args: ["x"]}\n')
        )
    sim.write("line/note.txt", "both at once")
    sim.run(20 * SECOND)
    assert {one.id: dict(one.starts) for one in sim.proplets.values()} == before
    say_yes(sim, digest_of(sim))
    until_ready(sim)
    assert {one.id: dict(one.starts) for one in sim.proplets.values()} != before
