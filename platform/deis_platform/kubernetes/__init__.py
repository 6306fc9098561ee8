"""The one door to the Kubernetes API server: requests, server-side apply, mirrors, attach, logs."""

from deis_platform.kubernetes import kinds
from deis_platform.kubernetes.access import NoCluster
from deis_platform.kubernetes.client import Kubernetes, Object, open_kubernetes
from deis_platform.kubernetes.faults import Conflict, Forbidden, Gone, NotFound
from deis_platform.kubernetes.kinds import Kind
from deis_platform.kubernetes.mirror import Mirror
from deis_platform.kubernetes.views import Meta, Owner, View
from deis_platform.kubernetes.wire import Bookmark, Change, Listing

__all__ = [
    "Bookmark",
    "Change",
    "Conflict",
    "Forbidden",
    "Gone",
    "Kind",
    "Kubernetes",
    "Listing",
    "Meta",
    "Mirror",
    "NoCluster",
    "NotFound",
    "Object",
    "Owner",
    "View",
    "kinds",
    "open_kubernetes",
]
