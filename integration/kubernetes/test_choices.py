"""What an operator may choose: several of each component, NodePorts, the nodes' own ports.

Each test upgrades the installed platform with other values, and goes back.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deis_services.controller.leader import LOCK
from integration.kubernetes.installed import DOMAIN, NAMESPACE
from integration.kubernetes.platform import ClusterPlatform
from integration.kubernetes.sample import destroyed, registered
from integration.kubernetes.victims import all_ready, rows
from integration.person import Person
from integration.sample_app import commit, edition, repository
from integration.servers import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.server, pytest.mark.timeout(600)]

APP = "swift"
SEVERAL = ("gateway", "controller", "builder", "router", "logger")
ASK = """
import http.client, json, sys
address, port, host, path = sys.argv[1:]
link = http.client.HTTPConnection(address, int(port), timeout=10)
link.request("GET", path, headers={"Host": host})
answer = link.getresponse()
print(json.dumps([answer.status, answer.read().decode()]))
"""
LEADER = f"""
SELECT host(a.client_addr) AS address FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted
AND l.classid::bigint << 32 | l.objid::bigint = hashtextextended('{LOCK}', 0)
"""
LOGS_ASKED = 10
"""Whichever of two loggers answers; that all are the same one's is a matter of 1 in 500."""


@contextlib.asynccontextmanager
async def upgraded(platform: ClusterPlatform, **values: Any) -> AsyncIterator[None]:
    """The platform with these values, ready; afterwards as it was."""
    it = platform.installation
    try:
        await asyncio.to_thread(it.apply, values=values)
        await all_ready(platform)
        yield
    except BaseException:
        print(platform.log())
        raise
    finally:
        await asyncio.to_thread(it.apply)


def addresses(platform: ClusterPlatform, component: str) -> dict[str, str]:
    """Its pods and their addresses."""
    pods = platform.installation.pods(f"deis-{component}")
    return {name: pod["status"].get("podIP", "") for name, pod in pods.items()}


async def asked(
    platform: ClusterPlatform, address: str, port: int, host: str, path: str
) -> tuple[int, str]:
    """Status and text that a pod answers another pod of the platform."""
    words = ("exec", "deploy/deis-controller", "--", "python", "-c", ASK)
    told = await asyncio.to_thread(
        platform.node.kube, "--namespace", NAMESPACE, *words, address, str(port), host, path
    )
    status, text = json.loads(told)
    return status, text


@contextlib.asynccontextmanager
async def forwarded(platform: ClusterPlatform, pod: str, port: int) -> AsyncIterator[int]:
    """A port of this machine that leads to one pod's."""
    process = await asyncio.create_subprocess_exec(
        *(platform.node.kubectl, f"--kubeconfig={platform.node.kubeconfig}"),
        *("--namespace", NAMESPACE, "port-forward", f"pod/{pod}", f":{port}"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        found = re.search(rb"127\.0\.0\.1:(\d+) ->", line)
        assert found, line
        yield int(found[1])
    finally:
        process.terminate()
        await process.wait()


def files(number: int) -> dict[str, str]:
    """An edition that says in its log that it starts."""
    found = edition(number)
    return found | {"server.py": f'print("starts: {number}", flush=True)\n{found["server.py"]}'}


@contextlib.asynccontextmanager
async def application(platform: ClusterPlatform, home: Path, name: str) -> AsyncIterator[Person]:
    """Somebody with an application whose first edition is deployed, by the platform's own names."""
    person = await registered(platform, home, name)
    try:
        await repository(person, files(0), APP)
        await person.types("git", "push", "deis", "main", says=f"{APP}:v2 deployed")
        yield person
    finally:
        await destroyed(person, APP)


async def push_through(
    platform: ClusterPlatform, person: Person, builder: str, number: int, version: int
) -> None:
    """One more edition, through that builder: it may never have seen this repository, or have an
    older one than the other builder."""
    await commit(person, files(number))
    async with forwarded(platform, builder, 2222) as port:
        remote = f"ssh://git@127.0.0.1:{port}/{APP}.git"
        await person.types("git", "push", remote, "main", says=f"{APP}:v{version} deployed")
    await until(lambda: served(platform, person, number), f"edition {number} is served", 30)


async def served(platform: ClusterPlatform, person: Person, number: int) -> bool:
    """Whether the router has that edition."""
    return await person.sees(platform.host(APP), platform.port) == (200, f"edition {number}")


async def every_router_and_gateway_answers(platform: ClusterPlatform, page: str) -> None:
    """The API and an application's page, asked of each pod."""
    api, app = platform.host("deis"), platform.host(APP)
    for address in addresses(platform, "router").values():
        assert (await asked(platform, address, 8080, api, "/v2/apps/"))[0] == 401
        assert await asked(platform, address, 8080, app, "/") == (200, page)
    for address in addresses(platform, "gateway").values():
        assert (await asked(platform, address, 8000, api, "/v2/apps/"))[0] == 401


async def every_logger_tells(person: Person) -> None:
    """The application's lines, whoever is asked."""

    async def told() -> bool:
        return "starts: 0" in (await person.types("deis", "logs")).output

    await until(told, "the line of the application", 30)
    for _ in range(LOGS_ASKED):
        await person.types("deis", "logs", says="starts: 0")


def leader(platform: ClusterPlatform) -> str:
    """Address of the controller that reconciles; empty while there is none."""
    return "".join(str(row["address"]) for row in rows(platform, LEADER))


async def the_other_controller_takes_over(platform: ClusterPlatform, person: Person) -> None:
    """The one that leads is killed; what is asked next is done."""
    first = leader(platform)
    (killed,) = [name for name, one in addresses(platform, "controller").items() if one == first]
    await asyncio.to_thread(
        platform.node.kube,
        *("--namespace", NAMESPACE, "delete", "pod", killed, "--grace-period=0", "--force"),
    )
    await until(lambda: leader(platform) not in ("", first), "another controller leads", 60)
    await person.types("deis", "config:set", "TOLD=afterwards", says="TOLD")


async def test_two_of_each(platform: ClusterPlatform, tmp_path: Path) -> None:
    async with upgraded(platform, **{name: {"replicas": 2} for name in SEVERAL}):
        for name in SEVERAL:
            assert len(addresses(platform, name)) == 2, name
        first, second = addresses(platform, "builder")
        async with application(platform, tmp_path / "home", "olga") as person:
            await every_router_and_gateway_answers(platform, "edition 0")
            await every_logger_tells(person)
            await push_through(platform, person, first, 1, version=3)
            await the_other_controller_takes_over(platform, person)
            await push_through(platform, person, second, 2, version=5)


@dataclass(frozen=True)
class AtNode(ClusterPlatform):
    """The platform as people meet it at the address of a node."""

    http: int = 80
    git: int = 2222

    @property
    def api(self) -> str:
        """Base URL of the API."""
        return f"http://deis.{DOMAIN}:{self.http}"

    @property
    def port(self) -> int:
        """Port of the router."""
        return self.http


def at_node(platform: ClusterPlatform, folder: Path, http: int, git: int) -> AtNode:
    """The same platform there."""
    return AtNode(
        platform.installation, platform.node.address, folder, platform.index, http=http, git=git
    )


async def works_there(there: AtNode, folder: Path) -> None:
    """From `deis register` to a page, by names and ports of the node alone."""
    async with application(there, folder / "home", f"olga-at-{there.git}") as person:
        remote = await person.types("git", "remote", "get-url", "deis")
        assert remote.output.strip() == f"ssh://git@deis-builder.{DOMAIN}:{there.git}/{APP}.git"
        await until(lambda: served(there, person, 0), "its page", 30)
        await every_logger_tells(person)


async def back(platform: ClusterPlatform) -> None:
    """The load balancer leads to the router again."""

    def is_back() -> bool:
        status = platform.installation.get("service", "deis-router")["status"]["loadBalancer"]
        return platform.address in [one.get("ip") for one in status.get("ingress", [])]

    await until(is_back, "the load balancer has its address again", 60)


@pytest.mark.full
@pytest.mark.own_node
async def test_node_ports(platform: ClusterPlatform, tmp_path: Path) -> None:
    """Fixed ones: those that the load balancer had, which are free for nobody else."""
    ports = {
        one["name"]: one["nodePort"]
        for one in platform.installation.get("service", "deis-router")["spec"]["ports"]
    }
    public = {name: ports[name] for name in ("http", "https", "git")}
    router = {"serviceType": "NodePort", "nodePorts": ports, "publicPorts": public}
    async with upgraded(platform, router=router):
        service = platform.installation.get("service", "deis-router")["spec"]
        assert service["type"] == "NodePort"
        assert {one["name"]: one["nodePort"] for one in service["ports"]} == ports
        await works_there(at_node(platform, tmp_path, ports["http"], ports["git"]), tmp_path)
    await back(platform)


@pytest.mark.full
@pytest.mark.own_node
async def test_the_nodes_own_ports(platform: ClusterPlatform, tmp_path: Path) -> None:
    router = {"serviceType": "ClusterIP", "hostPorts": {"enabled": True}}
    async with upgraded(platform, router=router):
        service = platform.installation.get("service", "deis-router")["spec"]
        assert service["type"] == "ClusterIP"
        assert not any("nodePort" in one for one in service["ports"])
        there = at_node(platform, tmp_path, 80, 2222)
        await works_there(there, tmp_path)
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(there.address, 9090)
            writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert b" 200 " in await reader.readline()
            writer.close()
    await back(platform)
