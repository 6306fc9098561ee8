"""The logger's requests, and the shape of a batch of log lines (components.md 7.8).

A batch travels on `deis.log.<app>` as text: finished lines joined by a newline, each
`<time> <app>[<type>.<version>.<suffix>]: <text>` or `<time> deis[<service>]: <LEVEL> <text>`;
header `appuuid` tells whose they are. Batches hold at most 100 lines or 50 ms.

Who reads lines that stay readable (a file on a node) numbers them: header `log-source` names where
they come from, `log-first` is the number of the batch's first line there. A line keeps its number
however often it is sent, so that what is sent again after a fault is not shown twice; `HEARD` asks
a logger whether it has some.
"""

import msgspec

from deis_bus.rpc import Empty, Method

APPUUID = "appuuid"
SOURCE = "log-source"
FIRST = "log-first"
MAX_LINES = 100
MAX_DELAY_SECONDS = 0.05
MAX_LINE_BYTES = 16 * 1024


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    """The newest lines of an application, oldest first."""

    app: str
    appuuid: str
    lines: int = 100
    process_type: str = ""
    instance: str = ""


class Lines(msgspec.Struct, frozen=True):
    """Text, one line per line with one trailing newline; empty when there are none."""

    text: str


class Follow(msgspec.Struct, frozen=True, kw_only=True):
    """The newest lines and then every new one over byte stream `stream` (the logger accepts)."""

    app: str
    appuuid: str
    stream: str
    lines: int = 100
    process_type: str = ""
    instance: str = ""


class Drop(msgspec.Struct, frozen=True):
    """Forget an application's lines."""

    appuuid: str


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Lines of a source, from number `first` up to `end`, which is not one of them."""

    appuuid: str
    source: str
    first: int
    end: int


class Heard(msgspec.Struct, frozen=True):
    """Answered once that logger has these lines; as unavailable where one of them does not come."""

    spans: tuple[Span, ...]


TAIL = Method("logger", "logs.tail", Tail, Lines)
FOLLOW = Method("logger", "logs.follow", Follow, Empty)
DROP = Method("logger", "logs.drop", Drop, Empty)
HEARD = Method("logger", "logs.heard", Heard, Empty)
