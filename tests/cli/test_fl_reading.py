"""`fl status`, `fl rounds` and `fl export` say what the store has, and change nothing."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import replace

import pytest
from learned import JOB, Learned, model, spec

from propeller.cli.flplot import plot
from propeller.cli.flstatus import cropped
from propeller.model.ids import sha256_digest
from propeller.model.rounds import Order, Step
from propeller.state.sqlite import SqliteStore

ORDER = Order(job=JOB, round=7, attempt=1, step=Step.TRAIN)


@pytest.fixture
def store(state):
    opened = SqliteStore.open(state.database)
    yield opened
    opened.close()


@pytest.fixture
def line(state, store, tmp_path):
    """The task `line` in a state."""
    return Learned(state, store, tmp_path / "specs")


def test_status_says_where_it_is(cli, line):
    """Words, model, best, the newest rounds; no control characters where nobody looks."""
    said = cli("fl", "status", "line")
    assert said.code == 0, said.err
    assert said.out.startswith("FederatedTask/default/line: Training: round 4 of 5: collecting")
    assert "rounds  3 of 5 committed" in said.out
    assert f"model   {line.models[3].digest[:19]}" in said.out
    assert f"best    accuracy 0.9, {line.models[2].digest[:19]} (round 2)" in said.out
    assert "accuracy  0.7 (round 3)" in said.out
    assert "1 accepted, 1 dropped" in said.out
    assert "2 open" in said.out
    assert "\x1b" not in said.out


def test_status_says_what_became_of_a_promotion(cli, state, store, tmp_path):
    """Which round is good enough; the branch once it is pushed; and which round of a fleet above is
    held. The same as data."""
    promote = {"when": "metrics.accuracy >= 0.8", "to": {"kind": "Task", "name": "infer"}}
    line = Learned(state, store, tmp_path / "specs", promote=promote)
    job = replace(line.job, promoted=2)
    for change, words in (
        ({}, "promote round 2 is good enough for Task/default/infer"),
        (
            {"proposed": 2, "branch": "promote/b"},
            "promote round 2 for Task/default/infer: promote/b",
        ),
        ({"proposed": 2}, "promote round 2 for Task/default/infer: its spec has the model already"),
        ({"order": ORDER}, f"above   round 7 of job {JOB[:8]}: under way"),
        (
            {"order": ORDER, "served": ORDER.name, "served_round": 3},
            f"above   round 7 of job {JOB[:8]}: answered by round 3",
        ),
    ):
        with store.transaction():
            store.put_job(replace(job, **change))
        assert words in cli("fl", "status", "line").out
    found = json.loads(cli("fl", "status", "line", "-o", "json").out)
    assert found["promote"] == {"round": 2, "to": "Task/default/infer"}
    assert found["upstream"] == {
        "job": JOB,
        "round": 7,
        "attempt": 1,
        "step": "train",
        "served": True,
    }


def test_status_as_data(cli, line):
    """With every point of the metric, and the round file of the newest round."""
    found = json.loads(cli("fl", "status", "line", "-o", "json").out)
    assert found["object"] == "FederatedTask/default/line"
    assert found["job"] == JOB
    assert found["rounds"] == {"wanted": 5, "committed": 3}
    assert found["model"] == {"digest": line.models[3].digest, "size": line.models[3].size}
    assert (found["best"]["round"], found["best"]["value"]) == (2, "0.9")
    assert found["metric"] == {"name": "accuracy", "points": [[1, 0.5], [2, 0.9], [3, 0.7]]}
    assert found["round"]["state"] == "Collecting"
    assert found["ready"]["reason"] == "Training"


def test_status_follows_until_it_is_over(cli, line):
    """A line for each round, the last one says how it ended."""
    line.finish()
    said = cli("fl", "status", "line", "--watch")
    assert said.code == 0
    told = said.out.splitlines()
    assert told[0] == "round 1 Abandoned: 1 good updates, needs 2"
    assert told[2] == "round 2 Committed: 2 accepted, accuracy 0.9"
    assert told[-1].startswith("FederatedTask/default/line: Finished: 3 of 5")


def test_status_on_a_terminal_is_drawn_over(cli, line, monkeypatch, capsys):
    """It stays until the task is over, goes back to its first line, and shows the plot."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "40")
    timer = threading.Timer(0.6, line.finish)
    timer.start()
    from propeller.cli.__main__ import main

    assert main(["fl", "status", "line"]) == 0
    timer.join()
    out = capsys.readouterr().out
    views = out.split("\x1b[J")
    assert len(views) >= 2
    height = views[0].count("\n")
    assert views[0].endswith(f"\x1b[{height}A")
    assert "█" in views[-1]
    assert "Finished" in views[-1]
    assert max(len(text) for text in views[-1].split("\n")) < 60


def test_status_of_nothing_yet(cli, state, store, tmp_path):
    """No job, no rounds, and no crash."""
    line = Learned(state, store, tmp_path / "specs")
    with store.transaction():
        store.drop_learning(line.uid)
    said = cli("fl", "status", "line")
    assert (said.code, "0 of 5 committed" in said.out) == (0, True)
    assert json.loads(cli("fl", "status", "line", "-o", "json").out)["round"] is None
    assert cli("fl", "rounds", "line", "-o", "json").code == 0
    assert "no committed round yet" in cli("fl", "export", "line", "-o", "x").err


def test_status_of_what_was_written_a_moment_ago(cli, here):
    """No reconciler has read it: it says so, and where it is."""
    (here / "propeller.yaml").write_text("# nothing\n")
    (here / "line.yaml").write_text(spec())
    said = cli("fl", "status", "line")
    assert (said.code, said.out) == (
        0,
        "FederatedTask/default/line: Pending: line.yaml is written,"
        " and no reconciler has read it yet\n",
    )
    assert json.loads(cli("fl", "status", "line", "-o", "json").out)["ready"]["reason"] == "Pending"
    assert cli("fl", "status", "other").code == 2


def test_another_metric_can_be_plotted(cli, line):
    """One that nobody measured has no points."""
    found = json.loads(cli("fl", "status", "line", "--metric", "loss", "-o", "json").out)
    assert found["metric"] == {"name": "loss", "points": []}


def test_rounds_lists_attempts_oldest_first(cli, line):
    """Cohort, what came in, model, metrics or why."""
    said = cli("fl", "rounds", "line")
    rows = [text.split() for text in said.out.splitlines()]
    assert [row[:2] for row in rows[1:]] == [
        ["1", "Abandoned"],
        ["1.2", "Committed"],
        ["2", "Committed"],
        ["3", "Committed"],
        ["4", "Collecting"],
    ]
    assert line.models[2].digest[:19] in said.out
    assert "RECORD" in cli("fl", "rounds", "line", "-o", "wide").out


def test_rounds_as_data_are_the_round_files(cli, line):
    """Without names, as the spec's `reveal` says."""
    items = json.loads(cli("fl", "rounds", "line", "--round", "1", "-o", "json").out)["items"]
    assert [(one["attempt"], one["outcome"]) for one in items] == [
        (1, "Abandoned"),
        (2, "Committed"),
    ]
    assert items[1]["model"]["digest"] == line.models[1].digest
    assert "proplets" not in items[0]["cohort"]
    assert cli("fl", "rounds", "line", "--limit", "2", "-o", "name").out == "3\n4\n"
    assert cli("fl", "rounds", "line", "--limit", "0").code == 2


@pytest.mark.parametrize(
    ("words", "number"),
    [((), 3), (("--round", "1"), 1), (("--best",), 2)],
    ids=["last", "by number", "best"],
)
def test_export_writes_the_model(cli, here, line, words, number):
    """Byte for byte; its digest on stdout."""
    said = cli("fl", "export", "line", *words, "-o", "model.safetensors")
    assert said.code == 0, said.err
    assert (here / "model.safetensors").read_bytes() == model(number)
    assert said.out == f"{line.models[number].digest}\n"


def test_export_says_what_it_cannot(cli, here, line):
    """A round that is not, a blob that is gone or is another; no file is left behind."""
    assert "no committed round 4" in cli("fl", "export", "line", "--round", "4", "-o", "m").err
    path = line.blobs.path(line.models[3].digest)
    path.chmod(0o600)
    path.write_bytes(b"another")
    said = cli("fl", "export", "line", "-o", "m")
    assert said.code == 2
    assert sha256_digest(b"another") in said.err
    line.blobs.delete(line.models[3].digest)
    assert "not in the blob store" in cli("fl", "export", "line", "-o", "m").err
    assert not [path for path in here.iterdir() if path.name not in (".propeller", "specs")]
    assert cli("fl", "export", "line", "--round", "1", "-o", "no/where").code == 2


def test_other_kinds_are_not_meant(cli, fleet):
    """A Task of that name is no FederatedTask."""
    assert cli("fl", "status", "add").code == 2


def test_a_plot_shows_the_ends():
    """Highest and lowest with their values; as many columns as points, at most `width`."""
    lines = plot([(number, number / 10) for number in range(1, 9)], width=40, height=2)
    assert lines == [
        "0.8 |     ▂▄▆█",
        "0.1 | ▁▃▅▇████",
        "      1      8",
    ]
    wide = plot([(number, float(number)) for number in range(1, 1001)], width=20)
    assert max(len(line.partition("|")[2].strip()) for line in wide) == 20


def test_a_plot_of_little_is_no_plot():
    """One point is none; points that are all alike are a line."""
    assert plot([(1, 0.5)]) == []
    assert plot([(1, 0.5), (2, 0.5)], height=2)[1] == "0.5 | ██"


def test_what_is_cropped_keeps_its_colours():
    """Only what is seen counts."""
    assert cropped("\x1b[31mabc\x1b[0mdef", 4) == "\x1b[31mabc\x1b[0md"
