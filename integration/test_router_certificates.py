"""Certificates by SNI, changed while nginx runs (components.md 1.9, router-upstreams.md)."""

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from deis_bus.routes import AppRoute
from deis_services.router.certs import BadPair, CertificateFolder, self_signed
from integration.router_rig import Instance, Rig, plan, route, running

pytestmark = pytest.mark.server
MARK = "-----BEGIN PRIVATE KEY-----"


def pair(name: str) -> tuple[str, str]:
    """A certificate for a name, and its key."""
    certificate, _, key = self_signed(name).partition(MARK)
    return certificate, MARK + key


async def shown(rig: Rig, name: str) -> str:
    """Common name of the certificate that a client asking for `name` is shown."""
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    host, _, port = rig.plan.layout.https.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=trusting, server_hostname=name)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    names = x509.load_der_x509_certificate(der).subject
    return str(names.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


async def asked(rig: Rig, name: str) -> int:
    """Status over TLS."""
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    url = f"https://{rig.plan.layout.https}/"
    async with rig.session.get(
        url, headers={"Host": name}, ssl=trusting, server_hostname=name
    ) as answer:
        return answer.status


def secured(fingerprint: str) -> AppRoute:
    """An application with a name and a wildcard of its own."""
    hosts = ("shop", "www.shop.org", "*.shop.org")
    return route(
        "shop", hosts=hosts, certificates={"www.shop.org": fingerprint, "*.shop.org": fingerprint}
    )


async def test_a_certificate_is_shown_by_name_and_replaced_without_a_reload(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "router"
    async with (
        running(plan(folder)) as rig,
        Instance("one", rig.ports[0]) as one,
    ):
        workers = rig.workers()
        certificates = CertificateFolder(folder / "certificates")
        await rig.serve("blog", one)
        await rig.put(secured("f1"))
        assert await shown(rig, "www.shop.org") == "localhost"
        assert await asked(rig, "www.shop.org") == 404
        certificates.put("f1", *pair("first.shop.org"))
        rig.router.live.certify("f1", usable=True)
        await rig.put(secured("f1"))
        assert await shown(rig, "www.shop.org") == "first.shop.org"
        assert await shown(rig, "a.b.shop.org") == "first.shop.org"
        assert await shown(rig, "blog.localhost") == "localhost"
        assert await asked(rig, "www.shop.org") == 503
        certificates.put("f2", *pair("second.shop.org"))
        rig.router.live.certify("f2", usable=True)
        await rig.put(secured("f2"))
        assert await shown(rig, "www.shop.org") == "second.shop.org"
        await rig.put(route("shop", hosts=("www.shop.org",)))
        assert await shown(rig, "www.shop.org") == "localhost"
        assert rig.workers() == workers


async def test_a_key_of_another_certificate_costs_only_its_host(tmp_path: Path) -> None:
    folder = tmp_path / "router"
    async with (
        running(plan(folder)) as rig,
        Instance("one", rig.ports[0]) as one,
    ):
        await rig.serve("blog", one)
        await rig.put(secured("f1"))
        with pytest.raises(BadPair):
            CertificateFolder(folder / "certificates").put("f1", pair("a.org")[0], pair("b.org")[1])
        assert await asked(rig, "www.shop.org") == 404
        assert (await rig.get("www.shop.org"))[0] == 503
        assert await asked(rig, "blog.localhost") == 200
        assert "PRIVATE" not in (folder / "error.log").read_text()


async def test_certificates_outlive_the_router(tmp_path: Path) -> None:
    folder = tmp_path / "router"
    planned = plan(folder)
    async with running(planned) as rig:
        CertificateFolder(folder / "certificates").put("f1", *pair("first.shop.org"))
        rig.router.live.certify("f1", usable=True)
        await rig.put(secured("f1"))
    async with running(planned) as rig:
        assert await shown(rig, "www.shop.org") == "first.shop.org"
