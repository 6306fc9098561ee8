"""A figure beside its baseline, as one JSON line that `make bench` collects."""

import json
import statistics
import sys
from collections.abc import Sequence


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most, rounded to what a reader can use."""
    return {
        "median": _rounded(statistics.median(values)),
        "min": _rounded(min(values)),
        "max": _rounded(max(values)),
        "runs": len(values),
    }


def line(
    what: str,
    unit: str,
    ours: Sequence[float],
    *,
    base: Sequence[float] = (),
    reach: str = "",
    met: bool | None = None,
    note: str = "",
) -> None:
    """Print one figure: ours, the baseline measured in the same run, and their ratio."""
    row: dict[str, object] = {"what": what, "unit": unit, "ours": spread(ours)}
    if base:
        row["base"] = spread(base)
        row["ratio"] = spread([mine / theirs for mine, theirs in zip(ours, base, strict=True)])
    row |= {"reach": reach, "met": met, "note": note}
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
