"""`python -m deis_bus.asyncapi [FILE]`: write the document, by default to docs/asyncapi.json.

At a release the same document is written to docs/asyncapi-released.json: what comes after is
compared with it (compatibility.py).
"""

import sys
from pathlib import Path

from deis_bus.asyncapi.document import text

DOCUMENT = Path("docs/asyncapi.json")


def main(argv: list[str]) -> None:
    """Write the document to the file named, or to its place below the working directory."""
    path = Path(argv[0]) if argv else DOCUMENT
    path.write_bytes(text())


if __name__ == "__main__":
    main(sys.argv[1:])
