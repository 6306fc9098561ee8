"""Names, labels and annotations of our objects (api.md 26.1). Pure."""

import hashlib

APP = "app"
TYPE = "type"
VERSION = "version"
HERITAGE = "heritage"
OURS = "deis"
PLATFORM = "deis.io/platform"
"""Label of an application's namespace: the namespace of the platform that it belongs to, so that
two platforms in one cluster leave each other's applications alone."""
RETIRING = "deis.io/retiring"
"""Label of a pod that serves on until another one has taken its place."""
TEMPLATE_HASH = "pod-template-hash"

UUID = "deis.io/app-uuid"
CLAIMED = "deis.io/claimed"
"""Generation whose objects are being written, on the namespace: older ones are refused."""
GENERATION = "deis.io/generation"
"""Generation whose objects were all written; on a Deployment the one that wrote it."""
RELEASE = "deis.io/release"
DEADLINE = "deis.io/deadline"
"""When the release of that generation should be ready, RFC 3339."""
WANTED = "deis.io/wanted"
"""Counts of that generation by process type, JSON."""
WRITTEN = "deis.io/written"
"""What the API server made of that generation's objects, JSON: a change by hand is seen."""
IMAGE = "deis.io/image"
"""On the variables of a release: the image that was let in for it."""
EXPOSED = "deis.io/exposed"
"""Beside it: the port that this image exposes, as its registry said; 0 for none."""
ROUTABLE = "router.deis.io/routable"
ROUTER = "router.deis.io/"
MARKS = "deis.io/"
DOMAINS = f"{ROUTER}domains"

RUN = "run"
PORT_NAME = "http"
SLUG_PORT = 5000
MAX_DEPLOYMENT = 46
"""So that the name of a pod, 17 longer, stays within 63 characters (api.md 32, D11)."""
SELECTOR = "heritage=deis,app"
PULL_SECRET = "private-registry"  # noqa: S105 - a name
POLICY = "deis-app"
WEB = "web"
OUR_LABELS = frozenset({APP, TYPE, VERSION, HERITAGE, PLATFORM, RETIRING, ROUTABLE})
"""Labels that the mirrors keep."""


def ours(annotation: str) -> bool:
    """Whether the mirrors keep an annotation: of others' there may be many, and large ones."""
    return annotation.startswith((MARKS, ROUTER))


def marked(annotation: str) -> bool:
    """Whether it is one of ours that is not for the router."""
    return annotation.startswith(MARKS)


def deployment(app: str, process_type: str) -> str:
    """`APP-TYPE`; a long one is cut and ends with a hash of the whole."""
    name = f"{app}-{process_type}"
    if len(name) <= MAX_DEPLOYMENT:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: MAX_DEPLOYMENT - 9].rstrip('-')}-{digest}"


def env_secret(app: str, release: int) -> str:
    """`APP-vN-env`."""
    return f"{app}-v{release}-env"


def quota(app: str) -> str:
    """`APP-quota`."""
    return f"{app}-quota"


def labels(app: str, process_type: str = "", release: int = 0) -> dict[str, str]:
    """Labels of an application's objects: `app`, `heritage`, and `type` and `version` if given."""
    found = {APP: app, HERITAGE: OURS}
    if process_type:
        found[TYPE] = process_type
    if release:
        found[VERSION] = f"v{release}"
    return found


def release_of(labels_of_pod: dict[str, str]) -> int:
    """The number in a pod's `version`; 0 where there is none."""
    text = labels_of_pod.get(VERSION, "").removeprefix("v")
    return int(text) if text.isascii() and text.isdigit() else 0
