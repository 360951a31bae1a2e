"""What an operator reads of workloads, Functions and Apps: use, calls, logs, revisions, over a real
port."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from serving import FUNCTION, FUNCTION_UID, a_function, call, report

from propeller.gateway.callcounts import Counts
from propeller.gateway.calls import End
from propeller.gateway.dashboard.calls import calls_of, lasting
from propeller.gateway.dashboard.logs import MOST, TAIL
from propeller.model.ids import PropletId
from propeller.reconcile.events import Operate
from propeller.reconcile.sourcestory import ROW
from propeller.state.calls import CallNote, CallStore
from propeller.state.records import Pause, PlanRecord

OBJECT = "/objects/Daemon/plant-a/filter"
DIGEST = "sha256:" + "c" * 64
NASTY = '<script>alert("1")</script>\x1b[31m'


def text_of(answer):
    """What a person reads of the page: no tags, one space between words."""
    main = answer.text.partition("<main")[2].partition("</main>")[0]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", main.partition(">")[2])).split())


@pytest.fixture
def look(door):
    """A page as a viewer of everything sees it; `token` for somebody else."""
    everybody = door.token("viewer")

    def ask(path, token=everybody):
        return door.ask("GET", path, token=token, headers={"Accept": "text/html"})

    return ask


# -- what copies take -------------------------------------------------------------------------


def test_a_workload_says_what_each_copy_takes(fleet, look):
    """Processor and memory as last reported beside each copy, nothing where none was told."""
    uid = fleet.held("Daemon", "plant-a", "filter").uid
    report(
        fleet,
        "gateway-1",
        fleet.now,
        **{f"cpu/{uid[:8]}": 123, f"rss/{uid[:8]}": 40 << 20, "cpu/ffffffff": 999},
    )
    words = text_of(look(OBJECT))
    assert re.search(r"gateway-1 Running 12\.3% 40 MiB 20\d\d-", words)
    assert re.search(r"gateway-2 \w+ (silent since \S+ )?- - -", words)
    assert "99.9%" not in words


def test_the_last_hour_is_drawn_of_what_was_looked_at(fleet, look):
    """Two reports that pictures were taken of become a curve with words for who hears it."""
    uid = fleet.held("Daemon", "plant-a", "filter").uid
    for minutes, permille in ((6, 100), (4, 700), (2, 400)):
        at = fleet.now - minutes * 60_000
        report(fleet, "gateway-1", at, **{f"cpu/{uid[:8]}": permille})
        answer = look(OBJECT)
    assert answer.text.count('<svg class="spark"') == 1
    assert 'aria-label="CPU in 4 min: from 10.0% to 70.0%"' in answer.text


# -- calls ------------------------------------------------------------------------------------


def test_a_function_shows_its_calls_newest_first(fleet, state, open_door):
    """Waiting, running and ended ones with outcome and duration, p50 and p99, and how many there
    were since the start; nothing of what was sent or answered, and nothing of another Function."""
    a_function(fleet)
    report(fleet, "gateway-1", fleet.now, **{f"calls/{FUNCTION_UID[:8]}": 1500})
    kept = CallStore(state.calls)
    for number in range(1, 101):
        kept.put(call(number, fleet.now + number, took=number * 1000, body="QW5zd2Vy"))
    kept.put(call(101, fleet.now + 101, end=End.FAILED, cause="trap", took=9_000_000))
    kept.put(call(102, fleet.now + 102, state="sent"))
    kept.put(call(103, fleet.now + 103, state="taken"))
    kept.put(call(104, fleet.now + 104, of="another"))
    kept.close()
    counts = Counts(
        calls={"plant-a/resize": 230, "plant-a/another": 7},
        ends={("plant-a/resize", "Done"): 229, ("plant-a/another", "Failed"): 7},
    )
    door = open_door(counts=counts)
    answer = door.ask(
        "GET",
        f"/objects/{FUNCTION}",
        token=door.token("viewer", "plant-a"),
        headers={"Accept": "text/html"},
    )
    words = text_of(answer)
    assert "at most 50.5 ms (p50)" in words
    assert "at most 99.5 ms (p99); of the 100" in words
    assert "1 Waiting, 1 Running, 1 Failed, 100 Done" in words
    assert "230 Begun, 229 Done" in words
    order = re.findall(r" 0{29}([0-9a-f]{3})", words)
    assert order[:4] == ["067", "066", "065", "064"]
    assert len(order) == 50
    assert re.search(r"Failed trap 9\.0 s gateway-1 0{29}065", words)
    assert re.search(r"Done 100 ms gateway-1 0{29}064", words)
    assert re.search(r"gateway-1 Running - - 1\.5 20\d\d-", words)
    assert "s3cret" not in answer.text
    assert "QW5zd2Vy" not in answer.text


def test_without_kept_calls_it_says_which_are_kept(fleet, look):
    """A Function that was never called asynchronously, and no file of calls at all."""
    a_function(fleet)
    assert "None is kept: only asynchronous calls" in text_of(look(f"/objects/{FUNCTION}"))


def test_calls_of_an_unreadable_file_are_no_fault_of_the_page(fleet, state, look):
    """It says what is wrong instead of an error of a library."""
    a_function(fleet)
    state.calls.write_bytes(b"no database at all" * 100)
    answer = look(f"/objects/{FUNCTION}")
    assert answer.status_code == 503
    assert "Nothing to show yet" in answer.text


@pytest.mark.parametrize(
    ("micros", "words"),
    [(0, "0 µs"), (999, "999 µs"), (1_500, "1.5 ms"), (999_900, "1.0 s"), (61_000_000, "61.0 s")],
)
def test_durations_are_for_people(micros, words):
    """Three figures or so, in the unit that fits."""
    assert lasting(micros) == words


def test_percentiles_are_by_nearest_rank():
    """Of one it is that one; what failed or is under way is not measured."""
    one = CallNote(id="a", state="ended", at=1, end="Done", lasted=7_000)
    rest = CallNote(id="b", state="ended", at=2, end="Failed", lasted=900_000)
    shown = calls_of([rest, one], "n/f", None)
    assert (shown.p50, shown.p99, shown.measured) == ("7 ms", "7 ms", 1)
    assert calls_of([rest], "n/f", None).p50 == ""


# -- logs -------------------------------------------------------------------------------------


def test_logs_are_asked_of_the_devices_only_when_somebody_says_so(door, look):
    """The page itself asks nobody; `?show=1` asks for a bounded piece and shows it as text."""
    door.loop.pieces = (
        {"proplet": "gateway-1", "stream": "stdout", "text": "hel", "done": False},
        {"proplet": "gateway-1", "stream": "stdout", "text": f"lo {NASTY}\n", "done": False},
        {"proplet": "gateway-1", "stream": "stderr", "text": "x" * 2 * MOST, "done": True},
    )
    page = look(OBJECT + "/logs")
    assert page.status_code == 200
    assert door.loop.asked == []
    shown = look(OBJECT + "/logs?show=1&proplet=gateway-1")
    (event,) = door.loop.asked
    assert isinstance(event, Operate)
    assert (event.verb, event.proplet, event.tail, event.follow) == (
        "logs",
        PropletId("gateway-1"),
        TAIL,
        0,
    )
    assert "hello &lt;script&gt;" in shown.text
    assert "<script>alert" not in shown.text
    assert "\x1b" not in shown.text
    assert MOST / 2 < shown.text.count("x") < MOST + 1_000


def test_logs_that_cannot_be_asked_for_are_said(door, look):
    """A refusal of the loop, a kind that prints nothing, an object that is not there."""
    door.loop.words = {}
    door.loop.post = lambda event: event.reply({"error": "no copy is reachable", "exit": 4})
    assert "no copy is reachable" in text_of(look(OBJECT + "/logs?show=1"))
    assert look("/objects/Proplet/default/gateway-1/logs").status_code == 404
    assert look("/objects/Daemon/plant-a/none/logs").status_code == 404


def test_logs_of_a_namespace_are_for_who_sees_it(door, look):
    """A viewer of another namespace is refused, by the page as by the API behind it."""
    token = door.token("viewer", "plant-b")
    for path in (OBJECT + "/logs?show=1", "/api/v1" + OBJECT + "/logs"):
        assert look(path, token).status_code == 403
    assert door.loop.asked == []


# -- Apps -------------------------------------------------------------------------------------


def app_of(fleet):
    """The name of the App that the fleet's objects are in."""
    return fleet.held("Daemon", "plant-a", "filter").object.meta.app


def test_an_app_says_revision_author_signer_plan_and_objects(fleet, look):
    """And what of it waits for a person."""
    name = app_of(fleet)
    record = fleet.store.revisions()[0]
    with fleet.store.transaction():
        story = {"applied": record.name, "signedBy": "ana@plant", "ready": "True", "source": "git"}
        fleet.store.set_meta(ROW, json.dumps({"": story}))
        fleet.store.put_plan(
            PlanRecord(
                source="",
                revision=record.name,
                digest=DIGEST,
                at=fleet.now,
                done=0,
                created=5,
                changed=1,
                deleted=0,
            )
        )
        fleet.store.put_pause(
            Pause(
                app=name,
                source="",
                guard="maxDelete",
                message="plan deletes 30% of its objects",
                digest=DIGEST,
                whole=DIGEST,
                revision=record.name,
                at=fleet.now,
            )
        )
    words = text_of(look(f"/apps/{name}"))
    assert f"Revision {record.name}" in words
    assert "Author Ana" in words
    assert "Commit First specs Author" in words
    assert "Signed by ana@plant" in words
    assert f"Plan {DIGEST} It meant 5 created, 1 changed, 0 deleted; part of it waits" in words
    assert "Waits for a person: plan deletes 30% of its objects" in words
    assert re.search(r"Objects \d+ ready \d+ not ready 1 unknown", words)
    assert "Daemon filter plant-a" in words
    assert "waits for a person" in text_of(look("/apps"))
    assert f"/apps/{name}" in look(OBJECT).text
    assert look("/apps/none").status_code == 404


def test_a_refused_source_is_told_with_its_faults(fleet, look):
    """What was tried and why it was not taken, as text; the accepted revision stands."""
    story = {
        "applied": "main@sha1:1234567890",
        "attempted": "main@sha1:abcdef0123",
        "ready": "False",
        "reason": "Invalid",
        "faults": [NASTY],
    }
    with fleet.store.transaction():
        fleet.store.set_meta(ROW, json.dumps({"": story}))
    answer = look(f"/apps/{app_of(fleet)}")
    words = text_of(answer)
    assert "main@abcdef0 was not taken: Invalid. The last accepted revision stands." in words
    assert "Revision main@sha1:1234567890" in words
    assert "<script>alert" not in answer.text
    assert "\x1b" not in answer.text


def test_an_app_of_objects_one_does_not_see_is_not_there(door, fleet, look):
    """Whoever sees another namespace only is told of none of it."""
    token = door.token("viewer", "plant-z")
    assert look(f"/apps/{app_of(fleet)}", token).status_code == 404
    assert "There is none yet" in text_of(look("/apps", token))


def test_objects_are_filtered_by_app(fleet, look):
    """The list an App leads to has its objects and no others."""
    assert "Daemon filter" in text_of(look(f"/objects?app={app_of(fleet)}"))
    assert "Nothing fits" in text_of(look("/objects?app=another"))
