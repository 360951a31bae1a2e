"""Where identities come from, and that they are never repeated."""

from __future__ import annotations

from pathlib import Path

import pytest
from sops_maker import Identity

from propeller.secrets.age import MAX_KEY_FILE, Identities, Locked


def test_a_key_file_holds_several_with_comments(tmp_path: Path) -> None:
    """As `age-keygen` writes it."""
    first, second = Identity(), Identity()
    file = tmp_path / "keys.txt"
    file.write_text(f"# created\n# public key: x\n{first.text}\n\n  {second.text}\n")
    sealed = second.armored(b"value").encode()
    assert Identities(file=file).open(sealed) == b"value"


def test_the_file_is_read_when_something_is_opened(tmp_path: Path) -> None:
    """A key that is brought later works without a restart."""
    one, file = Identity(), tmp_path / "keys.txt"
    identities = Identities(file=file)
    with pytest.raises(Locked, match="No such file"):
        identities.open(one.armored(b"value").encode())
    file.write_text(one.text)
    assert identities.open(one.armored(b"value").encode()) == b"value"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("AGE-SECRET-KEY-1HUNTER2", "line 1 is a broken age identity"),
        ("# ours\nage1publickey", "line 2 is no age identity"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "line 1 is no age identity"),
    ],
)
def test_a_broken_identity_is_named_by_its_line_only(text: str, words: str) -> None:
    """What stands there may be a key with a typo in it."""
    with pytest.raises(Locked) as caught:
        Identities(text=text, named="SOPS_AGE_KEY").open(b"x")
    assert str(caught.value).startswith(f"SOPS_AGE_KEY: {words}")
    assert "HUNTER2" not in str(caught.value)


def test_a_file_without_end_is_refused(tmp_path: Path) -> None:
    """The wrong file costs nothing."""
    file = tmp_path / "keys.txt"
    file.write_bytes(b"#" * (MAX_KEY_FILE + 1))
    with pytest.raises(Locked, match="larger than"):
        Identities(file=file).open(b"x")


def test_identities_hide_themselves() -> None:
    """Neither `repr` nor a traceback's locals show a key."""
    one = Identity()
    assert one.text not in repr(Identities(text=one.text))
