"""Work that the loop hands over and never waits for: each posts what came of it to the inbox.

Modules are resolved, rounds folded, models pushed and stocked, plugins and outside meters asked.
Owned by `service`; decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from propeller.errors import PropellerError
from propeller.model.checks import Probe, Reading
from propeller.model.ids import Digest, Key, PropletId
from propeller.model.module import Resolved
from propeller.model.specs import ModelFile, ModuleRef
from propeller.reconcile.events import Event, Learned, Measured, ModuleResolved, Remark, Scored
from propeller.reconcile.learning import Gather, Work
from propeller.reconcile.learningwork import Workshop, perform
from propeller.reconcile.modelshelf import Due, ModelShelf
from propeller.reconcile.running import Running
from propeller.reconcile.scorework import ScoreWork
from propeller.registry.blobs import BlobStore
from propeller.registry.cosignkey import PublicKey
from propeller.registry.lineage import push_round
from propeller.registry.models import model_of, pull_model
from propeller.registry.registries import Registries
from propeller.registry.resolve import resolve
from propeller.registry.spool import Spool
from propeller.wire.signing import SigningKey, VerifyKey
from propeller.writeback.probes import Probes


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What workers work with. key: signs the models of rounds. key_of: a proplet's, None unknown.

    signing_keys: keys that may vouch for a module. post: into the inbox.
    """

    registries: Registries
    signing_keys: tuple[PublicKey, ...]
    blobs: BlobStore
    spool: Spool
    key: SigningKey
    key_of: Callable[[PropletId], VerifyKey | None]
    post: Callable[[Event], None]


class Workers:
    """See the module. Called by the loop; `stop` ends every thread."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="modules")
        self._folding = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aggregators")
        self._running = Running()
        self._models = ModelShelf(self._push_model)
        self._scores = ScoreWork(
            bench.blobs.read, lambda asking, answer: bench.post(Scored(asking, answer))
        )
        self._meters = Probes(lambda probe, reading: bench.post(Measured(probe, reading)))
        self.publish = self._models.put
        self.score = self._scores.submit

    def resolve(self, ref: ModuleRef) -> None:
        """Resolve a module reference; posts `ModuleResolved`."""
        self.submit(lambda: self._bench.post(ModuleResolved(ref, self.resolved(ref))))

    def resolved(self, ref: ModuleRef) -> Resolved:
        """What a module reference means now. Waits for the registry: for a worker's thread."""
        return resolve(
            ref,
            registries=self._bench.registries,
            blobs=self._bench.blobs,
            keys=self._bench.signing_keys,
        )

    def submit(self, work: Callable[[], None]) -> None:
        """Anything else that takes its time."""
        self._pool.submit(work)

    def learn(self, work: Work) -> None:
        """Work of a federated job; posts `Learned`."""
        shop = Workshop(
            blobs=self._bench.blobs,
            find=lambda spec: model_of(
                spec.image, spec.initial, registries=self._bench.registries, blobs=self._bench.blobs
            ),
            key_of=self._bench.key_of,
            running=self._running,
        )
        # Somebody's module may take a minute: it keeps no other work waiting.
        slow = isinstance(work, Gather) and work.terms.aggregator
        pool = self._folding if slow else self._pool
        pool.submit(lambda: self._bench.post(Learned(perform(work, shop))))

    def _push_model(self, one: Due) -> None:
        push_round(
            one.image,
            one.tag,
            self._bench.blobs.read(one.model.digest),
            one.record,
            registries=self._bench.registries,
            key=self._bench.key,
        )

    def stock(self, key: Key, model: ModelFile) -> None:
        """Have a model of an object's guests at hand; says where that fails."""

        def work() -> None:
            try:
                pull_model(
                    model.image or "",
                    model.digest,
                    registries=self._bench.registries,
                    blobs=self._bench.blobs,
                )
            except (PropellerError, OSError) as error:
                words = f"model {model.name} cannot be had from {model.image}: {error}"
                self._bench.post(
                    Remark(severity="Warning", reason="ModelUnavailable", message=words, key=key)
                )

        self._pool.submit(work)

    def drop_upload(self, proplet: PropletId, digest: Digest) -> None:
        """What a proplet uploaded is not needed any more."""
        self._bench.spool.drop(proplet, digest)
        self._bench.blobs.delete(digest)

    def measure(self, probe: Probe) -> None:
        """Ask outside for a number; posts `Measured`."""
        if not self._meters.submit(probe):
            reading = Reading(slot=probe.slot, words="too much else is being measured")
            self._bench.post(Measured(probe, reading))

    def stop(self) -> None:
        """What has not begun never does; guests that run are ended."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._folding.shutdown(wait=False, cancel_futures=True)
        self._running.stop()
        self._models.stop()
        self._meters.stop()
        self._scores.stop()
