"""The audit log: what is in it, and that an altered line is found."""

from __future__ import annotations

import json
import stat

import pytest

from propeller.cli.context import Client
from propeller.gateway.access import audit as audit_module
from propeller.gateway.access.audit import Audit, Deed
from propeller.gateway.api import make_app
from propeller.gateway.server import ApiServer


class AnsweringLoop:
    """Says yes."""

    def post(self, event):
        event.reply({"done": True})

    def health(self):
        return {}


OBJECT = "/api/v1/objects/Daemon/plant-a/filter"


def deed(number, **more):
    """One request."""
    given = {
        "at": number,
        "who": "token:ci",
        "via": "token",
        "origin": "127.0.0.1",
        "what": f"POST /x/{number}",
        "outcome": 200,
        **more,
    }
    return Deed(**given)


@pytest.fixture
def log(tmp_path):
    """A log with five lines."""
    audit = Audit(tmp_path / "audit")
    for number in range(5):
        audit.note(deed(number))
    return audit


def path_of(audit):
    return audit.files()[-1]


def test_a_log_that_nobody_touched_holds(log):
    """Every line follows; the file is private."""
    assert log.verify() == (5, None)
    assert stat.S_IMODE(path_of(log).stat().st_mode) == 0o600


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("name", ["at", "who", "from", "what", "outcome", "n", "prev", "hash"])
def test_an_altered_line_is_found_where_it_is(log, number, name):
    """Whatever field of whatever line."""
    lines = path_of(log).read_text().splitlines()
    line = json.loads(lines[number])
    line[name] = 7 if isinstance(line[name], int) else "0" * 64
    lines[number] = json.dumps(line)
    path_of(log).write_text("\n".join(lines) + "\n")
    count, broken = log.verify()
    if name == "prev" and number == 0:
        assert broken is None, "the first line follows nothing"
        return
    assert count == number
    assert broken is not None
    assert broken.line == number + 1


def test_lines_that_are_taken_out_put_in_or_swapped_are_found(log):
    """The chain says where."""
    lines = path_of(log).read_text().splitlines()
    for wrong, at in (
        ([*lines[:2], *lines[3:]], 3),
        ([*lines[:2], lines[1], *lines[2:]], 3),
        ([lines[1], lines[0], *lines[2:]], 1),
        ([*lines[:4], "not json"], 5),
        (['{"n": 1.5}', *lines], 1),
    ):
        path_of(log).write_text("\n".join(wrong) + "\n")
        _, broken = log.verify()
        assert broken is not None
        assert broken.line == at


def test_a_log_that_was_cut_is_found_by_a_hash_noted_elsewhere(log):
    """Cutting the end leaves a chain that holds; who noted its head knows better."""
    _, head = log.head()
    assert log.verify(head) == (5, None)
    lines = path_of(log).read_text().splitlines()
    path_of(log).write_text("\n".join(lines[:3]) + "\n")
    assert log.verify() == (3, None)
    count, broken = log.verify(head)
    assert count == 3
    assert broken is not None
    assert "not in the chain" in broken.why


def test_the_chain_goes_on_in_the_next_file(tmp_path, monkeypatch):
    """A full file is put aside; verify reads them in order."""
    monkeypatch.setattr(audit_module, "ROTATE", 400)
    audit = Audit(tmp_path)
    for number in range(9):
        audit.note(deed(number))
    assert len(audit.files()) > 2
    assert audit.verify() == (9, None)
    assert [one["n"] for one in audit.lines()] == list(range(1, 10))


def test_a_torn_last_line_is_told_and_the_log_goes_on(log):
    """A power cut in the middle of a line: what comes after has a line of its own."""
    data = path_of(log).read_bytes()
    path_of(log).write_bytes(data + b'{"n":6,"pr')
    log.note(deed(6))
    count, broken = log.verify()
    assert count == 5
    assert broken is not None
    assert broken.line == 6
    assert list(log.lines())[-1]["what"] == "POST /x/6"


def test_writes_and_refusals_are_recorded_with_who_what_and_where(door):
    """Looks are not. Nothing of a body or a query is."""
    text = door.token("operator", name="ana")
    door.ask("GET", OBJECT, token=text)
    door.ask("POST", OBJECT + "/suspend", token=text, json={"reason": "very secret reason"})
    door.ask("GET", "/api/v1/audit?limit=5", token=text)
    door.ask("GET", OBJECT, token="ppl_wrong")
    first, second, third = door.deeds()
    assert (first["who"], first["what"], first["outcome"], first["from"]) == (
        "token:ana",
        f"POST {OBJECT}/suspend",
        200,
        "127.0.0.1",
    )
    assert (second["who"], second["what"], second["outcome"]) == (
        "token:ana",
        "GET /api/v1/audit",
        403,
    )
    assert (third["who"], third["outcome"]) == ("nobody", 401)
    assert "secret" not in path_of(door.gate.audit).read_text()
    assert door.gate.audit.verify() == (3, None)


def test_a_flood_of_refusals_does_not_flood_the_log(open_door):
    """Five lines of one address at once, then one a minute."""
    door = open_door(monotonic=lambda: 5.0)
    for _ in range(30):
        door.ask("GET", OBJECT, token="ppl_wrong")
    assert len(door.deeds()) == 5


def test_nothing_is_done_that_cannot_be_recorded(door):
    """A log that cannot be written stops writes, not looks."""
    text = door.token("operator")
    door.state.audit.mkdir(exist_ok=True)
    (door.state.audit / "audit.jsonl").mkdir()
    answer = door.ask("POST", OBJECT + "/suspend", token=text, json={"reason": "x"})
    assert answer.status_code == 503
    assert door.loop.asked == []
    assert door.ask("GET", OBJECT, token=text).status_code == 200


def test_a_token_in_a_path_is_not_recorded(door):
    """Somebody pastes it into the address: the log does not have it."""
    text = door.token("operator")
    door.ask("POST", f"/api/v1/objects/Daemon/plant-a/{text}/suspend", json={"reason": "x"})
    assert path_of(door.gate.audit).exists()
    assert text.split("_", 2)[2] not in path_of(door.gate.audit).read_text()


def test_what_the_command_line_asks_is_recorded_with_for_whom(state, tmp_path):
    """Over the private socket everybody is the owner; the verb says who sits at the terminal."""
    audit = Audit(state.audit)
    server = ApiServer(make_app(AnsweringLoop(), clock=lambda: 7, audit=audit), state.socket)
    server.start()
    try:
        suspend = {"reason": "x", "by": "ana@plant", "until": None}
        Client(state).post("/api/v1/hold", {"key": "Daemon/plant-a/filter", "suspend": suspend})
        Client(state).get("/api/v1/health")
    finally:
        server.stop()
    (line,) = audit.lines()
    assert (line["who"], line["via"], line["note"]) == ("local", "socket", "by ana@plant")
    assert (line["what"], line["from"], line["at"]) == ("POST /api/v1/hold", "socket", 7)
