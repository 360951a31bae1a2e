"""Fetches the keys of encrypted modules from a key service, proving what this device is.

Plugs into `opening` as a `KeySource`. What proves it is an `Attester`: the one here signs with the
device's key, which shows who asks and nothing about the machine. A device with a TEE names a
command that makes evidence of its own (`--attester TEE:COMMAND`); the service must know that kind.
Each exchange has a fresh key that the answer is sealed to, so what is fetched is of use in this
process alone, whoever carries it.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping
from typing import Protocol

from propeller.errors import PropellerError, Unavailable, WireError
from propeller.registry.encrypted import identity
from propeller.wire.attest import NONCE_SIZE, SOFTWARE, report_data, software_evidence
from propeller.wire.boxes import BoxKey
from propeller.wire.signing import SigningKey

TIMEOUT_S = 20
MOST = 256 * 1024
MAX_EVIDENCE = 64 * 1024


class Attester(Protocol):
    """Makes evidence of one kind. `tee`: what the service calls it."""

    @property
    def tee(self) -> str: ...

    def evidence(self, report: bytes) -> bytes:
        """Evidence that covers these 32 bytes. Raises Unavailable."""


class SoftwareAttester:
    """Signs with the device's key: no hardware vouches for anything."""

    tee = SOFTWARE

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    def evidence(self, report: bytes) -> bytes:
        """Part of `Attester`."""
        return software_evidence(report, self._key)


class CommandAttester:
    """Asks a command of the device: report data in hex as its argument, evidence on its stdout."""

    def __init__(self, tee: str, command: str) -> None:
        self.tee = tee
        self._command = command

    def evidence(self, report: bytes) -> bytes:
        """Part of `Attester`."""
        try:
            done = subprocess.run(
                [self._command, report.hex()],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"{self._command}: {error}") from error
        if done.returncode or not 0 < len(done.stdout) <= MAX_EVIDENCE:
            raise Unavailable(f"{self._command}: no evidence (exit {done.returncode})")
        return done.stdout


class KeyService:
    """See the module. own: identities for what needs no service. ca: who signed its certificate."""

    def __init__(
        self,
        url: str,
        device: str,
        attester: Attester,
        own: tuple[str, ...],
        *,
        ca: str | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._device = device
        self._attester = attester
        self._own = own
        self._ca = ca

    def identities(self, path: str | None) -> tuple[str, ...]:
        """Part of `KeySource`."""
        if path is None:
            return self._own
        begun = self._ask("POST", "auth", {"tee": self._attester.tee, "device": self._device})
        nonce = _nonce(begun)
        runtime = BoxKey.generate()
        report = report_data(nonce, self._device, runtime.public)
        evidence = self._attester.evidence(report)
        told = self._ask(
            "POST",
            "attest",
            {
                "nonce": base64.b64encode(nonce).decode(),
                "device": self._device,
                "runtimeKey": runtime.public.text,
                "evidence": base64.b64encode(evidence).decode(),
            },
        )
        try:
            token = str(json.loads(told)["token"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise PropellerError(f"{self._url}: its answer to attest has no token") from None
        sealed = self._ask("GET", f"resource/{path}", None, token)
        return (_opened(sealed, runtime, self._url),)

    def _ask(
        self, method: str, call: str, body: Mapping[str, str] | None, token: str = ""
    ) -> bytes:
        """One request, bounded in size and time, that follows nobody elsewhere."""
        import requests

        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            with requests.Session() as session:
                session.trust_env = False
                response = session.request(
                    method,
                    f"{self._url}/kbs/v0/{call}",
                    json=body,
                    headers=headers,
                    verify=self._ca or True,
                    timeout=TIMEOUT_S,
                    allow_redirects=False,
                    stream=True,
                )
                data = bytes(response.raw.read(MOST + 1, decode_content=True))
        except requests.RequestException as error:
            raise Unavailable(f"the key service {self._url} does not answer: {error}") from error
        if response.status_code >= 500 or response.status_code == 429:
            raise Unavailable(f"the key service {self._url} answered {response.status_code}")
        if response.status_code != 200 or len(data) > MOST:
            words = data[:200].decode("utf-8", "replace")
            raise PropellerError(f"the key service said {response.status_code} to {call}: {words}")
        return data


def _nonce(answer: bytes) -> bytes:
    try:
        nonce = base64.b64decode(json.loads(answer)["nonce"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        nonce = b""
    if len(nonce) != NONCE_SIZE:
        raise PropellerError("the key service's answer to auth has no nonce")
    return nonce


def _opened(sealed: bytes, runtime: BoxKey, url: str) -> str:
    """The identity in the answer. Raises WireError."""
    import pyrage

    try:
        keys = [pyrage.x25519.Identity.from_str(identity(runtime.seed()))]
        return str(pyrage.decrypt(sealed, keys).decode("ascii").strip())
    except (pyrage.DecryptError, UnicodeDecodeError):
        raise WireError("bad_seal", f"{url}: its answer was sealed to somebody else") from None
