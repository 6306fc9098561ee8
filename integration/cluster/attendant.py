"""The program of the node that does what a cloud and a network plugin do elsewhere.

`python -m integration.cluster attend`, in the node's network, started and ended with the others.
"""

import asyncio

from integration.cluster.api import connected
from integration.cluster.enforcer import Enforcer
from integration.cluster.layout import Layout
from integration.cluster.load_balancers import LoadBalancers


async def attend(layout: Layout) -> None:
    """Run for ever."""
    async with connected(layout) as session, asyncio.TaskGroup() as group:
        group.create_task(Enforcer(layout.gate).run(session))
        group.create_task(LoadBalancers().run(session))
