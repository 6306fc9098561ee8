"""What others hear of an application's instances: reports for the controller, lines for users."""

import structlog

from deis_bus.events.processes import InstanceChanged
from deis_platform.loglines import platform_text
from deis_services.runtime.replica import Replica
from deis_services.runtime.tools import Tools

log = structlog.get_logger(__name__)

UNTOLD = ("initializing", "creating")
"""Too short to report; `ps` shows them."""


class Telling:
    """Of one application. Each state of an instance is reported once."""

    def __init__(self, app: str, appuuid: str, tools: Tools) -> None:
        self._app = app
        self._appuuid = appuuid
        self._tools = tools
        self._told: dict[Replica, tuple[str, str]] = {}

    def state(self, replica: Replica, routed: bool) -> None:
        """Report its state; `up` only when the routers know, so that it means: it serves."""
        state = replica.shown
        now = (state, replica.reason if state == "error" else "")
        early = state in UNTOLD or (state == "up" and not routed)
        if early or self._told.get(replica) == now:
            return
        self._told[replica] = now
        self._report(replica, now[1])

    def forget(self, replica: Replica) -> None:
        """It is gone."""
        self._told.pop(replica, None)

    def failed(self, release: int, why: str, late: list[Replica]) -> None:
        """A rollout has failed; `late` are the instances that were not ready."""
        log.warning("rollout failed", app=self._app, release=release, why=why)
        line = platform_text("runtime", "ERROR", f"release v{release} failed: {why}")
        self._tools.shipper.line(self._app, self._appuuid, line)
        for replica in late:
            self._report(replica, why)

    def _report(self, replica: Replica, reason: str) -> None:
        plan = replica.plan
        event = InstanceChanged(
            instance=plan.name,
            process_type=plan.process.type,
            version=plan.release,
            state=replica.shown,
            reason=reason,
        )
        self._tools.reports.tell(self._app, self._appuuid, event)
