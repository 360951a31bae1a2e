"""A commit as one trace, from the loop's side: the real loop, a fake clock."""

from __future__ import annotations

from pathlib import Path

from specs_text import EVERYWHERE, WAT, daemon_yaml, proplet_yaml, with_args

from propeller.rehearse.fleet import Sim
from propeller.telemetry.spans import Span, SpanKind
from propeller.wire import codec
from propeller.wire.frame import open_frame
from propeller.wire.keyring import Keyring
from propeller.wire.messages import Desired
from propeller.wire.trace import parse


def _plant(tmp_path: Path, spans: list[Span] | None) -> Sim:
    sim = Sim(tmp_path)
    sim.take_span = None if spans is None else spans.append
    sim.write("m.wat", WAT)
    sim.write("fleet.yaml", proplet_yaml(["a", "b"]))
    for name in ("a", "b"):
        sim.add(name)
    sim.start_manager()
    _settle(sim)
    if spans is not None:
        spans.clear()
    return sim


def _settle(sim: Sim) -> None:
    sim.run(1_000)
    assert sim.run(60_000, until=sim.ready), sim.what_is_not()
    sim.run(15_000)  # statuses of objects that are gone, and what devices say of their documents


def _told(sim: Sim) -> list[str]:
    """What the documents that the broker keeps carry."""
    keys = Keyring.of([sim.manager_key.public], "manager")
    found = []
    for name in sorted(sim.proplets):
        body = open_frame("desired", sim.broker.retained[sim.channel.desired(name)], keys).body
        found.append(codec.decode(Desired, body).trace)
    return found


def _root(spans: list[Span]) -> Span:
    (root,) = [span for span in spans if not span.parent]
    return root


def test_a_commit_is_one_trace_from_taken_to_ready(tmp_path: Path) -> None:
    """All that follows a commit is in its trace, and what goes to devices carries its place."""
    spans: list[Span] = []
    sim = _plant(tmp_path, spans)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    _settle(sim)
    root = _root(spans)
    assert {span.at.trace for span in spans} == {root.at.trace}
    assert {span.parent for span in spans if span is not root} == {root.at.span}
    names = {span.name for span in spans}
    assert names == {"revision", "take revision", "plan", "publish document", "Ready Daemon"}
    assert root.attributes["propeller.outcome"] == "Converged"
    assert all(root.start <= span.start <= span.end for span in spans)
    sent = [span for span in spans if span.kind is SpanKind.PRODUCER]
    assert sorted(span.attributes["propeller.proplet"] for span in sent) == ["a", "b"]
    assert {span.attributes["propeller.outcome"] for span in sent} == {"Accepted"}
    assert [parse(text) for text in _told(sim)] == [
        span.at for span in sorted(sent, key=lambda one: str(one.attributes["propeller.proplet"]))
    ]


def test_deleting_is_a_trace_that_ends_when_it_is_gone(tmp_path: Path) -> None:
    """An object that is deleted is waited for until no device holds it."""
    spans: list[Span] = []
    sim = _plant(tmp_path, spans)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    _settle(sim)
    spans.clear()
    sim.remove("d.yaml")
    _settle(sim)
    assert "Gone Daemon" in {span.name for span in spans}
    assert _root(spans).attributes["propeller.outcome"] == "Converged"


def test_a_manager_that_starts_again_goes_on_with_the_trace(tmp_path: Path) -> None:
    """Killed while a commit is under way, its successor ends the same trace, once."""
    spans: list[Span] = []
    sim = _plant(tmp_path, spans)
    sim.proplets["b"].kill()
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    sim.run(3_000)
    before = {span.at.trace for span in spans}
    sim.restart_manager()
    sim.run(1_000)
    sim.proplets["b"].boot()
    _settle(sim)
    assert before == {span.at.trace for span in spans}
    assert _root(spans).attributes["propeller.outcome"] == "Converged"
    assert [span.name for span in spans].count("take revision") == 1


def test_the_next_commit_ends_the_trace_of_the_one_before(tmp_path: Path) -> None:
    """What never converged is told to have been superseded, with how much was missing."""
    spans: list[Span] = []
    sim = _plant(tmp_path, spans)
    sim.proplets["b"].kill()
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    sim.run(5_000)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("x")))
    sim.run(5_000)
    root = _root(spans)
    assert root.attributes["propeller.outcome"] == "Superseded"
    assert root.attributes["propeller.waiting"] == 1


def test_who_traces_nothing_sends_nothing(tmp_path: Path) -> None:
    """Without a listener no message has a trace, so digests and bytes are as they always were."""
    sim = _plant(tmp_path, None)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    _settle(sim)
    assert _told(sim) == ["", ""]
