"""Secrets on the command line: masked by kind, and where the identities come from."""

from __future__ import annotations

import argparse

from propeller.cli.masking import Mask
from propeller.cli.settings import fleet_of, identities_of
from propeller.plan.types import FieldDiff


def test_every_value_of_a_secret_is_masked_whatever_it_is_called():
    """By its kind; equal ones have one number."""
    shown = Mask().spec("Secret", {"data": {"a": "x", "b": "y", "c": "x"}, "plaintext": "Denied"})
    assert shown == {
        "data": {"a": "*** (#1)", "b": "*** (#2)", "c": "*** (#1)"},
        "plaintext": "Denied",
    }


def test_a_reference_to_a_secret_is_shown():
    """It names what to look for, and is no secret."""
    env = [{"name": "TOKEN", "secretRef": {"name": "broker", "key": "token"}}]
    assert Mask().spec("Daemon", {"run": {"env": env}}) == {"run": {"env": env}}


def test_a_change_of_a_secret_shows_whether_the_value_moved():
    """Sealed anew with the same value: one number; another value: two."""
    mask = Mask({"ENC[1]": "same", "ENC[2]": "same", "ENC[3]": "other"})
    again = mask.field(FieldDiff("spec.data.a", "ENC[1]", "ENC[2]"), kind="Secret")
    assert (again.before, again.after) == ("*** (#1)", "*** (#1)")
    moved = mask.field(FieldDiff("spec.data.a", "ENC[2]", "ENC[3]"), kind="Secret")
    assert (moved.before, moved.after) == ("*** (#1)", "*** (#2)")
    new = mask.field(FieldDiff("spec.data.b", None, "ENC[4]"), kind="Secret")
    assert (new.before, new.after) == (None, "*** (#3)")
    whole = mask.field(FieldDiff("spec.data", None, {"a": "ENC[3]"}), kind="Secret")
    assert whole.after == {"a": "*** (#2)"}


def test_the_flag_wins_over_the_file_over_the_environment(tmp_path, monkeypatch):
    """And `config show` has the file's name, never what is in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", "env.key")
    (tmp_path / "propeller.yaml").write_text("secrets: {ageKeyFile: ours.key}\n")
    flagged = identities_of(fleet_of(argparse.Namespace(age_key="flag.key"), tree=tmp_path))
    assert str(flagged.file) == "flag.key"
    filed = identities_of(fleet_of(argparse.Namespace(), tree=tmp_path))
    assert str(filed.file) == str(tmp_path / "ours.key")
    (tmp_path / "propeller.yaml").unlink()
    assert str(identities_of(fleet_of(argparse.Namespace(), tree=tmp_path)).file) == "env.key"


def test_a_key_in_the_environment_is_taken_out_of_it(tmp_path, monkeypatch):
    """Processes that are started afterwards inherit nothing; this one still has it."""
    import os

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("propeller.cli.settings._taken", {})
    monkeypatch.setenv("SOPS_AGE_KEY", "AGE-SECRET-KEY-1TEST")
    fleet = fleet_of(argparse.Namespace(), tree=tmp_path)
    assert identities_of(fleet).text == "AGE-SECRET-KEY-1TEST"
    assert "SOPS_AGE_KEY" not in os.environ
    assert identities_of(fleet).text == "AGE-SECRET-KEY-1TEST"
