"""What the doctor asks a cluster and the manager, with one that answers and one that does not."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from deis_bus.contracts.components import COMPONENTS_LIST, ComponentList, ComponentState
from deis_bus.errors import Transient
from deis_bus.memory import MemoryBroker
from deis_bus.ports import ServiceInfo
from deis_bus.rpc import Context, Empty, endpoints
from deis_platform.settings import load
from deis_services.platform_cli import cluster_evidence as module
from deis_services.platform_cli.cluster_evidence import of_cluster, of_manager
from deis_services.platform_cli.facts import RouterService
from deis_services.platform_cli.options import Options
from deis_services.platform_cli.reach import Reach
from tests.unit.deis_platform.kubernetes.fake import Fake, answer, fake_server, refusal

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: it
contexts: [{name: it, context: {cluster: it, user: it}}]
clusters: [{name: it, cluster: {server: "%s"}}]
users: [{name: it, user: {token: secret-token}}]
"""
SERVICE = "services/deis-router"


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    async with fake_server() as running:
        yield running


@pytest.fixture
def reach(fake: Fake, tmp_path: Path) -> Reach:
    config = tmp_path / "config"
    config.write_text(KUBECONFIG % fake.url)
    environ = {"DEIS_KUBECONFIG": str(config), "DEIS_POD_NAMESPACE": "deis"}
    return Reach(data=tmp_path, options=load(Options, {}), ready={}, environ=environ)


async def test_where_the_router_listens(fake: Fake, reach: Reach) -> None:
    service = {
        "metadata": {"labels": {"app.kubernetes.io/instance": "mine"}},
        "spec": {"type": "LoadBalancer"},
        "status": {
            "loadBalancer": {"ingress": [{"ip": "198.51.100.9"}, {"hostname": "lb.example"}]}
        },
    }
    fake.will(answer(service), path=SERVICE)
    found = await of_cluster(reach)
    addresses = ("198.51.100.9", "lb.example")
    router = RouterService(kind="LoadBalancer", addresses=addresses, release="mine")
    assert found == {"api_server": "", "router": router}
    assert fake.asked[0].path.endswith("/namespaces/deis/services/deis-router")


async def test_a_service_without_an_address_and_none_at_all(fake: Fake, reach: Reach) -> None:
    pending = {"metadata": {}, "spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {}}}
    fake.will(answer(pending), refusal(404, "NotFound"), path=SERVICE)
    assert await of_cluster(reach) == {
        "api_server": "",
        "router": RouterService(kind="LoadBalancer"),
    }
    assert await of_cluster(reach) == {"api_server": ""}


async def test_a_server_that_refuses_hangs_or_is_away(
    fake: Fake, reach: Reach, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake.will(*[refusal(403, "Forbidden", "you may not")] * 2, path=SERVICE)
    assert await of_cluster(reach) == {"api_server": "you may not"}
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)
    assert await of_cluster(reach) == {"api_server": "no answer within 0.05 s"}
    environ = {"DEIS_KUBECONFIG": str(tmp_path / "absent")}
    found = await of_cluster(msgspec.structs.replace(reach, environ=environ))
    assert "absent" in str(found["api_server"])


async def test_what_the_manager_says_and_that_it_does_not() -> None:
    broker = MemoryBroker()
    states = ComponentList((ComponentState(name="router", problem="missing: not installed"),))

    async def listed(_question: Empty, _context: Context) -> ComponentList:
        return states

    async def away(_question: Empty, _context: Context) -> ComponentList:
        raise Transient("it is starting")

    info, asking = ServiceInfo(name="manager", version="1.0.0"), broker.bus("platform")
    for handler, said in (
        (listed, {"manager": "", "installed": states.components}),
        (away, {"manager": "it is starting"}),
    ):
        served = endpoints({COMPONENTS_LIST: handler}, lambda _subject, _fault: None)
        async with broker.bus("manager").serve(info, served):
            assert await of_manager(asking) == said
    assert "manager" in await of_manager(asking)
