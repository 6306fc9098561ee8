"""`make bench-kubernetes`: the measurements, a table, and bench-kubernetes-results.json."""

import sys
from pathlib import Path

from integration.bench.__main__ import measured, shown

RESULTS = Path("bench-kubernetes-results.json")
LIMIT_SECONDS = 5400.0


def main() -> int:
    """Run them; ends with 1 only when a measurement broke, not when a figure was missed."""
    return shown(measured("kubernetes.measure", LIMIT_SECONDS), RESULTS)


if __name__ == "__main__":
    sys.exit(main())
