"""Release lists as an agent lives them: one conversation for `agent_vectors`."""

from __future__ import annotations

from agent_script import MANAGER, ROOT, Script, a_daemon, a_task, digest_of

from propeller.wire import codec
from propeller.wire.frame import seal
from propeller.wire.keyring import trusted
from propeller.wire.messages import Releases, Trust, WireModule
from propeller.wire.signing import SigningKey
from proplet.effects import Outcome

RELEASE = SigningKey.from_seed(b"s" * 32)
NEXT = SigningKey.from_seed(b"t" * 32)
STOPPED = Outcome(ok=False, error="stopped")
OTHER = WireModule(digest=digest_of(b"other"), size=5)
LATE = WireModule(digest=digest_of(b"late"), size=4)


def _trust(script: Script, version: int, *release: SigningKey) -> None:
    keys = (trusted(MANAGER.public, "manager"), *(trusted(k.public, "release") for k in release))
    body = codec.encode(Trust(version=version, keys=keys))
    script.hear("trust", seal("trust", body, ROOT))


def _list(
    script: Script,
    version: int,
    *modules: str,
    key: SigningKey = RELEASE,
    not_after: int | None = None,
) -> None:
    told = Releases(version=version, modules=modules, not_after=not_after)
    script.hear("releases", seal("releases", codec.encode(told), key))


def releases() -> Script:
    """The conversation."""
    script = Script(
        "Release lists: nothing starts that none names, what an ended list named goes on, an older "
        "or foreign one is refused, a list whose key is no longer believed counts no longer."
    )
    task, other = a_task(), a_daemon(2, module=OTHER)
    first, second = task.module.digest, OTHER.digest
    script.boot()
    script.connect()
    _list(script, 1, first)  # nobody's business yet
    _trust(script, 1, RELEASE)
    script.want(task, other)
    script.wait(100)
    script.hear("releases", b"")
    _list(script, 2, first, key=MANAGER)
    _list(script, 2, first)
    script.fetched()
    script.prepared(task)
    script.wait(100)
    _list(script, 1, first, second)
    _list(script, 2, second)
    _list(script, 2, first)
    _list(script, 3, first, second, not_after=script.wall + 5_000)
    script.fetched(OTHER.digest)
    script.prepared(other)
    script.wait(6_000)  # the list has ended: what it named may start again, what is new may not
    late = a_task(3, module=LATE)
    script.want(task, other, late, gen=2)
    script.ended(other, Outcome(ok=False, exit=1, error="exit status 1"))
    script.wait(3_000)

    script.boot()
    script.connect()
    script.fetched(OTHER.digest)
    script.prepared(other)
    script.wait(100)
    script.want(other, gen=3)
    script.wait(100)
    _list(script, 4, second, LATE.digest)
    script.want(other, late, gen=4)
    script.fetched(LATE.digest)
    script.prepared(late)
    script.wait(100)

    _trust(script, 2, NEXT)  # the old key signs no lists any more, and neither does what it signed
    script.ended(other, STOPPED)
    script.wait(3_000)
    _list(script, 5, second)
    _list(script, 1, second, key=NEXT)
    script.wait(100)
    _trust(script, 3)  # nobody has to say what is released
    script.want(a_task(4), gen=5)
    script.fetched()
    script.wait(100)
    return script
