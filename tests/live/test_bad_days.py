"""Bad days of a repository, with real commands: nothing breaks, and people are told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.live

PLACES = ("press", "oven")
NAMES = ("beat-0", "beat-1", "beat-2", "beat-3")
SOURCE = "status/source.yaml"


class Origin:
    """A bare repository, a clone somebody works in, and two keys: ana's counts, eve's does not."""

    def __init__(self, fleet: Any) -> None:
        self.path: Path = fleet.place / "origin.git"
        self.work: Path = fleet.specs
        self.keys: Path = fleet.place / "people"
        self.keys.mkdir()
        for name in ("ana", "eve"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]
            subprocess.run([*command, str(self.keys / name)], check=True)
        public = (self.keys / "ana.pub").read_text()
        (fleet.place / "signers").write_text(f"ana@example.org {public}")
        self.git("init", "-q", "--bare", "-b", "main", str(self.path))
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", str(self.path))

    def git(self, *arguments: str, where: Path | None = None) -> str:
        """`git ARGUMENTS`; what it printed."""
        who = ("-c", "user.name=Ana", "-c", "user.email=ana@example.org", "-c", "gpg.format=ssh")
        done = subprocess.run(
            ["git", *who, *arguments],
            cwd=where or self.work,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, message: str, *more: str, signer: str = "ana") -> str:
        """Everything as it lies there, pushed over whatever is there; the commit."""
        self.git("add", "-A")
        sign = ("-S",) if signer else ("--no-gpg-sign",)
        key = ("-c", f"user.signingkey={self.keys / signer}") if signer else ()
        self.git(*key, "commit", "-q", "--allow-empty", *sign, "-m", message, *more)
        self.git("push", "-q", "--force", "origin", "main")
        return self.git("rev-parse", "HEAD")

    def back_to(self, commit: str) -> None:
        """The branch as it was."""
        self.git("reset", "-q", "--hard", commit)
        self.git("push", "-q", "--force", "origin", "main")

    def shown(self, path: str) -> dict[str, Any]:
        """A file of the status branch, {} while it is not there."""
        done = subprocess.run(
            ["git", "-C", str(self.path), "show", f"propeller-status:{path}"],
            capture_output=True,
            text=True,
            check=False,
        )
        return yaml.safe_load(done.stdout) or {}

    def source(self) -> dict[str, Any]:
        """How the source stands, as the status branch has it."""
        rows = self.shown(SOURCE).get("sources") or [{}]
        found: dict[str, Any] = rows[0]
        return found


class Plant:
    """Four Daemons on two proplets, out of a signed commit; the status goes to a branch."""

    def __init__(self, fleet: Any) -> None:
        self.fleet = fleet
        self.origin = Origin(fleet)
        fleet.module("heartbeat/heartbeat.wat")
        for name in PLACES:
            fleet.spec("Proplet", name, {"heartbeat": "2s"})
        for number, name in enumerate(NAMES):
            placement = {"proplets": [PLACES[number % 2]]}
            module = {"file": "heartbeat.wat"}
            fleet.spec("Daemon", name, {"module": module, "placement": placement})
        (fleet.place / "propeller.yaml").write_text(
            "git: {verify: Head, allowedSigners: signers}\n"
            "statusBranch: {branch: propeller-status, interval: 1s}\n"
        )
        self.good = self.origin.commit("what should run")
        fleet.broker()
        url = f"git+file://{self.origin.path}?ref=main"
        self.serve = fleet.serve("--config", "propeller.yaml", source=url)
        for name in PLACES:
            fleet.proplet(name)
        for name in NAMES:
            fleet.ready(f"Daemon/default/{name}")
        fleet.until(lambda: self.origin.source().get("ready") == "True", "the source on the branch")
        self.runs = self.running()

    def running(self) -> dict[str, str]:
        """The run of each Daemon, as the status files have it."""
        return {
            name: copy["run"]
            for name in NAMES
            for copy in self.fleet.copies(f"Daemon/default/{name}")
        }

    def why(self, name: str = NAMES[0]) -> dict[str, Any]:
        """The chain of one of them."""
        found: dict[str, Any] = json.loads(self.fleet.on("why", name, "-o", "json").out)
        return found

    def told(self, words: str, link: str, rule: str) -> None:
        """That `get`, `why` and the status branch say it, and that all goes on as before."""
        fleet, origin = self.fleet, self.origin
        fleet.until(lambda: words in fleet.on("get").err, f"{words!r} in get")
        chain = self.why()
        assert chain["blocked"].startswith(f"{link}: "), chain
        assert words in chain["blocked"]
        found = next(one for one in chain["links"] if one["name"] == link)
        assert (found["rule"], bool(found["at"]), bool(found["do"])) == (rule, True, True)
        fleet.until(lambda: origin.source().get("reason") == rule, f"{rule} on the branch")
        assert any(words in fault for fault in origin.source()["faults"]), origin.source()
        assert origin.source()["message"] == "the last accepted revision stands"
        assert origin.source()["applied"].endswith(self.good)
        assert self.running() == self.runs

    def well(self) -> None:
        """That all three say that it is over."""
        fleet, origin = self.fleet, self.origin
        fleet.until(lambda: fleet.on("get").err == "", lambda: fleet.on("get").err)
        assert self.why()["blocked"] is None
        fleet.until(lambda: origin.source().get("ready") == "True", "the source is good")
        fleet.until(
            lambda: origin.source()["applied"].endswith(self.good),
            lambda: f"{self.good}, yet {origin.source()}",
        )


def test_a_repository_that_is_not_to_be_trusted_is_told_everywhere(fleet: Any) -> None:
    """Unsigned, signed by a stranger, rewritten, and its branch deleted: nothing changes, `get`,
    `why` and the status branch say what was refused and why, and that it is over when it is."""
    plant = Plant(fleet)
    origin = plant.origin
    assert plant.why()["blocked"] is None
    assert "ana@example.org SHA256:" in json.dumps(plant.why()["links"][1])
    assert origin.source()["signedBy"].startswith("ana@example.org SHA256:")

    (fleet.specs / "daemon-beat-0.yaml").unlink()
    bad = origin.commit("nobody", signer="")
    plant.told(f"commit {bad[:12]} by Ana", "newer", "RevisionRefused")
    assert "is not signed" in origin.source()["faults"][0]
    assert origin.source()["attempted"].endswith(bad)
    origin.back_to(plant.good)
    plant.well()

    (fleet.specs / "daemon-beat-0.yaml").unlink()
    origin.commit("a stranger", signer="eve")
    plant.told("is signed by the key SHA256:", "newer", "RevisionRefused")
    origin.back_to(plant.good)
    plant.well()

    (fleet.specs / "daemon-beat-0.yaml").unlink()
    origin.commit("the past is another one", "--amend")
    plant.told("main was rewritten: commit ", "newer", "RevisionRefused")
    origin.back_to(plant.good)
    plant.well()

    origin.git("update-ref", "-d", "refs/heads/main", where=origin.path)
    plant.told("main", "source", "SourceUnavailable")
    origin.back_to(plant.good)
    plant.well()
    assert plant.serve.alive()
    assert plant.serve.end() == 0


def test_an_emptied_and_a_renamed_tree_hurt_nobody(fleet: Any) -> None:
    """An empty commit waits for a person, named by its digest in all three places; half the files
    under other names are the same objects, and their runs go on."""
    plant = Plant(fleet)
    origin, where = plant.origin, "status/default/Daemon/beat-0.yaml"
    for path in fleet.specs.glob("*.yaml"):
        path.unlink()
    origin.commit("nothing left")
    fleet.until(lambda: "App default waits: " in fleet.on("get").err, "the guard in get")
    said = fleet.on("get").err
    chain = plant.why()
    assert chain["blocked"].startswith("guard: "), chain
    digest = chain["do"].split("`propeller confirm ")[1].split("`")[0]
    assert digest in said

    def blocked() -> bool:
        rows = origin.shown(where)["status"]["conditions"]
        return any(one["reason"] == "GuardTripped" and digest in one["message"] for one in rows)

    fleet.until(blocked, "the guard on the branch")
    assert plant.running() == plant.runs
    origin.git("revert", "--no-edit", "-n", "HEAD")
    plant.good = origin.commit("all back")
    plant.well()
    assert plant.running() == plant.runs

    (fleet.specs / "line").mkdir()
    for name in NAMES[:2]:
        text = (fleet.specs / f"daemon-{name}.yaml").read_text()
        (fleet.specs / f"daemon-{name}.yaml").unlink()
        text = text.replace('"heartbeat.wat"', '"../heartbeat.wat"')
        (fleet.specs / "line" / f"{name}.yaml").write_text(text)
    plant.good = origin.commit("by line")
    fleet.until(lambda: origin.source()["applied"].endswith(plant.good), "the commit on the branch")
    plant.well()
    assert plant.running() == plant.runs
    spec = next(one for one in plant.why()["links"] if one["name"] == "spec")
    assert spec["words"].startswith("line/beat-0.yaml:")
    assert plant.serve.end() == 0
