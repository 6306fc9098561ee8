"""Pages of lists: limit and offset in, absolute links out (api.md 1.8)."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from deis_bus.contracts.http import ApiAnswer, ApiCall
from deis_services.controller.request import answer

DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000
"""A page is one message on the bus, so it is bounded (DESIGN 4)."""
MAX_BYTES = 4 * 1024 * 1024
"""A page that would be larger ends early; its `next` goes on where it ended."""
_MAX_OFFSET = 2**31 - 1


class Page(msgspec.Struct, frozen=True):
    """Which rows are asked for."""

    limit: int
    offset: int


def page_of(call: ApiCall) -> Page:
    """The page a request asks for; what makes no sense gives the default."""
    limit = _number(call.query.get("limit", "")) or DEFAULT_LIMIT
    return Page(min(limit, MAX_LIMIT), min(_number(call.query.get("offset", "")), _MAX_OFFSET))


def paged(call: ApiCall, page: Page, count: int, results: Sequence[Any]) -> ApiAnswer:
    """A page with its links."""
    shown: list[msgspec.Raw] = []
    size = 0
    for result in results:
        shown.append(msgspec.Raw(msgspec.json.encode(result)))
        size += len(shown[-1])
        if size > MAX_BYTES:
            break
    after = page.offset + (page.limit if len(shown) == len(results) else len(shown))
    body = {
        "count": count,
        "next": _link(call, page.limit, after) if after < count else None,
        "previous": _link(call, page.limit, page.offset - page.limit) if page.offset else None,
        "results": shown,
    }
    return answer(200, body)


def _link(call: ApiCall, limit: int, offset: int) -> str:
    query = dict(call.query) | {"limit": str(limit)}
    query.pop("offset", None)
    if offset > 0:
        query["offset"] = str(offset)
    return f"{call.url}?{urlencode(query)}"


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
