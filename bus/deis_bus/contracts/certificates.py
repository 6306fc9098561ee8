"""The router asks the controller for a certificate and its key; no key is on the route table."""

import msgspec

from deis_bus.rpc import Method


class CertificateRead(msgspec.Struct, frozen=True):
    """The pair of this fingerprint, please."""

    fingerprint: str


class CertificatePair(msgspec.Struct, frozen=True):
    """PEM texts; the chain follows the leaf."""

    certificate: str
    key: str


CERTIFICATE_READ = Method("controller", "certificate.read", CertificateRead, CertificatePair)
