"""Files for systemd, containers, Compose, Kubernetes and CI name commands that exist."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from propeller.cli.__main__ import parser_of
from propeller.cli.verbs import VERBS
from proplet.settings import SETTINGS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "examples" / "deploy"
CI = ROOT / "examples" / "ci"
UNITS = sorted((DEPLOY / "systemd").iterdir())
PROPLET_FLAGS = {"--config", "--data", "--id", "--broker", "--domain"}


def unit(path: Path) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(path.read_text())
    return parsed


def options_of(verb: str) -> set[str]:
    return {flag for action in parser_of(VERBS[verb])._actions for flag in action.option_strings}


def check_words(words: list[str]) -> None:
    """A command of ours has a verb and options that exist."""
    name, *rest = words
    flags = {one.partition("=")[0] for one in rest if one.startswith("--")}
    if Path(name).name == "proplet":
        assert flags <= PROPLET_FLAGS
        return
    assert rest[0] in VERBS, words
    assert flags <= options_of(rest[0]), words


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_start_commands_that_exist(path):
    """With options that exist, as a user of their own that may do little."""
    parsed = unit(path)
    if path.suffix == ".timer":
        assert (path.with_suffix(".service")).exists()
        return
    service = parsed["Service"]
    check_words(shlex.split(service["ExecStart"]))
    assert service["User"] not in ("", "root")
    for name, value in {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "CapabilityBoundingSet": "",
        "UMask": "0077",
    }.items():
        assert service[name] == value, name


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_reads_them(path, tmp_path):
    """Its own checker finds no fault but that the programs are not installed here."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        assert unit(path).sections(), "no systemd here: at least it is a unit file"
        return
    told = subprocess.run(
        [tool, "verify", "--man=no", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [
        line
        for line in (told.stdout + told.stderr).splitlines()
        if path.name in line and "is not executable" not in line
    ]
    assert said == []


def test_containers_do_not_run_as_root():
    """Two stages, a number for the user, and what is started is installed."""
    files = sorted((DEPLOY / "container").iterdir())
    assert len(files) == 2
    for path in files:
        text = path.read_text()
        assert len(re.findall(r"^FROM ", text, re.M)) == 2
        assert re.search(r"^USER [1-9][0-9]+$", text, re.M)
        entry = re.search(r'^ENTRYPOINT \["([a-z]+)"\]', text, re.M)
        assert entry and entry[1] in ("propeller", "proplet")


def test_compose_starts_commands_that_exist():
    """Every service that is built runs a verb that exists; nothing is open to others."""
    services = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")
        if "build" not in service:
            continue
        program = service["build"]["dockerfile"].rpartition(".")[2]
        assert (ROOT / service["build"]["dockerfile"]).exists()
        words = [str(one) for one in service["command"]]
        check_words(["proplet" if program == "proplet" else "propeller", *words])
        assert name


def test_kubernetes_objects_are_whole():
    """Each has kind, name and labels that its selector finds; containers may do little."""
    objects = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "propeller.yaml").read_text()))
    assert {one["kind"] for one in objects} == {"PersistentVolumeClaim", "StatefulSet", "Service"}
    for one in objects:
        assert one["metadata"]["name"]
        if one["kind"] != "StatefulSet":
            continue
        template = one["spec"]["template"]
        wanted = one["spec"]["selector"]["matchLabels"].items()
        assert wanted <= template["metadata"]["labels"].items()
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
        for container in template["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            volumes = {volume["name"] for volume in template["spec"]["volumes"]}
            volumes |= {
                claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", ())
            }
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            check_words([container["image"].partition(":")[0], *container["args"]])


def test_agents_options_are_settings():
    """What the files give a proplet is a setting of it."""
    known = {f"--{one.field.replace('_', '-')}" for one in SETTINGS} | {"--config"}
    assert known >= PROPLET_FLAGS


@pytest.mark.parametrize("path", sorted(CI.glob("*.yml")), ids=lambda path: path.name)
def test_workflows_of_ci_name_commands_that_exist(path):
    """As YAML, and each `propeller VERB --option` in it."""
    text = path.read_text()
    assert yaml.safe_load(text)
    found = re.findall(r"^\s*(?:- )?(?:run: |code=0; )?propeller ([a-z]+)([^>|;\n]*)", text, re.M)
    assert found
    for verb, rest in found:
        assert verb in VERBS
        assert {one for one in rest.split() if one.startswith("--")} <= options_of(verb)


def test_manual_pages_have_every_verb_and_option(tmp_path):
    """From the same parsers as `--help`."""
    from propeller.cli.manpages import write

    assert write(tmp_path) == len(VERBS) + 1
    for verb in VERBS:
        text = (tmp_path / f"propeller-{verb}.1").read_text().replace("\\-", "-")
        assert f"propeller-{verb}" in text
        for flag in options_of(verb):
            assert flag in text, (verb, flag)
