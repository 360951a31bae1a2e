"""Rounds of federated learning as an agent lives them: one conversation for `agent_vectors`."""

from __future__ import annotations

from dataclasses import replace

from agent_script import Script, a_task, digest_of

from propeller.wire import codec
from propeller.wire.messages import BlobRef, Entry, WireMount, WireTraining
from proplet.effects import Outcome

STOPPED = Outcome(ok=False, error="stopped")


def _blob(name: str) -> BlobRef:
    data = name.encode()
    return BlobRef(digest=digest_of(data), size=len(data))


def _round(number: int, *, attempt: int = 1, tries: int = 1, **changes: object) -> Entry:
    """The entry of one round; every run has a name of its own."""
    base = f"round:{number}" + (f".{attempt}" if attempt > 1 else "")
    fl = WireTraining(
        job="11111111-2222-3333-4444-555555555555",
        round=number,
        attempt=attempt,
        step="train",
        format="q8-delta",
        nonce=f"{number:032x}",
        seed=f"{number:016x}",
        model=_blob(f"model {number}"),
        layout=_blob("layout"),
        params=(("learningRate", "0.1"), ("localEpochs", "2")),
        guest="Imports",
    )
    return a_task(
        9,
        ref="FederatedTask/default/digits",
        run=f"{number:030x}{attempt:01x}{tries:01x}",
        cause=base + (f"#{tries}" if tries > 1 else ""),
        entrypoint="train",
        mounts=(WireMount(name="data", path="/data", access="ReadOnly"),),
        fl=replace(fl, **changes),  # type: ignore[arg-type]
    )


def _begin(script: Script, entry: Entry) -> None:
    """What it starts from has come, and it fits."""
    assert entry.fl is not None
    assert entry.fl.model is not None
    script.fetched()
    script.fetched(_blob("layout").digest)
    script.fetched(entry.fl.model.digest)
    script.prepared(entry)


def rounds() -> Script:
    """The conversation."""
    script = Script(
        "Rounds: model and layout are fetched, the update goes up, models stay for two rounds; a "
        "round that is given up or cut short, one that is declined, and logs that stay here."
    )
    first = _round(1)
    script.online(first)
    _begin(script, first)
    script.wait(200)
    script.op("logs", first, tail=100)
    update = BlobRef(digest=digest_of(b"update 1"), size=8)
    script.ended(first, Outcome(ok=True, exit=0, blob=update))
    script.wait(100)
    script.ack(update.digest, 0, "open")
    script.ack(update.digest, 8, "stored")

    second = _round(2)
    script.want(second, gen=2)
    _begin(script, second)
    script.wait(100)
    script.want(gen=3)  # the round was given up while it trained
    script.ended(second, STOPPED)
    script.wait(100)

    third = _round(3)
    script.want(third, gen=4)
    _begin(script, third)
    script.boot()  # power fails: it is not begun again under that name
    script.connect()
    script.trust()
    script.wait(100)
    again = _round(3, tries=2)
    script.want(again, gen=5)
    _begin(script, again)
    script.ended(again, Outcome(ok=False, exit=75, error="declined: it has nothing to train on"))
    script.wait(100)

    measured = _round(3, step="evaluate")
    measured = replace(measured, cause="evaluate:3", run="e" * 32)
    measured = replace(measured, digest=codec.entry_digest(measured))
    script.want(measured, gen=6)
    _begin(script, measured)
    script.wait(100)
    told = '{"metrics":{"accuracy":"0.5"},"samples":30}'
    script.ended(measured, Outcome(ok=True, exit=0, result=told))
    script.wait(100)
    beyond = _round(4, format="topk-f32")
    script.want(beyond, gen=7)
    script.fetched()
    script.fetched(_blob("layout").digest)
    script.fetched(_blob("model 4").digest)
    script.unfit(beyond, "this proplet makes no updates in topk-f32")
    script.wait(100)
    return script
