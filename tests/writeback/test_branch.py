"""A branch in git: what is written, what is left alone, and what happens when others push too."""

from __future__ import annotations

import os
import subprocess

import pytest

from propeller.errors import Conflict, Unavailable
from propeller.sources.gitcli import Git
from propeller.writeback.branch import NOTHING, Branch, blob_id

AT = 1_800_000_000_000


@pytest.fixture
def branch(tmp_path, remote):
    """Makes branches of the remote, each with a repository of its own."""
    made = []

    def make(name="propeller-status", *, fleet="plant/fleet", url=remote.url, **more):
        git = Git(tmp_path / "home", environ=os.environ)
        made.append(name)
        repository = tmp_path / f"mirror-{len(made)}.git"
        return Branch(git, repository, remote=url, branch=name, fleet=fleet, **more)

    return make


def test_the_first_commit_makes_the_branch(branch, remote):
    """With the folder, the trailers and nothing else."""
    one = branch()
    assert one.tip() == NOTHING
    commit = one.push(NOTHING, {"plant/Task/add.yaml": b"kind: Task\n"}, "Status of add", AT)
    assert remote.show("propeller-status", "status/plant/Task/add.yaml") == "kind: Task\n"
    assert remote.files("propeller-status") == ["status/plant/Task/add.yaml"]
    body = remote.git("log", "-1", "--format=%an|%B", "propeller-status")
    assert body.strip().splitlines() == [
        "Propeller|Status of add",
        "",
        "Propeller-Status: true",
        "Propeller-Fleet: plant/fleet",
    ]
    assert one.tip().commit == commit
    assert one.tip().files == {"plant/Task/add.yaml": blob_id(b"kind: Task\n")}


def test_removed_and_changed_files_are_one_commit(branch, remote):
    """And what was not named stays."""
    one = branch()
    one.push(
        NOTHING, {"n/Task/a.yaml": b"1", "n/Task/b.yaml": b"2", "n/Task/c.yaml": b"3"}, "x", AT
    )
    one.push(one.tip(), {"n/Task/a.yaml": None, "n/Task/b.yaml": b"22"}, "y", AT)
    assert remote.files("propeller-status") == ["status/n/Task/b.yaml", "status/n/Task/c.yaml"]
    assert remote.log("propeller-status") == ["y", "x"]
    assert one.read(one.tip().files) == {"n/Task/b.yaml": b"22", "n/Task/c.yaml": b"3"}


def test_files_with_odd_bytes_travel_unchanged(branch):
    """Status text may hold anything YAML may hold."""
    text = b'a: "\\"\n\xc3\xa9\n"\ndata 5\nD status\n'
    one = branch()
    one.push(NOTHING, {"n/Task/a.yaml": text}, "x", AT)
    assert one.read(branch().tip().files) == {"n/Task/a.yaml": text}


def test_a_push_on_an_old_tip_is_a_conflict(branch, remote):
    """Then the newest commit is read, and what others put there stays."""
    one, other = branch(), branch()
    one.push(NOTHING, {"n/Task/a.yaml": b"1"}, "x", AT)
    old = one.tip()
    other.push(other.tip(), {"n/Task/b.yaml": b"2"}, "theirs", AT)
    remote.push("propeller-status", "README", "hello", onto="propeller-status")
    with pytest.raises(Conflict, match="moved on"):
        one.push(old, {"n/Task/c.yaml": b"3"}, "ours", AT)
    one.push(one.tip(), {"n/Task/c.yaml": b"3"}, "ours", AT)
    assert remote.log("propeller-status") == ["ours", "add README", "theirs", "x"]
    assert set(remote.files("propeller-status")) == {
        "README", "status/n/Task/a.yaml", "status/n/Task/b.yaml", "status/n/Task/c.yaml",
    }  # fmt: skip


def test_two_first_commits_are_a_conflict_for_one_of_them(branch):
    """The branch is made once."""
    one, other = branch(), branch()
    assert one.tip() == other.tip() == NOTHING
    one.push(NOTHING, {"n/Task/a.yaml": b"1"}, "x", AT)
    with pytest.raises(Conflict):
        other.push(NOTHING, {"n/Task/b.yaml": b"1"}, "y", AT)


def test_a_branch_of_somebody_else_is_left_alone(branch, remote):
    """Whatever the configuration says: main is never written to."""
    remote.push("main", "specs.yaml", "x")
    remote.push("feature", "specs.yaml", "y")
    with pytest.raises(Conflict, match="default branch"):
        branch("main").tip()
    with pytest.raises(Conflict, match="no status of ours"):
        branch("feature").tip()


def test_the_branch_of_another_fleet_is_left_alone(branch):
    """Two writers on one branch would undo each other for ever."""
    branch().push(NOTHING, {"n/Task/a.yaml": b"1"}, "x", AT)
    with pytest.raises(Conflict, match="another fleet"):
        branch(fleet="other/fleet").tip()


def test_a_rewritten_branch_is_built_upon(branch, remote):
    """Force-pushed back by somebody: ours goes on top of what is there now."""
    one = branch()
    first = one.push(NOTHING, {"n/Task/a.yaml": b"1"}, "x", AT)
    one.push(one.tip(), {"n/Task/b.yaml": b"2"}, "y", AT)
    remote.git("update-ref", "refs/heads/propeller-status", first)
    one.push(one.tip(), {"n/Task/c.yaml": b"3"}, "z", AT)
    assert remote.log("propeller-status") == ["z", "x"]


def test_a_deleted_branch_is_made_again(branch, remote):
    """Status is a projection, safe to delete."""
    one = branch()
    one.push(NOTHING, {"n/Task/a.yaml": b"1"}, "x", AT)
    remote.git("update-ref", "-d", "refs/heads/propeller-status")
    assert one.tip() == NOTHING
    one.push(NOTHING, {"n/Task/a.yaml": b"1"}, "again", AT)
    assert remote.log("propeller-status") == ["again"]


def test_commits_are_signed_where_a_key_is_given(branch, remote, tmp_path):
    """And git itself says the signature is good."""
    key = tmp_path / "key"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)]
    subprocess.run(command, check=True)
    one = branch(signing_key=key)
    commit = one.push(one.tip(), {"n/Task/a.yaml": b"1"}, "x", AT)
    signers = tmp_path / "signers"
    signers.write_text(f"propeller@localhost {key.with_suffix('.pub').read_text()}")
    settings = ("-c", f"gpg.ssh.allowedSignersFile={signers}")
    said = remote.git(*settings, "log", "-1", "--format=%G? %GS", commit)
    assert said.split() == ["G", "propeller@localhost"]


def test_a_repository_damaged_by_a_power_cut_is_made_anew(branch, tmp_path, remote):
    """It is only a copy: at most one attempt is lost."""
    one = branch()
    one.push(NOTHING, {"n/Task/a.yaml": b"1"}, "x", AT)
    for path in (tmp_path / "mirror-1.git" / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"")
    again = branch()
    again._bare._repository = one._bare._repository
    for attempt in range(3):
        try:
            again.push(again.tip(), {"n/Task/b.yaml": b"2"}, "y", AT)
            break
        except Unavailable:
            assert attempt < 2
    assert remote.log("propeller-status") == ["y", "x"]


def test_a_remote_that_is_not_there_is_unavailable(branch, tmp_path):
    """Not the writer's fault: it is tried again."""
    with pytest.raises(Unavailable):
        branch(url=(tmp_path / "nowhere.git").as_uri()).tip()
