"""Writes what `sops encrypt` writes, for tests that need Secrets of their own.

A second spelling of the format: the reader is held to files of the real program in `fixtures/`, and
this to the reader.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

import pyrage
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyrage import x25519

WHEN = "2025-06-01T12:00:00Z"


class Identity:
    """An age identity and the files it can open."""

    def __init__(self) -> None:
        self.key = x25519.Identity.generate()

    @property
    def text(self) -> str:
        """As it stands in a key file."""
        return str(self.key)

    @property
    def recipient(self) -> str:
        """What is encrypted to."""
        return str(self.key.to_public())

    def armored(self, value: bytes) -> str:
        """An age file with `value`."""
        sealed: bytes = pyrage.encrypt(value, [self.key.to_public()], armored=True)
        return sealed.decode()


def _nonce(*parts: bytes) -> bytes:
    return hashlib.sha256(b"\0".join(parts)).digest()


def sealed_value(value: str, key: bytes, path: str, *, kind: str = "str", turn: int = 0) -> str:
    """`ENC[...]` of one value. turn: another one gives other bytes for the same value."""
    nonce = _nonce(path.encode(), value.encode(), bytes([turn]))
    out = AESGCM(key).encrypt(nonce, value.encode(), path.encode())
    body, tag = out[:-16], out[-16:]
    parts = [base64.b64encode(part).decode() for part in (body, nonce, tag)]
    return f"ENC[AES256_GCM,data:{parts[0]},iv:{parts[1]},tag:{parts[2]},type:{kind}]"


def secret_yaml(
    name: str, values: Mapping[str, str], identity: Identity, *, turn: int = 0, namespace: str = ""
) -> str:
    """A Secret as `sops encrypt --encrypted-regex '^data$'` leaves it."""
    key = _nonce(b"data key", name.encode(), bytes([turn]))
    plain = ["propeller.dev/v1alpha1", "Secret", name, *([namespace] if namespace else [])]
    mac = hashlib.sha512("".join([*plain, *values.values()]).encode()).hexdigest().upper()
    where = f"\n  namespace: {namespace}" if namespace else ""
    lines = [
        f"apiVersion: {plain[0]}",
        "kind: Secret",
        f"metadata:\n  name: {name}{where}",
        "spec:\n  data:",
        *(
            f"    {one}: {sealed_value(text, key, f'spec:data:{one}:', turn=turn)}"
            for one, text in values.items()
        ),
        "sops:\n  age:",
        f"    - recipient: {identity.recipient}",
        "      enc: |",
        *(f"        {line}" for line in identity.armored(key).splitlines()),
        f'  lastmodified: "{WHEN}"',
        f"  mac: {sealed_value(mac, key, WHEN, turn=turn)}",
        "  encrypted_regex: ^data$",
        "  version: 3.9.0",
    ]
    return "\n".join(lines) + "\n"
