"""The services there are, and how one is reached; imports nothing, so that `--help` is fast."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

SERVICES = ("controller", "gateway", "runtime", "logger", "builder", "manager", "router")
"""All there are on one machine. The router starts like the others and stops last."""
NODE_SERVICES = ("shipper",)
"""On every node of a cluster, and nowhere else."""

Serve = Callable[[Any, asyncio.Event], Awaitable[None]]
Door = Callable[[str], tuple[Serve, type[Any]]]
"""A service's name to its `serve` and `Settings`; imports it, which takes a while."""
