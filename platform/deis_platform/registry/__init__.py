"""The one door to image registries: what an image is, asked before it is rolled out.

A client of the OCI distribution API (registry v2) that only reads, and reads little: the digest
that a tag stands for, the ports an image exposes and its own start command (api.md 25).

    async with open_registry(settings.registry) as registry:
        facts = await registry.inspect("example/blog:v3", {"username": "u", "password": "p"})
"""

from deis_platform.registry.client import Registry, open_registry
from deis_platform.registry.manifests import ImageFacts

__all__ = ["ImageFacts", "Registry", "open_registry"]
