"""The values of a Secret, in clear: the format of SOPS, and plain age files.

A value is `ENC[AES256_GCM,data:...,iv:...,tag:...,type:...]`, sealed with the file's data key and
its own path, where the data key is an age file for each recipient; or it is an armored age file by
itself. The MAC of a SOPS file is a SHA-512 over all values in the order they are written, sealed
with the data key and the time of the last change: `sources.sealed` keeps beside the values what of
the document it covers. Called by `vault`; knows no store and no device.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any

from propeller.model.secrets import ARMOR, SEALED
from propeller.secrets.age import Identities, Locked

ONLY_ENCRYPTED = hashlib.sha256(b"sops").digest()
"""What a MAC begins with that covers nothing but sealed values (`mac_only_encrypted`)."""

MAX_VALUE = 64 << 10
"""Bytes of one value in clear."""


def open_secret(spec: Mapping[str, Any], identities: Identities) -> dict[str, str]:
    """Every value of a canonical Secret spec, by key. Raises Locked; never names a value."""
    data: Mapping[str, str] = spec["data"]
    sops: Mapping[str, Any] | None = spec.get("sops")
    sealed = {name: text for name, text in data.items() if sops and SEALED.match(text)}
    opened: dict[str, bytes] = {}
    if sops:
        key = _data_key(sops["age"], identities)
        for name, text in sealed.items():
            opened[name] = _open_value(text, key, f"spec:data:{name}:", what=f"data.{name}")
        _check_mac(sops, key, opened)
    values: dict[str, str] = {}
    for name, text in data.items():
        if name in sealed:
            values[name] = _as_text(opened[name], SEALED.match(text), name)
        elif text.lstrip().startswith(ARMOR):
            values[name] = _decoded(identities.open(text.strip().encode()), name)
        else:
            values[name] = text
        if len(values[name].encode()) > MAX_VALUE:
            raise Locked(f"data.{name} is larger than {MAX_VALUE} bytes")
    return values


def _data_key(recipients: Sequence[Mapping[str, str]], identities: Identities) -> bytes:
    """The file's data key, from the first recipient that is one of ours."""
    trouble = Locked("the file names no age recipient")
    for one in recipients:
        try:
            key = identities.open(one["enc"].strip().encode())
        except Locked as error:
            trouble = error
            continue
        if len(key) != 32:
            raise Locked("its data key is not one of SOPS")
        return key
    if "none of the age identities" in trouble.what:
        named = ", ".join(one["recipient"] for one in recipients)
        raise Locked(f"it is encrypted to {named}, none of which is an age identity here")
    raise trouble


def _open_value(text: str, key: bytes, path: str, *, what: str) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    found = SEALED.match(text)
    if found is None:
        raise Locked(f"{what} is not a value as SOPS writes them")
    try:
        body, nonce, tag = (base64.b64decode(found[at], validate=True) for at in (1, 2, 3))
        return AESGCM(key).decrypt(nonce, body + tag, path.encode())
    except (binascii.Error, ValueError):
        raise Locked(f"{what} is not a value as SOPS writes them") from None
    except InvalidTag:
        raise Locked(f"{what} was changed, or moved from another key, without sops") from None


def _check_mac(sops: Mapping[str, Any], key: bytes, opened: Mapping[str, bytes]) -> None:
    """Whether all of the document is as SOPS left it. Raises Locked."""
    digest = hashlib.sha512(ONLY_ENCRYPTED if sops["macOnlyEncrypted"] else b"")
    for kind, text in sops["over"]:
        digest.update(opened[text] if kind == "data" else text.encode())
    told = _open_value(sops["mac"], key, sops["lastModified"], what="sops.mac")
    if not hmac.compare_digest(told, digest.hexdigest().upper().encode()):
        raise Locked(
            "its MAC does not match: something in the file was changed without sops",
            hint="edit it with `sops FILE`; quote numbers and dates outside of data",
        )


def _as_text(value: bytes, found: re.Match[str] | None, name: str) -> str:
    assert found is not None
    text = _decoded(value, name)
    # SOPS seals the booleans of Python, whatever the file said.
    return text.lower() if found[4] == "bool" else text


def _decoded(value: bytes, name: str) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise Locked(f"data.{name} is not UTF-8 text") from None
    if "\0" in text:
        raise Locked(f"data.{name} holds a NUL, which no environment can")
    return text
