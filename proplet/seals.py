"""What may be believed: opens frames with the fleet's keys and reads what is in them. Pure.

Called by `agent` with what came, and by the shell with what goes. Begins with the pinned root,
which may sign a trust document and nothing else; the newest trust document brings the manager's
keys. A signature is verified before anything of the body is read, and unsigned is never accepted,
except the word `offline`, which is the manager's will and promises nothing.
"""

from __future__ import annotations

import hashlib

from propeller.errors import WireError
from propeller.wire import codec
from propeller.wire.boxes import BoxKey, Place, PointKey, open_value
from propeller.wire.call_messages import MAX_MESSAGE, Call, CallAnswer
from propeller.wire.frame import PURPOSE_OF, is_framed, may_ask, open_frame, seal
from propeller.wire.keyring import Keyring, keyring_from_trust
from propeller.wire.messages import (
    BlobAck,
    BlobChunk,
    BlobPut,
    BlobRef,
    Desired,
    Entry,
    Hello,
    ManagerStatus,
    Message,
    Op,
    OpAnswer,
    Releases,
    Report,
    RunReport,
    Status,
    Trust,
)
from propeller.wire.signing import SigningKey, VerifyKey
from propeller.wire.topics import Kind


class Seals:
    """The keys believed now. `version`: of the trust document they came from, 0 before any."""

    def __init__(self, root: VerifyKey) -> None:
        self._root = root
        self._roots = Keyring.of_roots(root)
        self._keys = self._roots
        self.version = 0

    def trust(self, frame: bytes) -> bool:
        """Take a trust document. False for one that is not newer. Raises WireError."""
        opened = open_frame("trust", frame, self._roots)
        trust = codec.decode(Trust, opened.body)
        if trust.version <= self.version:
            return False
        self._keys = keyring_from_trust(trust, self._root)
        self.version = trust.version
        return True

    @property
    def releasing(self) -> bool:
        """Whether trust names somebody who says which modules exist at all."""
        return self._keys.has("release")

    def releases(self, frame: bytes) -> Releases:
        """Raises WireError."""
        return codec.decode(Releases, open_frame("releases", frame, self._keys).body)

    def desired(self, frame: bytes) -> tuple[Desired, str]:
        """The document and the kid of the key that signed it. Raises WireError."""
        opened = open_frame("desired", frame, self._keys)
        return codec.decode(Desired, opened.body), opened.kid

    def believed(self, kid: str) -> bool:
        """Whether trust still names that key."""
        return self._keys.find(kid) is not None

    def op(self, frame: bytes) -> Op:
        """Raises WireError; not_allowed where a gateway asks for more than it may."""
        opened = open_frame("op", frame, self._keys)
        op = codec.decode(Op, opened.body)
        if not may_ask(opened.roles, op.verb):
            raise WireError("not_allowed", f"{opened.kid} may not ask for {op.verb}")
        return op

    def call(self, frame: bytes) -> Call:
        """Raises WireError."""
        body = open_frame("call", frame, self._keys).body
        return codec.decode(Call, body, limit=MAX_MESSAGE)

    def manager(self, payload: bytes) -> ManagerStatus:
        """Raises WireError, for an unsigned `online` too."""
        if is_framed(payload):
            opened = open_frame("manager", payload, self._keys)
            return codec.decode(ManagerStatus, opened.body)
        status = codec.decode(ManagerStatus, payload)
        if status.state != "offline":
            raise WireError("not_framed", "an unsigned word of a manager")
        return status

    def ack(self, frame: bytes) -> BlobAck:
        """Raises WireError."""
        return codec.decode(BlobAck, open_frame("ack", frame, self._keys).body)

    @staticmethod
    def chunk(payload: bytes) -> BlobChunk:
        """Not signed: the digest of the whole blob is what counts. Raises WireError."""
        return codec.decode(BlobChunk, payload)


def sealed(message: Message, key: SigningKey) -> bytes:
    """The payload of a message of ours, signed where the protocol says so.

    A heartbeat goes out for ever, where bytes may be dear, and says nothing a person would read:
    as CBOR it is less than half as long.
    """
    beat = isinstance(message, Report) and message.tasks is None and message.body is None
    body = codec.encode(message, encoding="cbor" if beat else "json")
    match message:
        case Report():
            kind = Kind.REPORT
        case Hello():
            kind = Kind.HELLO
        case Status():
            kind = Kind.STATUS
        case OpAnswer():
            kind = Kind.OP_ANSWER
        case BlobPut():
            kind = Kind.BLOB_PUT
        case CallAnswer():
            kind = Kind.CALL_ANSWER
        case _:
            return body
    return seal(PURPOSE_OF[kind], body, key)


def unsealed(
    entry: Entry, key: BoxKey | PointKey | None, *, device: str, inst: str
) -> tuple[tuple[str, str], ...]:
    """The entry's sealed variables, in clear. Raises WireError (bad_seal).

    Called when a guest is about to start, and the answer kept nowhere.
    """
    if not entry.sealed:
        return ()
    if key is None:
        raise WireError("bad_seal", "this proplet has no key for secrets")
    opened = []
    for name, value in entry.sealed:
        place = Place(device=device, inst=inst, uid=entry.uid, run=entry.run, name=name)
        try:
            opened.append((name, open_value(value, key, place).decode()))
        except UnicodeDecodeError:
            raise WireError("bad_seal", f"{name} is not text") from None
    return tuple(opened)


def read_entries(data: bytes, digest: str) -> tuple[Entry, ...]:
    """The tasks of a document whose body came as a blob. Raises WireError."""
    entries = codec.decode_tasks(data)
    if codec.tasks_digest(entries) != digest:
        raise WireError("digest_mismatch", "the body is not the tasks list that was signed")
    return entries


def inventory_name(runs: tuple[RunReport, ...]) -> str:
    """The digest that names a list of runs."""
    return codec.inventory_digest(runs)


def body_of_runs(runs: tuple[RunReport, ...]) -> tuple[BlobRef, bytes]:
    """A list of runs as a blob."""
    data = codec.encode_inventory(runs)
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    return BlobRef(digest=digest, size=len(data)), data


def encoded_size(report: Report) -> int:
    """Bytes of a report as it would be sent, without its signature."""
    return len(codec.encode(report))
