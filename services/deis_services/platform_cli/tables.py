"""What commands print for people: aligned columns (pure)."""

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two spaces apart; no line ends in spaces.

    Cells come from elsewhere: what a terminal would take for a command is replaced.
    """
    lines = [list(head), *([_plain(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _plain(cell: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in cell)
