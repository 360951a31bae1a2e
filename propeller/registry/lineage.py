"""A trained model as an OCI artifact, with a signed record that refers to it.

The model's manifest has one layer, the safetensors bytes; the record is an in-toto statement in a
DSSE envelope (github.com/secure-systems-lab/dsse), a manifest of its own whose `subject` is the
model's. Neither bears a time, so publishing again changes nothing.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from propeller.errors import WireError
from propeller.model.canonical import canonical_bytes
from propeller.model.ids import Digest, sha256_digest
from propeller.registry import manifest as layout_of
from propeller.registry.artifacts import Artifacts
from propeller.registry.reference import Reference, parse_location
from propeller.registry.referrers import (
    EMPTY,
    EMPTY_CONFIG,
    MAX_REFERRERS,
    list_referrer,
    read_attached,
    read_layer,
)
from propeller.registry.registries import Registries
from propeller.wire.signing import SigningKey

MODEL = "application/vnd.propeller.model.v1"
MODEL_LAYER = "application/vnd.propeller.model.v1.safetensors"
RECORD = "application/vnd.propeller.fl-record.v1"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
STATEMENT = "application/vnd.in-toto+json"
PREDICATE = "https://propeller.dev/fl-record/v1"
MAX_RECORD = 1 << 20

Sign = Callable[[bytes], bytes]
Check = Callable[[bytes, bytes], bool]
"""(signature, message) -> whether it is good."""


@dataclass(frozen=True, slots=True)
class Published:
    """Manifests by digest."""

    model: Digest
    record: Digest


def publish(
    artifacts: Artifacts,
    ref: Reference,
    model: bytes,
    record: Mapping[str, object],
    *,
    key_id: str,
    sign: Sign,
) -> Published:
    """Keep model and record; the tag of `ref` points to the model. Doing it again is the same.

    record: plain data, the predicate of the statement. sign: 64 bytes over what it is given.
    Raises ArtifactError, Unavailable or WireError.
    """
    layer = artifacts.write_blob(ref, model)
    artifacts.write_blob(ref, EMPTY)
    body = _manifest(MODEL, MODEL_LAYER, layer, len(model))
    subject = artifacts.write_manifest(ref, body, layout_of.MANIFEST)
    envelope = _envelope(statement(layer, record), key_id, sign)
    kept = artifacts.write_blob(ref, envelope)
    about = {"mediaType": layout_of.MANIFEST, "digest": subject, "size": len(body)}
    told = _manifest(RECORD, ENVELOPE, kept, len(envelope), subject=about)
    digest = artifacts.write_manifest(
        replace(ref, tag=None, digest=sha256_digest(told)), told, layout_of.MANIFEST
    )
    list_referrer(artifacts, ref, subject, digest=digest, size=len(told), kind=RECORD)
    return Published(subject, digest)


def statement(model: Digest, record: Mapping[str, object]) -> bytes:
    """The in-toto statement that a model was made so."""
    return canonical_bytes(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "model", "digest": {"sha256": model.removeprefix("sha256:")}}],
            "predicateType": PREDICATE,
            "predicate": dict(record),
        }
    )


def records_of(
    artifacts: Artifacts, ref: Reference, *, check: Check
) -> tuple[Mapping[str, object], ...]:
    """The records of the model `ref` means, those with a good signature alone.

    Raises ArtifactError, Unavailable or WireError.
    """
    found = []
    for one in artifacts.referrers(ref, RECORD)[:MAX_REFERRERS]:
        manifest = read_attached(artifacts, ref, one)
        if manifest is None or len(manifest.layers) != 1:
            continue
        record = _opened(read_layer(artifacts, ref, manifest.layers[0], limit=MAX_RECORD), check)
        if record is not None:
            found.append(record)
    return tuple(found)


def _opened(envelope: bytes, check: Check) -> Mapping[str, object] | None:
    """The statement in an envelope, None for one that is not signed by whom it should be."""
    try:
        found = json.loads(envelope)
        payload = base64.b64decode(found["payload"], validate=True)
        signatures = [base64.b64decode(one["sig"], validate=True) for one in found["signatures"]]
        message = _to_sign(found["payloadType"], payload)
        good = any(check(each, message) for each in signatures[:8])
        document = json.loads(payload)
    except (ValueError, KeyError, TypeError, RecursionError, WireError):
        return None
    return document if good and isinstance(document, dict) else None


def _envelope(payload: bytes, key_id: str, sign: Sign) -> bytes:
    signature = base64.b64encode(sign(_to_sign(STATEMENT, payload))).decode()
    return canonical_bytes(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": STATEMENT,
            "signatures": [{"keyid": key_id, "sig": signature}],
        }
    )


def _to_sign(kind: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)


def _manifest(
    kind: str,
    layer_type: str,
    layer: Digest,
    size: int,
    *,
    subject: Mapping[str, object] | None = None,
) -> bytes:
    empty = {"mediaType": EMPTY_CONFIG, "digest": sha256_digest(EMPTY), "size": len(EMPTY)}
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": layout_of.MANIFEST,
        "artifactType": kind,
        "config": empty,
        "layers": [{"mediaType": layer_type, "digest": layer, "size": size}],
    }
    if subject is not None:
        document["subject"] = dict(subject)
    return json.dumps(document, separators=(",", ":")).encode()


def push_round(
    image: str,
    tag: str,
    model: bytes,
    record: Mapping[str, object],
    *,
    registries: Registries,
    key: SigningKey,
) -> Published:
    """`publish` under a tag of the repository of `image`, wherever that is to be found."""
    place = registries.place(replace(parse_location(image), tag=tag, digest=None))
    return publish(
        place.artifacts, place.reference, model, record, key_id=key.public.kid, sign=key.sign
    )
