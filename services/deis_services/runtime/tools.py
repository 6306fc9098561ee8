"""What every application and task of this machine shares."""

from dataclasses import dataclass

from deis_platform.embedded.keeper import Keeper
from deis_platform.loglines import LogShipper
from deis_platform.reports import Reports
from deis_services.runtime.ports import PortPool
from deis_services.runtime.routes import Routes
from deis_services.runtime.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The adapters, made once by the service."""

    keeper: Keeper
    workspace: Workspace
    shipper: LogShipper
    reports: Reports
    routes: Routes
    ports: PortPool
