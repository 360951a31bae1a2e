"""From `propeller.yaml` to what goes out: status branch, commit statuses, receivers."""

from __future__ import annotations

import argparse
import subprocess

import pytest

from propeller.cli.outward import open_hooks, outlets_of, receivers_of
from propeller.cli.settings import fleet_of
from propeller.errors import SpecError, UsageError
from propeller.sources.open import open_source


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """What a command knows, after `text` as the configuration; and a source to go with it."""
    monkeypatch.chdir(tmp_path)
    repository = tmp_path / "plant.git"
    subprocess.run(["git", "init", "-q", "--bare", str(repository)], check=True)
    (tmp_path / "key").write_text("x")
    (tmp_path / "specs").mkdir()

    def make(text, *, source="plant.git", ref="main", hooks=None):
        (tmp_path / "specs" / "propeller.yaml").write_text(text)
        args = argparse.Namespace(hooks=hooks)
        git = source == "plant.git"
        opened = open_source(source, cache=tmp_path / "git", ref=ref if git else None, git=git)
        return fleet_of(args, tree=tmp_path / "specs"), opened

    return make


def test_nothing_goes_out_unless_asked_for(configured):
    """Neither from a folder nor from a repository."""
    for source in ("specs", "plant.git"):
        plan = outlets_of(*configured("", source=source))
        assert (plan.status_branch, plan.commit_status, plan.secrets) == (None, None, None)


def test_the_status_branch_is_in_the_repository_of_the_specs_by_default(configured, tmp_path):
    """With an interval of a minute; the key is relative to the file that names it."""
    text = "statusBranch: {branch: propeller-status, signingKey: ../key}\n"
    plan = outlets_of(*configured(text)).status_branch
    assert (plan.url, plan.branch) == ((tmp_path / "plant.git").as_uri(), "propeller-status")
    assert plan.interval == 60_000
    assert plan.signing_key.samefile(tmp_path / "key")


def test_promotions_go_to_the_branch_that_is_watched_and_nowhere_else(configured, tmp_path):
    """The repository of the specs, with the key of the status; none for a folder."""
    assert outlets_of(*configured("", source="specs")).promotions is None
    plan = outlets_of(*configured("")).promotions
    assert (plan.url, plan.watched) == ((tmp_path / "plant.git").as_uri(), "main")
    assert plan.signing_key is None
    text = "statusBranch: {branch: s, signingKey: ../key}\n"
    assert outlets_of(*configured(text)).promotions.signing_key.samefile(tmp_path / "key")


def test_another_remote_may_be_named_and_its_password_is_not_shown(configured):
    """As any git URL."""
    text = "statusBranch: {remote: 'https://u:hunter2@h.example/s.git', branch: s, interval: 5m}\n"
    plan = outlets_of(*configured(text, source="specs")).status_branch
    assert (plan.url, plan.interval) == ("https://h.example/s.git", 300_000)
    assert "hunter2" not in repr(plan)
    assert plan.login.secret() == "hunter2"


def test_a_login_of_the_configuration_is_used(configured, tmp_path):
    """The one for the host of the remote."""
    (tmp_path / "specs" / "token").write_text("hunter2")
    text = (
        "statusBranch: {remote: 'https://h.example/s.git', branch: s}\n"
        "repositories: {h.example: {tokenFile: token}}\n"
    )
    plan = outlets_of(*configured(text, source="specs")).status_branch
    assert plan.login.secret() == "hunter2"


@pytest.mark.parametrize(
    ("text", "source", "words"),
    [
        ("statusBranch: {branch: main}\n", "plant.git", "is the branch the specs come from"),
        ("statusBranch: {branch: s}\n", "specs", "come from no repository"),
        ("statusBranch: {branch: a..b}\n", "plant.git", "cannot be a branch"),
        ("statusBranch: {branch: s, signingKey: nokey}\n", "plant.git", "no file"),
        ("statusBranch: {branch: s, remote: 'ftp://h/x'}\n", "specs", "not a transport"),
    ],
)
def test_a_branch_that_cannot_work_is_refused_at_the_start(configured, text, source, words):
    """Before a reconciler runs, in words."""
    with pytest.raises(UsageError, match=words):
        outlets_of(*configured(text, source=source))


def test_commit_statuses(configured):
    """The token is a file, and only its name is known."""
    text = "commitStatus: {provider: GitHub, url: 'https://github.com/o/r', tokenFile: token}\n"
    plan = outlets_of(*configured(text)).commit_status
    assert (plan.provider, plan.url) == ("GitHub", "https://github.com/o/r")
    assert plan.token_file.name == "token"


def test_from_the_environment_all_three_are_needed(configured, monkeypatch):
    """The schema does not look there."""
    monkeypatch.setenv("PROPELLER_COMMIT_STATUS_URL", "https://github.com/o/r")
    with pytest.raises(UsageError, match="provider is missing"):
        outlets_of(*configured(""))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("statusBranch: {interval: 5m}\n", "statusBranch.branch: required"),
        ("statusBranch: {branch: s, interval: soon}\n", "a duration"),
        ("statusBranch: {branch: -x}\n", "the name of a branch"),
        ("commitStatus: {provider: Github, url: https://h/o/r, tokenFile: t}\n", '"GitHub"'),
        ("commitStatus: {provider: Gitea, url: 'https://u@h/o/r', tokenFile: t}\n", "OWNER/NAME"),
        ("receivers: {github: x}\n", "must be a list"),
        ("receivers:\n  - name: a\n    type: GitHub\n", "2: receivers[0].secretFile: required"),
        ("receivers: [{name: A, type: GitHub, secretFile: s}]\n", "a DNS label"),
        ("receivers: [x]\n", "must be a mapping"),
        ("receivers: [{name: a, type: Bitbucket, secretFile: s}]\n", "GitHub, GitLab, Gitea"),
        ("hooks: {address: here}\n", "HOST:PORT"),
    ],
)
def test_faults_in_the_file_have_lines(configured, text, words):
    """As everywhere in it."""
    with pytest.raises(SpecError) as caught:
        configured(text)
    assert words in str(caught.value)
    assert "propeller.yaml:" in str(caught.value)


def test_receivers_name_their_secrets_relative_to_the_file(configured, tmp_path):
    """And have names of their own."""
    row = "{name: a, type: GitHub, secretFile: s}"
    fleet, _ = configured(f"receivers: [{row}]\n")
    (one,) = receivers_of(fleet)
    assert (one.name, one.type, one.secret) == ("a", "GitHub", tmp_path / "specs" / "s")
    fleet, _ = configured(f"receivers: [{row}, {row}]\n")
    with pytest.raises(UsageError, match="twice"):
        receivers_of(fleet)


def test_a_door_that_nobody_may_use_is_refused(configured):
    """`--hooks` without receivers is a mistake; without `--hooks` there is no door."""
    fleet, _ = configured("", hooks="127.0.0.1:0")
    with pytest.raises(UsageError, match="nobody may call"):
        open_hooks(None, None, fleet)
    fleet, _ = configured("receivers: [{name: a, type: GitHub, secretFile: s}]\n")
    assert open_hooks(None, None, fleet) is None
    fleet, _ = configured("receivers: [{name: a, type: GitHub, secretFile: s}]\n", hooks="7071")
    with pytest.raises(UsageError, match="HOST:PORT"):
        open_hooks(argparse.Namespace(pokes=argparse.Namespace(poke=None)), None, fleet)
