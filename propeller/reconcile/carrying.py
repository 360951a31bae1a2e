"""What a plan decided, done: copies asked for and taken back, runs begun, objects forgotten.

Called by the loop with the actions of a plan. Writes rows, events and the journal; tells nobody:
documents are `deliver`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from propeller.model.inventory import Assignment
from propeller.plan.types import (
    Action,
    Adopt,
    Advance,
    Assign,
    Conduct,
    Correct,
    Fire,
    Forget,
    Gone,
    LetIn,
    Proceed,
    Release,
    Rescale,
)
from propeller.state.records import Event as StoredEvent
from propeller.state.records import RunRecord

if TYPE_CHECKING:
    from propeller.reconcile.reconciler import Reconciler
    from propeller.reconcile.surroundings import Surroundings


class Carrying:
    """See the module. parts: the reconciler it is part of."""

    def __init__(self, parts: Reconciler, around: Surroundings) -> None:
        self._parts = parts
        self._world = parts.world
        self._journal = around.journal

    def out(self, actions: Iterable[Action], now: int) -> None:
        """Do them. Inside a durable transaction, before anything is published."""
        world, parts = self._world, self._parts
        for action in actions:
            match action:
                case Assign() | Adopt():
                    self._assign(action, now)
                case Release():
                    before = world.assignments[action.uid][action.proplet]
                    world.put_assignment(replace(before, releasing=True))
                    words = f"taken off {action.proplet}: {action.reason}"
                    self._event(now, "Preempted" if action.preempted else "Released", words, action)
                case Gone():
                    world.drop_assignment(action.uid, action.proplet)
                    self._event(now, "Gone", f"gone from {action.proplet}", action)
                case Forget():
                    self._event(now, "Deleted", action.reason, action)
                    parts.projection.forget(world.objects[action.uid])
                    parts.tracing.gone(world.objects[action.uid], now)
                    parts.rounds.forget(action.uid)
                    world.flows.forget(action.uid, self._journal)
                    world.drop_held(action.uid)
                    parts.forget(action.uid)
                case Correct():
                    self._correct(action, now)
                case LetIn():
                    world.let_in(action.uid)
                    self._event(now, "LetIn", action.reason, action)
                case Conduct():
                    parts.rounds.conducted(action, now)
                case Proceed():
                    self._proceed(action, now)
                case Rescale():
                    world.put_scale(action.scale)
                    self._tell(action, now)
                case Advance():
                    parts.rollouts.advance(action, now)
                case Fire():
                    self._journal.append("slot", {"uid": action.uid, "slot": action.slot})
                    held = world.objects[action.uid]
                    world.put_held(replace(held, last_slot=action.slot))
                case _:
                    assert_never(action)

    def _correct(self, action: Correct, now: int) -> None:
        self._world.put_corrections(action.corrections)
        for proplet in action.proplets:
            self._parts.delivery.ask_anew(proplet)
        self._tell(action, now)

    def _proceed(self, action: Proceed, now: int) -> None:
        self._world.put_flow(action.flow, self._journal)
        self._tell(action, now)

    def _tell(self, action: Correct | Proceed | Rescale, now: int) -> None:
        for note in action.notes:
            self._world.store.add_event(
                StoredEvent(
                    at=now,
                    severity="Warning" if note.warning else "Info",
                    reason=note.reason,
                    message=note.message,
                    key=action.key,
                    revision=self._parts.specs.revision_name,
                )
            )

    def _assign(self, action: Assign | Adopt, now: int) -> None:
        before = self._world.assignments.get(action.uid, {}).get(action.proplet)
        same = before is not None and before.run == action.run and not before.releasing
        self._world.put_assignment(
            Assignment(
                uid=action.uid,
                proplet=action.proplet,
                run=action.run,
                cause=action.cause,
                attempt=action.attempt,
                assigned_at=before.assigned_at if before is not None and same else now,
                version=action.version,
            )
        )
        reason = "Adopted" if isinstance(action, Adopt) else "Assigned"
        self._event(now, reason, f"{action.reason}: on {action.proplet}", action)
        if same:
            # The run goes on, and so does its record. Its device may have nothing new to say.
            self._world.touched.objects.add(action.uid)
            return
        self._world.runs.put(
            RunRecord(
                uid=action.uid,
                key=action.key,
                run=action.run,
                proplet=action.proplet,
                cause=action.cause,
                attempt=action.attempt,
                state="Pending",
                assigned_at=now,
            )
        )

    def _event(
        self,
        now: int,
        reason: str,
        message: str,
        action: Assign | Adopt | Release | Gone | Forget | LetIn,
    ) -> None:
        self._world.store.add_event(
            StoredEvent(
                at=now,
                severity="Info",
                reason=reason,
                message=message,
                key=action.key,
                proplet=None if isinstance(action, Forget | LetIn) else action.proplet,
                revision=self._parts.specs.revision_name,
            )
        )
