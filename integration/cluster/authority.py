"""A certificate authority for tests: what it signs is good for both ends of a connection."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = timedelta(days=10)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key, not encrypted, in the one form that the API server takes for tokens."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )

    def locked(self, password: str) -> bytes:
        """The key, encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password.encode()),
        )


def new_authority(name: str) -> Pair:
    """One that signs no other authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    limits = x509.BasicConstraints(ca=True, path_length=0)
    made = _blank(subject, subject, key).add_extension(limits, critical=True)
    return Pair(made.sign(key, hashes.SHA256()), key)


def signed(
    by: Pair, user: str, group: str = "", names: Iterable[str] = (), at: Iterable[str] = ()
) -> Pair:
    """A certificate for a user, or for a server under these names and addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
    if group:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    usage = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    made = _blank(x509.Name(parts), by.certificate.subject, key)
    made = made.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    others: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    others += [x509.IPAddress(ipaddress.ip_address(address)) for address in at]
    if others:
        made = made.add_extension(x509.SubjectAlternativeName(others), critical=False)
    return Pair(made.sign(by.key, hashes.SHA256()), key)


def _blank(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # clocks in a container may differ
        .not_valid_after(now + LIFE)
    )
