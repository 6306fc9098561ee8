"""The router as a service: nginx with its table beside the bus, which may come later or go away."""

import structlog

log = structlog.get_logger(__name__)
