"""Time without the manager as an agent lives it: one conversation for `agent_vectors`."""

from __future__ import annotations

from agent_script import Script, a_daemon, a_task, digest_of

from propeller.wire.messages import WireModule
from proplet.effects import Outcome

STOPPED = Outcome(ok=False, error="stopped")
OTHER = WireModule(digest=digest_of(b"other"), size=5)
MINUTE = 60_000


def alone() -> Script:
    """The conversation."""
    script = Script(
        "Autonomy budgets: a daemon stops when its own is spent and another goes on, a running task"
        " is left to its end and none is begun, silence goes on over a reboot with a clock that is"
        " set and with one that is not, and a word of the manager restores all."
    )
    short = a_daemon(1, autonomy=2 * MINUTE)
    free = a_daemon(2)
    task = a_task(3, autonomy=90_500)
    late = a_task(4, autonomy=90_500, module=OTHER)
    script.online(short, free, task)
    script.started(short, free, task)
    script.manager("online")
    script.wait(3 * MINUTE)
    script.manager("offline")
    script.wait(30_000)
    script.want(short, free, task, late, gen=2)  # a document alone is no word of the manager
    script.disconnect()
    script.wait(65_000)
    script.fetched(OTHER.digest)  # too late: it is not begun
    script.wait(30_000)
    script.ended(short, STOPPED)
    script.ended(task, Outcome(ok=True, exit=0, result="7"))
    script.wait(5 * MINUTE)
    script.connect()  # a broker is not the manager
    script.wait(1_000)
    script.manager("online", conn=2)
    script.prepared(late)
    script.wait(1_000)
    script.ended(late, Outcome(ok=True, exit=0, result="8"))
    script.wait(10_000)

    script.wall += MINUTE  # power is gone for a minute, and the clock is set
    script.boot()
    script.fetched()
    script.prepared(free)
    script.prepared(short)
    script.wait(2 * MINUTE)
    script.ended(short, STOPPED)
    script.synced = False  # and for a while, and it is not
    script.boot()
    script.fetched()
    script.prepared(free)
    script.wait(MINUTE)
    script.connect()
    script.manager("online", conn=3)
    script.prepared(short)
    script.wait(1_000)
    endless = a_daemon(1, autonomy=5 * 3600_000)
    script.want(endless, free, gen=3)
    script.prepared(endless)
    script.ended(short, STOPPED)
    script.wait(1_000)
    return script
