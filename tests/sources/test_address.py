"""What a person may type for a source."""

from __future__ import annotations

from pathlib import Path

import pytest

from propeller.errors import UsageError
from propeller.sources.address import GitAddress, check_ref, mask, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("git+file:///r?ref=main&path=specs", GitAddress("file:///r", "main", "specs", local=True)),
        ("file:///a%20b", GitAddress("file:///a%20b", local=True)),
        ("git+https://h.example/r.git?ref=v1", GitAddress("https://h.example/r.git", "v1")),
        (
            "https://h.example/r.git?x=1&path=a/b/",
            GitAddress("https://h.example/r.git?x=1", None, "a/b"),
        ),
        ("git+ssh://git@h.example:22/r.git", GitAddress("ssh://git@h.example:22/r.git")),
        ("ssh://git@h.example/r.git", GitAddress("ssh://git@h.example/r.git")),
        ("git://h.example/r", GitAddress("git://h.example/r")),
        ("git@h.example:team/r.git?ref=dev&path=.", GitAddress("git@h.example:team/r.git", "dev")),
        ("h.example:r.git", GitAddress("h.example:r.git")),
        ("git+/r?ref=main", GitAddress("file:///r", "main", local=True)),
    ],
)
def test_any_url_git_takes_is_a_repository(text, address):
    """With ref and path as a query, which git never sees."""
    assert parse_address(text) == address


def test_a_plain_path_means_its_files(tmp_path):
    """Even when a repository is in it, unless --git says otherwise."""
    (tmp_path / ".git").mkdir()
    assert parse_address(str(tmp_path)) == tmp_path
    assert parse_address(str(tmp_path), git=True) == GitAddress(f"file://{tmp_path}", local=True)
    assert parse_address("./nosuch") == Path("./nosuch")


def test_a_folder_with_a_colon_in_its_name_is_a_folder(tmp_path, monkeypatch):
    """What is there wins over what it looks like."""
    monkeypatch.chdir(tmp_path)
    Path("host:repo").mkdir()
    assert parse_address("host:repo") == Path("host:repo")


def test_a_given_ref_wins_over_the_one_in_the_url():
    """--ref is nearer to the person."""
    assert parse_address("file:///r?ref=a", ref="b") == GitAddress("file:///r", "b", local=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-u",
        "--upload-pack=x",
        "ext::sh -c x",
        "git+ext::sh",
        "git+ext://x",
        "s3://b/c",
        "ssh://-oProxyCommand=x/y",
        "https:///r",
        "a\nb",
        "file:///r?path=../x",
        "git+file:///r?ref=-x",
    ],
)
def test_what_could_make_git_do_something_else_is_refused(text):
    """Options, remote helpers, foreign transports, and ways out of the repository."""
    with pytest.raises(UsageError):
        parse_address(text)


@pytest.mark.parametrize("ref", ["main", "feature/x", "v1.2.3", "refs/pull/1/head", "a" * 40])
def test_names_of_branches_tags_and_commits(ref):
    """What git takes as a ref."""
    check_ref(ref)


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "-x",
        "--all",
        "a..b",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "a*",
        "a[b",
        "a\\b",
        "a@{1}",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a/.b",
        "a.lock",
        "a.",
        "a\n",
        "x" * 256,
    ],
)
def test_what_is_no_ref_is_refused(ref):
    """Neither expressions nor options reach git."""
    with pytest.raises(UsageError, match="cannot be a branch or tag"):
        check_ref(ref)


def test_passwords_are_masked():
    """In names, messages and logs."""
    address = parse_address("https://ana:secret@h.example/r.git")
    assert isinstance(address, GitAddress)
    assert address.shown == "https://***@h.example/r.git"
    assert mask("fatal: https://tok3n@h/x and ssh://h/y") == "fatal: https://***@h/x and ssh://h/y"
