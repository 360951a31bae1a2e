"""Secrets as they are written: plain text is a fault, and no fault repeats a value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from propeller.model.ids import Key
from propeller.model.specs import Daemon, Secret, SecretVar

FIXTURES = Path(__file__).parents[1] / "secrets" / "fixtures"
HEAD = "apiVersion: propeller.dev/v1alpha1\nkind: Secret\nmetadata: {name: broker}\n"
DAEMON = """apiVersion: propeller.dev/v1alpha1
kind: Daemon
metadata: {name: d}
spec:
  module: {file: add.wat}
  run:
    env:
      - {name: RATE, value: "5"}
      - {name: TOKEN, secretRef: {name: broker, key: token}}
"""


def test_a_secret_loads_sealed_and_needs_no_key(loading: Any) -> None:
    """Its keys are known, its values are as they were written."""
    revision = loading({"s.yaml": (FIXTURES / "sops.yaml").read_bytes()})
    made = revision.objects[Key("Secret", "default", "broker")]
    assert isinstance(made, Secret)
    assert made.keys == ("empty", "flag", "pem", "pin", "ratio", "token", "when")
    assert made.meta.spec["data"]["token"].startswith("ENC[AES256_GCM,")
    assert made.meta.spec["sops"]["over"][0] == ["plain", "propeller.dev/v1alpha1"]


def test_a_variable_may_come_from_a_secret(loading: Any) -> None:
    """It stands beside plain ones, and not among them."""
    revision = loading({"d.yaml": DAEMON, "add.wat": loading_wat()})
    made = revision.objects[Key("Daemon", "default", "d")]
    assert isinstance(made, Daemon)
    assert made.run.env == (("RATE", "5"),)
    assert made.run.secrets == (SecretVar(name="TOKEN", secret="broker", key="token"),)


def loading_wat() -> bytes:
    """A module with a `_start`."""
    return b'(module (func (export "_start")))'


def test_plain_text_is_a_fault_that_says_how_to_encrypt(loading: Any) -> None:
    """With the line, without the value."""
    (fault,) = loading.faults_of(HEAD + "spec:\n  data:\n    token: hunter2\n")
    assert fault.startswith("a.yaml:6: spec.data.token: is plain text; encrypt it (`sops encrypt")
    assert "hunter2" not in fault


def test_plain_text_may_be_allowed(loading: Any) -> None:
    """For what is none: the author says so in the file."""
    revision = loading({"a.yaml": HEAD + "spec: {plaintext: Allowed, data: {token: hunter2}}\n"})
    (made,) = revision.objects.values()
    assert isinstance(made, Secret)
    assert made.plaintext


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            HEAD + "spec: {data: hunter2}\n",
            "a.yaml:4: spec.data: must be a mapping",
        ),
        (
            HEAD + "spec: {data: {token: true}}\n",
            "a.yaml:4: spec.data.token: must be a value sealed by sops or age",
        ),
        (
            HEAD + "spec: {data: {token: {deep: hunter2}}}\n",
            "a.yaml:4: spec.data.token: must be a value sealed by sops or age",
        ),
        (
            HEAD + "spec: {data: {'to ken': hunter2}}\n",
            "a.yaml:4: spec.data: \"to ken\" must be the name of a value: letters, digits, '.', "
            "'_' and '-'",
        ),
        (
            HEAD + 'spec: {data: {token: "ENC[AES256_GCM,data:AAAA,iv:AAAA"}}\n',
            "a.yaml:4: spec.data.token: is not a value as SOPS writes them: it was cut or changed",
        ),
        (
            HEAD + 'spec: {data: {token: "ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]"}}\n',
            "a.yaml:4: spec.data.token: was sealed by sops, but the file has no `sops` any more",
        ),
        (
            HEAD + "spec:\n  data:\n    token: |\n      -----BEGIN AGE ENCRYPTED FILE-----\n",
            "a.yaml:6: spec.data.token: must end with -----END AGE ENCRYPTED FILE-----",
        ),
        (
            HEAD
            + 'spec: {data: {token: ""}}\nsops: {pgp: [{fp: "1"}], lastmodified: "x", mac: ""}\n',
            "a.yaml:5: sops.age: must name an age recipient: other kinds of keys are not read",
        ),
        (
            DAEMON.replace("secretRef", "value: x, secretRef"),
            "a.yaml:9: spec.run.env[1].value: must not stand beside secretRef",
        ),
        (
            DAEMON.replace(", key: token", ""),
            "a.yaml:9: spec.run.env[1].secretRef.key: required, for example token",
        ),
    ],
)
def test_what_is_wrong_is_said_without_the_value(loading: Any, text: str, fault: str) -> None:
    """One line each, with the place."""
    faults = loading.faults_of(text)
    assert faults[0] == fault
    assert "hunter2" not in "\n".join(faults)


def test_a_file_in_which_everything_is_encrypted_is_no_deletion(loading: Any) -> None:
    """`sops encrypt` without a regex hides what it is: that is a fault, not a foreign document."""
    text = (FIXTURES / "everything.yaml").read_bytes()
    (fault,) = loading.faults_of(text)
    assert "apiVersion: is encrypted: sops must leave it alone" in fault


def test_a_file_that_sops_encrypted_holds_one_document(loading: Any) -> None:
    """Its MAC covers all of the file."""
    text = (FIXTURES / "sops.yaml").read_text("utf-8")
    other = HEAD.replace("broker", "other") + 'spec: {data: {token: ""}}\n'
    faults = loading.faults_of(f"{text}---\n{other}")
    assert "sops: a file that sops encrypted holds one document" in faults[0]


def test_nothing_but_the_data_may_be_encrypted(loading: Any) -> None:
    """An encrypted label could not be read by anyone who has no key."""
    text = (FIXTURES / "sops.yaml").read_text("utf-8")
    sealed = next(line.split(": ", 1)[1] for line in text.splitlines() if " token: " in line)
    faults = loading.faults_of(text.replace('tier: "1"', f"tier: {sealed}"))
    assert any("metadata.labels.tier" in fault for fault in faults)


def test_other_kinds_have_no_sops(loading: Any) -> None:
    """A Task that was encrypted by mistake is told apart."""
    faults = loading.faults_of(DAEMON + "sops: {age: []}\n")
    assert "sops: unknown field" in faults[0]
