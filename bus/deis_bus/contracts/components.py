"""How components are found: each serves under its name, so NATS' own micro discovery tells.

`ServiceInfo.metadata` carries `started`, `host`, `pid`; `version` is the platform's version.
"""

import msgspec

COMPONENTS = ("gateway", "controller", "builder", "router", "logger", "manager")
"""What must run everywhere; `runtime` too on one machine."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the doctor found: component, evidence, and the command to type."""

    component: str
    problem: str
    evidence: str
    command: str
