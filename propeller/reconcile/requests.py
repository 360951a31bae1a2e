"""What people ask of a running reconciler: holds, cordons, one-off runs, operations, confirmations.

Everything arrives through the inbox and is answered after the turn that did it was committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from propeller.errors import WireError
from propeller.model.ids import Key, PropletId, is_digest
from propeller.model.inventory import Held
from propeller.model.seen import Presence
from propeller.model.withheld import Override
from propeller.plan.windows import mark, windows_of
from propeller.reconcile import upstream
from propeller.reconcile.deposits import RUN_APP, Deposit, Withdraw, deposit, withdraw
from propeller.reconcile.events import (
    AskRound,
    AskStanding,
    Confirm,
    Drop,
    GiveUp,
    OpenWindow,
    Operate,
    Reply,
    Request,
    RetryFlow,
    RunOnce,
    SetHold,
    SetProplet,
    Steer,
)
from propeller.reconcile.flowretry import retry
from propeller.reconcile.letgo import give_up
from propeller.reconcile.ops import Operations, holders_of
from propeller.reconcile.rollouts import Rollouts
from propeller.reconcile.world import World
from propeller.state.records import Event, PropletHold
from propeller.transport.base import Received
from propeller.wire.codec import decode, encode
from propeller.wire.frame import seal
from propeller.wire.messages import Op, OpAnswer

if TYPE_CHECKING:
    from propeller.reconcile.fleet import Fleet
    from propeller.reconcile.specs import Specs
    from propeller.reconcile.surroundings import Surroundings


class Requests:
    """See the module. Owned by the loop."""

    def __init__(
        self, world: World, around: Surroundings, specs: Specs, fleet: Fleet, rollouts: Rollouts
    ) -> None:
        self._world = world
        self._around = around
        self._specs = specs
        self._rollouts = rollouts
        self._fleet = fleet
        self._answers: list[tuple[Reply, Mapping[str, object]]] = []
        self._to_send: list[Op] = []
        self.curious: list[Reply] = []
        self.operations = Operations(world.store, source=around.source_id, new_id=around.new_id)

    def take(self, request: Request, now: int) -> None:
        """One request, inside the turn's transaction."""
        match request:
            case SetHold():
                self._hold(request, now)
            case SetProplet():
                self._proplet(request, now)
            case RunOnce():
                self._run(request, now)
            case Drop():
                self._drop(request, now)
            case Deposit():
                self._answer(request.reply, deposit(self._world, request, now))
                self._specs.modules.resolve(every=False)
            case Withdraw():
                self._answer(request.reply, withdraw(self._world, request, now))
            case Operate():
                self._operate(request, now)
            case Confirm():
                self._confirm(request, now)
            case GiveUp():
                self._answer(request.reply, give_up(self._world, request, now))
            case Steer():
                self._answer(request.reply, self._rollouts.steer(request, now))
            case OpenWindow():
                self._answer(request.reply, self._open_window(request, now))
            case RetryFlow():
                self._answer(request.reply, retry(self._world, self._around.journal, request, now))
            case AskRound(asked=asked, reply=reply):
                words = upstream.answer(
                    asked, self._world, self._around.blobs, knows=self._specs.accepted
                )
                self._answer(reply, words)
            case AskStanding():
                self.curious.append(request.reply)
            case _:
                assert_never(request)

    def _confirm(self, request: Confirm, now: int) -> None:
        if is_digest(request.what):
            waited = self._specs.confirm(request.what, request.by, now)
            self._fleet.refresh()
            self._answer(request.reply, {"done": True, "waited": waited})
            return
        self._fleet.confirm(request.by, now)
        self._specs.sources.await_none()
        self._around.journal.append("confirm", {"what": request.what, "by": request.by})
        self._answer(request.reply, {"done": True})

    def _open_window(self, request: OpenWindow, now: int) -> Mapping[str, object]:
        """What waits or comes in steps goes on although its window is closed: once, recorded."""
        world = self._world
        by_app = world.windows.by_app(world.objects.values())
        found = [
            held
            for held in world.objects.values()
            if _is_meant(held, request.key) and windows_of(held.object, by_app)
        ]
        if not found:
            error = f"{request.key} is not in the inventory, or has no windows"
            return {"done": True, "error": error, "exit": 2}
        for held in found:
            one = Override(
                uid=held.uid, mark=mark(held), by=request.by, reason=request.reason, at=now
            )
            self._around.journal.append(
                "window",
                {"uid": one.uid, "mark": one.mark, "by": one.by, "reason": one.reason, "at": now},
            )
            world.windows.override(one)
            world.touched.objects.add(held.uid)
            world.store.add_event(
                Event(
                    at=now,
                    severity="Warning",
                    reason="WindowOverridden",
                    message=f"generation {one.mark} is let through by {one.by}: {one.reason}",
                    key=held.object.meta.key,
                    revision=held.revision,
                )
            )
        keys = sorted(str(held.object.meta.key) for held in found)
        return {"done": True, "objects": keys}

    # -- what people say about objects and proplets -------------------------------------------

    def _hold(self, request: SetHold, now: int) -> None:
        held = self._world.find(request.key)
        if held is None:
            self._missing(request.reply, str(request.key))
            return
        self._specs.hold(held, request.suspend)
        if request.suspend is None:
            self._world.forget_corrections(held.uid)
        suspend = request.suspend
        words = "resumed" if suspend is None else f"suspended by {suspend.by}: {suspend.reason}"
        reason = "Resumed" if suspend is None else "Suspended"
        self._world.store.add_event(
            Event(at=now, severity="Info", reason=reason, message=words, key=request.key)
        )
        self._answer(request.reply, {"done": True})

    def _proplet(self, request: SetProplet, now: int) -> None:
        if request.proplet not in self._world.proplets:
            self._missing(request.reply, f"proplet {request.proplet}")
            return
        before = self._world.holds.get(request.proplet)
        labels = dict(before.labels) if before else {}
        labels.update(request.labels)
        scheduling = request.scheduling or (before.scheduling if before else None)
        hold = PropletHold(
            proplet=request.proplet,
            scheduling=scheduling,
            labels=tuple(sorted(labels.items())),
            by=request.by,
            reason=request.reason,
        )
        self._around.journal.append(
            "propletHold",
            {
                "proplet": hold.proplet,
                "scheduling": hold.scheduling,
                "labels": dict(hold.labels),
                "by": hold.by,
                "reason": hold.reason,
            },
        )
        self._world.store.put_proplet_hold(hold)
        self._world.holds[request.proplet] = hold
        self._fleet.refresh()
        words = f"{hold.scheduling or 'labels'} set by {request.by}"
        if request.reason:
            words += f": {request.reason}"
        self._world.store.add_event(
            Event(
                at=now,
                severity="Info",
                reason=hold.scheduling or "Labelled",
                message=words,
                proplet=request.proplet,
            )
        )
        self._answer(request.reply, {"done": True})

    # -- one-off runs -------------------------------------------------------------------------

    def _run(self, request: RunOnce, now: int) -> None:
        thing = request.object
        if self._world.find(thing.meta.key) is not None:
            self._answer(
                request.reply,
                {"done": True, "error": f"{thing.meta.key} is already there", "exit": 2},
            )
            return
        assert thing.meta.app == RUN_APP
        self._world.put_held(
            Held(
                uid=thing.meta.uid,
                object=thing,
                generation=1,
                revision="run",
                created_at=now,
                changed_at=now,
            )
        )
        self._specs.modules.resolve(every=False)
        self._answer(request.reply, {"done": True, "uid": thing.meta.uid})

    def _drop(self, request: Drop, now: int) -> None:
        held = self._world.find(request.key)
        if held is None or held.object.meta.app != RUN_APP:
            self._missing(request.reply, str(request.key))
            return
        self._world.put_held(replace(held, deleted_at=now))
        self._answer(request.reply, {"done": True})

    # -- operations ---------------------------------------------------------------------------

    def _operate(self, request: Operate, now: int) -> None:
        held = self._world.find(request.key)
        if held is None:
            self._missing(request.reply, str(request.key))
            return
        holders = holders_of(self._world.proplets.values(), held.uid, request.proplet)
        reachable = [pair for pair in holders if pair[0].presence is Presence.ONLINE]
        if not reachable:
            where = ", ".join(sorted(seen.id for seen, _ in holders)) or "no proplet"
            self._answer(
                request.reply,
                {
                    "done": True,
                    "error": f"{request.key} is held by {where}, and none is online",
                    "exit": 3,
                },
            )
            return
        self._answer(request.reply, {"done": False, "proplets": [str(s.id) for s, _ in reachable]})
        for seen, run in reachable:
            self._to_send.append(
                self.operations.begin(
                    request.verb,
                    seen,
                    uid=held.uid,
                    run=run,
                    stream=request.stream,
                    tail=request.tail,
                    follow=request.follow,
                    reply=request.reply,
                    now=now,
                )
            )

    def answered(self, proplet: PropletId, received: Received, now: int) -> None:
        """A device answered on `op/{opid}`."""
        try:
            body = self._around.devices.open_signed(
                "answer", proplet, received.payload, self._world
            )
            answer = decode(OpAnswer, body)
            if answer.id != proplet:
                raise WireError("id_mismatch", answer.id)
        except WireError as error:
            self._fleet.hearing.dropped[f"answer_{error.reject}"] += 1
            return
        if not self.operations.answered(proplet, answer, now):
            self._fleet.hearing.dropped["answer_unasked"] += 1

    # -- time and answers ---------------------------------------------------------------------

    def tick(self, now: int) -> None:
        """Collects, expiries, devices that went to another connection."""
        for seen in self._fleet.collectable():
            self._to_send.append(self.operations.begin("collect", seen, now=now))
        self.operations.expire(now)

    def due(self) -> int | None:
        """When `tick` has something to do (Unix ms)."""
        return self.operations.due()

    def publish(self) -> None:
        """Send the operations that were written down. One the broker does not take is not resent:
        its outcome is Unknown, and said so when it expires."""
        sending, self._to_send = self._to_send, []
        for op in sending:
            seen = self._world.proplets.get(PropletId(op.to))
            cbor = seen is not None and seen.facts is not None and seen.facts.cbor
            body = encode(op, encoding="cbor" if cbor else "json")
            frame = seal("op", body, self._around.key_for(seen))
            self._around.transport.publish(self._around.channel.op(op.to), frame)

    def answer(self) -> None:
        """Tell people what was committed."""
        answers, self._answers = self._answers, []
        for reply, words in answers:
            reply(words)

    def _answer(self, reply: Reply, words: Mapping[str, object]) -> None:
        self._answers.append((reply, words))

    def _missing(self, reply: Reply, what: str) -> None:
        words = {"error": f"{what} is not in the inventory", "missing": True}
        self._answer(reply, {"done": True, "exit": 2, **words})


def _is_meant(held: Held, key: Key) -> bool:
    """Whether the object is the one named, or of the App named."""
    meta = held.object.meta
    return meta.key == key or (key.kind == "App" and meta.app == key.name)
