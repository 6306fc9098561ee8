"""What every view of an object begins with; what a view does not name is dropped at decoding.

`gc=False`, which views inherit: they come out of JSON, so no cycle can hold them, and a collector
that walks the objects of a thousand applications stops the loop for milliseconds.
"""

import msgspec

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""The whole object once more, a Secret's data among it, where somebody ran `kubectl apply`."""


class Owner(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """An entry of `ownerReferences`."""

    kind: str = ""
    name: str = ""
    uid: str = ""


class Meta(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """An object's metadata, as far as we look; without the annotation LAST_APPLIED."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[Owner, ...] = ()

    def __post_init__(self) -> None:
        if self.annotations:
            self.annotations.pop(LAST_APPLIED, None)

    @property
    def key(self) -> str:
        """`namespace/name`, or the name alone."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class View(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The metadata alone; the base of other views."""

    metadata: Meta = Meta()
