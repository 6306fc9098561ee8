"""What the objects depend on beside the app's own spec."""

import msgspec


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Of this platform and this cluster."""

    stack_image: str
    pull_policy: str = "IfNotPresent"
    stop_delay_seconds: int = 3
    nodes: int = 1
    """How many nodes there are: that many new pods are started at once (api.md 24.3)."""
    quota: dict[str, object] = {}
    platform_namespace: str = "deis"
    build_namespace: str = "deis-builds"
    build_selector: dict[str, str] = {}
    build_memory_bytes: int = 2 * 1024**3
    build_cpus: float = 2.0
    build_environ: dict[str, str] = {}
    """What every build finds in its environment: index, proxy and CA variables."""
    ignore_scheduling: bool = False
    denied: tuple[str, ...] = ("169.254.0.0/16",)
    """Networks that no application may reach: there clouds have their metadata."""
    api: tuple[str, ...] | None = None
    """IPv4 addresses of the API server, which no application may reach either. None: they are not
    known, and nothing outside the cluster may be reached."""
