"""Bad days of a repository: the fleet goes on with what was last accepted, and it is said why."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from specs_text import EVERYWHERE, WAT, daemon_yaml, proplet_yaml

from propeller.errors import Unavailable
from propeller.reconcile.events import SourceSilent
from propeller.reconcile.sourcing import read_once
from propeller.rehearse.control import Manager
from propeller.rehearse.fleet import Sim
from propeller.sources.open import Source, open_source
from propeller.sources.trust import Trust

ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ana",
    "GIT_AUTHOR_EMAIL": "ana@example.org",
    "GIT_COMMITTER_NAME": "Ana",
    "GIT_COMMITTER_EMAIL": "ana@example.org",
    "PATH": "/usr/bin:/bin",
}


class Repository:
    """The folder of the specs as a repository whose commits are signed with a key, or not."""

    def __init__(self, path: Path, keys: Path) -> None:
        self.path = path
        self.keys = keys
        keys.mkdir()
        for name in ("ana", "eve"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]
            subprocess.run([*command, str(keys / name)], check=True)
        public = (keys / "ana.pub").read_text()
        self.signers = keys / "signers"
        self.signers.write_text(f"ana@example.org {public}")
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.path), *words],
            check=True,
            capture_output=True,
            text=True,
            env={**ENVIRONMENT, "HOME": str(self.keys)},
        )
        return done.stdout.strip()

    def commit(self, signer: str | None = "ana", *more: str) -> str:
        """Everything as it lies there; the commit."""
        settings = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={self.keys / (signer or '')}"]
        self.git("add", "--all")
        sign = ["-S"] if signer else ["--no-gpg-sign"]
        self.git(*settings, "commit", "--quiet", "--allow-empty", *sign, "-m", "change", *more)
        return self.git("rev-parse", "HEAD")

    def source(self, cache: Path) -> Source:
        """What `serve` follows: every commit since the last accepted one is verified."""
        return open_source(
            f"git+file://{self.path}?ref=main",
            cache=cache,
            environ={"PATH": "/usr/bin:/bin"},
            trust=Trust(verify="Range", allowed_signers=self.signers),
        )


class Plant:
    """Two proplets with a daemon each, out of a signed commit."""

    def __init__(self, folder: Path) -> None:
        self.sim = Sim(folder)
        self.repository = Repository(self.sim.specs, folder / "keys")
        for name in ("a", "b"):
            self.sim.add(name)
        self.write("m.wat", WAT)
        self.write("fleet.yaml", proplet_yaml(["a", "b"]))
        self.write("d.yaml", daemon_yaml("d", EVERYWHERE))
        self.first = self.repository.commit()
        self.sim.start_manager()
        self.settle()

    def write(self, name: str, text: str) -> None:
        (self.sim.specs / name).write_text(text)

    def settle(self) -> None:
        """The source is looked at, and time goes by."""
        self.sim.manager.read()
        self.sim.run(40_000)

    @property
    def running(self) -> dict[str, list[str]]:
        return self.sim.running()

    def status(self) -> dict[str, str]:
        text = (self.sim.state.status / "default" / "Daemon" / "d.yaml").read_text()
        found: dict[str, str] = yaml.safe_load(text)["status"]
        return found

    def refusals(self) -> list[str]:
        events = self.sim.manager.store.events(limit=1000)
        return [event.message for event in events if event.reason == "RevisionRefused"]


RUNNING = {"Daemon/default/d": ["a", "b"]}


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    def read(manager: Manager) -> object:
        repository = Repository.__new__(Repository)
        repository.path, repository.signers = tmp_path / "specs", tmp_path / "keys" / "signers"
        source = repository.source(manager.state.git)
        source.trusted_from(manager.store.meta("revision") or "")
        try:
            head = source.head()
        except Unavailable as error:
            manager.inbox.append(SourceSilent(source.name, str(error)))
            return None
        outcome = read_once(source, domain="plant", keep=manager.keep, head=head)
        manager.inbox.append(outcome)
        return outcome

    monkeypatch.setattr(Manager, "read", read)
    made = Plant(tmp_path)
    assert made.running == RUNNING
    return made


def test_the_signer_is_in_the_status_and_in_the_history(plant: Plant) -> None:
    """Who is answerable for what runs there."""
    assert plant.status()["signedBy"].startswith("ana@example.org SHA256:")
    (record,) = plant.sim.manager.store.revisions()
    assert record.signed_by == plant.status()["signedBy"]
    plant.sim.restart_manager()
    plant.settle()
    assert plant.status()["signedBy"] == record.signed_by


BAD_DAYS: dict[str, tuple[Callable[[Repository], object], str]] = {
    "an unsigned commit": (lambda repository: repository.commit(None), "is not signed"),
    "a wrong signer": (lambda repository: repository.commit("eve"), "is signed by the key SHA256:"),
    "a force-push": (
        lambda repository: repository.commit("ana", "--amend"),
        "main was rewritten: commit ",
    ),
    "a force-push by a stranger": (
        lambda repository: repository.commit("eve", "--amend"),
        "not among the allowed signers",
    ),
}


@pytest.mark.parametrize("day", BAD_DAYS)
def test_a_commit_that_is_not_to_be_trusted_changes_nothing(plant: Plant, day: str) -> None:
    """It deletes the daemon; both copies go on, also across a restart, until it is put right."""
    happen, words = BAD_DAYS[day]
    (plant.sim.specs / "d.yaml").unlink()
    happen(plant.repository)
    bad = plant.repository.git("rev-parse", "HEAD")
    plant.settle()
    assert plant.running == RUNNING
    (said,) = plant.refusals()
    assert words in said
    assert said.endswith("the last good revision stands")
    assert bad[:12] in said
    assert plant.status()["lastAttemptedRevision"].endswith(bad)
    assert plant.status()["lastAppliedRevision"] == f"main@sha1:{plant.first}"
    plant.sim.restart_manager(away=5_000)
    plant.settle()
    assert plant.running == RUNNING
    plant.repository.git("reset", "--quiet", "--hard", plant.first)
    plant.write("d.yaml", daemon_yaml("d", EVERYWHERE + "  run: {args: [x]}\n"))
    good = plant.repository.commit()
    plant.settle()
    assert plant.running == RUNNING
    assert plant.status()["lastAppliedRevision"] == f"main@sha1:{good}"


def test_a_deleted_branch_changes_nothing(plant: Plant) -> None:
    """The source is silent; when it comes back, what is new is taken."""
    plant.repository.git("branch", "--move", "main", "away")
    plant.settle()
    assert plant.running == RUNNING
    assert plant.refusals() == []
    assert "SourceUnavailable" in plant.sim.manager.reasons()
    plant.repository.git("branch", "--move", "away", "main")
    (plant.sim.specs / "d.yaml").unlink()
    plant.repository.commit()
    plant.settle()
    assert plant.running == {}


def test_a_refused_head_is_taken_once_its_signer_is_allowed(plant: Plant) -> None:
    """Without another commit."""
    (plant.sim.specs / "d.yaml").unlink()
    plant.repository.commit("eve")
    plant.settle()
    assert plant.running == RUNNING
    public = (plant.repository.keys / "eve.pub").read_text()
    with plant.repository.signers.open("a") as file:
        file.write(f"eve@example.org {public}")
    plant.settle()
    assert plant.running == {}
