"""Named queries: SQL in files of its own, each after a line `-- name: <name>`."""

import re
from importlib import resources

_NAME = re.compile(r"^-- name: *([a-z_]+)[ \t]*$", re.MULTILINE)


def load_queries(package: str, file: str = "queries.sql") -> dict[str, str]:
    """The queries of a file in a package by their names.

    Raises ValueError for a name that comes twice or SQL before the first name.
    """
    text = (resources.files(package) / file).read_text(encoding="utf-8")
    head, *pieces = _NAME.split(text)
    if re.sub(r"--[^\n]*", "", head).strip():
        raise ValueError(f"{package}/{file}: SQL before the first name")
    names = pieces[::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{package}/{file}: a name comes twice")
    return dict(zip(names, (sql.strip() for sql in pieces[1::2]), strict=True))
