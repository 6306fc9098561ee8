"""Where the settings say that objects are: a folder, or a bucket and a prefix in it."""

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from deis_platform.groups import ObjectsSettings
from deis_platform.objects.port import BadKey, check_key

LIBRARY = "aiobotocore"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class Place(NamedTuple):
    """A bucket, and what all keys in it begin with, without the slash; empty for nothing."""

    bucket: str
    prefix: str


def check_settings(settings: ObjectsSettings) -> Path | Place:
    """Where objects are, if the settings make sense here; asks no server.

    Raises ValueError with a sentence for the operator: a URL of neither kind, a library that is
    not installed, a key without its secret, a file that cannot be read.
    """
    place = parsed(settings.url)
    if isinstance(place, Place):
        if find_spec(LIBRARY) is None:
            raise ValueError(
                f"DEIS_OBJECTS_URL names a bucket, and {LIBRARY} is not installed:"
                " pip install 'deis-workflow[s3]'"
            )
        _check_files(settings)
    return place


def parsed(text: str) -> Path | Place:
    """The folder or bucket of a URL. Raises ValueError, without the text: it may hold a secret."""
    url = urlsplit(text)
    if url.scheme == "s3" and _BUCKET.fullmatch(url.netloc) and not url.query + url.fragment:
        prefix = url.path.removeprefix("/").removesuffix("/")
        try:
            return Place(url.netloc, check_key(prefix) if prefix else "")
        except BadKey:
            raise ValueError("DEIS_OBJECTS_URL: not a prefix of keys in a bucket") from None
    if url.scheme == "file" and url.netloc in ("", "localhost") and url.path.startswith("/"):
        return Path(unquote(url.path))
    raise ValueError("DEIS_OBJECTS_URL: expected file:///FOLDER or s3://BUCKET/PREFIX")


def _check_files(settings: ObjectsSettings) -> None:
    files = {
        "DEIS_S3_KEY_FILE": settings.s3_key_file,
        "DEIS_S3_SECRET_FILE": settings.s3_secret_file,
    }
    if len(set(map(bool, files.values()))) > 1:
        raise ValueError(f"{' and '.join(files)} belong together: set both or none")
    for variable, path in files.items():
        if path and not os.access(path, os.R_OK):
            raise ValueError(f"{variable}: {path} cannot be read")
