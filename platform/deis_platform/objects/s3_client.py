"""The library that speaks S3: its client, and its faults in our words.

Importing this takes 0.07 s and 11 MB, the first client 0.08 s and 15 MB more.
"""

import contextlib
import functools
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.handlers import add_expect_header

from deis_bus.errors import Transient
from deis_platform.groups import ObjectsSettings
from deis_platform.objects.port import NoObject, StoreFull

CONNECT_SECONDS = 5.0
ATTEMPTS = 3
"""Of one request, for what servers say in passing: slow down, not now, a lost connection."""
FORBIDDEN = 403
_CODE = re.compile(r"[A-Za-z0-9.]{1,60}")
"""What a code looks like; anything else a server calls so is not repeated."""
_ABSENT = ("404", "NoSuchKey", "NotFound")
_FULL = ("507", "InsufficientStorage", "XMinioStorageFull", "QuotaExceeded")
_SAYS = {
    "NoSuchBucket": "there is no such bucket",
    "InvalidAccessKeyId": "the access key is unknown",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "AccessDenied": "these keys may not do that",
    "RequestTimeTooSkewed": "the clocks differ too much",
}


class Refusal(Transient):
    """The store answered with an error: its code and the HTTP status."""

    def __init__(self, code: str, status: int) -> None:
        says = f"{_SAYS[code]} ({code})" if code in _SAYS else code
        super().__init__(f"the object store refuses: {says}")
        self.code = code
        self.status = status


@asynccontextmanager
async def s3_client(settings: ObjectsSettings, connections: int) -> AsyncIterator[Any]:
    """A client while the context lasts; it connects when it is first asked.

    Without key files the credentials are found where clients of AWS look for them. Raises
    ValueError when a file cannot be read.
    """
    config = AioConfig(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=settings.s3_seconds,
        max_pool_connections=connections,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        # Many servers beside Amazon's do not know the newer sums, or answer with wrong ones.
        # What we send carries its MD5, which all of them check.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={
            "addressing_style": "path" if settings.s3_endpoint else "auto",
            "payload_signing_enabled": False,  # else every part is summed on the loop
        },
    )
    key = _secret("DEIS_S3_KEY_FILE", settings.s3_key_file)
    secret = _secret("DEIS_S3_SECRET_FILE", settings.s3_secret_file)
    session = get_session()
    session.register_component("data_loader", _loader())
    async with contextlib.AsyncExitStack() as stack:
        with mapped():
            client = await stack.enter_async_context(
                session.create_client(
                    "s3",
                    endpoint_url=settings.s3_endpoint or None,
                    region_name=settings.s3_region,
                    aws_access_key_id=key,
                    aws_secret_access_key=secret,
                    config=config,
                )
            )
        # Not every server asks for a body, rclone not always: aiohttp would wait for ever.
        client.meta.events.unregister("before-call.s3", add_expect_header)
        yield client


@functools.cache
def _loader() -> Any:
    """What reads the library's descriptions of S3, 13 MB once they are read: one is enough."""
    return get_session().get_component("data_loader")


def _secret(variable: str, path: str) -> str | None:
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise ValueError(f"{variable}: the file cannot be read") from fault


@contextlib.contextmanager
def mapped(absent: str = "") -> Iterator[None]:
    """Faults as those of the port; NoObject for what is `absent`, where that is named.

    A server's own text is left out: it may show what was sent.
    """
    try:
        yield
    except ClientError as fault:
        raise _refusal(fault.response, absent) from None
    except NoCredentialsError:
        raise Transient(
            "the object store wants keys: set DEIS_S3_KEY_FILE and DEIS_S3_SECRET_FILE"
        ) from None
    except (BotoCoreError, aiohttp.ClientError, OSError, TimeoutError) as fault:
        raise Transient(f"the object store is away: {type(fault).__name__}") from None


def _refusal(answer: dict[str, Any], absent: str) -> Exception:
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(answer.get("Error", {}).get("Code", ""))
    if not _CODE.fullmatch(code):
        code = f"status {status}"
    if absent and code in _ABSENT:
        return NoObject(absent)
    if code in _FULL:
        return StoreFull("the object store is full")
    return Refusal(code, status)
