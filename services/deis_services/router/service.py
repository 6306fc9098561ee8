"""The router as a service: nginx with its table beside the bus, which may come later or go away."""

import asyncio
from pathlib import Path

import structlog

from deis_bus.errors import Transient
from deis_platform.buses import open_bus
from deis_platform.embedded import binaries
from deis_platform.runner import Part, run_parts, run_service
from deis_services.router.follow import until
from deis_services.router.nginx import open_files, worker_user
from deis_services.router.parts import Plan, Router, router
from deis_services.router.render import Layout
from deis_services.router.settings import Settings, port_range

log = structlog.get_logger(__name__)
