"""A small package index for builds on the node, which reach nothing outside: the host serves it."""

import functools
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PACKAGES = ("humanize==4.12.3",)


class Index(SimpleHTTPRequestHandler):
    """PEP 503 out of a folder of wheels: `/simple/NAME/` lists them all, `/FILE` is one.

    `/gates/NAME` is a gate: 404 until somebody opens it, and it tells that it was asked.
    """

    def do_GET(self) -> None:
        """A list, a file, or a gate."""
        if self.path.startswith("/gates/"):
            (Path(self.directory) / f"{Path(self.path).name}.waits").touch()
            self.send_response(200 if (Path(self.directory) / self.path[1:]).exists() else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path.startswith("/simple/"):
            files = sorted(path.name for path in Path(self.directory).iterdir())
            links = "".join(f'<a href="/{name}">{name}</a>\n' for name in files)
            body = f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            super().do_GET()

    def log_message(self, *words: object) -> None:
        """Nobody reads it."""


@contextmanager
def index(folder: Path, address: str) -> Iterator[str]:
    """The packages served at that address; gives the URL."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gates").mkdir()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*command, "--dest", str(folder), *PACKAGES], check=True, timeout=300)
    server = ThreadingHTTPServer((address, 0), functools.partial(Index, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{address}:{server.server_port}/simple"
    finally:
        server.shutdown()
        server.server_close()
