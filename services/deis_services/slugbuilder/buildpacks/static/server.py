"""The small server of a static site; runs inside the slug, on the standard library alone.

`settings.json` beside it: `root`, `clean_urls` (`/about` serves about.html), `error_page`, and
`routes`, a map of patterns to files for applications of one page.
"""

import contextlib
import fnmatch
import json
import os
import signal
import sys
import threading
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

HERE = Path(__file__).resolve().parent
GRACE_SECONDS = 20.0
HIDDEN = ("procfile", "static.json")


class Answering:
    """How many answers are on their way."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def __enter__(self) -> None:
        with self._changed:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Until there are none, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._count == 0, seconds)


ANSWERING = Answering()


class Site(SimpleHTTPRequestHandler):
    """Files of one folder; no listings, nothing that begins with a dot."""

    protocol_version = "HTTP/1.1"
    server_version = "static"
    sys_version = ""
    timeout = 75
    settings: dict[str, Any] = {}
    root = Path()

    def do_GET(self) -> None:
        """A file; begun answers are finished before the process ends."""
        with ANSWERING:
            super().do_GET()

    def translate_path(self, path: str) -> str:
        """The file that answers a request; a path that is not there when none does."""
        asked = unquote(urlsplit(path).path)
        for pattern, target in self.settings["routes"].items():
            plain = self._file(asked)
            if plain is None and fnmatch.fnmatchcase(asked, pattern):
                asked = "/" + str(target).lstrip("/")
                break
        found = self._file(asked)
        return str(found or self.root / ".absent")

    def _file(self, asked: str) -> Path | None:
        parts = [part for part in asked.split("/") if part not in ("", ".")]
        hidden = self.root == HERE.parent.parent and parts and parts[0].lower() in HIDDEN
        if hidden or "\0" in asked or any(part.startswith(".") for part in parts):
            return None
        with contextlib.suppress(OSError):  # a name that is too long is of no file
            return self._there(parts)
        return None

    def _there(self, parts: list[str]) -> Path | None:
        path = self.root.joinpath(*parts)
        if path.is_dir():
            # Without the slash relative links would miss: the base class redirects then.
            return path if (path / "index.html").is_file() else None
        page = path.with_name(path.name + ".html") if parts else path
        if not path.is_file() and self.settings["clean_urls"] and page.is_file():
            return page
        return path if path.is_file() else None

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """The site's own page for what is not there."""
        page = self._file("/" + self.settings["error_page"]) if code == 404 else None
        if page is None or not page.is_file():
            super().send_error(code, message, explain)
            return
        body = page.read_bytes()
        self.send_response(HTTPStatus.NOT_FOUND)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in the base
        """One line per request on standard output."""
        sys.stdout.write(f"{format % args}\n".replace("\x1b", ""))
        sys.stdout.flush()


class Server(ThreadingHTTPServer):
    """Threads that end with the process; a burst of connections waits rather than fails."""

    daemon_threads = True
    request_queue_size = 512


def main() -> None:
    """Serve on $PORT until SIGTERM."""
    Site.settings = json.loads((HERE / "settings.json").read_text(encoding="utf-8"))
    Site.root = (HERE.parent.parent / str(Site.settings["root"])).resolve()
    host = os.environ.get("HOST", "0.0.0.0")  # noqa: S104 - inside a container of its own
    with Server((host, int(os.environ.get("PORT", "5000"))), Site) as server:
        # `shutdown` waits for the loop below, which the signal has interrupted.
        stop = threading.Thread(target=server.shutdown, daemon=True)
        signal.signal(signal.SIGTERM, lambda *_: None if stop.ident else stop.start())
        sys.stdout.write(f"Serving {Site.settings['root']} on port {server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever(poll_interval=0.1)
    ANSWERING.wait(GRACE_SECONDS)


if __name__ == "__main__":
    main()
