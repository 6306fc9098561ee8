"""Storing a message in the stream of its subject."""

from collections.abc import Mapping

from deis_bus.jetstream import api
from deis_bus.jetstream.link import Link


async def store(link: Link, subject: str, data: bytes, headers: Mapping[str, str]) -> int:
    """Publish and wait for the stream's word; gives the sequence, of the first where the
    message id was seen before. Raises Unavailable (no stream takes the subject, too),
    DeadlineExceeded (it may be stored), ApiError."""
    answer = await link.request(subject, data, headers, api.API_SECONDS)
    return int(api.checked(answer.data)["seq"])
