"""Ports of instances: platforms side by side have other ones (DESIGN 8)."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

from deis_platform.embedded.ports import claim

SLICE = 500
SLICES = 19
FIRST_PORT = 20_000
CLAIMS = "deis-instances"
"""What the claims of platforms are called; the first port follows."""


@contextmanager
def port_slice(wished: int, claims: str = CLAIMS) -> Iterator[str]:
    """`FIRST-LAST`: a part of the range that no other platform of this machine has.

    The same number wishes for the same part. It is ours until the block or this process ends;
    where all are taken, or cannot be claimed, the wished one is shared.
    """
    wished %= SLICES
    with contextlib.ExitStack() as stack:
        turns = (number % SLICES for number in range(wished, wished + SLICES))
        for number in turns:
            if held := claim(f"{claims}-{FIRST_PORT + number * SLICE}"):
                stack.enter_context(held)
                break
        else:
            number = wished
        first = FIRST_PORT + number * SLICE
        yield f"{first}-{first + SLICE - 1}"
