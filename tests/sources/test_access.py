"""Who we are to a git host."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from propeller.errors import Unavailable, UsageError
from propeller.sources.access import Access, Login, host_of, split_secret
from propeller.sources.open import open_source


@pytest.fixture
def key(tmp_path):
    """A deploy key and pinned host keys, under names that want quoting."""
    folder = tmp_path / "my keys"
    folder.mkdir()
    for name in ("deploy%h", "known hosts"):
        (folder / name).write_text("x\n")
    return Login(ssh_key=folder / "deploy%h", known_hosts=folder / "known hosts")


def test_ssh_uses_this_key_and_these_host_keys_only(key):
    """As ssh itself understands the command: no agent, no question, no other file."""
    command = shlex.split(key.ssh_command())
    said = subprocess.run(
        [command[0], "-G", *command[1:], "git.example.org"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    options = dict(line.split(" ", 1) for line in said.splitlines())
    assert options["identityfile"] == str(key.ssh_key).replace("%", "%%")
    assert options["userknownhostsfile"] == str(key.known_hosts)
    assert options["globalknownhostsfile"] == "/dev/null"
    assert options["stricthostkeychecking"] in ("true", "yes")
    assert options["identitiesonly"] == "yes"
    assert options["identityagent"] == "none"
    assert options["batchmode"] == "yes"


def test_git_is_given_the_key_for_its_host(key, tmp_path):
    """The program that stands for ssh here hears the options and the host."""
    heard = tmp_path / "heard"
    programs = tmp_path / "bin"
    programs.mkdir()
    ssh = programs / "ssh"
    ssh.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {shlex.quote(str(heard))}\nexit 255\n')
    ssh.chmod(0o755)
    source = open_source(
        "git+ssh://git@git.example.org/plant.git",
        cache=tmp_path / "cache",
        environ={"PATH": f"{programs}:/usr/bin:/bin"},
        access=Access({"git.example.org": key}),
    )
    with pytest.raises(Unavailable):
        source.head()
    said = heard.read_text()
    assert f'IdentityFile="{str(key.ssh_key).replace("%", "%%")}"' in said
    assert "git@git.example.org" in said


def test_a_missing_key_is_said_before_ssh_is_started(key):
    """By its name."""
    key.ssh_key.unlink()
    with pytest.raises(Unavailable, match="deploy%h: no such file"):
        key.ssh_command()


def test_a_login_is_for_one_host(key):
    """With its port where that was given."""
    other = Login(username="x", token="t")
    access = Access({"git.example.org": key, "git.example.org:8443": other})
    assert access.of("ssh://git@git.example.org/r.git") is key
    assert access.of("git@git.example.org:r.git") is key
    assert access.of("https://git.example.org:8443/r.git") is other
    assert access.of("https://git.example.org.evil.example/r.git") is None
    assert access.of("https://evil.example/git.example.org") is None
    assert access.of("file:///r.git") is None


def test_a_token_is_not_sent_in_plain_text():
    """Except on this machine."""
    access = Access({"git.example.org": Login(token="t"), "127.0.0.1": Login(token="t")})
    with pytest.raises(UsageError, match="without TLS"):
        access.of("http://git.example.org/r.git")
    assert access.of("https://git.example.org/r.git") is not None
    assert access.of("http://127.0.0.1:8000/r.git") is not None


def test_half_a_login_is_refused(tmp_path):
    """A key without host keys would trust whoever answers."""
    for login, words in [
        (Login(ssh_key=tmp_path), "come together"),
        (Login(token="t", token_file=tmp_path), "not both"),
    ]:
        with pytest.raises(UsageError, match=words):
            Access({"h": login}).of("ssh://h/r")


def test_a_secret_is_in_no_repr():
    """Whatever is logged by accident."""
    assert "hunter2" not in repr(Access({"h": Login(token="hunter2")}))


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://u@H.example:8443/r", "h.example:8443"),
        ("git@h.example:r", "h.example"),
        ("h.example:r", "h.example"),
        ("file:///h.example:r", ""),
        ("ssh://h.example/r", "h.example"),
    ],
)
def test_the_host_of_an_address(url, host):
    """In lower case, without the user."""
    assert host_of(url) == host


def test_a_password_is_taken_out_of_an_address():
    """As it was meant, not as it was quoted; ssh addresses have none."""
    bare, login = split_secret("https://a%40b:p%2Fw@h.example/r")
    assert bare == "https://h.example/r"
    assert login == Login(username="a@b", token="p/w")
    assert split_secret("ssh://git:x@h/r") == ("ssh://git:x@h/r", None)
