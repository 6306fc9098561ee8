"""bin/compile of the static buildpack: puts the small server beside the site."""

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

SERVE = """#!/bin/sh
here=$(dirname -- "$0")
exec {python} -I -S "$here/server.py" "$@"
"""
KNOWN = ("root", "clean_urls", "error_page", "routes")


def main() -> int:
    """`compile BUILD CACHE ENV`; gives the exit code."""
    build = Path(sys.argv[1]).resolve()
    try:
        settings = read(build)
    except ValueError as fault:
        sys.stdout.write(f"-----> static.json: {fault}\n")
        return 1
    sys.stdout.write(f"-----> Serving {settings['root']}\n")
    place = build / ".deis" / "static"
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("server.py"), place / "server.py")
    (place / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    # The platform's own interpreter, not its virtual environment: a site needs no package.
    python = getattr(sys, "_base_executable", sys.executable)
    (place / "serve").write_text(SERVE.format(python=shlex.quote(python)), encoding="utf-8")
    (place / "serve").chmod(0o755)
    return 0


def read(build: Path) -> dict[str, Any]:
    """What static.json says, or the defaults. Raises ValueError with a sentence."""
    path = build / "static.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not isinstance(found, dict):
        raise ValueError("must be an object")  # noqa: TRY004 - what the file says
    index_in_public = (build / "public" / "index.html").is_file()
    default = "." if (build / "index.html").is_file() or not index_in_public else "public"
    settings = {"root": default, "clean_urls": False, "error_page": "", "routes": {}}
    settings |= {name: found[name] for name in KNOWN if name in found}
    for name, kind in (("root", str), ("clean_urls", bool), ("error_page", str), ("routes", dict)):
        if not isinstance(settings[name], kind):
            raise ValueError(f"{name} is not a {kind.__name__}")  # noqa: TRY004 - as above
    root = (build / str(settings["root"])).resolve()
    if (root != build and build not in root.parents) or not root.is_dir():
        raise ValueError(f"there is no folder {settings['root']!r} in the repository")
    return settings


if __name__ == "__main__":
    raise SystemExit(main())
