"""The runs of Workflows in memory, written through to the store and, first, to the journal.

Owned by `World`. Decides nothing: `plan.workflow` does. A lost store would forget which steps are
over, and a device may have dropped what it ended: what was decided is in the journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from propeller.model.flow import Flow, StepRow, StepState
from propeller.model.ids import Uid
from propeller.model.inventory import Held
from propeller.model.specs import Task
from propeller.state.base import Journal, Store

JOURNALLED = 24_576
"""Characters of results in one entry of the journal. A step whose result has no room there counts
as under way when it is read back: its device is asked again what became of it."""


class FlowBook:
    """See the module."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.known: dict[Uid, Flow] = {flow.uid: flow for flow in store.flows()}
        self._remembered: dict[Uid, Flow] = {}

    def put(self, flow: Flow, journal: Journal) -> None:
        """What becomes of a run. Inside a transaction."""
        from propeller.state.flow_rows import flow_text

        before = self.known.get(flow.uid)
        if before is None or _marks(before) != _marks(flow):
            journal.append("flow", {"uid": flow.uid, "flow": flow_text(_short(flow))})
        self._store.put_flow(flow)
        self.known[flow.uid] = flow

    def forget(self, uid: Uid, journal: Journal) -> None:
        """The object left the inventory. Inside a transaction."""
        if self.known.pop(uid, None) is not None:
            journal.append("flow", {"uid": uid, "flow": ""})
            self._store.drop_flow(uid)

    def replay(self, entries: Iterable[tuple[str, Mapping[str, object]]]) -> None:
        """What the journal knows and a lost store does not; the newest of each."""
        from propeller.state.flow_rows import flow_of

        if not self._store.fresh:
            return
        for kind, entry in entries:
            if kind == "flow":
                uid, text = Uid(str(entry["uid"])), str(entry["flow"])
                self._remembered.pop(uid, None)
                if text:
                    self._remembered[uid] = flow_of(text)

    def remember(self, uid: Uid) -> None:
        """The Workflow is in the inventory (again): so is its run. Inside a transaction."""
        flow = self._remembered.pop(uid, None)
        if flow is not None and uid not in self.known:
            self._store.put_flow(flow)
            self.known[uid] = flow

    def steps_of(self, uid: Uid, objects: Mapping[Uid, Held]) -> list[Uid]:
        """The Tasks that carry the steps of a Workflow out."""
        return [
            held.uid
            for held in objects.values()
            if isinstance(held.object, Task)
            and held.object.step is not None
            and held.object.step.workflow == uid
        ]


def _marks(flow: Flow) -> tuple[object, ...]:
    """What has to survive; words about what a step waits for need not."""
    rows = ((row.name, row.state, row.again) for row in flow.steps)
    return (flow.base, flow.key, flow.ended, flow.resumed, *rows)


def _short(flow: Flow) -> Flow:
    room = JOURNALLED
    rows: list[StepRow] = []
    for row in flow.steps:
        size = len(row.result or "") + len(row.why)
        if size > room:
            row = replace(row, state=StepState.RUNNING, result=None, why="", ended=0)  # noqa: PLW2901
        else:
            room -= size
        rows.append(row)
    return replace(flow, steps=tuple(rows))
