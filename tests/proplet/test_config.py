"""Settings: flags over environment over file, every fault at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from propeller.errors import SpecError, UsageError
from propeller.wire.signing import SigningKey
from proplet.config import Settings, load, parser, shown
from proplet.settings import SETTINGS, Address


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    path = tmp_path / "root.pub"
    path.write_text(SigningKey.from_seed(b"r" * 32).public.text)
    return path


def settings(*flags: object, **environment: str) -> Settings:
    return load(parser().parse_args([str(flag) for flag in flags]), environment)


def test_flags_are_enough(root: Path, tmp_path: Path) -> None:
    """The rest has defaults."""
    found = settings(
        "--id", "p1", "--trust", root, "--broker", "[::1]:1884", "--label", "zone=a",
        "--mount", f"data={tmp_path}:rw", "--heartbeat", "5s",
    )  # fmt: skip
    assert (found.id, found.heartbeat, found.domain) == ("p1", 5000, "local")
    assert found.broker == Address("::1", 1884)
    assert found.labels == {"zone": "a"}
    assert found.mounts == {"data": (tmp_path, True)}


def test_flags_over_environment_over_file(root: Path, tmp_path: Path) -> None:
    """Each where the one before says nothing."""
    file = tmp_path / "proplet.yaml"
    file.write_text(f"id: file\ndomain: file\nchannel: file\ntrust: {root}\nlabels: {{a: b}}\n")
    found = settings("--config", file, "--id", "flag", PROPLET_ID="env", PROPLET_DOMAIN="env")
    assert (found.id, found.domain, found.channel) == ("flag", "env", "file")
    assert found.labels == {"a": "b"}


def test_names_of_the_first_propeller_are_taken(root: Path) -> None:
    """Its environment starts ours."""
    found = settings(
        PROPLET_TENANT_ID="d",
        PROPLET_CHANNEL_ID="c",
        PROPLET_ENTITY_ID="e",
        PROPLET_API_KEY="secret",
        PROPLET_MQTT_ADDRESS="ssl://broker.example",
        PROPLET_LIVELINESS_INTERVAL="10",
        PROPLET_TRUST=str(root),
    )
    assert (found.domain, found.channel, found.id, found.username) == ("d", "c", "e", "e")
    assert (found.password, found.heartbeat) == ("secret", 10_000)
    assert found.broker == Address("broker.example", 8883, tls=True)
    assert "password: (set)" in shown(found)


@pytest.mark.parametrize("domain", ["domain", "tenant"])
@pytest.mark.parametrize("member", [("client", "client_key"), ("entity", "api_key")])
@pytest.mark.parametrize("camel", [True, False], ids=["camelCase", "snake_case"])
def test_both_spellings_of_supermq_are_taken(
    tmp_path: Path, root: Path, domain: str, member: tuple[str, str], camel: bool
) -> None:
    """domain or tenant, client or entity, key of either; in the file and in the environment."""
    given = {f"{domain}_id": "d", "channel_id": "c", f"{member[0]}_id": "m", member[1]: "secret"}
    environment = {f"PROPLET_{name.upper()}": value for name, value in given.items()}
    file = tmp_path / "proplet.yaml"
    lines = []
    for name, value in given.items():
        head, *rest = name.split("_")
        key = head + "".join(part.capitalize() for part in rest) if camel else name
        lines.append(f"{key}: {value}\n")
    file.write_text("".join(lines))
    for found in (
        settings("--trust", root, **environment),
        settings("--trust", root, "--config", file),
    ):
        assert (found.domain, found.channel, found.id) == ("d", "c", "m")
        assert (found.username, found.password) == ("m", "secret")
    file.write_text("".join(lines) + "id: press-1\n")
    named = settings("--trust", root, "--config", file)
    assert (named.id, named.username) == ("press-1", "m")


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    """With file and line, and what was meant."""
    file = tmp_path / "proplet.yaml"
    file.write_text("id: 'a b'\nheartbeet: 5s\nbroker: 'x:99999'\nmounts: 3\nid: c\ntasks: many\n")
    with pytest.raises(SpecError) as caught:
        settings("--config", file)
    told = str(caught.value)
    for words in (
        f"{file}:1: id: 'a b' is not made of",
        f'{file}:2: heartbeet: unknown setting, did you mean "heartbeat"?',
        f"{file}:3: broker: port 99999 is not between",
        f"{file}:4: mounts: wanted a list or a mapping",
        f"{file}:5: id: given twice",
        f"{file}:6: tasks: 'many' is not a number",
        "trust: missing: without the root's public key",
    ):
        assert words in told


@pytest.mark.parametrize(
    "text",
    ["- a\n- b\n", "a: [\n", "a: !!python/object:os.system {}\n"],
    ids=["list", "cut", "tag"],
)
def test_a_file_that_is_no_mapping_of_settings(tmp_path: Path, text: str) -> None:
    """Refused in words; nothing in it is ever built."""
    file = tmp_path / "proplet.yaml"
    file.write_text(text)
    with pytest.raises(SpecError):
        settings("--config", file, "--id", "x")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Is a wrong command."""
    with pytest.raises(UsageError):
        settings("--config", tmp_path / "none.yaml")


def test_the_page_lists_every_setting() -> None:
    """docs/reference/proplet.md: flag, variable and key of each."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "proplet.md").read_text()
    for setting in SETTINGS:
        names = (setting.option, setting.variable, setting.key)
        assert f"| {' | '.join(f'`{name}`' for name in names)} |" in page, setting.field
        for alias in setting.aliases:
            assert f"`{alias}`" in page, alias


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "proplet", *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_version_and_check_config(root: Path) -> None:
    """Both print and leave."""
    assert run("--version").stdout.startswith("proplet ")
    checked = run("--check-config", "--id", "p1", "--trust", root)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "id: p1\n" in checked.stdout


def test_faults_exit_2_in_words(tmp_path: Path) -> None:
    """No trace for what a person can mend."""
    found = run("--id", "a b")
    assert found.returncode == 2
    assert "command line: id: 'a b' is not made of" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_trust_file_with_rubbish_exits_2(tmp_path: Path) -> None:
    """Before anything is started."""
    bad = tmp_path / "bad.pub"
    bad.write_text("hello")
    found = run("--id", "p1", "--trust", bad, "--data", tmp_path / "data")
    assert found.returncode == 2
    assert "Traceback" not in found.stderr
