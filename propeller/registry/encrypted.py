"""Modules that only devices can read: sealed with age to X25519 keys, and published so.

An age file (age-encryption.org/v1) is made with a device's encryption key as it stands: the key
that secrets are sealed to is an age recipient spelled otherwise. A group is a key that several
devices have, a key service one that it gives to whom it believes. What planning needs to know of
the module (imports, exports, memory) stands in the artifact's config, in clear, as does the digest
of the module itself; of the code nothing does. `pyrage` is imported at first use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from propeller.errors import UsageError, WireError
from propeller.model.ids import Digest, is_digest, sha256_digest
from propeller.model.module import Export, Import, Module
from propeller.registry import bech32
from propeller.registry import manifest as layout_of
from propeller.registry.artifacts import Artifacts
from propeller.registry.problem import ArtifactError
from propeller.registry.reference import Reference
from propeller.registry.wasm import inspect as inspect_wasm
from propeller.wire.boxes import BoxPublic

CONFIG = "application/vnd.propeller.encrypted.v1+json"
MAGIC = b"age-encryption.org/v1\n"
MAX_RECIPIENTS = 1000
_PUBLIC, _SECRET = "age", "age-secret-key-"
_KEY_SIZE = 32
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,63}){2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What the config of an encrypted module says. key: where a key service has what opens it."""

    plain: Digest
    key: str | None
    module: Module


def is_path(text: str) -> bool:
    """Whether it names a resource of a key service: `repository/type/name`."""
    return _PATH.fullmatch(text) is not None


def recipient(text: str) -> str:
    """`x25519:<base64>` or `age1...` as age spells it. Raises UsageError."""
    try:
        if text.startswith("x25519:"):
            return bech32.encode(_PUBLIC, BoxPublic.parse(text).raw)
        if len(bech32.decode(_PUBLIC, text)) == _KEY_SIZE:
            return text
    except (WireError, ValueError) as error:
        raise UsageError(f"{text[:80]!r} is no encryption key: {error}") from None
    raise UsageError(f"{text[:80]!r} is no encryption key", hint="x25519:... or age1...")


def public_of(text: str) -> BoxPublic:
    """A recipient as the protocol knows it. Raises UsageError."""
    return BoxPublic(bech32.decode(_PUBLIC, recipient(text)))


def identity(seed: bytes) -> str:
    """The 32 bytes of a private X25519 key as age spells them: a secret."""
    return bech32.encode(_SECRET, seed).upper()


def is_sealed(data: bytes) -> bool:
    """Whether these bytes are an age file."""
    return data.startswith(MAGIC)


def seal(module: bytes, recipients: Sequence[str]) -> bytes:
    """An age file that each of these opens. Raises UsageError."""
    import pyrage

    if not 0 < len(recipients) <= MAX_RECIPIENTS:
        raise UsageError(f"{len(recipients)} keys to encrypt to; from 1 to {MAX_RECIPIENTS}")
    keys = [pyrage.x25519.Recipient.from_str(recipient(each)) for each in recipients]
    sealed: bytes = pyrage.encrypt(module, keys)
    return sealed


def unseal(sealed: bytes, identities: Sequence[str], plain: str) -> bytes:
    """The module. plain: the digest it must have. Raises WireError, of which `not_encrypted` says
    that plain bytes came, and `bad_seal` that none of `identities` opens it."""
    import pyrage

    if not is_sealed(sealed):
        raise WireError("not_encrypted", "plain bytes came where an encrypted module was asked for")
    try:
        keys = [pyrage.x25519.Identity.from_str(each) for each in identities]
        module: bytes = pyrage.decrypt(sealed, keys)
    except (pyrage.DecryptError, pyrage.IdentityError):
        raise WireError("bad_seal", "it was encrypted to another key, or changed") from None
    if sha256_digest(module) != plain:
        raise WireError("bad_seal", "what is inside is not the module that was asked for")
    return module


def push_sealed(
    artifacts: Artifacts,
    ref: Reference,
    module: bytes,
    recipients: Sequence[str],
    *,
    key: str | None = None,
    title: str = "",
    annotations: Mapping[str, str] | None = None,
) -> Digest:
    """Publish a module encrypted; the digest of its manifest. key: the path at a key service.

    Never the same twice: age draws a fresh key for every file.
    """
    facts = inspect_wasm(module)
    sealed = seal(module, recipients)
    digest = sha256_digest(sealed)
    config = json.dumps(
        {
            "created": layout_of.EPOCH,
            "architecture": "wasm",
            "os": "wasip2" if facts.component else "wasip1",
            "layerDigests": [digest],
            "plain": sha256_digest(module),
            **({} if key is None else {"key": key}),
            "component": facts.component,
            "memoryMin": facts.memory_min,
            "memoryMax": facts.memory_max,
            "imports": [[each.module, each.name] for each in facts.imports],
            "exports": [[each.name, each.params, each.results] for each in facts.exports],
        },
        separators=(",", ":"),
    ).encode()
    layer: dict[str, object] = {
        "mediaType": layout_of.SEALED,
        "digest": artifacts.write_blob(ref, sealed),
        "size": len(sealed),
    }
    if title:
        layer["annotations"] = {layout_of.TITLE: title}
    manifest: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": layout_of.MANIFEST,
        "config": {
            "mediaType": CONFIG,
            "digest": artifacts.write_blob(ref, config),
            "size": len(config),
        },
        "layers": [layer],
    }
    if annotations:
        manifest["annotations"] = dict(sorted(annotations.items()))
    body = json.dumps(manifest, separators=(",", ":")).encode()
    return artifacts.write_manifest(ref, body, layout_of.MANIFEST)


def read_sealed(config: Mapping[str, object], *, digest: Digest, size: int, where: str) -> Sealed:
    """What the config says of the encrypted layer `digest`. Raises ArtifactError.

    It is what whoever pushed says: devices look again once they opened the module.
    """
    try:
        plain = str(config["plain"])
        most = config["memoryMax"]
        module = Module(
            identity=Digest(plain),
            digest=digest,
            size=size,
            imports=tuple(Import(str(m), str(n)) for m, n in _rows(config["imports"])),
            exports=tuple(
                Export(str(name), _texts(params), _texts(results))
                for name, params, results in _rows(config["exports"])
            ),
            memory_min=_count(config["memoryMin"]),
            memory_max=None if most is None else _count(most),
            component=config["component"] is True,
            plain=Digest(plain),
            key=None if config.get("key") is None else _resource(config["key"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            "BadManifest", f"{where}: its config does not say what is encrypted"
        ) from error
    if not is_digest(plain):
        raise ArtifactError("BadManifest", f"{where}: its config names no module")
    return Sealed(plain=Digest(plain), key=module.key, module=module)


def _resource(value: object) -> str:
    if not isinstance(value, str) or not is_path(value):
        raise ValueError("no path")
    return value


def _rows(value: object) -> list[list[object]]:
    if not isinstance(value, list) or len(value) > 10_000:
        raise ValueError("no list")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > 1000:
        raise ValueError("no list")
    return tuple(str(each) for each in value)


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise ValueError("no size")
    return value
