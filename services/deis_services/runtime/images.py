"""`DEIS_LOCAL_IMAGES`: image names that stand for a folder with a start command (DESIGN 6).

A YAML or JSON file; folders are relative to it:

    images:
      example/hello:v1: {folder: hello, command: python3 server.py, port: 5000}
    refused:
      example/private: "denied: requested access to the resource is denied"

A name without tag means `:latest`. `refused` holds names that a registry would not give, with
its words.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deis_bus.errors import Refused

MAX_TEXT = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Image:
    """What an image name stands for."""

    folder: Path
    command: str
    """Its own command, run where the process type has none."""
    port: int = 0
    """The port it exposes; 0: not said. Every instance gets one of its own in PORT."""


def load(path: str) -> "Images":
    """The images of that file; an empty path: none."""
    return Images(Path(path) if path else None)


class Images:
    """The file, read at each question, so that it may be edited while the platform runs."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def find(self, name: str) -> Image:
        """The image of that name. Raises Refused 400 with a sentence that says what to do."""
        if self._path is None:
            raise Refused(
                400,
                f"The image {name} cannot run here: this platform runs no containers. Push with git,"
                " or let DEIS_LOCAL_IMAGES name a file that maps images to folders",
            )
        images, refused = self._read(self._path)
        for known in (name, _tagged(name), name.removesuffix(":latest")):
            if known in refused:
                raise Refused(400, f"The image {name} cannot be pulled: {refused[known]}")
            if known in images:
                return images[known]
        raise Refused(
            400,
            f"The image {name} is not in {self._path.name}, the file of DEIS_LOCAL_IMAGES:"
            " add it there with its folder and command",
        )

    def _read(self, path: Path) -> tuple[dict[str, Image], dict[str, str]]:
        try:
            found = yaml.safe_load(path.read_text(encoding="utf-8")[:MAX_TEXT]) or {}
            return parse(found, path.absolute().parent)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as fault:
            raise Refused(
                400, f"The file of DEIS_LOCAL_IMAGES, {path.name}, cannot be read: {_short(fault)}"
            ) from fault


def parse(found: Any, base: Path) -> tuple[dict[str, Image], dict[str, str]]:
    """Images and refused names of the file's content. Raises ValueError with a sentence."""
    if not isinstance(found, dict) or set(found) - {"images", "refused"}:
        raise ValueError("it holds `images` and `refused`, nothing else")  # what the file says
    images, refused = found.get("images") or {}, found.get("refused") or {}
    if not isinstance(images, dict) or not isinstance(refused, dict):
        raise ValueError("`images` and `refused` are maps by image name")  # noqa: TRY004 - as above
    return (
        {str(name): _image(str(name), value, base) for name, value in images.items()},
        {str(name): str(words) for name, words in refused.items()},
    )


def _image(name: str, value: Any, base: Path) -> Image:
    if not isinstance(value, dict) or set(value) - {"folder", "command", "port"}:
        raise ValueError(f"{name} holds `folder`, `command` and `port`, nothing else")
    folder, command, port = value.get("folder"), value.get("command"), value.get("port", 0)
    if not isinstance(folder, str) or not isinstance(command, str) or not command.strip():
        raise ValueError(f"{name} needs a `folder` and a `command`")
    if not isinstance(port, int) or not 0 <= port < 65536:
        raise ValueError(f"{name}: `port` is a number up to 65535")
    return Image(folder=base / folder, command=command, port=port)


def _tagged(name: str) -> str:
    return name if ":" in name.rsplit("/", 1)[-1] or "@" in name else f"{name}:latest"


def _short(fault: Exception) -> str:
    return (str(getattr(fault, "strerror", "") or fault).splitlines() or ["no text"])[0][:200]
