"""Opening what SOPS and age wrote: the real files, and files somebody touched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sops_maker import Identity, secret_yaml

from propeller.secrets.age import Identities, Locked
from propeller.secrets.sops import open_secret
from propeller.sources.documents import read_spec_file

IN_CLEAR = {
    "token": "s3cr3t-töken",
    "pin": "1234",
    "ratio": "0.5",
    "flag": "true",
    "empty": "",
    "when": "2024-01-02T00:00:00Z",
    "pem": "line one\nline two\n",
}


def spec_of(text: str | bytes, *, json: bool = False) -> dict[str, Any]:
    """The canonical spec of the one Secret in a file."""
    data = text.encode() if isinstance(text, str) else text
    read = read_spec_file(data, json=json)
    assert read.flaws == ()
    (document,) = read.documents
    return dict(document.spec)


@pytest.mark.parametrize(
    "name", ["sops.yaml", "sops.json", "mac-only-encrypted.yaml", "two-recipients.yaml"]
)
def test_what_the_real_sops_wrote_opens(fixtures: Path, name: str) -> None:
    """Every type of value, comments, both forms of the MAC, YAML and JSON, several recipients."""
    spec = spec_of((fixtures / name).read_bytes(), json=name.endswith("json"))
    assert open_secret(spec, Identities(file=fixtures / "identity.txt")) == IN_CLEAR


def test_what_the_real_age_wrote_opens(fixtures: Path) -> None:
    """An armored age file stands for a value by itself."""
    spec = spec_of((fixtures / "age.yaml").read_bytes())
    opened = open_secret(spec, Identities(file=fixtures / "identity.txt"))
    assert opened == {"token": "s3cr3t-töken"}


def test_what_our_own_maker_writes_opens() -> None:
    """The second spelling of the format that other tests use."""
    one = Identity()
    spec = spec_of(secret_yaml("broker", {"token": "hunter2", "name": "Größe"}, one))
    assert open_secret(spec, Identities(text=one.text)) == {"token": "hunter2", "name": "Größe"}


def test_nothing_that_is_kept_holds_a_value(fixtures: Path) -> None:
    """The canonical spec, which goes into the store and the digests, is sealed throughout."""
    spec = spec_of((fixtures / "sops.yaml").read_bytes())
    assert "s3cr3t" not in repr(spec)
    assert "line one" not in repr(spec)


@pytest.mark.parametrize(
    ("what", "pattern", "instead", "words"),
    [
        ("a value", r"(token: ENC\[AES256_GCM,data:).", r"\1A", "data.token was changed"),
        ("plain text", r"name: broker", "name: pirate", "MAC does not match"),
        ("a label", r'tier: "1"', 'tier: "2"', "MAC does not match"),
        ("the time", r"lastmodified: \"20", 'lastmodified: "21', "sops.mac was changed"),
        ("the keys", r"\bpin: ENC", "pin2: ENC", "data.pin2 was changed, or moved"),
        ("the data key", r"(enc: \|\n\s+-----BEGIN.*\n\s+)YWdl", r"\1AAAA", "not an age file"),
    ],
)
def test_a_file_that_was_changed_without_sops_stays_shut(
    fixtures: Path, what: str, pattern: str, instead: str, words: str
) -> None:
    """Whatever was touched: a value, a name, a label, the order of keys, the envelope."""
    text = (fixtures / "sops.yaml").read_text("utf-8")
    changed, count = re.subn(pattern, instead, text, count=1)
    assert count == 1, what
    with pytest.raises(Locked, match=re.escape(words)) as caught:
        open_secret(spec_of(changed), Identities(file=fixtures / "identity.txt"))
    assert "s3cr3t" not in str(caught.value)


def test_two_values_that_changed_places_stay_shut(fixtures: Path) -> None:
    """The order of the document is part of what the MAC covers."""
    lines = (fixtures / "sops.yaml").read_text("utf-8").splitlines()
    pin = next(at for at, line in enumerate(lines) if line.strip().startswith("pin:"))
    lines[pin], lines[pin + 1] = lines[pin + 1], lines[pin]
    with pytest.raises(Locked, match="MAC does not match"):
        open_secret(spec_of("\n".join(lines)), Identities(file=fixtures / "identity.txt"))


def test_where_only_sealed_values_are_covered_the_rest_may_change(fixtures: Path) -> None:
    """`mac_only_encrypted`: an overlay may then give such a Secret a label."""
    text = (fixtures / "mac-only-encrypted.yaml").read_text("utf-8")
    spec = spec_of(text.replace('tier: "1"', 'tier: "2"'))
    assert open_secret(spec, Identities(file=fixtures / "identity.txt")) == IN_CLEAR


def test_who_is_no_recipient_is_told_whose_it_is() -> None:
    """The recipients are public, and say which key to look for."""
    owner, other = Identity(), Identity()
    spec = spec_of(secret_yaml("broker", {"token": "hunter2"}, owner))
    with pytest.raises(Locked, match=owner.recipient):
        open_secret(spec, Identities(text=other.text))


def test_without_an_identity_it_says_where_one_goes() -> None:
    """The next step is in the message."""
    spec = spec_of(secret_yaml("broker", {"token": "hunter2"}, Identity()))
    with pytest.raises(Locked) as caught:
        open_secret(spec, Identities())
    assert "--age-key" in caught.value.hint
