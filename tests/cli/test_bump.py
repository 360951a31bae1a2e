"""`bump`: newer modules into the specs, from a layout and into a real git repository."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest
import wasmtime

from propeller.model.ids import sha256_digest
from propeller.registry.layout import Layout
from propeller.registry.manifest import MANIFEST
from propeller.registry.reference import Reference

HEAD = """\
# The filter of plant A.
apiVersion: propeller.dev/v1alpha1
kind: Daemon
metadata: {name: filter}
spec:
  module: {image: "local/filter:1.0.0"}   # propeller: {policy: semver, range: "1.x"}
  placement: {perProplet: true}
"""


def wat(number):
    return f'(module (func (export "run")) (func (export "v{number}")))\n'


@pytest.fixture
def shelf(cli, tmp_path):
    """Pushes a module of its own under a tag; the digest of its manifest."""

    def push(tag):
        file = tmp_path / "m.wat"
        file.write_text(wat(tag.replace(".", "_").replace("-", "_")))
        said = cli("push", file, f"local/filter:{tag}")
        assert said.code == 0, said.err
        return said.out.strip().partition("@")[2]

    return push


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "plant"
    folder.mkdir()
    (folder / "filter.yaml").write_text(HEAD)
    return folder


def git(folder, *words, fails=False):
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False
    )
    assert fails or done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def repository(tree, tmp_path, monkeypatch):
    """The tree in a repository with a bare remote, and who commits."""
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(tree, "init", "--quiet", "--initial-branch=main")
    git(tree, "config", "user.name", "Ana")
    git(tree, "config", "user.email", "ana@example.org")
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "--message", "First")
    git(tree, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(tree, "push", "--quiet", "origin", "main")
    return tree


def test_the_newest_version_in_range_is_written(cli, tree, shelf):
    """Tag and digest of the manifest; comments, quotes and layout stay."""
    shelf("1.0.0"), shelf("2.0.0")
    digest = shelf("1.10.0")
    shelf("1.9.0")
    said = cli("bump", "plant")
    assert said.code == 0, said.err
    wanted = HEAD.replace("filter:1.0.0", f"filter:1.10.0@{digest}")
    assert (tree / "filter.yaml").read_text() == wanted
    assert said.out.startswith("filter.yaml:6: local/filter 1.0.0 -> 1.10.0 (sha256:")
    again = cli("bump", "plant")
    assert (again.code, again.out) == (0, "")
    assert "1 marked, nothing newer" in again.err
    assert cli("validate", "plant").code == 0


def test_a_dry_run_writes_nothing(cli, tree, shelf):
    """It says what it would."""
    shelf("1.1.0")
    said = cli("bump", "plant", "--dry-run")
    assert "1.0.0 -> 1.1.0" in said.out
    assert "nothing was written" in said.err
    assert (tree / "filter.yaml").read_text() == HEAD


def test_the_same_as_data(cli, tree, shelf):
    """Every marked image, also those that stay."""
    digest = shelf("1.1.0")
    (tree / "b.yaml").write_text(HEAD.replace("filter}", "b}").replace('"1.x"', '"^1.1"'))
    found = json.loads(cli("bump", "plant", "--dry-run", "-o", "json").out)
    assert (found["kind"], found["written"], found["commit"]) == ("Bump", False, None)
    (first, second) = found["changes"]
    assert first == {
        "file": "b.yaml",
        "line": 6,
        "path": "spec.module.image",
        "policy": "semver ^1.1",
        "image": "local/filter",
        "tagBefore": "1.0.0",
        "tag": "1.1.0",
        "digest": digest,
        "changed": True,
        "note": None,
    }
    assert second["file"] == "filter.yaml"


def test_windows_line_ends_stay(cli, tree, shelf):
    """Byte for byte."""
    digest = shelf("1.0.1")
    (tree / "filter.yaml").write_bytes(HEAD.replace("\n", "\r\n").encode())
    assert cli("bump", "plant").code == 0
    wanted = HEAD.replace("filter:1.0.0", f"filter:1.0.1@{digest}").replace("\n", "\r\n")
    assert (tree / "filter.yaml").read_bytes() == wanted.encode()


def test_a_digest_beside_the_image_is_that_of_the_module(cli, tree, shelf):
    """And the image keeps its plain tag."""
    shelf("1.0.0"), shelf("1.1.0")
    module = json.loads(cli("inspect", "local/filter:1.1.0", "-o", "json").out)["module"]["digest"]
    text = HEAD.replace(
        '{image: "local/filter:1.0.0"} ', '{image: "local/filter:1.0.0", digest: OLD} '
    )
    (tree / "filter.yaml").write_text(text.replace("OLD", "sha256:" + "0" * 64))
    assert cli("bump", "plant").code == 0
    wanted = text.replace("1.0.0", "1.1.0").replace("OLD", module)
    assert (tree / "filter.yaml").read_text() == wanted


def test_policy_tag_follows_a_tag_that_moves(cli, tree, shelf):
    """The tag stays, the digest is what it means now; pinned and plain alike."""
    text = HEAD.replace('semver, range: "1.x"', "tag").replace("1.0.0", "stable")
    (tree / "filter.yaml").write_text(text)
    first = shelf("stable")
    assert cli("bump", "plant").code == 0
    assert f'"local/filter:stable@{first}"' in (tree / "filter.yaml").read_text()
    Path(tree.parent / "m.wat").write_text(wat("other"))
    second = cli("push", tree.parent / "m.wat", "local/filter:stable").out.strip().partition("@")[2]
    assert second != first
    assert cli("bump", "plant").code == 0
    assert (tree / "filter.yaml").read_text() == text.replace("stable", f"stable@{second}")


def test_an_image_that_cannot_be_looked_up_stops_all(cli, tree, shelf):
    """Every fault with its line; nothing is written, not even what could be."""
    shelf("1.1.0")
    (tree / "z.yaml").write_text(HEAD.replace("filter}", "z}").replace("1.x", "7.x"))
    (tree / "y.yaml").write_text(HEAD.replace("filter}", "y}").replace("semver", "magic"))
    said = cli("bump", "plant")
    assert said.code == 2
    assert "plant/z.yaml:6: spec.module.image: none of 1 versions fits semver 7.x" in said.err
    assert "plant/y.yaml:6: spec.module.image: policy must be one of" in said.err
    assert (tree / "filter.yaml").read_text() == HEAD


def test_a_tree_that_would_be_wrong_is_not_written(cli, tree, shelf):
    """The result is checked as `validate` does; here another file has a fault."""
    shelf("1.1.0")
    (tree / "bad.yaml").write_text(HEAD.replace("filter}", "bad}").replace("perProplet", "per"))
    said = cli("bump", "plant")
    assert said.code == 2
    assert "bad.yaml" in said.err
    assert (tree / "filter.yaml").read_text() == HEAD


def test_a_tree_without_markers_says_how(cli, tree):
    """JSON has no comments, so nothing in it is marked."""
    (tree / "filter.yaml").unlink()
    (tree / "a.json").write_text('{"image": "x # propeller: {policy: tag}"}')
    said = cli("bump", "plant")
    assert said.code == 0
    assert "no image is marked" in said.err


def test_overlays_are_bumped_and_checked(cli, tree, shelf):
    """A patch may give another image than the base; the tree is checked as every overlay has it."""
    digest = shelf("1.1.0")
    (tree / "base").mkdir()
    (tree / "filter.yaml").rename(tree / "base" / "filter.yaml")
    folder = tree / "lines" / "press"
    folder.mkdir(parents=True)
    overlay = (
        "apiVersion: propeller.dev/v1alpha1\nkind: Overlay\nspec:\n  base: ../../base\n"
        "  patches:\n    - target: {kind: Daemon, name: filter}\n      patch:\n        spec:\n"
        "          module:\n"
        "            image: local/filter:1.0.0 # propeller: {policy: semver, range: ^1}\n"
    )
    (folder / "overlay.yaml").write_text(overlay)
    said = cli("bump", "plant")
    assert said.code == 0, said.err
    wanted = overlay.replace("1.0.0", f"1.1.0@{digest}")
    assert (folder / "overlay.yaml").read_text() == wanted
    assert f"1.1.0@{digest}" in (tree / "base" / "filter.yaml").read_text()
    assert cli("validate", "plant", "--overlay", "lines/press").code == 0
    (folder / "overlay.yaml").write_text(overlay.replace("name: filter", "name: nobody"))
    (tree / "base" / "filter.yaml").write_text(HEAD)
    broken = cli("bump", "plant")
    assert broken.code == 2
    assert "overlay.yaml" in broken.err
    assert (tree / "base" / "filter.yaml").read_text() == HEAD


def test_the_specs_of_an_app_are_bumped_too(cli, tree, shelf):
    """An artifact of specs has no module: its manifest is pinned."""
    shelf("1.0.0")
    inner = tree.parent / "inner"
    inner.mkdir()
    (inner / "x.yaml").write_text(HEAD.partition("   # propeller")[0] + "\n")
    pushed = cli("push", "--specs", "inner", "local/specs:1.2.0")
    assert pushed.code == 0, pushed.err
    app = (
        "apiVersion: propeller.dev/v1alpha1\nkind: App\nmetadata: {name: b}\nspec:\n"
        "  source: {oci: {image: 'local/specs:1.0.0'}} # propeller: {policy: semver, range: 1.x}\n"
    )
    (tree / "filter.yaml").write_text(app)
    said = cli("bump", "plant")
    assert said.code == 0, said.err
    digest = pushed.out.strip().partition("@")[2]
    wanted = app.replace("1.0.0", f"1.2.0@{digest}")
    assert (tree / "filter.yaml").read_text() == wanted


def test_a_packed_module_is_named_by_its_own_bytes(cli, tree, tmp_path):
    """Not by the archive that it lies in: a device checks what it runs."""
    module = bytes(wasmtime.wat2wasm(wat("packed")))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        member = tarfile.TarInfo("plugin.wasm")
        member.size = len(module)
        tar.addfile(member, io.BytesIO(module))
    layout, ref = Layout(tmp_path / "layout"), Reference("r.example", "plant/filter", "1.1.0")
    kind = "application/octet-stream"
    layer = {"mediaType": kind, "size": len(archive.getvalue())}
    layer["digest"] = layout.write_blob(ref, archive.getvalue())
    config = {"mediaType": kind, "size": 2, "digest": layout.write_blob(ref, b"{}")}
    body = {"schemaVersion": 2, "config": config, "layers": [layer]}
    layout.write_manifest(ref, json.dumps(body).encode(), MANIFEST)
    (tree / "propeller.yaml").write_text("registries:\n  r.example: {layout: ../layout}\n")
    text = HEAD.replace("local/filter", "r.example/plant/filter").replace(
        '1.0.0"}', '1.0.0", digest: sha256:' + "0" * 64 + "}"
    )
    (tree / "filter.yaml").write_text(text)
    said = cli("bump", "plant")
    assert said.code == 0, said.err
    wanted = text.replace("1.0.0", "1.1.0").replace("sha256:" + "0" * 64, sha256_digest(module))
    assert (tree / "filter.yaml").read_text() == wanted


def test_a_mirror_is_asked_and_not_written(cli, tree, shelf):
    """The spec keeps the name that it gave."""
    digest = shelf("1.1.0")
    (tree / "propeller.yaml").write_text("registries:\n  registry.example: {layout: ../layout}\n")
    pushed = cli("push", tree.parent / "m.wat", "oci-layout://layout:1.1.0")
    assert pushed.code == 0, pushed.err
    text = HEAD.replace("local/filter", "oci://registry.example/plant/filter")
    (tree / "filter.yaml").write_text(text)
    said = cli("bump", "plant")
    assert said.code == 0, said.err
    wanted = text.replace("1.0.0", f"1.1.0@{digest}")
    assert (tree / "filter.yaml").read_text() == wanted


def test_the_edit_is_committed_and_pushed(cli, repository, shelf):
    """Only the file that moved, by who is configured; what else is staged stays staged."""
    shelf("1.1.0")
    (repository / "other.txt").write_text("x")
    git(repository, "add", "other.txt")
    said = cli("bump", "plant", "--commit", "--push")
    assert said.code == 0, said.err
    assert git(repository, "log", "-1", "--format=%an %s") == (
        "Ana Bump local/filter 1.0.0 -> 1.1.0"
    )
    assert git(repository, "show", "--name-only", "--format=", "HEAD") == "filter.yaml"
    assert git(repository, "status", "--porcelain") == "A  other.txt"
    assert git(repository, "ls-remote", "origin", "main").split()[0] == git(
        repository, "rev-parse", "HEAD"
    )


def test_a_branch_of_its_own_leaves_everything_here(cli, repository, shelf):
    """Neither the branch, the index nor the files here move; a second time there is nothing new."""
    digest = shelf("1.1.0")
    before = git(repository, "rev-parse", "HEAD")
    said = cli("bump", "plant", "--branch", "bump/filter", "--push", "-m", "Newer", "-o", "json")
    made = json.loads(said.out)
    assert (made["branch"], made["pushed"], made["written"]) == ("bump/filter", True, False)
    assert (git(repository, "rev-parse", "HEAD"), git(repository, "status", "--porcelain")) == (
        before,
        "",
    )
    assert (repository / "filter.yaml").read_text() == HEAD
    text = git(repository, "show", "origin/bump/filter:filter.yaml")
    assert text == HEAD.replace("filter:1.0.0", f"filter:1.1.0@{digest}").strip()
    assert git(repository, "log", "-1", "--format=%B", made["commit"]).split() == [
        "Newer",
        "Propeller-Bump:",
        "true",
    ]
    again = json.loads(cli("bump", "plant", "--branch", "bump/filter", "--push", "-o", "json").out)
    assert again["commit"] == made["commit"]


def test_a_branch_with_other_work_is_not_overwritten(cli, repository, shelf):
    """Neither here nor at the remote."""
    shelf("1.1.0")
    git(repository, "checkout", "--quiet", "-b", "work")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "Mine")
    (repository / "x").write_text("x")
    git(repository, "add", "x")
    git(repository, "commit", "--quiet", "--message", "More")
    git(repository, "push", "--quiet", "origin", "work:theirs")
    mine = git(repository, "rev-parse", "work")
    on_it = cli("bump", "plant", "--branch", "work")
    assert on_it.code == 2
    assert "is checked out" in on_it.err
    git(repository, "checkout", "--quiet", "main")
    said = cli("bump", "plant", "--branch", "work")
    assert said.code == 2
    assert "commits that are not merged" in said.err
    assert git(repository, "rev-parse", "work") == mine
    there = cli("bump", "plant", "--branch", "theirs", "--push")
    assert there.code == 2
    assert "it was not overwritten" in there.err
    assert git(repository, "ls-remote", "origin", "theirs").split()[0] == mine


def test_edits_of_ones_own_are_not_committed_along(cli, repository, shelf):
    """They would go into the commit of the bump."""
    shelf("1.1.0")
    (repository / "filter.yaml").write_text(HEAD + "  # mine\n")
    for words in (("--commit",), ("--branch", "b")):
        said = cli("bump", "plant", *words)
        assert said.code == 2
        assert "edits that are not committed" in said.err
    assert (repository / "filter.yaml").read_text() == HEAD + "  # mine\n"


def test_a_commit_needs_a_name(cli, repository, shelf):
    """git says so, with what to do; the branch is not made."""
    shelf("1.1.0")
    git(repository, "config", "user.name", "")
    said = cli("bump", "plant", "--branch", "b")
    assert said.code == 2
    assert "git commit-tree" in said.err
    assert git(repository, "branch", "--list", "b") == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--push",), "--push goes with"),
        (("--branch", "a..b"), "is no name of a branch"),
        (("--branch=-x",), "is no name of a branch"),
    ],
)
def test_what_cannot_be_is_two(cli, repository, shelf, words, says):
    """Before anything is written."""
    shelf("1.1.0")
    said = cli("bump", "plant", *words)
    assert said.code == 2
    assert says in said.err
    assert (repository / "filter.yaml").read_text() == HEAD


def test_without_a_branch_nothing_can_be_pushed(cli, repository, shelf):
    """A commit that belongs to no branch: said before anything is written."""
    shelf("1.1.0")
    git(repository, "checkout", "--quiet", "--detach")
    said = cli("bump", "plant", "--commit", "--push")
    assert said.code == 2
    assert "no branch is checked out" in said.err
    assert (repository / "filter.yaml").read_text() == HEAD


def test_a_link_is_not_replaced_by_a_file(cli, tree, shelf):
    """It is refused in words, and stays one."""
    shelf("1.1.0")
    (tree / "filter.yaml").rename(tree / "real.txt")
    (tree / "filter.yaml").symlink_to("real.txt")
    said = cli("bump", "plant")
    assert said.code == 2
    assert "plant/filter.yaml: is a link" in said.err
    assert (tree / "filter.yaml").is_symlink()


def test_a_folder_below_the_repository(cli, repository, shelf):
    """Paths of git begin at its top, those of specs at the folder."""
    shelf("1.1.0")
    folder = repository / "deep" / "specs"
    folder.mkdir(parents=True)
    (folder / "d.yaml").write_text(HEAD)
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "Deep")
    said = cli("bump", "plant/deep/specs", "--branch", "b")
    assert said.code == 0, said.err
    assert git(repository, "show", "--name-only", "--format=", "b") == "deep/specs/d.yaml"
