"""Reports wait while the bus is away, and go out once, in order."""

import pytest

from deis_bus.codec import decode
from deis_bus.envelope import from_headers
from deis_bus.errors import Unavailable
from deis_bus.events import Event
from deis_bus.events.fleet import ComponentMissing, ComponentStarted
from deis_bus.memory import MemoryBroker
from deis_bus.ports import ServiceInfo
from deis_bus.streams import STREAMS
from deis_services.manager.rules import Roll
from deis_services.manager.watch import Watch

MANAGER = ServiceInfo(name="manager", version="1.0.0")
ROUTER = ServiceInfo(name="router", version="1.0.0")


async def test_what_could_not_be_told_is_told_later() -> None:
    broker = MemoryBroker(streams=())  # nobody has made REPORTS yet
    bus = broker.bus("manager")
    watch = Watch(bus, Roll(("manager", "router")), 1.0)
    async with bus.serve(MANAGER, {}), broker.bus("router").serve(ROUTER, {}):
        with pytest.raises(Unavailable):
            await watch.once()
        assert len(watch.waiting) == 2
        await bus.ensure(STREAMS, ())
        await watch.once()
        await watch.once()
    told = await bus.read("REPORTS")
    events = [decode(from_headers(m.headers).type, m.data) for m in told]
    assert [type(event) for event in events] == [ComponentStarted, ComponentStarted]
    assert {message.subject for message in told} == {"deis.report._.component.started"}
    assert not watch.waiting


async def test_listeners_hear_at_once_what_the_bus_cannot_take() -> None:
    watch = Watch(MemoryBroker(streams=()).bus("manager"), Roll(()), 1.0)
    heard: list[Event] = []
    watch.listeners.append(heard.append)
    missing = ComponentMissing(component="router")
    watch.tell(missing)
    assert heard == [missing]
    assert [one.event for one in watch.waiting] == [missing]
