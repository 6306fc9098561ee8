"""How a connection to PostgreSQL is made: TLS off this machine, checked where a file says how."""

import ssl
from pathlib import Path

import pytest

from deis_platform.database.pool import options
from deis_platform.groups import DatabaseSettings
from deis_services.platform_cli import certificate


@pytest.mark.parametrize(
    ("url", "tls"),
    [
        ("postgresql://deis@127.0.0.1:5432/deis", False),
        ("postgresql://deis@localhost/deis", False),
        ("postgresql://deis@/deis?host=/run/postgresql", False),
        ("postgresql://deis@db.example.com/deis", "require"),
    ],
)
def test_tls_is_for_other_machines(url: str, tls: object) -> None:
    assert options(DatabaseSettings(url=url), 10.0)["ssl"] == tls


def test_what_the_url_says_stands() -> None:
    url = "postgresql://deis@db.example.com/deis?sslmode=verify-full"
    assert "ssl" not in options(DatabaseSettings(url=url), 10.0)


def test_with_a_file_the_certificate_and_its_name_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    certificate.ensure(file, tmp_path / "ca.key", "example.com")
    settings = DatabaseSettings(url="postgresql://deis@db.example.com/deis", ca_file=str(file))
    context = options(settings, 10.0)["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert len(context.get_ca_certs()) == 1


def test_a_missing_file_is_named() -> None:
    settings = DatabaseSettings(url="postgresql://deis@db/deis", ca_file="/nonexistent/ca.crt")
    with pytest.raises(FileNotFoundError):
        options(settings, 10.0)
