"""Where specs come from, as a person says it: overlays, published trees, and who is trusted."""

from __future__ import annotations

import argparse
import json
import subprocess

import pytest

from propeller.cli.settings import fleet_of
from propeller.cli.specsource import open_specs
from propeller.errors import UsageError
from propeller.sources.trust import Trust
from propeller.state.layout import StateDir

WAT = '(module (func (export "add") (param i32 i32) (result i32) local.get 0))'
TASK = (
    "apiVersion: propeller.dev/v1alpha1\nkind: Task\nmetadata: {name: add}\nspec:\n"
    '  module: {file: add.wat}\n  run: {entrypoint: add, args: ["1", "${SECOND}"]}\n'
)
OVERLAY = (
    "apiVersion: propeller.dev/v1alpha1\nkind: Overlay\nspec:\n"
    "  base: ../base\n  variables: {SECOND: '2'}\n"
)


@pytest.fixture
def tree(here):
    """A base and two overlays of it."""
    folder = here / "plant"
    for name, text in {
        "base/add.yaml": TASK,
        "base/add.wat": WAT,
        "prod/overlay.yaml": OVERLAY,
        "staging/overlay.yaml": OVERLAY.replace("'2'", "'3'"),
        "notes.txt": "not a spec",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def digest(said):
    assert said.code == 0, said
    return json.loads(said.out)["digest"]


def test_an_overlay_is_chosen_by_option_environment_or_file(cli, tree, here, monkeypatch):
    """In that order; without one, the tree says what it wants."""
    prod = digest(cli("validate", "plant", "--overlay", "prod", "-o", "json"))
    staging = digest(cli("validate", "plant", "--overlay", "staging/", "-o", "json"))
    assert prod != staging
    said = cli("validate", "plant")
    assert said.code == 2
    assert "choose one with --overlay" in said.out
    config = here / "propeller.yaml"
    config.write_text("source: {overlay: staging}\n")
    options = ("--config", config, "-o", "json")
    assert digest(cli("validate", "plant", *options)) == staging
    monkeypatch.setenv("PROPELLER_SOURCE_OVERLAY", "prod")
    assert digest(cli("validate", "plant", *options)) == prod
    assert digest(cli("validate", "plant", *options, "--overlay", "staging")) == staging


@pytest.mark.parametrize("text", ["..", "/prod", "."])
def test_an_overlay_is_a_folder_of_the_tree(cli, tree, text):
    """Not any folder of this machine."""
    said = cli("validate", "plant", "--overlay", text)
    assert said.code == 2
    assert "must be a folder inside the spec tree" in said.err


def test_faults_of_an_overlay_can_be_opened(cli, tree):
    """With the path as it was typed."""
    (tree / "base" / "add.yaml").write_text(TASK.replace("SECOND", "SCEOND"))
    said = cli("validate", "plant", "--overlay", "prod")
    assert said.out.startswith("plant/base/add.yaml:6: spec.run.args[1]: ${SCEOND} is not among")


def test_an_overlay_is_explained(cli):
    """From the schema that checks it."""
    said = cli("explain", "overlay.spec.patches.target")
    assert said.code == 0
    assert "Which specs are changed" in said.out


def test_a_tree_is_published_and_read_again(cli, tree, here):
    """The digest that is printed pins it; what is no spec stays at home."""
    image = f"oci-layout://{here}/shelf:live"
    said = cli("push", "--specs", "plant", image)
    assert said.code == 0, said.err
    pinned = said.out.strip()
    assert pinned.startswith(f"{image}@sha256:")
    assert "4 files" in said.err
    wanted = digest(cli("validate", "plant", "--overlay", "prod", "-o", "json"))
    (tree / "base" / "add.yaml").write_text(TASK.replace('"1"', '"7"'))
    assert cli("push", "--specs", "plant", image).code == 0
    for source, same in ((pinned, True), (image, False)):
        found = digest(cli("validate", source, "--overlay", "prod", "-o", "json"))
        assert (found == wanted) is same
    assert cli("push", "--specs", "plant", pinned).code == 2


def test_a_bad_tree_is_not_published(cli, tree, here):
    """Every fault of every overlay is told, and nothing is on the shelf."""
    for name in ("prod", "staging"):
        (tree / name / "overlay.yaml").write_text(OVERLAY.replace("SECOND", "FIRST"))
    said = cli("push", "--specs", "plant", f"oci-layout://{here}/shelf:live")
    assert said.code == 2
    assert "plant/base/add.yaml:6" in said.err
    assert not (here / "shelf").exists()


def test_a_dry_run_publishes_nothing(cli, tree, here):
    """It says what it would do."""
    said = cli("push", "--specs", "plant", f"oci-layout://{here}/shelf:live", "--dry-run")
    assert (said.code, said.out) == (0, "")
    assert "would push plant, 4 files" in said.err
    assert not (here / "shelf").exists()


def test_a_published_tree_is_no_repository(cli, here):
    """Options of git have no meaning there."""
    said = cli("validate", f"oci-layout://{here}/shelf:live", "--ref", "main")
    assert said.code == 2
    assert "is no git repository" in said.err


# -- git ----------------------------------------------------------------------------------------

CONFIG = """\
git:
  verify: Range
  allowedSigners: keys/signers
  trustedCommit: 0123456789abcdef0123456789abcdef01234567
repositories:
  git.example.org: {sshKey: keys/deploy, knownHosts: keys/known_hosts}
  "code.example.org:8443": {tokenFile: keys/token, username: bot, ca: keys/ca.pem}
source: {interval: 30s}
"""


@pytest.fixture
def configured(here):
    """A configuration beside, not inside, the repository."""
    folder = here / "etc"
    folder.mkdir()
    (folder / "propeller.yaml").write_text(CONFIG)
    return argparse.Namespace(config=str(folder / "propeller.yaml"))


def opened(args, text, here, **more):
    return open_specs(text, fleet_of(args), StateDir(here / "state"), **more)


def test_trust_and_logins_come_from_the_configuration(configured, here):
    """Paths are relative to it."""
    source = opened(configured, "git@git.example.org:plant.git", here)
    assert source._judge._trust == Trust(
        verify="Range",
        allowed_signers=here / "etc" / "keys" / "signers",
        trusted_commit="0123456789abcdef0123456789abcdef01234567",
    )
    _, login = source._login
    assert login.ssh_key == here / "etc" / "keys" / "deploy"
    source = opened(configured, "https://code.example.org:8443/plant.git", here)
    assert source._login[1].username == "bot"
    assert opened(configured, "https://other.example.org/plant.git", here)._login is None


def test_secrets_come_from_the_environment_for_the_host_of_the_source(
    configured, here, monkeypatch
):
    """And win over the file; they are no part of `config show`."""
    monkeypatch.setenv("PROPELLER_GIT_TOKEN", "hunter2")
    source = opened(configured, "https://code.example.org:8443/plant.git", here)
    assert source._login[1].token == "hunter2"
    assert source._login[1].token_file is None
    assert opened(configured, "file:///nowhere/plant.git", here)._login is None


def test_config_show_names_files_and_no_secrets(cli, configured, monkeypatch):
    """With the file each value is from."""
    monkeypatch.setenv("PROPELLER_GIT_TOKEN", "hunter2")
    said = cli("config", "show", "--config", configured.config)
    assert said.code == 0
    assert "keys/token" in said.out
    assert "Range" in said.out
    assert "hunter2" not in said.out


def test_whoever_pushes_does_not_say_whose_pushes_count(here):
    """Trust that stands in the repository itself is refused."""
    repository = here / "plant"
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
    (repository / "propeller.yaml").write_text("git: {verify: Head, gpgKeys: team.asc}\n")
    args = argparse.Namespace(config=str(repository / "propeller.yaml"))
    with pytest.raises(UsageError, match="inside the repository it is about") as caught:
        opened(args, str(repository), here, git=True)
    assert "--config" in caught.value.hint
    assert opened(args, str(repository), here).name == str(repository)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("PROPELLER_GIT_VERIFY", "Sometimes", "git.verify must be one of"),
        ("PROPELLER_GIT_VERIFY", "Head", "whose signatures count"),
        ("PROPELLER_GIT_HISTORY", "None", "git.history must be one of"),
        ("PROPELLER_GIT_TRUSTED_COMMIT", "main", "is no commit"),
        ("PROPELLER_SOURCE_INTERVAL", "5ms", "at least 1s"),
        ("PROPELLER_SOURCE_INTERVAL", "often", "source.interval"),
        ("PROPELLER_GIT_SSH_KEY", "key", "come together"),
    ],
)
def test_bad_values_are_said_before_anything_is_asked(here, monkeypatch, variable, value, words):
    """Each with its name."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=words):
        opened(argparse.Namespace(), "https://git.example.org/plant.git", here)
