"""What a cluster and its workflow manager tell the doctor; what does not answer is noted."""

import asyncio
from typing import TYPE_CHECKING, Any

from deis_bus.contracts.components import COMPONENTS_LIST, workload_of
from deis_bus.errors import BusError
from deis_bus.ports import Bus
from deis_bus.rpc import Empty, call
from deis_platform.groups import KubernetesSettings
from deis_platform.settings import load
from deis_services.platform_cli.facts import RouterService
from deis_services.platform_cli.reach import Reach

if TYPE_CHECKING:
    from deis_platform.kubernetes import Kubernetes

ANSWER_SECONDS = 5.0
RELEASE = "app.kubernetes.io/instance"


async def of_manager(bus: Bus) -> dict[str, object]:
    """What it says of every component."""
    try:
        found = await call(bus, COMPONENTS_LIST, Empty(), seconds=ANSWER_SECONDS)
    except BusError as fault:
        return {"manager": str(fault) or type(fault).__name__}
    return {"manager": "", "installed": found.components}


async def of_cluster(found: Reach) -> dict[str, object]:
    """Whether the API server answers, and where the router listens. Raises SettingsError."""
    # Only here: its libraries are of no use on one machine.
    from deis_platform.kubernetes import NoCluster, NotFound, open_kubernetes

    settings = load(KubernetesSettings, found.environ)
    try:
        async with asyncio.timeout(ANSWER_SECONDS), open_kubernetes(settings) as api:
            try:
                return {"api_server": "", "router": await _router(api)}
            except NotFound:
                return {"api_server": ""}
    except TimeoutError:
        return {"api_server": f"no answer within {ANSWER_SECONDS:g} s"}
    except (BusError, NoCluster) as fault:
        return {"api_server": str(fault) or type(fault).__name__}


async def _router(api: "Kubernetes") -> RouterService:
    """Raises NotFound."""
    from deis_platform.kubernetes import kinds

    service: dict[str, Any] = await api.get(
        kinds.SERVICE, workload_of("router"), api.namespace, view=dict
    )
    given = service.get("status", {}).get("loadBalancer", {}).get("ingress", [])
    return RouterService(
        kind=service["spec"].get("type", "ClusterIP"),
        addresses=tuple(one.get("ip") or one.get("hostname", "") for one in given),
        release=service["metadata"].get("labels", {}).get(RELEASE, ""),
    )
