"""Attacks by the names that TUF and Uptane gave them, on the agent that devices run.

The broker is the attacker's: it forges, replays, reorders and withholds. Where a test says so, the
manager's online keys are the attacker's too. The device ignores or reports, and never obeys.
`test_attacks_live` does the worst of these to a real process behind a real broker.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from proplet_agent_world import (
    GATEWAY,
    INST,
    MANAGER,
    ROOT,
    STRANGER,
    WALL,
    WELL,
    World,
    a_daemon,
    a_document,
    a_task,
    key,
    module,
    sha256,
    signed,
    trust,
)

from propeller.errors import DigestMismatch
from propeller.wire import codec
from propeller.wire.frame import seal
from propeller.wire.messages import BlobGet, BlobRef, Releases, Report
from propeller.wire.signing import P256, SigningKey
from proplet.blobs import Blobs
from proplet.effects import Fetch, Prepare, SaveDesired, SaveReleases, Start, Topic

OFFLINE = SigningKey.from_seed(b"o" * 32, P256)
SUCCESSOR = SigningKey.from_seed(b"n" * 32, P256)
NEW_MANAGER = SigningKey.from_seed(b"w" * 32)
YEAR = 365 * 86_400_000
GOOD, EVIL = module("a"), module("e")


def listed(version, *modules, signer=OFFLINE, not_after=None):
    digests = tuple(sorted(one.digest for one in modules))
    fields = Releases(version=version, modules=digests, not_after=not_after)
    return seal("releases", codec.encode(fields), signer)


def a_world(*modules, **changes):
    """A device whose fleet has a release role, and a list that names these."""
    world = World()
    world.connect()
    world.hear(Topic.TRUST, trust(2, release=OFFLINE))
    world.hear(Topic.RELEASES, listed(1, *modules, **changes))
    world.done.clear()
    return world


def touched(world, digest):
    """Whether anything of a module was fetched, looked into or started."""
    fetches = [one.digest for one in world.all(Fetch)]
    entries = [one.entry.module.digest for one in (*world.all(Prepare), *world.all(Start))]
    return digest in (*fetches, *entries)


def drops(world):
    return dict(world.agent.counts)


# -- arbitrary software -----------------------------------------------------------------------


def test_arbitrary_software_a_stolen_manager_key_cannot_start_it():
    """Properly signed by the manager, and yet not fetched, not compiled, not started: it says so.

    What is on the list goes on beside it (no extraneous dependency rides along).
    """
    world = a_world(GOOD)
    evil, good = a_task(1, module=EVIL), a_task(2, module=GOOD)
    world.want(evil, good)
    assert world.started() == [good.run]
    assert not touched(world, EVIL.digest)
    run = world.run(evil)
    assert run.state == "Pending"
    assert run.error == f"NotReleased: release list 1 does not name {EVIL.digest}"


def test_arbitrary_software_starts_only_once_it_is_released():
    """The offline key says so; then the run that waited begins, once."""
    world = a_world(GOOD)
    entry = a_task(1, module=EVIL)
    world.want(entry)
    world.hear(Topic.RELEASES, listed(2, GOOD, EVIL))
    assert world.started() == [entry.run]
    world.hear(Topic.RELEASES, listed(2, GOOD, EVIL))
    assert world.started() == [entry.run]


@pytest.mark.parametrize("signer", [MANAGER, GATEWAY, STRANGER, ROOT], ids=str)
def test_arbitrary_software_nobody_else_can_release(signer):
    """Neither the manager, nor the gateway, nor the root itself signs release lists."""
    world = a_world(GOOD)
    world.hear(Topic.RELEASES, listed(9, GOOD, EVIL, signer=signer))
    world.want(a_task(1, module=EVIL))
    assert world.started() == []
    assert not touched(world, EVIL.digest)


def test_arbitrary_software_no_list_means_nothing_starts():
    """A broker that withholds the list withholds the right to start, not the check."""
    world = World()
    world.connect()
    world.hear(Topic.TRUST, trust(2, release=OFFLINE))
    world.want(a_task(1, module=GOOD))
    world.hear(Topic.RELEASES, b"")
    assert world.started() == []
    assert "no release list has come" in world.run(a_task(1, module=GOOD)).error


def test_arbitrary_software_a_forged_document_is_never_believed():
    """By the gateway's key, a stranger's, a device's, or by none: no document."""
    for payload in (
        signed(a_document(a_task(1)), STRANGER),
        signed(a_document(a_task(1)), GATEWAY),
        codec.encode(a_document(a_task(1))),
        b"P1" + bytes(80),
        b"",
        b"\xff" * 500,
    ):
        world = World()
        world.connect()
        world.hear(Topic.DESIRED, payload)
        assert world.started() == []
        assert world.all(SaveDesired) == []


def test_arbitrary_software_under_a_good_name_is_not_kept(tmp_path):
    """Bytes that are not what their digest says are dropped with the last one (mix and match)."""
    blobs = Blobs(tmp_path, quota=1 << 20)
    good = b"good" * 100
    with pytest.raises(DigestMismatch):
        blobs.write(sha256(good), 0, len(good), b"evil" * 100)
    assert not blobs.has(sha256(good))
    assert blobs.have(sha256(good)) == 0


# -- replay and rollback ----------------------------------------------------------------------


def test_replay_a_removed_task_does_not_come_back():
    """Yesterday's document, signature and all: older, so refused, before and after a reboot."""
    world = a_world(GOOD)
    entry = a_task(1, module=GOOD)
    yesterday = signed(a_document(entry, gen=1))
    world.hear(Topic.DESIRED, yesterday)
    world.end(key(entry), WELL)
    world.want(gen=2)
    for _ in range(2):
        world.hear(Topic.DESIRED, yesterday)
        assert world.started().count(entry.run) <= 1
        assert world.agent.counts["stale"] == 1
        world.crash()
        world.connect()
    assert world.started() == []


def test_replay_a_finished_run_is_not_run_again():
    """The same document a hundred times is one run, also across a reboot."""
    world = a_world(GOOD)
    entry = a_task(1, module=GOOD)
    frame = signed(a_document(entry))
    for _ in range(100):
        world.hear(Topic.DESIRED, frame)
    world.end(key(entry), WELL)
    world.crash()
    world.connect()
    world.hear(Topic.DESIRED, frame)
    assert sum(world.starts.values()) == 1


def test_replay_an_operation_of_another_connection_is_dropped():
    """A recorded `restart` does nothing on the next connection."""
    world = a_world(GOOD)
    entry = a_daemon(1, module=GOOD)
    world.want(entry)
    conn = world.conn
    world.connect()
    before = sum(world.starts.values())
    world.op("restart", entry, conn=conn)
    assert sum(world.starts.values()) == before


def test_rollback_of_the_release_list_is_refused():
    """A withdrawn module does not come back with the list that named it, rebooted or not."""
    world = a_world(GOOD, EVIL)
    world.hear(Topic.RELEASES, listed(2, GOOD))
    for _ in range(2):
        world.hear(Topic.RELEASES, listed(1, GOOD, EVIL))
        world.want(a_task(1, module=EVIL))
        assert world.started() == []
        world.crash()
        world.connect()


def test_rollback_of_trust_is_refused():
    """An old trust document does not bring a revoked manager back, nor take the release role."""
    world = a_world(GOOD)
    world.hear(Topic.TRUST, trust(1, manager=STRANGER))
    world.hear(Topic.DESIRED, signed(a_document(a_task(1, module=GOOD)), STRANGER))
    world.want(a_task(2, module=EVIL), gen=2)
    assert world.started() == []


def test_a_withdrawn_module_is_not_started_again():
    """It runs on until it ends; a restart, by whomever, does not happen."""
    world = a_world(GOOD)
    entry = a_daemon(1, module=GOOD)
    world.want(entry)
    world.hear(Topic.RELEASES, listed(2))
    assert world.state(entry) == "Running"
    world.op("restart", entry)
    assert sum(world.starts.values()) == 1
    assert "does not name" in world.run(entry).error


# -- freeze -----------------------------------------------------------------------------------


def test_freeze_an_ended_list_lets_nothing_new_in():
    """Withholding newer lists for ever gives the attacker only what was there before the end."""
    world = a_world(GOOD, EVIL, not_after=WALL + YEAR)
    old = a_daemon(1, module=GOOD)
    world.want(old)
    world.wall += 2 * YEAR
    new = a_task(2, module=EVIL)
    world.want(old, new, gen=2)
    assert world.state(new) == "Pending"
    assert "has ended" in world.run(new).error
    assert not touched(world, EVIL.digest)


def test_freeze_does_not_stop_the_plant():
    """What was held by a good list goes on, is restarted, and survives a reboot after the end."""
    world = a_world(GOOD, not_after=WALL + YEAR)
    entry = a_daemon(1, module=GOOD)
    world.want(entry)
    world.wall += 2 * YEAR
    world.crash()
    assert world.started() == [entry.run]
    world.connect()
    again = a_task(3, module=GOOD)
    world.want(entry, again, gen=2)
    assert again.run in world.started()


def test_freeze_an_expired_document_is_refused():
    """Kept back past its `notAfter`, it is no use any more, and the device says so."""
    world = a_world(GOOD)
    frame = signed(a_document(a_task(1, module=GOOD), not_after=WALL + 1000))
    world.wall += 60_000
    world.hear(Topic.DESIRED, frame)
    assert world.started() == []
    world.pass_(100)
    assert [r.refused.reason for r in world.published(Report) if r.refused] == ["expired"]


def test_freeze_a_silent_broker_changes_nothing():
    """Withheld for a week: what was asked last goes on, and the report keeps saying which."""
    world = a_world(GOOD)
    entry = a_daemon(1, module=GOOD)
    world.want(entry)
    world.pass_(60_000)
    assert world.state(entry) == "Running"
    assert world.report().observed.gen == 1


# -- mix and match ----------------------------------------------------------------------------


def test_mix_and_match_a_neighbours_document_is_not_ours():
    """Signed for another device, or for this one before it was formatted."""
    world = a_world(GOOD)
    entry = a_task(1, module=GOOD)
    world.hear(Topic.DESIRED, signed(a_document(entry, to="p2")))
    world.hear(Topic.DESIRED, signed(a_document(entry, inst="f" * 32)))
    assert world.started() == []
    assert drops(world)["foreign"] == 1
    assert drops(world)["other_inst"] == 1
    assert a_document(entry).inst == INST


def test_mix_and_match_a_body_of_another_document():
    """Head of one, tasks of another: the signed digest decides."""
    world = a_world(GOOD)
    real, other = (a_task(1, module=GOOD),), (a_task(2, module=GOOD),)
    data = codec.encode_tasks(other)
    head = replace(a_document(*real), tasks=None, body=BlobRef(digest=sha256(data), size=len(data)))
    world.auto = False
    world.hear(Topic.DESIRED, signed(head))
    world.do(world.agent.fetched(sha256(data), world.now, data))
    assert world.started() == []
    assert drops(world)["digest_mismatch"] == 1


def test_mix_and_match_two_lists_of_one_version():
    """Whoever shows two faces shows it: the first one stands, the second is counted."""
    world = a_world(GOOD)
    world.hear(Topic.RELEASES, listed(1, GOOD, EVIL))
    world.want(a_task(1, module=EVIL))
    assert world.started() == []
    assert drops(world)["other_digest"] == 1


def test_mix_and_match_one_topics_frame_on_another():
    """What was signed for a topic proves nothing on another."""
    world = a_world(GOOD)
    frame = signed(a_document(a_task(1, module=GOOD)))
    for topic in (Topic.TRUST, Topic.RELEASES, Topic.OP, Topic.BLOB_ACK, Topic.MANAGER):
        world.hear(topic, frame)
    world.hear(Topic.DESIRED, listed(7, EVIL))
    world.hear(Topic.DESIRED, trust(9))
    assert world.started() == []
    assert world.all(SaveDesired) == []


def test_reordered_documents_end_with_the_newest():
    """Whatever order they come in, no older one takes the place of a newer one."""
    world = a_world(GOOD)
    first, second = a_daemon(1, module=GOOD), a_daemon(2, module=GOOD)
    world.want(second, gen=2)
    world.want(first, gen=1)
    assert world.started() == [second.run]
    assert world.report().observed.gen == 2


# -- fast-forward -----------------------------------------------------------------------------


def test_fast_forward_of_the_release_list_ends_with_its_key():
    """A stolen release key says version 2^53-1; the root names another key, and counting begins
    anew: the stolen one can neither release nor outbid."""
    world = a_world(GOOD)
    world.hear(Topic.RELEASES, listed(2**53 - 1, EVIL))
    world.hear(Topic.TRUST, trust(3, release=SUCCESSOR))
    world.want(a_task(1, module=EVIL))
    assert world.started() == []
    world.hear(Topic.RELEASES, listed(1, GOOD, signer=SUCCESSOR))
    world.want(a_task(2, module=GOOD), gen=2)
    assert world.started() == [a_task(2).run]
    world.hear(Topic.RELEASES, listed(2**53 - 1, EVIL))
    world.crash()
    world.connect()
    world.want(a_task(3, module=EVIL), gen=3)
    assert world.started() == []


def test_fast_forward_of_documents_ends_with_the_managers_key():
    """A stolen manager key asks with the highest fence and a time far ahead. Once the root took it
    back, its successor is heard again, rebooted or not; and the stolen one is not."""
    world = a_world(GOOD)
    last = 2**53 - 1
    far = WALL + 50 * YEAR
    world.hear(Topic.DESIRED, signed(a_document(fence=last, gen=last, iat=far)))
    assert world.report().observed.fence == last
    world.hear(Topic.TRUST, trust(3, manager=NEW_MANAGER, release=OFFLINE))
    world.crash()
    world.connect()
    entry = a_task(1, module=GOOD)
    honest = a_document(entry, gen=2, not_after=WALL + YEAR)
    world.hear(Topic.DESIRED, signed(honest, NEW_MANAGER))
    assert world.started() == [entry.run]
    world.hear(Topic.DESIRED, signed(a_document(fence=last, gen=last), MANAGER))
    world.hear(Topic.DESIRED, signed(a_document(gen=1), NEW_MANAGER))
    assert world.report().observed.gen == 2


# -- endless data, slow retrieval ---------------------------------------------------------------


def test_endless_data_is_not_taken():
    """A body larger than the device takes, a blob that is longer than it was said to be."""
    world = a_world(GOOD)
    body = BlobRef(digest=sha256(b"x"), size=1 << 40)
    world.hear(Topic.DESIRED, signed(replace(a_document(a_task(1)), tasks=None, body=body)))
    assert world.all(Fetch) == []
    assert drops(world)["too_big"] == 1
    world.hear(Topic.DESIRED, b"P1" + b"\1\x10" + b"k" * (2 << 20))
    world.hear(Topic.RELEASES, seal("releases", b"{" + b" " * (1 << 20), OFFLINE))
    assert world.started() == []


def test_endless_data_a_blob_stops_at_its_size():
    """A transfer is as long as the signed entry says; a longer piece is a fruitless try."""
    world = World(auto=False)
    world.connect()
    entry = a_task(1)
    world.want(entry)
    world.do(world.agent.fetch_from(entry.module.digest, 1000, 0, world.now))
    (get,) = world.published(BlobGet)[-1:]
    for _ in range(50):
        world.chunk(get.digest, 0, 1 << 50, get.req, b"x" * 1000)
        world.chunk(get.digest, 0, 200_000, get.req, b"x" * 100_000)
    assert not [one for one in world.done if type(one).__name__ == "WriteChunk"]


def test_slow_retrieval_delays_and_nothing_else():
    """A byte at a time: nothing starts early, and guests and reports go on meanwhile."""
    world = a_world(GOOD, EVIL)
    running, awaited = a_daemon(1, module=GOOD), a_task(2, module=EVIL)
    world.want(running)
    world.auto = False
    world.want(running, awaited, gen=2)
    world.do(world.agent.fetch_from(EVIL.digest, 1000, 0, world.now))
    before = len(world.published(Report))
    for off in range(20):
        get = world.published(BlobGet)[-1]
        world.chunk(EVIL.digest, off, 1000, get.req, b"x")
        world.pass_(10_000)
    assert world.state(awaited) == "Fetching"
    assert world.state(running) == "Running"
    assert len(world.published(Report)) > before + 10


# -- what is kept -----------------------------------------------------------------------------


def test_a_list_is_on_disk_before_it_counts():
    """Persisted in the turn that took it, so that a power cut brings no older one back."""
    world = a_world(GOOD)
    world.hear(Topic.RELEASES, listed(2, GOOD, EVIL))
    (saved,) = world.all(SaveReleases)
    assert saved.frame == listed(2, GOOD, EVIL) or saved.frame == world.disk.releases.frame
    world.crash()
    world.connect()
    world.want(a_task(1, module=EVIL))
    assert world.started() == [a_task(1).run]


def test_without_a_release_role_everything_is_as_before():
    """A fleet that has none asks nobody, and listens to no list."""
    world = World()
    world.connect()
    world.hear(Topic.RELEASES, listed(1))
    world.want(a_task(1, module=EVIL))
    assert world.started() == [a_task(1).run]
    assert world.all(SaveReleases) == []
