"""An application's namespace: made where there is none, left alone where it is somebody else's."""

from collections.abc import Callable

import msgspec

from deis_bus.contracts.runtime import AppRef
from deis_bus.errors import Refused, Transient
from deis_platform.kubernetes import Conflict, Kubernetes, NotFound, kinds
from deis_platform.runtime.kubernetes import names, objects, views

ATTEMPTS = 5


async def claim(
    api: Kubernetes, app: AppRef, platform: str, learn: Callable[[objects.Object], object]
) -> views.Namespace:
    """The namespace as it is now. Raises Refused 409 `foreign` when somebody else has one of that
    name, Transient while an old one is still being deleted."""
    for _ in range(ATTEMPTS):
        try:
            found = await api.get(kinds.NAMESPACE, app.app, view=views.Namespace)
        except NotFound:
            try:
                made = await api.create(objects.namespace(app.app, app.appuuid, platform))
            except Conflict:
                continue
            learn(made)
            return msgspec.convert(made, views.Namespace, strict=False)
        return _own(found, app, platform)
    raise Transient(f"the namespace {app.app} comes and goes")


def _own(found: views.Namespace, app: AppRef, platform: str) -> views.Namespace:
    """It, if it is this application's."""
    meta = found.metadata
    # Whose it is comes first: a foreign one that is being deleted is no reason to wait for it.
    ours = meta.labels.get(names.HERITAGE) == names.OURS
    if not ours or meta.labels.get(names.PLATFORM) != platform:
        raise Refused(
            409, f"{app.app} already exists as a namespace in this kuberenetes setup", "foreign"
        )
    if meta.deletion_timestamp or found.status.phase == "Terminating":
        raise Transient(f"the namespace {app.app} is still being deleted")
    if meta.annotations.get(names.UUID) != app.appuuid:
        raise Transient(f"the namespace {app.app} still holds an earlier application")
    return found
