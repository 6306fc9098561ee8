"""Pairs are checked before nginx sees them."""

import base64
import stat
from pathlib import Path

import pytest

from deis_services.router.certs import BadPair, CertificateFolder, self_signed

MARK = "-----BEGIN PRIVATE KEY-----"


def pair(domain: str) -> tuple[str, str]:
    certificate, _, key = self_signed(domain).partition(MARK)
    return certificate, MARK + key


def of_no_version(certificate: str) -> str:
    """The same with a version that no certificate has."""
    begin, *lines, end = certificate.splitlines()
    der = base64.b64decode("".join(lines))
    wrong = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1)
    assert wrong != der
    return f"{begin}\n{base64.encodebytes(wrong).decode()}{end}\n"


def test_a_fitting_pair_is_kept_closed(tmp_path: Path) -> None:
    folder = CertificateFolder(tmp_path / "c")
    folder.put("f/../1", *pair("x.org"))
    held = folder.get("f/../1")
    assert held is not None
    assert held.startswith("-----BEGIN CERTIFICATE-----")
    assert MARK in held
    assert stat.S_IMODE((tmp_path / "c").stat().st_mode) == 0o700
    (file,) = (tmp_path / "c").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    folder.keep_only({"other"})
    assert folder.get("f/../1") is None


UNKNOWN_KEY = f"""{MARK}
MA8CAQAwBQYDKgMEBAMEAQA=
-----END PRIVATE KEY-----
"""


@pytest.mark.parametrize(
    "wrong",
    ["mismatch", "no key", "no certificate", "unknown key", "no version", "rubbish", "huge"],
)
def test_a_pair_that_does_not_fit_is_refused(tmp_path: Path, wrong: str) -> None:
    certificate, key = pair("x.org")
    _, other = pair("y.org")
    cases = {
        "mismatch": (certificate, other),
        "no key": (certificate, ""),
        "no certificate": ("", key),
        "unknown key": (certificate, UNKNOWN_KEY),
        "no version": (of_no_version(certificate), key),
        "rubbish": ("a", "b"),
        "huge": (certificate + "x" * 100_000, key),
    }
    folder = CertificateFolder(tmp_path / "c")
    with pytest.raises(BadPair) as told:
        folder.put("f", *cases[wrong])
    assert "PRIVATE" not in str(told.value)
    assert folder.get("f") is None
    assert list((tmp_path / "c").iterdir()) == []


def test_what_tools_write_around_a_pair_is_not_kept(tmp_path: Path) -> None:
    certificate, key = pair("x.org")
    attributes = "Bag Attributes\n    friendlyName: Zertifikat für Käse\n"
    folder = CertificateFolder(tmp_path / "c")
    folder.put("f", attributes + certificate, attributes + key)
    folder.put("plain", certificate, key)
    assert folder.get("f") == folder.get("plain")
    (tmp_path / "cert.pem").write_text(attributes + certificate, encoding="utf-8")
    (tmp_path / "key.pem").write_text(attributes + key, encoding="utf-8")
    given = folder.platform(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"), "localhost")
    assert given == folder.get("plain")


def test_the_platforms_own_is_made_once_or_read(tmp_path: Path) -> None:
    folder = CertificateFolder(tmp_path / "c")
    made = folder.platform("", "", "localhost")
    assert folder.platform("", "", "localhost") == made
    certificate, key = pair("given.org")
    (tmp_path / "cert.pem").write_text(certificate)
    (tmp_path / "key.pem").write_text(key)
    given = folder.platform(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"), "localhost")
    assert given.startswith(certificate[:200])
    with pytest.raises(BadPair):
        folder.platform(str(tmp_path / "none"), str(tmp_path / "key.pem"), "localhost")
