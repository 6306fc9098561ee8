"""How components are found: each serves under its name, so NATS' own micro discovery tells.

`ServiceInfo.metadata` carries `started`, `host`, `pid`; `version` is the platform's version.
"""

import msgspec

from deis_bus.rpc import Empty, Method

COMPONENTS = ("gateway", "controller", "builder", "router", "logger", "manager")
"""What must run everywhere; `runtime` too on one machine."""
_LONGER = {"manager": "workflow-manager", "shipper": "log-shipper"}
_SHORTER = {name: component for component, name in _LONGER.items()}


def workload_of(component: str) -> str:
    """`deis-controller` of `controller`: its Deployment and the label `app` of its pods."""
    return f"deis-{_LONGER.get(component, component)}"


def component_of(workload: str) -> str:
    """`controller` of `deis-controller`."""
    short = workload.removeprefix("deis-")
    return _SHORTER.get(short, short)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the doctor found: component, evidence, and the command to type."""

    component: str
    problem: str
    evidence: str
    command: str


class ComponentState(msgspec.Struct, frozen=True, kw_only=True):
    """One component as it is installed and as it runs."""

    name: str
    version: str = ""
    """The installed one; empty where nothing says so."""
    image: str = ""
    latest: str = ""
    """What the feed of versions has; empty: not known."""
    wanted: int = 0
    """Instances that should run; 0 where nothing says how many."""
    ready: int = 0
    problem: str = ""
    """Missing, crashed or outdated, in a few words; empty when all is well."""


class ComponentList(msgspec.Struct, frozen=True):
    """Every component, by name."""

    components: tuple[ComponentState, ...]


COMPONENTS_LIST = Method("manager", "components.list", Empty, ComponentList)
"""What the workflow manager knows."""
