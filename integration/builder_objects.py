"""An object store over HTTP for tests of builds: what `artifacts` is to a build, in memory."""

import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Objects:
    """Objects by key; `tokens` says which token opens which key."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.tokens: dict[str, str] = {}
        self.moved: dict[str, str] = {}
        """Keys whose readers are sent to another address."""
        self.puts: list[str] = []
        self.away = 0
        """So many answers are still 503."""
        self.cut = 0
        """So many objects still end in the middle."""
        self.host = "127.0.0.1"
        self.port = 0

    def url(self, key: str) -> str:
        """Address of an object."""
        return f"http://{self.host}:{self.port}/artifacts/{key}"

    def opens(self, token: str, key: str) -> bool:
        """A token opens its key and what is named after it."""
        return bool(token) and key.startswith(self.tokens.get(token, "\0"))


def archive(files: dict[str, str | bytes]) -> bytes:
    """A gzip tar as `git archive` makes it; values that begin with `->` are links."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.mtime = 1_700_000_000
            data = content.encode() if isinstance(content, str) else content
            if data.startswith(b"->"):
                member.type, member.linkname, data = tarfile.SYMTYPE, data[2:].decode(), b""
            member.mode = 0o755 if name.startswith("bin/") else 0o644
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


@contextmanager
def objects(host: str = "127.0.0.1") -> Iterator[Objects]:
    """A store that serves until the block ends."""
    store = Objects()
    store.host = host

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            key = self._key()
            if key in store.moved:
                self.send_response(307)
                self.send_header("Location", store.moved[key])
                self.end_headers()
            elif key is not None:
                self._end(200 if key in store.held else 404, store.held.get(key, b""))

        def do_PUT(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            key = self._key()
            if key is not None:
                store.held[key] = data
                store.puts.append(key)
                self._end(201, b"")

        def _key(self) -> str | None:
            key = self.path.removeprefix("/artifacts/")
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if store.away:
                store.away -= 1
                self._end(503, b"")
                return None
            if not store.opens(token, key):
                self._end(403, b"")
                return None
            return key

        def _end(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            half = bool(body and store.cut)
            store.cut -= half
            self.wfile.write(body[: len(body) // 2] if half else body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((host, 0), Handler) as server:
        store.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield store
        finally:
            server.shutdown()
            thread.join()
