"""The certificates of a fleet: an authority makes them, and takes them back by a list.

P-256 throughout, because microcontrollers have it. A device's certificate names it in CN, which is
what mosquitto takes as its user. What devices need of X.509 too is in `wire.certificates`; the
clock comes in as Unix seconds.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from propeller.errors import UsageError
from propeller.wire.certificates import common_name, private_pem, read_certificate

BACKDATE_S = 24 * 3600
"""Certificates begin a day early: a clock that is a little slow must not lock a device out."""


class Authority:
    """A certificate and the key that signs for it."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def make(cls, name: str, *, now: int, days: int) -> Authority:
        """A new self-signed authority that signs end certificates and nothing below."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = common_name(name)
        public = key.public_key()
        certificate = (
            _begun(subject, subject, public, now=now, days=days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, certificate: bytes, key: bytes, *, where: str) -> Authority:
        """From PEM. Raises UsageError for what is no authority, or not the key of it."""
        found = read_certificate(certificate, where=where)
        try:
            private = serialization.load_pem_private_key(key, password=None)
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"{where}: its key cannot be read: {error}",
                hint="an unencrypted PEM private key on P-256 is needed",
            ) from error
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise UsageError(f"{where}: the key is not on an elliptic curve", hint="use P-256")
        if private.public_key() != found.public_key():
            raise UsageError(f"{where}: the key is not that of the certificate")
        try:
            constraints = found.extensions.get_extension_for_class(x509.BasicConstraints).value
        except x509.ExtensionNotFound:
            constraints = x509.BasicConstraints(ca=False, path_length=None)
        if not constraints.ca:
            raise UsageError(
                f"{where}: no certificate authority (basicConstraints CA is not set)",
                hint="use a CA certificate, or leave --ca-cert out to have one made",
            )
        return cls(found, private)

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key: unencrypted, the file's permissions are its protection."""
        return private_pem(self._key)

    @property
    def id(self) -> str:
        """Its key identifier: what `Facts.issuer` of its certificates says."""
        return _identifier(self._certificate)

    @property
    def ends(self) -> int:
        """When it ends, Unix seconds."""
        return int(self._certificate.not_valid_after_utc.timestamp())

    def issue(
        self,
        public: ec.EllipticCurvePublicKey,
        *,
        name: str,
        now: int,
        days: int,
        hosts: Sequence[str] = (),
    ) -> bytes:
        """A certificate for `name` in PEM: of a server where `hosts` are given, else of a client.

        It never outlives the authority. Raises UsageError when that ended already.
        """
        left = (self.ends - now) // 86_400
        if left < 1:
            raise UsageError(
                "the certificate authority has ended",
                hint="`propeller provision rotate` makes the next one",
            )
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        built = (
            _begun(
                common_name(name), self._certificate.subject, public, now=now, days=min(days, left)
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier(bytes.fromhex(self.id), None, None), critical=False
            )
        )
        if hosts:
            names = x509.SubjectAlternativeName([_host(one) for one in hosts])
            built = built.add_extension(names, critical=False)
        return built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def revocations(self, serials: Mapping[str, int], *, now: int, days: int) -> bytes:
        """The list of what it took back, in PEM: serial (hex) -> when, Unix seconds."""
        built = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(_time(now - BACKDATE_S))
            .next_update(_time(now) + timedelta(days=days))
            .add_extension(
                x509.AuthorityKeyIdentifier(bytes.fromhex(self.id), None, None), critical=False
            )
        )
        for serial, at in sorted(serials.items()):
            one = x509.RevokedCertificateBuilder(int(serial, 16), _time(at))
            built = built.add_revoked_certificate(one.build())
        return built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _identifier(certificate: x509.Certificate) -> str:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        made = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
        return made.digest.hex()
    return found.value.digest.hex()


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    *,
    now: int,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(now - BACKDATE_S))
        .not_valid_after(_time(now) + timedelta(days=days))
    )


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _time(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)
