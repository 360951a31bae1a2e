"""A FederatedTask in a real store: three rounds, one of them in two attempts, without the loop."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import yaml

from propeller.fl.layout import Layout
from propeller.fl.model import write_model
from propeller.model.ids import Digest, PropletId, RunId, sha256_digest
from propeller.model.inventory import Held
from propeller.model.rounds import Blob, Bucket, Fold, Job, Part, Round, RoundState
from propeller.plan.records import sealed
from propeller.registry.blobs import BlobStore
from propeller.registry.wasm import inspect
from propeller.sources.directory import DirectorySource
from propeller.sources.load import load
from propeller.state.records import StatusRow

JOB = "0f8fad5b-d9cb-469f-a165-70867728950e"
FIRST_AT = 1_700_000_000_000
ACCURACY = ("0.5", "0.9", "0.7")


def spec(**more):
    """The task `line` as its file has it."""
    return yaml.safe_dump(
        {
            "apiVersion": "propeller.dev/v1alpha1",
            "kind": "FederatedTask",
            "metadata": {"name": "line"},
            "spec": {
                "module": {"image": "registry.example/trainer:1"},
                "rounds": 5,
                "cohort": {"clientsPerRound": 2},
                "evaluation": {"every": 1, "best": {"metric": "accuracy", "goal": "Max"}},
                **more,
            },
        }
    )


def model(number):
    """The bytes of the model of a round."""
    return write_model(Layout.flat(2), np.array([number, -number], np.float32))


def part(name, bucket, **more):
    return Part(
        proplet=PropletId(name),
        run=RunId("a" * 32),
        cause="round:1",
        nonce="0" * 32,
        bucket=bucket,
        **more,
    )


class Learned:
    """What the loop would have written for `line`. The fourth round is under way."""

    def __init__(self, state, store, folder, **more):
        folder.mkdir(exist_ok=True)
        (folder / "line.yaml").write_text(spec(**more))
        revision = load(
            DirectorySource(folder).read(), domain="propeller", keep=sha256_digest, inspect=inspect
        )
        (thing,) = revision.objects.values()
        self.store, self.uid, self.key = store, thing.meta.uid, thing.meta.key
        self.blobs = BlobStore(state.blobs)
        self.held = Held(
            uid=self.uid, object=thing, generation=1, revision="main@sha1:" + "4" * 40,
            created_at=FIRST_AT, changed_at=FIRST_AT,
        )  # fmt: skip
        self.models = {number: self._keep(model(number)) for number in (1, 2, 3)}
        self.rounds = list(self._rounds())
        last = self.rounds[-2]
        self.job = Job(
            uid=self.uid, job=JOB, run_digest=Digest("sha256:" + "1" * 64), begun_at=FIRST_AT,
            prepared=True, done=3, model=self.models[3], metrics=last.metrics, best_round=2,
            best_value="0.9", best_model=self.models[2], record=last.record,
        )  # fmt: skip
        with store.transaction():
            store.put_held(self.held)
            store.put_job(self.job)
            for one in self.rounds:
                store.put_round(one)
        self.ready("Unknown", "Training", "round 4 of 5: collecting, 0 of 2 updates, 2 to come")

    def _keep(self, data):
        return Blob(self.blobs.put(data), len(data))

    def _rounds(self):
        lost = self._round(1, 1, RoundState.ABANDONED, why="1 good updates, needs 2", failed=True)
        yield sealed(
            replace(lost, parts={PropletId("a"): part("a", Bucket.ACCEPTED, samples=3),
                                 PropletId("b"): part("b", Bucket.DROPPED, why="it fell silent")})
        )  # fmt: skip
        for number, accuracy in zip((1, 2, 3), ACCURACY, strict=True):
            yield sealed(
                self._round(
                    number,
                    2 if number == 1 else 1,
                    RoundState.COMMITTED,
                    parts={PropletId(name): part(name, Bucket.ACCEPTED, samples=3)
                           for name in ("a", "b")},
                    judges={PropletId("a"): part("a", Bucket.ACCEPTED, samples=3)},
                    base=self.models.get(number - 1, Blob()),
                    fold=Fold(model=self.models[number]),
                    metrics=(("accuracy", accuracy),),
                )
            )  # fmt: skip
        yield self._round(
            4, 1, RoundState.COLLECTING, ended_at=0,
            parts={PropletId(name): part(name, Bucket.OPEN) for name in ("a", "b")},
        )  # fmt: skip

    def _round(self, number, attempt, state, **more):
        at = FIRST_AT + number * 60_000
        values = {
            "uid": self.uid, "job": JOB, "number": number, "attempt": attempt, "generation": 1,
            "state": state, "terms": self.held.object.terms,
            "eligible": (PropletId("a"), PropletId("b")), "selected_at": at, "ended_at": at + 5000,
        }  # fmt: skip
        return Round(**{**values, **more})

    def ready(self, status, reason, message):
        """What the status says."""
        key = self.key
        condition = {
            "type": "Ready",
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        meta = {"name": key.name, "namespace": key.namespace, "uid": self.uid, "generation": 1}
        meta["app"] = "default"
        document = {"apiVersion": "propeller.dev/v1alpha1", "kind": key.kind, "metadata": meta,
                    "status": {"observedGeneration": 1, "conditions": [condition]}}  # fmt: skip
        row = StatusRow(
            uid=self.uid, key=key, ready=status, document=json.dumps(document), changed_at=FIRST_AT
        )
        with self.store.transaction():
            self.store.put_status(row)

    def finish(self):
        """The task is done after three rounds."""
        with self.store.transaction():
            self.store.put_job(replace(self.job, stopped="accuracy"))
        self.ready("True", "Finished", "3 of 5 rounds are committed (accuracy)")
