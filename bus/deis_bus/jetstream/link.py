"""The connection: kept up for ever, with subscriptions and requests that outlive reconnects.

nats-py gives a client up for good after some server errors (an authorization that ended, a
protocol error). Then a new client takes over here, and every listener moves to it.
"""

import asyncio
import contextlib
import logging
import re
import secrets
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from deis_bus.counts import Counts
from deis_bus.errors import DeadlineExceeded, Permanent, Unavailable

log = logging.getLogger(__name__)

CONNECT_SECONDS = 2
RETRY_SECONDS = 0.1
GIVE_UP_SECONDS = 20.0
"""A client that found no server for so long is replaced by a fresh one."""
DRAIN_SECONDS = 5
SHUT_SECONDS = 2.0
PING_SECONDS = 5
MAX_MESSAGES = 65_536
MAX_BYTES = 64 * 1024 * 1024

Callback = Callable[[Msg], Awaitable[None]]
_FORBIDDEN = re.compile(r'permissions violation for publish to "?([^"]+?)"?$', re.IGNORECASE)


class _Client(Client):
    """Shows a server that offers no TLS no password, where TLS was asked for: nats-py would."""

    def _connect_command(self) -> bytes:
        if self.options.get("tls") and not self._server_info.get("tls_required"):
            raise nats.errors.Error("the server offers no TLS")
        return super()._connect_command()


class Listener:
    """A subscription that moves along from client to client."""

    def __init__(self, subject: str, queue: str, callback: Callback) -> None:
        self.subject = subject
        self.queue = queue
        self.callback = callback
        self.subscription: Subscription | None = None

    async def hear(self, message: Msg) -> None:
        """What nats-py calls; a plain coroutine function, as it asks for one."""
        await self.callback(message)


class Link:
    """One connection to the bus. `start` never waits for the server."""

    def __init__(
        self,
        url: str,
        name: str,
        *,
        user: str = "",
        password: str = "",
        inbox_prefix: str = "_INBOX",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self.inbox_prefix = inbox_prefix
        self.counts = Counts()
        self.connected = asyncio.Event()
        self.on_connect: set[Callable[[], None]] = set()
        """Called after each connect and reconnect."""
        self._url = url
        self._user = user
        self._password = password
        self._tls = tls
        self._client: Client | None = None
        self._gone = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._listeners: set[Listener] = set()
        self._waiting: dict[str, tuple[asyncio.Future[Msg], str]] = {}
        self._token = 0
        self._replies = f"{inbox_prefix}.{secrets.token_hex(8)}"
        self._logged: set[str] = set()

    async def start(self) -> None:
        """Begin to connect, in the background."""
        self._listeners.add(Listener(f"{self._replies}.*", "", self._on_reply))
        self._task = asyncio.create_task(self._keep(), name=f"bus link of {self.name}")

    async def close(self) -> None:
        """Let running callbacks end (5 s at most), then close."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        client, self._client = self._client, None
        if client is None:
            return
        if client.is_connected and not client.is_draining:
            with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
                async with asyncio.timeout(2 * DRAIN_SECONDS):
                    await client.drain()
        await _shut(client)
        self._down("the bus was closed")

    async def listen(self, subject: str, callback: Callback, queue: str = "") -> Listener:
        """Call `callback` for each message of the subject, one after the other."""
        listener = Listener(subject, queue, callback)
        self._listeners.add(listener)
        client = self._client
        if client is not None and client.is_connected:
            await self._attach(client, listener)
        return listener

    async def unlisten(self, listener: Listener) -> None:
        """No more messages; those not yet handed over are dropped."""
        self._listeners.discard(listener)
        subscription, listener.subscription = listener.subscription, None
        if subscription is not None:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def drain(self, listeners: Iterable[Listener]) -> None:
        """Like `unlisten`, but what the server had sent until then is handled (5 s at most)."""
        draining = []
        for listener in listeners:
            self._listeners.discard(listener)
            subscription, listener.subscription = listener.subscription, None
            if subscription is not None and self.connected.is_set():
                drained = subscription.drain()  # type: ignore[no-untyped-call]
                draining.append(asyncio.ensure_future(drained))
        if draining:
            done, late = await asyncio.wait(draining, timeout=DRAIN_SECONDS)
            for task in late:
                task.cancel()
            for task in done:
                task.exception()  # a connection lost meanwhile needs no draining

    async def send(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Send now; raises Unavailable while the bus is away: nothing is kept for later."""
        client = self._up()
        if _size(data, headers or {}) > client.max_payload:
            # nats-py leaves the headers out, and the server cuts off who sends too much.
            raise Permanent(f"{len(data)} bytes are too many for a message")
        task = asyncio.current_task()
        cancelled = task.cancelling() if task else 0
        try:
            await client.publish(subject, data, reply=reply, headers=dict(headers or {}) or None)
        except nats.errors.BadSubjectError as fault:
            raise Permanent(f"not a subject: {subject!r}") from fault
        except (nats.errors.Error, OSError) as fault:
            raise Unavailable(str(fault)) from fault
        if task and task.cancelling() > cancelled:
            # While its buffer is full nats-py waits and keeps a cancellation for itself.
            raise asyncio.CancelledError

    async def request(
        self,
        subject: str,
        data: bytes,
        headers: Mapping[str, str] | None,
        seconds: float,
        reply: bool = True,
    ) -> Msg:
        """One question, one answer. Raises Unavailable (nobody listens, or the connection was
        lost meanwhile), DeadlineExceeded, or Permanent where our user may not ask."""
        self._token += 1
        token = str(self._token)
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[token] = (future, subject)
        try:
            async with asyncio.timeout(seconds):
                answer_to = f"{self._replies}.{token}" if reply else ""
                await self.send(subject, data, headers, answer_to)
                answer = await future
        except TimeoutError as fault:
            raise DeadlineExceeded(f"no answer on {subject} within {seconds:g} s") from fault
        finally:
            del self._waiting[token]
        if status(answer) == "503" and not answer.data:
            raise Unavailable(f"nobody answers on {subject}")
        return answer

    async def flush(self, seconds: float = 5.0) -> None:
        """Wait until the server has seen everything sent so far. Raises Unavailable.

        A message to ourselves: nats-py's own flush writes its PING past what still waits in the
        client, so a subscription may begin after the PONG.
        """
        subject = f"{self._replies}.{self._token + 1}"
        try:
            await self.request(subject, b"", None, seconds, reply=False)
        except DeadlineExceeded as fault:
            raise Unavailable("the bus does not answer") from fault

    def inbox(self) -> str:
        """A new subject that only this connection's user may hear."""
        return f"{self.inbox_prefix}.{secrets.token_hex(11)}"

    def _up(self) -> Client:
        client = self._client
        if client is None or not client.is_connected or not self.connected.is_set():
            raise Unavailable("the bus is not connected")
        return client

    async def _keep(self) -> None:
        while not self._closing:
            client = _Client()
            self._gone.clear()
            try:
                await self._connect(client)
                self._client = client
                await self._entered(client)
                await self._until_gone()
            except (nats.errors.Error, OSError, ValueError, TimeoutError) as fault:
                await self._on_error(fault)
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                self.connected.clear()
                if not self._closing or not client.is_connected:
                    await _shut(client)
            for listener in self._listeners:
                listener.subscription = None
            self._down("the connection was given up")

    async def _connect(self, client: Client) -> None:
        await client.connect(
            self._url,
            name=self.name,
            user=self._user or None,
            password=self._password or None,
            tls=self._tls,
            inbox_prefix=self.inbox_prefix,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RETRY_SECONDS,  # type: ignore[arg-type]
            connect_timeout=CONNECT_SECONDS,
            ping_interval=PING_SECONDS,
            max_outstanding_pings=2,
            drain_timeout=DRAIN_SECONDS,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnect,
            reconnected_cb=self._on_reconnect,
            closed_cb=self._on_close,
        )

    async def _until_gone(self) -> None:
        while not self._gone.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GIVE_UP_SECONDS):
                    await self._gone.wait()
            client = self._client
            if client is None or not client.is_connected:
                return

    async def _entered(self, client: Client) -> None:
        """Connected: attach who is not attached, then let callers in."""
        for listener in list(self._listeners):
            if listener.subscription is None:
                await self._attach(client, listener)
        self._logged.clear()
        self.connected.set()
        for callback in list(self.on_connect):
            callback()

    async def _attach(self, client: Client, listener: Listener) -> None:
        with contextlib.suppress(nats.errors.ConnectionClosedError):
            listener.subscription = await client.subscribe(
                listener.subject,
                queue=listener.queue,
                cb=listener.hear,
                pending_msgs_limit=MAX_MESSAGES,
                pending_bytes_limit=MAX_BYTES,
            )

    async def _on_reply(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject[len(self._replies) + 1 :])
        if waiting is not None and not waiting[0].done():
            waiting[0].set_result(message)

    async def _on_disconnect(self) -> None:
        if self.connected.is_set():
            self.counts.disconnects += 1
            log.warning("bus lost: %s", self.name)
        self.connected.clear()
        self._down("the connection was lost")

    async def _on_reconnect(self) -> None:
        self.counts.reconnects += 1
        log.info("bus is back: %s", self.name)
        if self._client is not None:
            await self._entered(self._client)

    async def _on_close(self) -> None:
        self._gone.set()

    async def _on_error(self, fault: Exception) -> None:
        if isinstance(fault, nats.errors.SlowConsumerError):
            self.counts.slow_consumers += 1
        else:
            self.counts.errors += 1
        text = str(fault) or type(fault).__name__
        forbidden = _FORBIDDEN.search(text)
        if forbidden:
            self._fail(forbidden[1])
        if text not in self._logged and len(self._logged) < 100:
            # A try to connect fails ten times a second; each kind is told once per connection.
            self._logged.add(text)
            log.warning("bus of %s: %s", self.name, text)

    def _fail(self, subject: str) -> None:
        """Who waits for an answer from there waits in vain. nats-py tells it in lower case."""
        for future, asked in list(self._waiting.values()):
            if asked.lower() == subject.lower() and not future.done():
                future.set_exception(Permanent(f"no right to publish to {asked}"))

    def _down(self, why: str) -> None:
        for future, _ in list(self._waiting.values()):
            if not future.done():
                future.set_exception(Unavailable(why))


def status(message: Msg) -> str:
    """The status code of a control message; empty for others."""
    return (message.headers or {}).get("Status", "")


def _size(data: bytes, headers: Mapping[str, str]) -> int:
    """Bytes of a message as the server counts them, a line break or two more at most."""
    lines = sum(len(name) + len(value.encode()) + 4 for name, value in headers.items())
    return len(data) + (lines + 12 if headers else 0)


async def _shut(client: Client) -> None:
    with contextlib.suppress(nats.errors.Error, OSError, TimeoutError, AssertionError):
        # A server that hangs takes none of the bytes that a close waits to get rid of.
        async with asyncio.timeout(SHUT_SECONDS):
            await client.close()
