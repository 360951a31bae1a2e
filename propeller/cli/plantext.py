"""A plan as people read it: one line a change with its reason, its fields below it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from propeller.cli.driftview import Drifted
from propeller.cli.planning import Line, Planned
from propeller.cli.table import paint, printable
from propeller.plan.fit import size_text
from propeller.plan.rehearsal import Misfit, Traffic
from propeller.plan.types import ChangeOp

_TONES = {"+": "good", "~": "odd", "-": "bad", ">": "dim", "!": "bad", "?": "odd"}
_USUAL = {"create": "start", "delete": "stop"}

MOST_VALUE = 120
"""Characters of a value that are shown."""


def plan_lines(planned: Planned, *, colour: bool) -> Iterator[str]:
    """The text, line by line; nothing for a plan without lines."""
    rows = [_row(line, alone=planned.base is None) for line in planned.lines]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for line, row in zip(planned.lines, rows, strict=True):
        cells = [f"{text:<{width}}" for text, width in zip(row, widths, strict=False)]
        text = "   ".join([*cells, row[3]]).rstrip()
        yield f"{paint(line.mark, _TONES[line.mark], colour=colour)} {text}"
        for one in line.fields:
            yield f"    {printable(one.path)}:  {_shown(one.before)} -> {_shown(one.after)}"
    for key, words in planned.said:
        yield f"  plugin {printable(words)}  ({printable(key)})"
    for misfit in planned.misfits:
        yield from _misfit(misfit, colour=colour)
    for sent in planned.traffic:
        yield paint(_traffic(sent), "dim", colour=colour)
    for drifted in planned.drift:
        yield from _drift(drifted, colour=colour)
    for trip in planned.trips:
        text = f"! App {trip.app} waits for a confirmation: {trip.message}"
        yield paint(printable(text), "bad", colour=colour)
    if planned.lines:
        yield ""
        counts = ", ".join(f"{count} {word}" for word, count in planned.counts().items())
        yield f"Plan {planned.digest[:19]}...  {counts}"
    if planned.trips:
        yield f"let it happen with: propeller confirm {planned.digest}"


def _misfit(misfit: Misfit, *, colour: bool) -> Iterator[str]:
    text = f"{misfit.cannot} of {misfit.considered} cannot run {misfit.key}"
    yield f"{paint('!', 'odd', colour=colour)} {printable(text)}"
    for why in misfit.reasons:
        names = ", ".join(why.examples)
        more = f" and {why.count - len(why.examples)} more" if why.count > len(why.examples) else ""
        yield f"    {printable(why.words)}:  {printable(names)}{more}"


def _traffic(one: Traffic) -> str:
    plural = "" if one.proplets == 1 else "s"
    most = f", at most {size_text(one.most)} each" if one.proplets > 1 else ""
    return (
        f"  over the air: {one.proplets} {one.sort} proplet{plural} by {one.fetch}: "
        f"{size_text(one.modules)} of modules, {size_text(one.documents)} of documents{most}"
    )


def _drift(drifted: Drifted, *, colour: bool) -> Iterator[str]:
    finding = drifted.finding
    text = f"{drifted.key}   drift ({drifted.does})   {finding.proplet} {finding.words}"
    yield f"{paint('*', 'odd', colour=colour)} {printable(text)}"
    for one in finding.fields:
        yield f"    {printable(one.path)}:  {_shown(one.before)} -> {_shown(one.after)}"


def _row(line: Line, *, alone: bool) -> tuple[str, str, str, str]:
    change = line.change
    if line.mark == ">":
        what = "moved"
        because = change.reason.removeprefix("moved ")
    else:
        what = change.op.value
        if change.how not in ("none", _USUAL.get(what, "")):
            what += f" ({change.how})"
        because = change.reason
        if change.op is not ChangeOp.BLOCKED:
            because = f"because {because}"
    return str(change.key), what, printable(because), _devices(line, alone=alone)


def _devices(line: Line, *, alone: bool) -> str:
    change = line.change
    if change.op is ChangeOp.BLOCKED or line.mark == "?":
        return ""
    if change.how == "none":
        # With no state nobody knows which devices there are.
        placed = change.key.kind in ("Task", "Daemon", "Function")
        return "placed at apply" if alone and placed else "no device change"
    silent = f", {change.offline} offline" if change.offline else ""
    if change.op is ChangeOp.DELETE:
        plural = "" if change.devices == 1 else "s"
        return f"{change.devices} proplet{plural}{silent}"
    return f"{change.devices - change.offline} now{silent}"


def _shown(value: object) -> str:
    if value is None:
        return "(none)"
    text = json.dumps(value, ensure_ascii=False)
    return printable(text if len(text) <= MOST_VALUE else text[: MOST_VALUE - 3] + "...")
