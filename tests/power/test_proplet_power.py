"""A power cut at any point of a proplet's life: promises are kept, nothing torn is used."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path
from typing import Any

from proplet.blobs import Blobs
from proplet.records import State
from proplet.store import Store

LIFE = """
import os, sys, hashlib
from pathlib import Path
from propeller.wire.messages import BlobRef, Observed
from proplet.blobs import Blobs
from proplet.effects import DropRun, SaveDesired, SaveRun, SaveTrust, SaveUpload
from proplet.records import RunRecord, State
from proplet.store import Store

root = Path(sys.argv[1])
marks = os.open(os.environ["POWER_MARKS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
serial = 0
for boot in (1, 2):
    store = Store(root, new_inst=lambda: f"{boot:032x}")
    os.write(marks, b"inst %s %d" % (store.inst.encode(), store.boot))
    blobs = Blobs(root, quota=1 << 20)
    for _ in range(4):
        serial += 1
        digest = "sha256:" + f"{serial:064x}"
        record = RunRecord(uid="u", run=str(serial), digest=digest, cause="once", mode="once",
                           state=State.RUNNING, starts=1)
        store.save([SaveDesired(Observed(fence=1, gen=serial, digest=digest), serial, ()),
                    SaveRun(record)])
        os.write(marks, b"started %d" % serial)
        data = os.urandom(3000)
        name = "sha256:" + hashlib.sha256(data).hexdigest()
        blobs.write(name, 0, 3000, data[:1500])
        blobs.write(name, 1500, 3000, data[1500:])
        os.write(marks, b"blob %s" % name.encode())
        kept = blobs.keep(b"%d" % serial * 500)
        store.save([SaveUpload(kept), SaveTrust(b"t%d" % serial)])
        os.write(marks, b"blob %s" % kept.digest.encode())
    store.close()
"""


def test_a_proplet_forgets_no_start_and_trusts_no_torn_blob(
    tmp_path: Path, power_recorder: Any
) -> None:
    """Every start that could have been acted on is remembered; blobs are whole or not there."""
    root = tmp_path / "s"
    recording = power_recorder.run([sys.executable, "-c", LIFE, str(root)], root=root)
    place = tmp_path / "after"
    cuts = torn = 0
    for crash in recording.crashes():
        cuts += 1
        shutil.rmtree(place, ignore_errors=True)
        crash.materialise(place)
        said = [mark.split() for mark in crash.marks]
        store = Store(place, new_inst=lambda: "f" * 32)
        try:
            stored = store.load()
            insts = [words[1] for words in said if words[0] == "inst"]
            assert not insts or store.inst == insts[0], "a formatting lasts"
            assert store.boot > len(insts), "no boot number is used twice"
            started = [words[1] for words in said if words[0] == "started"]
            records = {record.run: record for record in stored.runs}
            assert set(started) <= set(records)
            assert all(record.state is State.RUNNING for record in records.values())
            assert stored.observed.gen >= len(started), "what was accepted stays accepted"
            assert len(records) == stored.observed.gen, "one turn is there whole or not at all"
        finally:
            store.close()
        blobs = Blobs(place, quota=1 << 20)
        for words in said:
            if words[0] == "blob":
                assert blobs.has(words[1])
        for path in (place / "blobs").iterdir():
            if not path.name.startswith("."):
                assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
        torn += len(list((place / "parts").iterdir()))
    assert cuts > 50
    assert torn > 0, "some of the cuts fell into a download"
