"""Certificates on disk: checked against their keys before nginx ever sees them.

A pair that does not fit would cost its host only, but nginx would write the private key into
its error log (router-upstreams.md, Certificates).
"""

import datetime
import hashlib
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

MAX_PEM = 64 * 1024
LIFE = datetime.timedelta(days=3650)


class BadPair(Exception):
    """The certificate and the key cannot be used together; the text is fit for the log."""


class CertificateFolder:
    """Pairs under their fingerprints in a folder of mode 0700, one PEM file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)

    def get(self, fingerprint: str) -> str | None:
        """Certificate, chain and key in one text; None when it is not held."""
        try:
            return self._path(fingerprint).read_text(encoding="ascii")
        except FileNotFoundError:
            return None

    def put(self, fingerprint: str, certificate: str, key: str) -> None:
        """Check and keep a pair. Raises BadPair, OSError."""
        text = self.checked(certificate, key)
        fresh = self._path(fingerprint).with_suffix(".new")
        _write(fresh, text)
        fresh.replace(self._path(fingerprint))

    def keep_only(self, fingerprints: set[str]) -> None:
        """Remove every other pair."""
        wanted = {self._path(fingerprint).name for fingerprint in fingerprints}
        for path in self._folder.glob("own-*"):
            if path.name not in wanted:
                path.unlink(missing_ok=True)

    def platform(self, certificate: str, key: str, domain: str) -> str:
        """The platform's pair from two files, or a self-signed one that is kept. Raises BadPair."""
        if certificate and key:
            try:
                pair = Path(certificate).read_text("utf-8"), Path(key).read_text("utf-8")
            except (OSError, ValueError) as fault:
                raise BadPair(str(fault)) from fault
            return self.checked(*pair)
        path = self._folder / f"platform-{domain or 'any'}.pem"
        if not path.exists():
            _write(path.with_suffix(".new"), self_signed(domain or "deis.invalid"))
            path.with_suffix(".new").replace(path)
        return path.read_text(encoding="ascii")

    def _path(self, fingerprint: str) -> Path:
        return self._folder / f"own-{hashlib.sha256(fingerprint.encode()).hexdigest()[:40]}.pem"

    def checked(self, certificate: str, key: str) -> str:
        """Both in one text, written anew from what was parsed, then loaded by OpenSSL as nginx will.
        Raises BadPair."""
        if len(certificate) + len(key) > MAX_PEM:
            raise BadPair("certificate and key are too large")
        try:
            chain = x509.load_pem_x509_certificates(certificate.encode())
            private = serialization.load_pem_private_key(key.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as fault:
            raise BadPair("not a certificate and an unencrypted key in PEM form") from fault
        text = "".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in chain)
        text += private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        trial = self._folder / "trial.new"
        _write(trial, text)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(trial)
        except ssl.SSLError as fault:
            raise BadPair(f"certificate and key do not go together: {fault.reason}") from fault
        finally:
            trial.unlink()
        return text


def checked_parameters(text: str) -> str:
    """Parameters of Diffie-Hellman, written anew. Raises ValueError for what is none."""
    if not text or len(text) > MAX_PEM:
        raise ValueError("missing or too large")
    try:
        parameters = serialization.load_pem_parameters(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("no parameters of Diffie-Hellman in PEM form") from None
    return parameters.parameter_bytes(
        serialization.Encoding.PEM, serialization.ParameterFormat.PKCS3
    ).decode()


def self_signed(domain: str) -> str:
    """A new key and a certificate for the domain and every name one level below it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain[:64])])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(domain), x509.DNSName(f"*.{domain}")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + LIFE)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode() + private.decode()


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
