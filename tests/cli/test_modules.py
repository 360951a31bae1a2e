"""`new`, `push`, `pull`, `inspect`, `explain` and `doctor`: nothing has to run for them."""

from __future__ import annotations

import json
import shutil
import socket
import struct

import pytest

from propeller.cli import doctor
from propeller.state.lease import Lease
from propeller.state.sqlite import SqliteStore, wall_clock_ms


def test_a_new_app_validates(cli, tmp_path):
    """As it was written; the paths on stdout."""
    said = cli("new", "app", "plant")
    assert said.code == 0
    assert said.out.split() == ["plant/propeller.yaml", "plant/hello.yaml", "plant/hello.wat"]
    assert cli("validate", "plant").code == 0


@pytest.mark.parametrize("language", ["wat", "c"])
def test_a_new_module_validates(cli, tmp_path, language):
    """C is compiled where a compiler is installed, and says what to install where it is not."""
    said = cli("new", "module", "My_Filter", "--lang", language)
    assert said.code == 0
    assert (tmp_path / "My_Filter" / "my-filter.yaml").exists()
    if language == "c" and not (tmp_path / "My_Filter" / "my-filter.wasm").exists():
        assert "apt-get" in said.err
        return
    assert cli("validate", "My_Filter").code == 0


def test_new_never_overwrites(cli, tmp_path):
    """Nor names what cannot be a name; --dry-run writes nothing."""
    assert cli("new", "app", "plant", "--dry-run").code == 0
    assert not (tmp_path / "plant").exists()
    cli("new", "app", "plant")
    (tmp_path / "plant" / "hello.wat").write_text("mine")
    said = cli("new", "app", "plant")
    assert said.code == 2
    assert (tmp_path / "plant" / "hello.wat").read_text() == "mine"
    assert cli("new", "module", "x", "--name", "No Name").code == 2
    assert cli("new", "module", "plant/hello.wat").code == 2


def test_push_inspect_pull(cli, specs, tmp_path):
    """What was pushed comes back byte for byte, and its reference can be pinned."""
    pushed = cli("push", "plant/add.wat", "local/add:1")
    assert pushed.code == 0, pushed.err
    assert pushed.out.startswith("local/add:1@sha256:")
    shown = json.loads(cli("inspect", "local/add:1", "-o", "json").out)
    assert shown["reference"] == pushed.out.strip()
    assert cli("pull", "local/add:1", "add.wasm").code == 0
    facts = json.loads(cli("inspect", "add.wasm", "-o", "json").out)
    assert facts["digest"] == shown["module"]["digest"]
    assert facts["exports"] == [{"name": "add", "params": ["i32", "i32"], "results": ["i32"]}]
    text = cli("inspect", "plant/add.wat").out
    assert "add(i32, i32) -> i32" in text
    assert facts["digest"] in text
    assert (tmp_path / ".propeller" / "oci" / "index.json").exists()


def test_a_layout_anywhere(cli_bytes, specs):
    """`oci-layout://DIR:TAG` needs no state; - is stdout."""
    assert cli_bytes("push", "plant/add.wat", "oci-layout://shelf:add")[0] == 0
    code, data = cli_bytes("pull", "oci-layout://shelf:add", "-")
    assert code == 0
    assert data.startswith(b"\0asm")


@pytest.mark.parametrize(
    "words",
    [
        ["push", "plant/add.yaml", "local/add:1"],
        ["push", "nowhere.wasm", "local/add:1"],
        ["push", "plant/add.wat", "add"],
        ["push", "plant/add.wat", "local/add@sha256:" + "0" * 64],
        ["push", "plant/add.wat", "local/add:1", "--annotation", "x"],
        ["pull", "local/none:1", "x.wasm"],
        ["pull", "local/none:1"],
        ["pull", "local/add:1", "plant/add.wat"],
        ["inspect", "nowhere.wasm"],
        ["inspect", "plant/add.yaml"],
        ["explain", "taks"],
        ["explain", "task.spec.runKeey"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_two(cli, specs, words):
    """Said in words, nothing on stdout."""
    said = cli(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("propeller: ")
    assert "defect" not in said.err


def aot_file(arch):
    """As WAMR's compiler begins one: magic, version, what it is for, and its data."""
    info = struct.pack("<HHHHIIQQ16s", 0, 0, 1, 40, 1, 0, 6, 0, arch.encode())
    data = struct.pack("<III", 0, 1, 3)
    head = b"\0aot" + struct.pack("<III", 6, 0, len(info))
    return head + info + struct.pack("<II", 1, len(data)) + data


def test_native_code_is_pushed_beside_its_module(cli, specs, tmp_path):
    """It is checked first, by what stands in the file; the module stays what it was."""
    plain = cli("push", "plant/add.wat", "local/plain:1")
    (tmp_path / "m3.aot").write_bytes(aot_file("thumbv7"))
    (tmp_path / "m4.aot").write_bytes(aot_file("thumbv7em"))
    (tmp_path / "cut.aot").write_bytes(aot_file("thumbv7")[:50])
    said = cli("push", "plant/add.wat", "local/add:1", "--aot", "m3.aot", "--aot", "m4.aot")
    assert said.code == 0, said.err
    assert "and its build for thumbv7/wamr-6, and its build for thumbv7em/wamr-6" in said.err
    assert said.out.partition("@")[2] == plain.out.partition("@")[2]
    for given, words in (
        (["--aot", "cut.aot"], "cut short at byte 50"),
        (["--aot", "plant/add.wat"], "not_aot"),
        (["--aot", "nowhere.aot"], "No such file"),
        (["--aot", "m3.aot", "--aot", "m3.aot"], "the second build for thumbv7/wamr-6"),
    ):
        said = cli("push", "plant/add.wat", "local/other:1", *given)
        assert (said.code, words in said.err) == (2, True), said.err
    assert cli("inspect", "local/other:1").code != 0


def test_a_dry_run_pushes_and_pulls_nothing(cli, specs, tmp_path):
    """It says what it would do."""
    assert cli("push", "plant/add.wat", "local/add:1", "--dry-run").code == 0
    assert not (tmp_path / ".propeller" / "oci").exists()
    cli("push", "plant/add.wat", "local/add:1")
    assert cli("pull", "local/add:1", "x.wasm", "--dry-run").code == 0
    assert not (tmp_path / "x.wasm").exists()


def test_explain_tells_type_default_and_fields(cli):
    """From the schemas; paths in any case, `spec.` may be left out."""
    said = cli("explain", "Task.placement.replicas")
    assert said.code == 0
    assert "FIELD:    spec.placement.replicas <whole number>" in said.out
    assert "FIELDS:" in cli("explain", "daemon.spec").out
    assert "spec.limits.memory" in cli("explain", "task", "--recursive").out
    assert "did you mean spec.runKey?" in cli("explain", "task.spec.runKeey").err
    assert json.loads(cli("explain", "task.spec.runKey", "-o", "json").out)["schema"]["type"]


def checks(said):
    """The checks of a JSON answer by name."""
    return {one["name"]: one for one in json.loads(said.out)["checks"]}


def test_doctor_is_content_with_nothing(cli):
    """No state and no broker are no faults."""
    said = cli("doctor")
    assert said.code == 0, said.out
    assert "none in .propeller yet" in said.out


def test_doctor_finds_what_is_open(cli, state, specs):
    """Keys and private folders that others can read, each with the command that mends it."""
    (state.keys / "root.pub").write_text("x")
    (state.keys / "root.pem").write_text("x")
    (state.keys / "root.pem").chmod(0o644)
    state.run.chmod(0o755)
    said = cli("doctor", "-o", "json")
    assert said.code == 2
    found = checks(said)
    assert found["keys"]["state"] == "bad"
    assert found["keys"]["mend"].startswith("chmod 600")
    assert "mend: chmod 700" in cli("doctor").out


def test_doctor_names_the_lease_holder(cli, state):
    """One that does not answer is a warning."""
    with Lease(state.run).acquire(verb="serve", started=wall_clock_ms(), socket="nowhere"):
        found = checks(cli("doctor", "-o", "json"))
    assert found["lease"]["state"] == "warning"
    assert "propeller serve" in found["lease"]["words"]


def test_doctor_tells_of_a_refused_revision(cli, fleet):
    """And that the last good one stands."""
    fleet.refuse("x.yaml:1: no")
    said = cli("doctor", "-o", "json")
    assert said.code == 0
    assert checks(said)["store"]["state"] == "warning"


def test_doctor_survives_a_broken_state(cli, state):
    """What cannot be checked is a finding; the other checks go on."""
    state.database.write_bytes(b"rubbish" * 1000)
    said = cli("doctor", "-o", "json")
    assert said.code == 2
    assert "mosquitto" in checks(said)


def test_doctor_asks_the_broker_and_the_registries(cli, tmp_path):
    """Nobody listens there: both say so, with what to look at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        (tmp_path / "propeller.yaml").write_text(
            f'broker: {{address: "127.0.0.1:{port}"}}\n'
            f'registries: {{"127.0.0.1:{port}": {{plainHttp: Allowed}}, x: {{layout: ./none}}}}\n'
        )
        said = cli("doctor", "-o", "json", "--timeout", "0.5")
    assert said.code == 2
    found = checks(said)
    assert found["broker"]["state"] == "bad"
    assert found[f"registry 127.0.0.1:{port}"]["state"] == "bad"
    assert found["registry x"]["state"] == "warning"


def test_doctor_finds_a_bad_configuration(cli, tmp_path):
    """With its line."""
    (tmp_path / "propeller.yaml").write_text("domian: x\n")
    said = cli("doctor", "-o", "json")
    assert said.code == 2
    assert "propeller.yaml:1" in checks(said)["config"]["words"]


def test_doctor_warns_of_a_full_disk(cli, state, monkeypatch):
    """Before it is full."""
    SqliteStore.open(state.database).close()
    usage = shutil.disk_usage(state.path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    assert checks(cli("doctor", "-o", "json"))["state"]["state"] == "warning"


@pytest.mark.live
def test_doctor_measures_a_real_broker(cli, tmp_path):
    """The embedded one: taken in, echoed, a mebibyte at once."""
    from propeller.transport.embedded import EmbeddedBroker

    broker = EmbeddedBroker(tmp_path / "broker")
    address = broker.start()
    try:
        (tmp_path / "propeller.yaml").write_text(
            f'broker: {{address: "{address.host}:{address.port}"}}\n'
        )
        said = cli("doctor", "-o", "json")
    finally:
        broker.stop()
    found = checks(said)
    assert "round trip" in found["broker"]["words"]
    assert found["max packet"]["state"] == "ok"
    assert said.code == 0
