"""The groups of settings that services share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec

from deis_platform.settings import Address, address, count, duration, env, size

FORMATS = ("plain", "json")
LEVELS = ("debug", "info", "warning", "error")


def one_of(*words: str) -> Callable[[str], str]:
    """Reads a setting that is one of these words."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text.lower()

    return parse


def plain_url(text: str) -> str:
    """An http or https URL without user and password, or nothing; raises ValueError."""
    url = urlsplit(text)
    if text and (url.scheme not in ("http", "https") or not url.hostname or "@" in url.netloc):
        raise ValueError("expected http://HOST:PORT or https://HOST, without user or password")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSettings:
    """Where NATS is and who we are there."""

    url: str = env("DEIS_NATS_URL", "nats://127.0.0.1:4222", help="the NATS server")
    user: str = env("DEIS_NATS_USER", "", help="user of this service; empty: none")
    password_file: str = env("DEIS_NATS_PASSWORD_FILE", "", help="file that holds its password")
    ca_file: str = env(
        "DEIS_NATS_CA_FILE",
        "",
        help="certificates that NATS' own must be signed by, PEM; empty: the system's for tls://",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """Where PostgreSQL is."""

    url: str = env(
        "DEIS_DATABASE_URL", "postgresql://deis@127.0.0.1:5432/deis", help="the database"
    )
    password_file: str = env("DEIS_DATABASE_PASSWORD_FILE", "", help="file that holds the password")
    ca_file: str = env(
        "DEIS_DATABASE_CA_FILE",
        "",
        help="certificates that PostgreSQL's own must be signed by, PEM; empty: TLS, unchecked",
    )
    connections: int = env(
        "DEIS_DATABASE_CONNECTIONS", 10, parse=count, help="pooled connections at most"
    )
    statement_seconds: float = env(
        "DEIS_DATABASE_STATEMENT_SECONDS",
        10.0,
        parse=duration,
        help="after which a statement is given up",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectsSettings:
    """Where sources, slugs and caches are kept."""

    url: str = env(
        "DEIS_OBJECTS_URL",
        help="object store: file:///FOLDER, or s3://BUCKET with or without /PREFIX",
    )
    min_free_bytes: int = env(
        "DEIS_MIN_FREE_DISK", "1GB", parse=size, help="free disk below which pushes are refused"
    )
    s3_endpoint: str = env(
        "DEIS_S3_ENDPOINT", "", parse=plain_url, help="URL of the S3 server; empty: Amazon's"
    )
    s3_region: str = env("DEIS_S3_REGION", "us-east-1", help="region of the bucket")
    s3_key_file: str = env(
        "DEIS_S3_KEY_FILE", "", help="file that holds the access key; empty: as AWS clients find it"
    )
    s3_secret_file: str = env("DEIS_S3_SECRET_FILE", "", help="file that holds its secret key")
    s3_seconds: float = env(
        "DEIS_S3_SECONDS",
        30.0,
        parse=duration,
        help="silence of the S3 server after which a request is given up",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings:
    """Where `/healthz`, `/readiness` and `/metrics` answer."""

    address: Address = env(
        "DEIS_HEALTH_ADDRESS", "127.0.0.1:0", parse=address, help="health and metrics"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformSettings:
    """What is the same everywhere on one platform."""

    domain: str = env("DEIS_DOMAIN", "localhost", help="domain of the platform; empty: any")
    secret_file: str = env(
        "DEIS_SECRET_FILE", "", help="the platform's master key, made where it is absent"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How a service logs."""

    format: str = env("DEIS_LOG_FORMAT", "plain", parse=one_of(*FORMATS), help="plain or json")
    level: str = env("DEIS_LOG_LEVEL", "info", parse=one_of(*LEVELS), help=", ".join(LEVELS))


RUNTIMES = ("local", "kubernetes")
PULL_POLICIES = {"always": "Always", "ifnotpresent": "IfNotPresent", "never": "Never"}


def pull_policy(text: str) -> str:
    """Reads a pull policy in any spelling."""
    if text.lower() not in PULL_POLICIES:
        raise ValueError(f"expected one of {', '.join(PULL_POLICIES.values())}")
    return PULL_POLICIES[text.lower()]


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Reads `key=value,key2=value2`; `:` does as well (components.md 2.2)."""
    found = {}
    for word in filter(None, map(str.strip, text.split(","))):
        key, sign, value = word.replace(":", "=", 1).partition("=")
        if not sign or not key.strip() or not value.strip():
            raise ValueError("expected key=value, by comma")
        found[key.strip()] = value.strip()
    return tuple(found.items())


def json_object(text: str) -> str:
    """A text that is a JSON object, or empty."""
    try:
        msgspec.json.decode(text or "{}", type=dict[str, object])
    except msgspec.MsgspecError:
        raise ValueError("expected a JSON object") from None
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesSettings:
    """Where the API server is, and which namespace is ours."""

    kubeconfig: str = env(
        "DEIS_KUBECONFIG", "", help="kubeconfig file; empty: the pod's own service account"
    )
    namespace: str = env("DEIS_POD_NAMESPACE", "deis", help="namespace of the platform")


def addresses(text: str) -> tuple[Address, ...]:
    """Addresses by comma; raises ValueError."""
    return tuple(address(word) for word in text.split(",") if word.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """How image registries are asked (api.md 25)."""

    insecure: tuple[Address, ...] = env(
        "DEIS_INSECURE_REGISTRIES",
        "",
        parse=addresses,
        help="image registries, and their token services, that are spoken to by HTTP and may be at"
        " any address: HOST:PORT, by comma",
    )
    ca_file: str = env(
        "DEIS_REGISTRY_CA_FILE", "", help="authorities that image registries may have too, PEM"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeSettings:
    """Where applications and builds run (DESIGN 6)."""

    registry: RegistrySettings = field(default_factory=RegistrySettings)
    kind: str = env("DEIS_RUNTIME", "local", parse=one_of(*RUNTIMES), help="local or kubernetes")
    build_namespace: str = env(
        "DEIS_BUILD_NAMESPACE", "deis-builds", help="namespace of build pods"
    )
    stack_image: str = env(
        "DEIS_STACK_IMAGE", "deis/stack:latest", help="image that builds and runs slugs"
    )
    pull_policy: str = env(
        "DEIS_IMAGE_PULL_POLICY",
        "IfNotPresent",
        parse=pull_policy,
        help="of applications and builds: Always, IfNotPresent, Never",
    )
    build_selector: tuple[tuple[str, str], ...] = env(
        "DEIS_BUILD_NODE_SELECTOR",
        "",
        parse=pairs,
        help="nodes of build pods: key=value, by comma",
    )
    build_env: str = env(
        "DEIS_BUILD_ENV",
        "",
        help="variables of ours that a build also gets, by comma",
    )
    ignore_scheduling: bool = env(
        "DEIS_IGNORE_SCHEDULING_FAILURE",
        False,
        help="wait for a node as long as a deploy may last (api.md 24.3)",
    )
    build_memory_bytes: int = env(
        "DEIS_BUILD_MEMORY", "2GB", parse=size, help="memory limit of a build pod"
    )
    build_cpus: float = env("DEIS_BUILD_CPUS", 2.0, parse=duration, help="CPU limit of a build pod")
    stop_delay_seconds: int = env(
        "DEIS_STOP_DELAY_SECONDS",
        3,
        parse=count,
        help="between the end of a pod's route and its SIGTERM",
    )
    quota: str = env(
        "DEIS_NAMESPACE_QUOTA",
        "",
        parse=json_object,
        help="spec of a ResourceQuota for every application's namespace, JSON",
    )
