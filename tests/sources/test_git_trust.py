"""Whose commits are taken: real keys, real signatures, real rewritten histories."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from propeller.errors import Unavailable, UsageError
from propeller.sources.open import open_source
from propeller.sources.trust import MAX_RANGE, Distrusted, Trust


class SshKey:
    """A key pair as ssh-keygen makes it, and a commit option that signs with it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.path = folder / name
        self.public = make_key(self.path)
        said = subprocess.run(
            ["ssh-keygen", "-lf", str(self.path)], check=True, capture_output=True, text=True
        )
        self.fingerprint = said.stdout.split()[1]

    @property
    def settings(self) -> list[str]:
        return ["-c", "gpg.format=ssh", "-c", f"user.signingkey={self.path}"]


class GpgKey:
    """A key in a keyring of its own. The agent that signing starts is ended by the fixture."""

    def __init__(self, folder: Path, name: str, *, expires: str = "", now: str = "") -> None:
        self.home = Path(tempfile.mkdtemp(prefix="gpg"))  # short: a socket lies in it
        self.program = folder / f"gpg-{name}"
        self.program.write_text(f'#!/bin/sh\nexec gpg --homedir {self.home} {now} "$@"\n')
        self.program.chmod(0o755)
        self.uid = f"{name} <{name}@example.org>"
        made = ["--passphrase", "", "--quick-gen-key", self.uid, "ed25519", "sign", expires or "0"]
        self.gpg("--pinentry-mode", "loopback", *made)
        self.keys = folder / f"{name}.asc"
        self.keys.write_bytes(self.gpg("--armor", "--export"))

    def gpg(self, *arguments: str) -> bytes:
        return subprocess.run(
            [str(self.program), "--batch", "--quiet", *arguments], check=True, capture_output=True
        ).stdout

    @property
    def settings(self) -> list[str]:
        return ["-c", f"gpg.program={self.program}", "-c", f"user.signingkey={self.uid}"]

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)
        shutil.rmtree(self.home)


def make_key(path: Path) -> str:
    """A fresh key; its public half in one line."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True
    )
    return path.with_suffix(".pub").read_text().strip()


@pytest.fixture(scope="module")
def ana(tmp_path_factory):
    return SshKey(tmp_path_factory.mktemp("ana"), "ana")


@pytest.fixture(scope="module")
def eve(tmp_path_factory):
    return SshKey(tmp_path_factory.mktemp("eve"), "eve")


@pytest.fixture(scope="module")
def bo(tmp_path_factory):
    key = GpgKey(tmp_path_factory.mktemp("bo"), "bo")
    yield key
    key.close()


@pytest.fixture(scope="module")
def mallory(tmp_path_factory):
    key = GpgKey(tmp_path_factory.mktemp("mallory"), "mallory")
    yield key
    key.close()


@pytest.fixture
def signers(tmp_path, ana):
    """The allowed signers of SSH: only Ana."""
    file = tmp_path / "signers"
    file.write_text(f'ana@example.org namespaces="git" {ana.public}\n')
    return file


@pytest.fixture
def opened(repository, tmp_path):
    """Opens the repository with trust, again and again with the same cache."""

    def make(*, cache="cache", ref="main", **trust):
        return open_source(
            f"{repository.url}?ref={ref}", cache=tmp_path / cache, trust=Trust(**trust)
        )

    return make


@pytest.fixture
def commit(repository):
    """Commits, signed with the key that is given."""
    count = 0

    def make(key=None, message="change"):
        nonlocal count
        count += 1
        repository.write({"a.yaml": f"x: {count}"})
        repository.git("add", "--all")
        settings, sign = (key.settings, ["-S"]) if key else ([], [])
        repository.git(*settings, "commit", "--quiet", *sign, "--message", message)
        return repository.git("rev-parse", "HEAD")

    return make


def refusal(source):
    """The words with which the head is refused."""
    with pytest.raises(Distrusted) as caught:
        source.read(source.head())
    return [fault.message for fault in caught.value.faults]


def take(source):
    """Reads and accepts the head, as the reconciler does; the tree."""
    tree = source.read(source.head())
    source.accepted(tree)
    return tree


# -- signatures ---------------------------------------------------------------------------------


def test_a_commit_signed_with_an_allowed_ssh_key_is_taken(opened, commit, ana, signers):
    """And the tree says who signed it."""
    commit(ana)
    tree = take(opened(verify="Head", allowed_signers=signers))
    assert tree.signed_by == f"ana@example.org {ana.fingerprint}"


def test_a_commit_signed_with_a_named_gpg_key_is_taken(opened, commit, bo):
    """The key comes from the file, not from anybody's keyring."""
    commit(bo)
    tree = take(opened(verify="Head", gpg_keys=bo.keys))
    assert tree.signed_by.startswith("bo <bo@example.org> ")
    assert len(tree.signed_by.rpartition(" ")[2]) == 40


def test_both_kinds_of_keys_count_side_by_side(opened, commit, ana, bo, signers):
    """A team need not agree on one."""
    source = opened(verify="Head", allowed_signers=signers, gpg_keys=bo.keys)
    commit(ana)
    assert take(source).signed_by.startswith("ana@example.org")
    commit(bo)
    assert take(source).signed_by.startswith("bo <bo@")


def test_an_unsigned_commit_is_refused_in_words(opened, commit, signers):
    """Commit and author are named."""
    made = commit()
    said = refusal(opened(verify="Head", allowed_signers=signers))
    assert said == [f"commit {made[:12]} by Ana <ana@example.org> is not signed"]


def test_a_wrong_ssh_signer_is_refused_by_the_name_of_the_key(opened, commit, eve, signers):
    """Whatever the author line says."""
    made = commit(eve)
    (said,) = refusal(opened(verify="Head", allowed_signers=signers))
    assert said.startswith(f"commit {made[:12]} by Ana <ana@example.org> is signed by the key")
    assert eve.fingerprint in said
    assert "not among the allowed signers" in said


def test_a_wrong_gpg_signer_is_refused_by_the_name_of_the_key(opened, commit, bo, mallory):
    """By the key's id: who owns it is not known here."""
    commit(mallory)
    (said,) = refusal(opened(verify="Head", gpg_keys=bo.keys))
    assert "not among those of" in said


def test_a_signature_of_a_kind_without_keys_is_refused(opened, commit, ana, bo, signers):
    """GPG keys do not vouch for SSH signatures, nor the other way round."""
    commit(ana)
    assert "git.allowedSigners names no" in refusal(opened(verify="Head", gpg_keys=bo.keys))[0]
    commit(bo)
    source = opened(verify="Head", allowed_signers=signers)
    assert "git.gpgKeys names no" in refusal(source)[0]


@pytest.mark.parametrize("key", ["ana", "bo"])
def test_a_signature_moved_to_another_commit_is_refused(opened, commit, repository, request, key):
    """The message was changed, the signature kept."""
    key = request.getfixturevalue(key)
    commit(key, "good")
    raw = repository.git("cat-file", "commit", "HEAD").replace("\ngood", "\nevil")
    made = subprocess.run(
        ["git", "-C", str(repository.path), "hash-object", "-t", "commit", "-w", "--stdin"],
        input=f"{raw}\n",
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    repository.git("update-ref", "refs/heads/main", made)
    signers = repository.path.parent / "signers"
    trust = {"gpg_keys": getattr(key, "keys", None)}
    if trust["gpg_keys"] is None:
        signers.write_text(f"ana@example.org {key.public}\n")
        trust = {"allowed_signers": signers}
    (said,) = refusal(opened(verify="Head", **trust))
    assert "does not fit the commit" in said


def test_an_expired_gpg_key_is_refused(opened, commit, tmp_path):
    """Also for what it signed in its time: nobody renewed it."""
    now = "--faked-system-time 20200101T000000"
    key = GpgKey(tmp_path, "old", expires="1y", now=now)
    try:
        commit(key)
    finally:
        key.close()
    (said,) = refusal(opened(verify="Head", gpg_keys=key.keys))
    assert said.endswith("is signed by old <old@example.org>, whose key has expired")


def test_the_keys_of_the_user_count_nowhere(opened, commit, eve, bo, signers, monkeypatch):
    """Neither a keyring nor a git configuration in the home of whoever runs Propeller."""
    commit(bo)
    monkeypatch.setenv("GNUPGHOME", str(bo.home))
    with pytest.raises(Distrusted):
        opened(verify="Head", allowed_signers=signers).read()


def test_the_file_of_signers_is_read_at_every_look(opened, commit, eve, signers):
    """A head that was refused is taken once its signer was added."""
    commit(eve)
    source = opened(verify="Head", allowed_signers=signers)
    refusal(source)
    signers.write_text(f"{signers.read_text()}eve@example.org {eve.public}\n")
    assert take(source).signed_by.startswith("eve@example.org")


def test_a_missing_file_of_signers_is_no_permission(opened, commit, ana, tmp_path):
    """It is said which; nothing is taken."""
    commit(ana)
    with pytest.raises(Unavailable, match="nowhere: no such file"):
        opened(verify="Head", allowed_signers=tmp_path / "nowhere").read()


def test_rubbish_instead_of_keys_is_no_permission(opened, commit, bo, tmp_path):
    """Nor is a file gpg cannot read."""
    commit(bo)
    (tmp_path / "keys").write_text("rubbish\n")
    with pytest.raises(Unavailable, match="gpg cannot read it"):
        opened(verify="Head", gpg_keys=tmp_path / "keys").read()


def test_range_wants_every_commit_since_the_last_accepted_one(opened, commit, ana, signers):
    """A signed head does not hide an unsigned commit below it; `Head` looks at the head only."""
    commit(ana)
    strict = opened(verify="Range", allowed_signers=signers)
    take(strict)
    hidden = commit()
    commit(ana)
    said = refusal(strict)
    assert said == [f"commit {hidden[:12]} by Ana <ana@example.org> is not signed"]
    assert opened(verify="Head", allowed_signers=signers).read().signed_by


def test_range_looks_into_merged_branches(opened, commit, repository, ana, signers):
    """What a signed merge brings in counts too, also from before the last accepted commit."""
    commit(ana)
    repository.git("branch", "side")
    commit(ana)
    strict = opened(verify="Range", allowed_signers=signers)
    take(strict)
    repository.git("checkout", "--quiet", "side")
    repository.write({"b.yaml": "x: 1"})
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", "unsigned")
    hidden = repository.git("rev-parse", "HEAD")
    repository.git("checkout", "--quiet", "main")
    repository.git(*ana.settings, "merge", "--quiet", "-S", "--no-ff", "-m", "merge", "side")
    assert refusal(strict) == [f"commit {hidden[:12]} by Ana <ana@example.org> is not signed"]


def test_range_begins_at_the_trusted_commit(opened, commit, ana, signers):
    """Before anything was accepted, and above what is older than the signing."""
    commit()
    start = commit(ana)
    commit(ana)
    opened(verify="Range", allowed_signers=signers, trusted_commit=start).read()
    hidden = commit()
    commit(ana)
    said = refusal(opened(verify="Range", allowed_signers=signers, trusted_commit=start))
    assert said == [f"commit {hidden[:12]} by Ana <ana@example.org> is not signed"]


def test_a_range_without_end_wants_a_person(opened, commit, ana, signers, monkeypatch):
    """It would take minutes; the words say how to vouch for it."""
    monkeypatch.setattr("propeller.sources.trust.MAX_RANGE", 3)
    assert MAX_RANGE == 1000
    commit(ana)
    source = opened(verify="Range", allowed_signers=signers)
    take(source)
    made = [commit(ana) for _ in range(5)][-1]
    (said,) = refusal(source)
    assert said.endswith(f"git.trustedCommit: {made}")
    take(opened(verify="Range", allowed_signers=signers, trusted_commit=made))


# -- history ------------------------------------------------------------------------------------


def test_a_branch_that_grows_is_followed(opened, commit):
    """Also over several commits and merges, and with a cache that knows only the first."""
    commit()
    source = opened()
    take(source)
    for _ in range(3):
        made = commit()
    assert take(source).name == f"main@sha1:{made}"


def test_a_rewritten_history_is_refused(opened, commit, repository):
    """A force-push: the commit, the last accepted one and the author are named."""
    first = commit()
    source = opened()
    take(source)
    repository.git("commit", "--quiet", "--amend", "--message", "rewritten")
    made = repository.git("rev-parse", "HEAD")
    (said,) = refusal(source)
    assert said.startswith(
        f"main was rewritten: commit {made[:12]} does not descend from {first[:12]}"
    )
    assert "author Ana <ana@example.org>" in said


def test_a_rewritten_history_says_who_signed_it(opened, commit, repository, eve, ana, signers):
    """Where signatures are asked for."""
    commit(ana)
    source = opened(verify="Head", allowed_signers=signers)
    take(source)
    repository.git(*eve.settings, "commit", "--quiet", "--amend", "-S", "--message", "rewritten")
    assert eve.fingerprint in refusal(source)[0]


def test_a_branch_that_went_back_is_refused(opened, commit, repository):
    """To undo, a commit is reverted; a reset would be mistaken for one by whoever looks later."""
    first = commit()
    commit()
    source = opened()
    take(source)
    repository.git("reset", "--quiet", "--hard", first)
    assert refusal(source)[0].startswith(f"main went back to commit {first[:12]}")
    repository.git("reset", "--quiet", "--hard", "ORIG_HEAD")
    repository.git("revert", "--no-edit", "HEAD")
    assert take(source).name.endswith(repository.git("rev-parse", "HEAD"))


def test_the_last_accepted_commit_survives_a_restart(opened, commit, repository, tmp_path):
    """It is remembered beside the mirror."""
    commit()
    take(opened())
    repository.git("commit", "--quiet", "--amend", "--message", "rewritten")
    assert "was rewritten" in refusal(opened())[0]


def test_the_store_remembers_where_the_cache_is_lost(opened, commit, repository, tmp_path):
    """Its last revision counts, for a source of the same ref."""
    commit()
    name = take(opened()).name
    shutil.rmtree(tmp_path / "cache")
    repository.git("commit", "--quiet", "--amend", "--message", "rewritten")
    source = opened()
    source.trusted_from(name)
    assert "was rewritten" in refusal(source)[0]
    other = opened(cache="other")
    other.trusted_from(name.replace("main@", "dev@"))
    assert other.read().message == "rewritten"


def test_history_is_brought_where_the_cache_is_lost(opened, commit, tmp_path):
    """A branch that grew is taken, though the mirror begins anew."""
    commit()
    name = take(opened()).name
    shutil.rmtree(tmp_path / "cache")
    made = commit()
    source = opened()
    source.trusted_from(name)
    assert take(source).name == f"main@sha1:{made}"


def test_what_was_only_read_binds_nobody(opened, commit, repository):
    """`diff` and `validate` accept nothing."""
    commit()
    source = opened()
    source.read()
    repository.git("commit", "--quiet", "--amend", "--message", "rewritten")
    assert source.read().message == "rewritten"


def test_a_person_may_vouch_for_a_rewritten_history(opened, commit, repository):
    """By naming a commit of it; naming the root of the old one vouches for nothing new."""
    root = commit()
    commit()
    take(opened())
    repository.git("reset", "--quiet", "--hard", root)
    made = commit()
    refusal(opened(trusted_commit=root))
    assert take(opened(trusted_commit=made)).name == f"main@sha1:{made}"
    assert take(opened(trusted_commit=made)).name == f"main@sha1:{made}"
    after = commit()
    assert take(opened(trusted_commit=made)).name == f"main@sha1:{after}"


def test_the_first_head_must_grow_out_of_the_trusted_commit(opened, commit, repository):
    """Trust need not begin with whatever is there first."""
    root = commit()
    commit()
    opened(trusted_commit=root).read()
    repository.git("checkout", "--quiet", "--orphan", "other")
    commit()
    repository.git("branch", "--force", "main")
    (said,) = refusal(opened(cache="new", trusted_commit=root))
    assert f"does not descend from {root[:12]}, the trusted one" in said


def test_any_history_may_be_asked_for(opened, commit, repository):
    """A branch of a fleet for trying out."""
    commit()
    take(opened())
    repository.git("commit", "--quiet", "--amend", "--message", "rewritten")
    assert take(opened(history="Any")).message == "rewritten"


def test_refs_are_remembered_one_by_one(opened, commit, repository):
    """Following another branch is no rewriting."""
    commit()
    take(opened())
    repository.git("checkout", "--quiet", "--orphan", "other")
    made = commit()
    assert take(opened(ref="other")).name == f"other@sha1:{made}"
    assert take(opened()).name.startswith("main@")


def test_a_deleted_branch_changes_nothing(opened, commit, repository):
    """It is silence; when it comes back rewritten it is still refused."""
    commit()
    repository.git("branch", "live")
    source = opened(ref="live")
    take(source)
    repository.git("branch", "-D", "live")
    with pytest.raises(Unavailable, match='no branch or tag "live"'):
        source.head()
    repository.git("commit", "--quiet", "--amend", "--message", "rewritten")
    repository.git("branch", "live")
    assert "was rewritten" in refusal(source)[0]


def test_a_spoilt_memory_is_said_and_not_forgotten(opened, commit, tmp_path):
    """Half a file is no permission to take anything."""
    commit()
    take(opened())
    (note,) = (tmp_path / "cache").glob("*.accepted")
    assert set(json.loads(note.read_text())) == {"accepted"}
    note.write_text("{")
    with pytest.raises(Unavailable, match="does not say which commit"):
        opened().read()


def test_trust_that_could_accept_nothing_is_refused(repository, tmp_path):
    """Before anything is asked of anybody."""
    for trust, words in [
        (Trust(verify="Head"), "whose signatures count"),
        (Trust(trusted_commit="main"), "is no commit"),
    ]:
        with pytest.raises(UsageError, match=words):
            open_source(repository.url, cache=tmp_path, trust=trust)
