"""The same ports in memory: a whole bus inside one process, for tests and tools."""

from deis_bus.memory.broker import MemoryBroker
from deis_bus.memory.bus import MemoryBus

__all__ = ["MemoryBroker", "MemoryBus", "bus"]


def bus(broker: MemoryBroker, name: str) -> MemoryBus:
    """The bus of a service on that broker."""
    return MemoryBus(broker, name)
