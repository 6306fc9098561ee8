"""The platform's own certificate: self-signed, for `*.localhost`, made at the first start."""

import datetime
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

YEARS = 10
RENEW_DAYS = 30


def ensure(certificate: Path, key: Path, domain: str) -> None:
    """Make both files unless they are there, fit the domain and last another month."""
    if key.exists() and certificate.exists() and _fits(certificate.read_bytes(), domain):
        return
    pair = ec.generate_private_key(ec.SECP256R1())
    names = _names(domain)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"*.{domain}")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(pair.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365 * YEARS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(pair, hashes.SHA256())
    )
    _write(
        key,
        pair.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    _write(certificate, made.public_bytes(serialization.Encoding.PEM))


def _names(domain: str) -> list[x509.GeneralName]:
    return [x509.DNSName(domain), x509.DNSName(f"*.{domain}")]


def _fits(pem: bytes, domain: str) -> bool:
    try:
        found = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return False
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    last = found.not_valid_after_utc - datetime.timedelta(days=RENEW_DAYS)
    return list(names) == _names(domain) and last > datetime.datetime.now(datetime.UTC)


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    draft.replace(path)
