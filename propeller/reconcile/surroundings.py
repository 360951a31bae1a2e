"""Everything a reconciler is given: store, broker, keys, a clock, and workers to hand work to.

A process gives it the real ones (`service`), a scenario a fake clock and a broker in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from propeller.model.checks import Probe
from propeller.model.ids import Digest, Key, PropletId, Uid
from propeller.model.promotion import Proposal
from propeller.model.quotas import Quota
from propeller.model.scoring import Asking
from propeller.model.seen import Seen
from propeller.model.signing import Rule
from propeller.model.specs import ModelFile, ModuleRef
from propeller.reconcile.devices import DeviceKeys
from propeller.reconcile.learning import Work
from propeller.reconcile.modelshelf import Due
from propeller.reconcile.statusfiles import StatusFiles
from propeller.registry.blobs import BlobStore
from propeller.secrets.vault import Vault
from propeller.state.base import Journal, Store
from propeller.telemetry.spans import Send
from propeller.transport.base import Transport
from propeller.wire.signing import SigningKey
from propeller.wire.topics import Channel

MAX_BODY = 4 << 20
"""Bytes of the largest document or report taken from a blob."""


def _nothing(_proplet: PropletId, _digest: Digest) -> None:
    return


def _no_stock(_key: Key, _model: ModelFile) -> None:
    return


def _nobody_scores(_asking: Asking) -> None:
    """Where no plugin is asked, nothing is placed that waits for one."""


def _nobody_opens(_uid: Uid, _proposal: Proposal | None) -> None:
    """Where specs come from no repository, nothing can be pushed to it."""


def _nobody_measures(_probe: Probe) -> None:
    """Where nothing outside is asked, a check is inconclusive for want of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Everything a reconciler is given: it makes nothing of this itself.

    clock: Unix ms. new_id: a fresh id for an operation. resolve: hand a module reference to a
    worker, which posts `ModuleResolved`. source_id: names this manager on its own topics.
    keys_predate: the key directory is older than the store (rule f: there may be a fleet).
    vault: opens Secrets; None where no identity is configured.
    learn: hand work of a federated job to a worker, which posts `Learned`; None: there are none.
    key_p256: what signs for devices that know only P-256; None: they cannot be spoken to.
    drop_upload: what a proplet uploaded is not needed any more.
    publish: hand the model of a round to the thread that pushes it; None: there is none.
    measure: hand a measurement to a worker, which posts `Measured`.
    score: hand a question for a plugin to a worker, which posts `Scored`.
    signing: who has to vouch for modules. quotas: how much a namespace may have.
    stock: hand a model of an object's guests to a worker, which keeps its blob.
    trace: takes spans of what becomes of a commit; None: nobody wants them.
    propose: hand a promotion to whoever opens it and posts `PromotionOpened`; None: not any more.
    """

    store: Store
    journal: Journal
    transport: Transport
    channel: Channel
    key: SigningKey
    devices: DeviceKeys
    blobs: BlobStore
    status: StatusFiles
    clock: Callable[[], int]
    new_id: Callable[[], str]
    resolve: Callable[[ModuleRef], None]
    domain: str
    source_id: str
    keys_predate: bool
    key_p256: SigningKey | None = None
    vault: Vault | None = None
    learn: Callable[[Work], None] | None = None
    drop_upload: Callable[[PropletId, Digest], None] = _nothing
    publish: Callable[[Due], None] | None = None
    measure: Callable[[Probe], None] = _nobody_measures
    score: Callable[[Asking], None] = _nobody_scores
    signing: tuple[Rule, ...] = ()
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    stock: Callable[[Key, ModelFile], None] = _no_stock
    trace: Send | None = None
    propose: Callable[[Uid, Proposal | None], None] = _nobody_opens

    def key_for(self, seen: Seen | None) -> SigningKey:
        """What signs for this device."""
        if self.key_p256 is not None and seen is not None and seen.facts is not None:
            return self.key_p256 if seen.facts.p256 else self.key
        return self.key

    def read_blob(self, digest: str) -> bytes | None:
        """A document or report that travelled as a blob; None when it is not here (yet)."""
        if not self.blobs.has(digest) or self.blobs.size(digest) > MAX_BODY:
            return None
        return self.blobs.read(digest)
