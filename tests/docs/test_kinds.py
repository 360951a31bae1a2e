"""docs/reference/kinds is what the schemas say."""

from __future__ import annotations

import pytest

from propeller.cli import kindpages
from propeller.sources.schemas import KINDS, TREE_KINDS, walk

MADE = dict(kindpages.pages())


def test_the_pages_are_what_the_schemas_say(reading):
    """Made by `python -m propeller.cli.kindpages`: the same bytes, and no page more."""
    folder = reading.ROOT / "docs" / "reference" / "kinds"
    assert {path.name: path.read_text() for path in folder.iterdir()} == MADE


def test_a_folder_is_named_by_no_option(tmp_path, monkeypatch, capsys):
    """`--help` says what the command does, an unknown option is refused; nothing is made."""
    monkeypatch.chdir(tmp_path)
    for argument, code in (("--help", 0), ("--out", 2)):
        with pytest.raises(SystemExit) as ended:
            kindpages.main([argument])
        assert ended.value.code == code
    assert "kindpages" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert kindpages.main(["pages"]) == 0
    assert len(list((tmp_path / "pages").iterdir())) == len(MADE)


@pytest.mark.parametrize("kind", [*KINDS, *TREE_KINDS])
def test_every_field_has_a_row_with_all_that_is_known(kind):
    """Name, type, meaning and example of each field; its row is split where it should be."""
    rows = [
        line.replace("\\|", "").strip("|").split("|")
        for line in MADE[f"{kind.lower()}.md"].splitlines()
        if line.startswith("| `")
    ]
    fields = dict(walk(kind))
    assert len(rows) == len(fields)
    assert {len(row) for row in rows} == {6}
    for name, type_, _default, _allowed, meaning, _example in rows:
        assert name.strip("` ")
        assert type_.strip()
        assert meaning.strip()
