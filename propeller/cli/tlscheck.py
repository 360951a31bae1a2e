"""The broker's certificate as `doctor` sees it: who signed it, for which names, until when."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from propeller.cli.checks import BAD, GOOD, WARN, Check

if TYPE_CHECKING:
    from propeller.transport.endpoint import Endpoint

SOON_S: Final = 14 * 86_400
"""A certificate that ends within two weeks is renewed now."""

# X509_V_ERR_* of OpenSSL (x509_vfy.h).
NOT_YET, EXPIRED, HOSTNAME, ADDRESS = 9, 10, 62, 64
ISSUERS: Final = (2, 18, 19, 20, 21)


class _NobodyThere(Exception):
    """No connection at all."""


def check_tls(endpoint: Endpoint, timeout: float, now: float) -> Iterator[Check]:
    """Shake hands and look. now: Unix seconds. Without TLS there is nothing to say."""
    if endpoint.tls is None:
        return
    try:
        cert = _peer(endpoint, timeout)
    except ssl.SSLCertVerificationError as error:
        yield _distrusted(error, endpoint, timeout)
        return
    except _NobodyThere:
        return  # the check of the broker says it
    except OSError as error:
        words = f"{endpoint}: no TLS there: {error}"
        yield Check("tls", BAD, words, "is this the broker's TLS port (often 8883)?")
        return
    left = ssl.cert_time_to_seconds(str(cert["notAfter"])) - now
    until = f"its certificate is for {', '.join(_names(cert))} until {cert['notAfter']}"
    if left < SOON_S:
        yield Check("tls", WARN, until, "renew it: devices stop talking when it ends")
    else:
        yield Check("tls", GOOD, until)


def _peer(endpoint: Endpoint, timeout: float, *, names: bool = True) -> Mapping[str, Any]:
    assert endpoint.tls is not None
    context = ssl.create_default_context(cafile=endpoint.tls.ca)
    context.check_hostname = names
    if endpoint.tls.cert is not None:
        context.load_cert_chain(endpoint.tls.cert, endpoint.tls.key)
    try:
        raw = socket.create_connection((endpoint.host, endpoint.port), timeout)
    except OSError as error:
        raise _NobodyThere from error
    with raw, context.wrap_socket(raw, server_hostname=endpoint.host) as wrapped:
        return wrapped.getpeercert() or {}


def _names(cert: Mapping[str, Any]) -> list[str]:
    return [str(value) for _, value in cert.get("subjectAltName", ())] or ["no name"]


def _distrusted(error: ssl.SSLCertVerificationError, endpoint: Endpoint, timeout: float) -> Check:
    assert endpoint.tls is not None
    host = endpoint.host
    if error.verify_code in (HOSTNAME, ADDRESS):
        names = _names(_peer(endpoint, timeout, names=False))
        words = f"{endpoint}: its certificate is for {', '.join(names)}, not for {host}"
        mend = f"say broker.address: {names[0]}:{endpoint.port}, or have one issued for {host}"
        return Check("tls", BAD, words, mend)
    if error.verify_code in (EXPIRED, NOT_YET):
        words = f"{endpoint}: {error.verify_message}"
        return Check("tls", BAD, words, "renew it, and look at the clocks of both sides")
    words = f"{endpoint}: {error.verify_message}"
    if error.verify_code in ISSUERS:
        known = endpoint.tls.ca or "the system's authorities"
        return Check("tls", BAD, words, f"broker.ca has to be what signed it; it is {known}")
    return Check("tls", BAD, words, "have a certificate issued anew")
