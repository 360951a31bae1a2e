"""Logins as docker keeps them, and that they are never shown."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from propeller.errors import UsageError
from propeller.registry.credentials import Login, anonymous, docker_credentials


def _config(tmp_path: Path, document: object) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    return path


def _auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_a_stored_login_is_found_by_host(tmp_path: Path):
    """With or without a scheme before the host; others go without."""
    auths = {"r.example": _auth("a", "b:c"), "https://s.example/v1/": _auth("x", "y"), "t": {}}
    find = docker_credentials(_config(tmp_path, {"auths": auths}))
    assert find("r.example") == Login("a", "b:c")
    assert find("s.example") == Login("x", "y")
    assert find("t") is None
    assert find("u.example") is None


def test_the_hub_has_its_own_name(tmp_path: Path):
    """docker keeps it under an address of old."""
    auths = {"https://index.docker.io/v1/": _auth("a", "b")}
    assert docker_credentials(_config(tmp_path, {"auths": auths}))("docker.io") == Login("a", "b")


def test_an_identity_token_is_taken_as_one(tmp_path: Path):
    """It is exchanged, not sent as a password."""
    auths = {"r.example": {"identitytoken": "t0"}}
    found = docker_credentials(_config(tmp_path, {"auths": auths}))("r.example")
    assert found == Login(identity_token="t0")


def test_a_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`docker-credential-NAME get`, by host or for all."""
    helper = tmp_path / "docker-credential-test"
    helper.write_text(
        "#!/bin/sh\nread host\n"
        '[ "$host" = r.example ] || exit 1\n'
        'echo "{\\"Username\\": \\"me\\", \\"Secret\\": \\"of $host\\"}"\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for document in ({"credHelpers": {"r.example": "test"}}, {"credsStore": "test"}):
        find = docker_credentials(_config(tmp_path, document))
        assert find("r.example") == Login("me", "of r.example")
        assert find("other.example") is None


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"auths": {"r.example": {"auth": "%%%"}}},
        {"credHelpers": {"r.example": "../evil"}},
        {"credHelpers": {"r.example": "is-not-installed"}},
    ],
)
def test_a_config_that_cannot_be_used_is_named(tmp_path: Path, document: object):
    """The person is told which file or helper it is."""
    path = _config(tmp_path, document)
    with pytest.raises(UsageError, match=str(path)):
        docker_credentials(path)("r.example")


def test_no_config_means_anonymous(tmp_path: Path):
    """A missing file is no fault."""
    assert docker_credentials(tmp_path / "none.json")("r.example") is None
    assert anonymous("r.example") is None


def test_a_login_shows_no_secret():
    """Neither in a log nor in a traceback."""
    login = Login("me", "password", "token")
    assert "password" not in repr(login)
    assert "token=" not in repr(login)
    assert login.user in repr(login)
