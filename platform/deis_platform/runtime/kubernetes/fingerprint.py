"""The fields of an object that are ours, as one short word, so that a change by hand is seen.

The same word comes out of what we render and of what the API server gives back, so only fields
are taken that it leaves as they were sent. Pure.
"""

import hashlib
from typing import Any

import msgspec

from deis_platform.runtime.kubernetes import names, views


def sealed(obj: dict[str, Any]) -> dict[str, Any]:
    """The object with its own fingerprint among its annotations."""
    view = VIEWS[obj["kind"]]
    word = of(msgspec.convert(obj, view, strict=False))
    meta = obj["metadata"]
    annotations = {**meta.get("annotations", {}), names.OWNED: word}
    return {**obj, "metadata": {**meta, "annotations": annotations}}


def intact(view: views.Deployment | views.Service) -> bool:
    """Whether our fields still are as we wrote them."""
    return view.metadata.annotations.get(names.OWNED) == of(view)


def of(view: views.Deployment | views.Service) -> str:
    """The fingerprint."""
    fields = _deployment(view) if isinstance(view, views.Deployment) else _service(view)
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()[:16]


def _deployment(view: views.Deployment) -> list[Any]:
    template = view.spec.template
    labels = {
        name: value
        for name, value in template.metadata.labels.items()
        if name in (names.APP, names.TYPE, names.HERITAGE, names.VERSION)
    }
    return [view.spec.replicas, labels, template.spec.containers]


def _service(view: views.Service) -> list[Any]:
    ports = [(port.port, port.target_port) for port in view.spec.ports]
    return [view.spec.selector, ports]


VIEWS: dict[str, type[views.Deployment] | type[views.Service]] = {
    "Deployment": views.Deployment,
    "Service": views.Service,
}
