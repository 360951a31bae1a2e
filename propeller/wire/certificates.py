"""Certificates as both ends need them: keys, requests, and what a certificate says.

P-256 throughout, because microcontrollers have it. Called by `proplet enroll` and by
`propeller.provision`, which alone issues any. Imports `cryptography`, so it is imported late.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from propeller.errors import UsageError

_BROKEN = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises for bytes that are no certificate, or one it does not know."""

MAX_PEM = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a certificate says. serial and issuer as lower-case hex, times in Unix seconds.

    issuer: the authority's key identifier. key: SHA-256 of the public key (SubjectPublicKeyInfo).
    """

    name: str
    serial: str
    issuer: str
    key: str
    begins: int
    ends: int
    hosts: tuple[str, ...] = ()


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key for a certificate, from the system's randomness."""
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """`key` as unencrypted PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def private_key(pem: bytes, *, where: str) -> ec.EllipticCurvePrivateKey:
    """A certificate's key from PEM. Raises UsageError for anything but one on an elliptic curve."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{where}: no private key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UsageError(f"{where}: not a key on an elliptic curve")
    return key


def request(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    """A certificate request (PKCS#10, PEM) for `name`."""
    built = x509.CertificateSigningRequestBuilder().subject_name(common_name(name))
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def requested_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a request that proves it has the private half; nothing else of it counts.

    Raises UsageError for what is no such request, or not on P-256.
    """
    try:
        found = x509.load_pem_x509_csr(pem[:MAX_PEM])
        valid = found.is_signature_valid
        public = found.public_key()
    except (*_BROKEN, InvalidSignature) as error:
        raise UsageError(f"no certificate request: {error}") from error
    if not valid:
        raise UsageError("the certificate request is not signed by its own key")
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise UsageError("the certificate request is not for a key on P-256")
    return public


def key_digest(public: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of a public key (SubjectPublicKeyInfo), hex."""
    data = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize().hex()


def facts(pem: bytes, *, where: str) -> Facts:
    """What the first certificate of `pem` says. Raises UsageError when there is none."""
    found = read_certificate(pem, where=where)
    try:
        return _facts(found, where)
    except _BROKEN as error:
        raise UsageError(f"{where}: a certificate that cannot be read: {error}") from error


def _facts(found: x509.Certificate, where: str) -> Facts:
    public = found.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise UsageError(f"{where}: not a key on an elliptic curve")
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    try:
        issuer = found.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        issued_by = (issuer.key_identifier or b"").hex()
    except x509.ExtensionNotFound:
        issued_by = ""
    try:
        alternative = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = tuple(
            [*alternative.get_values_for_type(x509.DNSName)]
            + [str(one) for one in alternative.get_values_for_type(x509.IPAddress)]
        )
    except x509.ExtensionNotFound:
        hosts = ()
    return Facts(
        name=str(names[0].value) if names else "",
        serial=f"{found.serial_number:x}",
        issuer=issued_by,
        key=key_digest(public),
        begins=int(found.not_valid_before_utc.timestamp()),
        ends=int(found.not_valid_after_utc.timestamp()),
        hosts=hosts,
    )


def read_certificate(pem: bytes, *, where: str) -> x509.Certificate:
    """The first certificate of a PEM file. Raises UsageError when there is none."""
    try:
        return x509.load_pem_x509_certificate(pem[:MAX_PEM])
    except _BROKEN as error:
        raise UsageError(f"{where}: no certificate: {error}") from error


def common_name(name: str) -> x509.Name:
    """A subject that is a CN and nothing else."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
