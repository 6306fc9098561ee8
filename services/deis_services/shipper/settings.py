"""What the log shipper is told at start."""

from dataclasses import dataclass
from pathlib import Path

from deis_platform.groups import BusSettings, HealthSettings, KubernetesSettings, LogSettings
from deis_platform.settings import count, env


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Environment of the log shipper (docs/architecture.md lists the shared groups)."""

    bus: BusSettings
    health: HealthSettings
    kubernetes: KubernetesSettings
    logs: LogSettings
    node: str = env("DEIS_NODE_NAME", help="the node whose pods it reads")
    pods: Path = env("DEIS_SHIPPER_LOGS", "/var/log/pods", parse=Path, help="the kubelet's logs")
    folder: Path = env(
        "DEIS_SHIPPER_FOLDER",
        "/var/lib/deis/shipper",
        parse=Path,
        help="where it keeps how far it has read; of the node, not of the pod",
    )
    files: int = env("DEIS_SHIPPER_FILES", 512, parse=count, help="log files open at once")
