"""A repository as a source, with real repositories."""

from __future__ import annotations

import os
import shutil
import threading

import pytest

from propeller.errors import SpecError, Unavailable
from propeller.sources.open import open_source


@pytest.fixture
def opened(tmp_path):
    """Opens a source with a cache of its own."""

    def make(url, **more):
        return open_source(url, cache=tmp_path / "cache", **more)

    return make


def files(tree):
    return {path: data for path, data in tree.files.items() if path != ".propellerignore"}


def test_a_commit_is_read_whole(opened, repository, task, add_wat, loading):
    """Name, author, message, time and files, as the repository has them and not the work tree."""
    commit = repository.commit({"a.yaml": task("a"), "add.wat": add_wat}, "first\n\nwhy")
    repository.write({"a.yaml": ": [", "b.yaml": ": ["})
    tree = opened(repository.url).read()
    assert tree.name == f"main@sha1:{commit}"
    assert (tree.author, tree.message) == ("Ana <ana@example.org>", "first\n\nwhy")
    assert tree.time == 1_700_000_000_000
    assert files(tree) == {"a.yaml": task("a").encode(), "add.wat": add_wat}
    assert [str(key) for key in loading(tree).objects] == ["Task/default/a"]


def test_the_head_moves_with_the_branch(opened, repository):
    """Asking costs no fetch; reading takes what was asked for."""
    first = repository.commit({"a.yaml": "x: 1"})
    source = opened(repository.url)
    assert source.head() == first
    second = repository.commit({"a.yaml": "x: 2"})
    assert source.head() == second
    assert files(source.read()) == {"a.yaml": b"x: 2"}
    assert files(source.read(first)) == {"a.yaml": b"x: 1"}


def test_unchanged_blobs_keep_their_ids(opened, repository):
    """So that only what changed is parsed again."""
    repository.commit({"a.yaml": "x: 1", "b.yaml": "x: 2"})
    source = opened(repository.url)
    before = source.read()
    repository.commit({"b.yaml": "x: 3"})
    after = source.read()
    assert before.ids["a.yaml"] == after.ids["a.yaml"]
    assert before.ids["b.yaml"] != after.ids["b.yaml"]


def test_many_files_come_in_a_few_processes(opened, repository, monkeypatch):
    """Also when none of them is new to the source, as for a caller without a cache."""
    from propeller.sources.gitcli import Git

    repository.commit({f"{n}.yaml": f"x: {n}" for n in range(100)})
    source = opened(repository.url)
    assert len(files(source.read())) == 100
    repository.commit({"0.yaml": "x: new"})
    started = []
    original = Git.run

    def counting(self, *arguments, **more):
        started.append(arguments[0])
        return original(self, *arguments, **more)

    monkeypatch.setattr(Git, "run", counting)
    assert files(source.read())["99.yaml"] == b"x: 99"
    assert len(started) < 25


@pytest.mark.parametrize("ref", ["dev", "refs/heads/dev", "v1", "annotated"])
def test_branches_and_tags_are_found_by_name(opened, repository, ref):
    """An annotated tag means its commit; a full ref is taken as it is."""
    repository.commit({"a.yaml": "x: 1"})
    repository.git("checkout", "--quiet", "-b", "dev")
    commit = repository.commit({"a.yaml": "x: 2"})
    repository.git("tag", "v1")
    repository.git("tag", "--annotate", "--message", "m", "annotated")
    repository.git("checkout", "--quiet", "main")
    tree = opened(f"{repository.url}?ref={ref}").read()
    assert tree.name == f"{ref}@sha1:{commit}"
    assert files(tree) == {"a.yaml": b"x: 2"}


def test_a_commit_is_pinned_even_when_no_branch_has_it(opened, repository):
    """And needs no question to the remote to be known."""
    first = repository.commit({"a.yaml": "x: 1"})
    repository.commit({"a.yaml": "x: 2"})
    repository.git("commit", "--quiet", "--amend", "--message", "other")
    source = opened(repository.url, ref=first)
    assert source.head() == first
    assert source.read().name == f"{first}@sha1:{first}"
    assert files(source.read()) == {"a.yaml": b"x: 1"}


def test_a_folder_of_the_repository_is_the_root(opened, repository):
    """Paths are relative to it, and nothing outside is read."""
    repository.commit({"specs/x/a.yaml": "x: 1", "b.yaml": ": ["})
    assert files(opened(f"{repository.url}?path=/specs/").read()) == {"x/a.yaml": b"x: 1"}


def test_a_folder_that_a_commit_does_not_have_is_a_fault(opened, repository):
    """A typo, not a deletion of everything."""
    commit = repository.commit({"specs/a.yaml": "x: 1"})
    with pytest.raises(SpecError) as caught:
        opened(f"{repository.url}?path=spec").read()
    assert str(caught.value) == f"spec: there is no such folder in main@sha1:{commit}"


def test_a_forced_push_is_followed(opened, repository):
    """The branch is what it is now, whatever it was."""
    repository.commit({"a.yaml": "x: 1"})
    source = opened(repository.url)
    source.read()
    repository.git("commit", "--quiet", "--amend", "--message", "rewritten")
    commit = repository.git("rev-parse", "HEAD")
    tree = source.read()
    assert (tree.name, tree.message) == (f"main@sha1:{commit}", "rewritten")


def test_a_deleted_branch_says_so_and_what_there_is(opened, repository):
    """It may come back: the last revision stands."""
    repository.commit({"a.yaml": "x: 1"})
    repository.git("branch", "staging")
    source = opened(repository.url, ref="staging")
    source.read()
    repository.git("branch", "-D", "staging")
    with pytest.raises(Unavailable) as caught:
        source.head()
    assert caught.value.what.endswith('no branch or tag "staging"')
    assert caught.value.hint == "it has main"


def test_a_misspelt_branch_is_guessed(opened, repository):
    """Among those the remote has."""
    repository.commit({"a.yaml": "x: 1"})
    with pytest.raises(Unavailable) as caught:
        opened(repository.url, ref="mian").head()
    assert caught.value.hint == 'did you mean "main"?'


def test_a_commit_that_is_gone_says_so(opened, repository):
    """The whole repository was asked."""
    repository.commit({"a.yaml": "x: 1"})
    with pytest.raises(Unavailable, match=f"commit {'a' * 40} is not there"):
        opened(repository.url, ref="a" * 40).read()


def test_an_empty_repository_says_so(opened, repository):
    """Nothing was committed yet."""
    with pytest.raises(Unavailable, match="no default branch yet"):
        opened(repository.url).head()


def test_no_repository_says_so(opened, tmp_path):
    """With the words git had for it."""
    with pytest.raises(Unavailable, match="does not appear to be a git repository"):
        opened(f"git+file://{tmp_path}/nosuch").head()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
        opened("http://127.0.0.1:9/r.git").head()


def test_links_are_followed_inside_the_tree_only(opened, repository):
    """Through folders too; outside, absolute, broken and circular ones are problems."""
    repository.write({"real/a.yaml": "x: 1", "outside.txt": "secret"})
    links = {
        "ok.yaml": "real/a.yaml",
        "deep/ok.yaml": "../dir/a.yaml",
        "dir": "real",
        "out.yaml": "../outside.yaml",
        "etc.yaml": "/etc/passwd",
        "gone.yaml": "nothing.yaml",
        "round.yaml": "round.yaml",
        "up.yaml": "..",
    }
    (repository.path / "deep").mkdir()
    for name, target in links.items():
        (repository.path / name).symlink_to(target)
    repository.commit({})
    tree = opened(repository.url).read()
    assert files(tree) == dict.fromkeys(["real/a.yaml", "ok.yaml", "deep/ok.yaml"], b"x: 1")
    assert tree.problems == {
        "out.yaml": "is a symlink that leaves the spec tree",
        "etc.yaml": "is a symlink that leaves the spec tree",
        "up.yaml": "is a symlink that leaves the spec tree",
        "gone.yaml": "is a symlink to nothing",
        "round.yaml": "is a symlink that leads in a circle",
    }


def test_a_link_out_of_the_folder_of_the_specs_leaves_the_tree(opened, repository):
    """Also when it stays inside the repository."""
    repository.write({"b.yaml": "x: 1", "specs/c.yaml": "x: 2"})
    (repository.path / "specs" / "a.yaml").symlink_to("../b.yaml")
    repository.commit({})
    tree = opened(f"{repository.url}?path=specs").read()
    assert tree.problems == {"a.yaml": "is a symlink that leaves the spec tree"}


def test_submodules_are_left_out_and_listed(opened, repository, tmp_path):
    """Nothing is cloned that the commit merely names."""
    other = type(repository)(tmp_path / "other")
    other.commit({"evil.yaml": ": ["})
    repository.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.path), "lib"
    )
    repository.commit({"a.yaml": "x: 1"})
    tree = opened(repository.url).read()
    assert files(tree) == {"a.yaml": b"x: 1"}
    assert tree.skipped == ("lib (submodule)",)


def test_a_large_blob_is_refused_unread(opened, repository):
    """Its size is known from the tree."""
    repository.commit({"a.yaml": "#" * ((1 << 20) + 1)})
    assert list(opened(repository.url).read().problems) == ["a.yaml"]


def test_the_ignore_file_of_the_commit_counts(opened, repository):
    """Not the one that lies in the work tree."""
    repository.commit({"a.yaml": "x: 1", "gen/b.yaml": ": [", ".propellerignore": "gen/\n"})
    repository.write({".propellerignore": ""})
    assert files(opened(repository.url).read()) == {"a.yaml": b"x: 1"}


def test_no_hook_and_no_configuration_of_others_is_used(opened, repository, tmp_path, monkeypatch):
    """Neither the user's, nor the template's, nor what the environment says."""
    mark = tmp_path / "ran"
    home = tmp_path / "home"
    hooks = home / "hooks"
    hooks.mkdir(parents=True)
    for name in ("post-checkout", "reference-transaction", "post-update", "pre-auto-gc"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {mark}\n")
        (hooks / name).chmod(0o755)
    (home / ".gitconfig").write_text(
        f'[core]\n\thooksPath = {hooks}\n[url "file:///nosuch"]\n\tinsteadOf = file://\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nosuch"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.hooksPath")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(hooks))
    repository.commit({"a.yaml": "x: 1"})
    mark.unlink(missing_ok=True)
    assert files(opened(repository.url).read()) == {"a.yaml": b"x: 1"}
    assert not mark.exists()


def test_a_lost_cache_is_made_again(opened, repository, tmp_path):
    """It is only a cache."""
    repository.commit({"a.yaml": "x: 1"})
    opened(repository.url).read()
    shutil.rmtree(tmp_path / "cache")
    assert files(opened(repository.url).read()) == {"a.yaml": b"x: 1"}


def test_a_git_that_hangs_is_ended(tmp_path, opened):
    """With all its children, after its time."""
    from propeller.sources.gitcli import Git

    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nsleep 60 & sleep 60\n")
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    git = Git(tmp_path / "home", environ={"PATH": path})
    with pytest.raises(Unavailable, match="no answer in"):
        git.run("ls-remote", timeout=0.2)
    program.write_text("#!/bin/sh\nyes\n")
    with pytest.raises(Unavailable, match="more than 1000 bytes"):
        git.run("ls-remote", most=1000)


def test_no_git_at_all_says_so(tmp_path):
    """With what to do about it."""
    from propeller.sources.gitcli import Git

    git = Git(tmp_path / "home", environ={"PATH": str(tmp_path)})
    with pytest.raises(Unavailable) as caught:
        git.run("version")
    assert "install git" in caught.value.hint


def test_a_new_commit_and_a_lost_remote_are_both_heard(opened, repository):
    """The watch asks now and then, says what is new, and ends when it is told."""
    repository.commit({"a.yaml": "x: 1"})
    said, stop = threading.Semaphore(0), threading.Event()
    source = opened(repository.url, interval=0.05)
    head, asked = source.head, threading.Event()

    def telling():
        asked.set()
        return head()

    source.head = telling
    thread = threading.Thread(target=source.watch, args=(said.release, stop), daemon=True)
    thread.start()
    try:
        assert asked.wait(20)
        asked.clear()
        assert asked.wait(20)
        repository.commit({"a.yaml": "x: 2"})
        assert said.acquire(timeout=20)
        repository.path.rename(repository.path.with_name("away"))
        assert said.acquire(timeout=20)
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()
