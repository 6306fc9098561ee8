"""One bucket: found once, made where it is absent, then asked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from deis_bus.errors import Transient
from deis_platform.objects.port import NoObject
from deis_platform.objects.s3_client import ATTEMPTS, FORBIDDEN, Refusal, mapped

HOME_REGION = "us-east-1"
"""A bucket is made there by naming no region at all."""
_THERE = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


class NoBucket(Transient):
    """The bucket is not there; an operator makes it, or gives the keys the right to."""


class Bucket:
    """Requests to a bucket through a client of aiobotocore, with the port's errors.

    Each ends within `seconds`, repeats included: the client's own limits are for reading only, and
    a server that takes no more of a body would hold it up for ever. `make_in` is the region in
    which an absent bucket is made; None: it is not.
    """

    def __init__(self, client: Any, name: str, seconds: float, make_in: str | None) -> None:
        self._client = client
        self._name = name
        self._seconds = seconds
        self._make_in = make_in
        self._found = make_in is None
        self._finding = asyncio.Lock()

    async def call(self, operation: str, *, absent: str = "", **fields: Any) -> Any:
        """The answer. Raises Transient, and NoObject where what may be `absent` is named."""
        await self.find()
        with mapped(absent):
            return await self._ask(operation, **fields)

    async def pages(self, operation: str, **fields: Any) -> AsyncIterator[dict[str, Any]]:
        """The answers, each asked for when it is wanted. Raises Transient."""
        await self.find()
        pages = aiter(self._client.get_paginator(operation).paginate(Bucket=self._name, **fields))
        while True:
            with mapped():
                async with asyncio.timeout(self._seconds):
                    page = await anext(pages, None)
            if page is None:
                return
            yield page

    async def find(self) -> None:
        """Look for the bucket until it was found once. Raises Transient."""
        if self._found:
            return
        async with self._finding:
            if not self._found:
                try:
                    await self.look()
                except NoBucket:
                    await self.make()
                self._found = True

    async def look(self) -> None:
        """Raises NoBucket, or another Transient when the store does not say."""
        try:
            with mapped(absent=self._name):
                await self._ask("head_bucket")
        except NoObject:
            raise NoBucket(f"the object store has no bucket {self._name}") from None
        except Refusal as fault:
            # Keys for one prefix alone may not look: the request itself will tell.
            if fault.status != FORBIDDEN:
                raise

    async def make(self) -> None:
        """In its region; nothing where it is there. Raises NoBucket when it cannot be made."""
        fields = {}
        if self._make_in != HOME_REGION:
            fields = {"CreateBucketConfiguration": {"LocationConstraint": self._make_in}}
        try:
            with mapped():
                await self._ask("create_bucket", **fields)
        except Refusal as fault:
            if fault.code not in _THERE:  # another service was faster
                raise NoBucket(
                    f"the object store has no bucket {self._name}, and making it failed:"
                    f" {fault.code}"
                ) from None

    async def _ask(self, operation: str, **fields: Any) -> Any:
        ask = getattr(self._client, operation)
        async with asyncio.timeout(self._seconds):
            for _ in range(ATTEMPTS - 1):
                # The library repeats what is lost on the way, but not a download whose refusal
                # breaks off, as rclone's does where the object is just being replaced.
                with contextlib.suppress(aiohttp.ClientPayloadError):
                    return await ask(Bucket=self._name, **fields)
            return await ask(Bucket=self._name, **fields)
