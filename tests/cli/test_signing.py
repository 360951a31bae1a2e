"""`keygen`, `sign`, `verify` and what `push` adds: from a key to a module that has a signer."""

from __future__ import annotations

import json
import stat

import pytest

from propeller.registry.layout import Layout
from propeller.registry.reference import Reference
from propeller.registry.sbom import CYCLONEDX


@pytest.fixture
def keys(cli, specs, monkeypatch):
    monkeypatch.setenv("COSIGN_PASSWORD", "word")
    said = cli("keygen", "ana")
    assert said.code == 0, said.err
    return said


def test_a_pair_is_made_once(cli, keys, tmp_path):
    """The private half is for its owner only, and no key is ever replaced."""
    assert keys.out.split() == ["ana.key", "ana.pub"]
    assert stat.S_IMODE((tmp_path / "ana.key").stat().st_mode) == 0o600
    before = (tmp_path / "ana.key").read_bytes()
    said = cli("keygen", "ana")
    assert said.code == 2
    assert "is there already" in said.err
    assert (tmp_path / "ana.key").read_bytes() == before


def test_sign_and_verify(cli, keys):
    """What was signed verifies with its key; what was not is refused, with what to do."""
    cli("push", "plant/add.wat", "local/add:1")
    unsigned = cli("verify", "local/add:1", "--key", "ana.pub")
    assert unsigned.code == 2
    assert "propeller sign local/add:1" in unsigned.err
    signed = cli("sign", "local/add:1", "--key", "ana.key", "-a", "build=7")
    assert signed.code == 0, signed.err
    found = cli("verify", "local/add:1", "--key", "ana.pub", "-o", "json")
    assert found.code == 0, found.err
    (one,) = json.loads(found.out)["signatures"]
    assert one["annotations"] == {"build": "7"}
    assert one["reference"] == "local/add"


def test_push_signs_and_leaves_a_bill(cli, keys, tmp_path):
    """One command publishes, vouches and lists what is inside; --no-sbom leaves the list out."""
    assert cli("push", "plant/add.wat", "local/add:2", "--sign", "ana.key").code == 0
    assert cli("verify", "local/add:2", "--key", "ana.pub").code == 0
    shelf = Layout(tmp_path / ".propeller" / "oci")
    assert len(shelf.referrers(Reference("local", "add", "2"), CYCLONEDX)) == 1
    cli("push", "plant/add.wat", "local/bare:1", "--no-sbom", "--annotation", "bare=1")
    assert shelf.referrers(Reference("local", "bare", "1"), CYCLONEDX) == ()


def test_push_encrypts_to_devices_groups_and_files(cli, keys, specs, tmp_path):
    """Named in any way; what is published holds nothing of the module, and no bill of materials."""
    from propeller.registry.encrypted import identity, unseal
    from propeller.state.keys import Keys
    from propeller.wire.boxes import BoxKey

    box = Keys(tmp_path / ".propeller" / "keys").device_box("press")
    made = cli("keygen", "presses", "--group")
    assert made.out.split() == ["presses.group.pem", "presses.group.pub"]
    assert stat.S_IMODE((tmp_path / "presses.group.pem").stat().st_mode) == 0o600
    group = BoxKey.from_pem((tmp_path / "presses.group.pem").read_bytes())
    (tmp_path / "all").write_text(f"# the presses\n{group.public.text}\n\n")
    to = ["--encrypt-to", "proplet/press", "--encrypt-to", "all"]
    said = cli("push", "plant/add.wat", "local/add:enc", *to, "--sign", "ana.key")
    assert said.code == 0, said.err
    assert "encrypted to 2 keys" in said.err
    assert cli("verify", "local/add:enc", "--key", "ana.pub").code == 0
    assert cli("pull", "local/add:enc", "x.wasm").code == 2
    shown = json.loads(cli("inspect", "local/add:enc", "-o", "json").out)
    shelf = Layout(tmp_path / ".propeller" / "oci")
    ref = Reference("local", "add", "enc")
    assert shelf.referrers(ref, CYCLONEDX) == ()
    with shelf.open_blob(ref, shown["module"]["digest"]) as pieces:
        sealed = b"".join(pieces)
    for key in (box, group):
        module = unseal(sealed, [identity(key.seed())], shown["config"]["plain"])
        assert module.startswith(b"\0asm")


@pytest.mark.parametrize(
    "words",
    [
        ["--encrypt-to", "proplet/nobody"],
        ["--encrypt-to", "x25519:AAAA"],
        ["--encrypt-to", "nowhere"],
        ["--key-path", "a/b/c"],
        ["--encrypt-to", "plant/add.wat"],
    ],
    ids=" ".join,
)
def test_whom_nobody_knows_nothing_is_encrypted_to(cli, specs, words, tmp_path):
    """Refused in words, and nothing is published."""
    assert cli("push", "plant/add.wat", "local/add:enc", *words).code == 2
    assert cli("inspect", "local/add:enc").code == 2


def test_verify_against_the_policies(cli, keys, tmp_path):
    """Which rules are about it, and whether they are content; a rule that is not ends with 2."""
    (tmp_path / "etc.yaml").write_text(
        json.dumps(
            {
                "modulePolicies": [
                    {"name": "all", "repositories": ["local/*"], "keys": ["ana.pub"]},
                    {"name": "try", "mode": "Warn", "repositories": ["*"], "keys": ["ana.pub"]},
                ]
            }
        )
    )
    etc = ["--policy", "--config", "etc.yaml"]
    cli("push", "plant/add.wat", "local/add:1")
    unsigned = cli("verify", "local/add:1", *etc)
    assert unsigned.code == 2
    assert "not as all wants it" in unsigned.err
    assert cli("sign", "local/add:1", "--key", "ana.key").code == 0
    signed = cli("verify", "local/add:1", *etc)
    assert signed.code == 0, signed.err
    assert signed.out.splitlines() == ["all  Required  signed", "try  Warn  signed"]
    assert cli("verify", "local/add:1").code == 2
    assert cli("verify", "local/add:1", "--key", "ana.pub", *etc).code == 2


def test_a_wrong_word_signs_nothing(cli, keys, monkeypatch):
    """And says which variables are looked at."""
    cli("push", "plant/add.wat", "local/add:1")
    monkeypatch.setenv("PROPELLER_KEY_PASSWORD", "other")
    said = cli("sign", "local/add:1", "--key", "ana.key")
    assert said.code == 2
    assert "passphrase does not open it" in said.err
    assert cli("verify", "local/add:1", "--key", "ana.pub").code == 2


def test_dry_runs_write_nothing(cli, keys, tmp_path):
    """Neither a key nor a signature."""
    assert cli("keygen", "eve", "--dry-run").code == 0
    assert not (tmp_path / "eve.key").exists()
    cli("push", "plant/add.wat", "local/add:1")
    assert cli("sign", "local/add:1", "--key", "ana.key", "--dry-run").code == 0
    assert cli("verify", "local/add:1", "--key", "ana.pub").code == 2
