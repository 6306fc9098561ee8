"""`make bench`: every measurement in turn, a table on the terminal, and bench-results.json.

Each measurement is a program of its own that prints JSON lines (figures.py), so that none warms
another's caches; `python -m integration.bench NAME…` runs only these.
"""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path("bench-results.json")
MEASUREMENTS = (
    "start",
    "platform",
    "route_change",
    "requests",
    "api_read",
    "event_latency",
)
"""Modules of this package, in the order they run."""
LIMIT_SECONDS = 900.0


def measured(name: str, limit: float = LIMIT_SECONDS) -> list[dict[str, Any]]:
    """The figures of one measurement, `limit` seconds at most; one that breaks says so instead."""
    started = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", f"integration.bench.{name}"],
            capture_output=True,
            timeout=limit,
            check=False,
            env=os.environ | {"PYTHONSAFEPATH": "1", "PYTHONPATH": "."},
        )
        code, out, err = done.returncode, done.stdout.decode(), done.stderr.decode()
    except subprocess.TimeoutExpired as fault:
        out = (fault.stdout or b"").decode()
        code, err = -1, f"not through within {limit:g} s"
    rows = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    if code or any("ours" not in row for row in rows):
        print(err[-3000:], file=sys.stderr)
    if code:
        rows.append({"what": name, "unit": "", "met": False, "note": f"broke: {_last(err)}"})
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    return rows


def _last(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:200]


def table(rows: list[dict[str, Any]]) -> Table:
    """What a person reads: median, and between which values the runs lay."""
    shown = Table(title="Measured beside bare baselines: median [least - most]")
    for title in ("what", "ours", "bare baseline", "ratio", "reach", ""):
        shown.add_column(title, overflow="fold")
    for row in rows:
        verdict = {True: "met", False: "MISSED", None: ""}[row.get("met")]
        shown.add_row(
            f"{row['what']}, {row['unit']}".rstrip(", "),
            _spread(row.get("ours")),
            _spread(row.get("base")),
            _spread(row.get("ratio")),
            str(row.get("reach", "")),
            verdict,
        )
    return shown


def _spread(figure: dict[str, float] | None) -> str:
    if not figure:
        return ""
    if figure["runs"] == 1:
        return f"{figure['median']:g}"
    return f"{figure['median']:g} [{figure['min']:g} - {figure['max']:g}]"


def shown(rows: list[dict[str, Any]], results: Path) -> int:
    """Write the figures down and print them; 1 when a measurement broke, not when one missed."""
    machine = {"cores": os.cpu_count(), "python": platform.python_version()}
    results.write_text(json.dumps({"machine": machine, "figures": rows}, indent=1) + "\n")
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table(rows))
    for row in rows:
        if row.get("note"):
            console.print(f"{row['what']}: {row['note']}", highlight=False)
    console.print(f"written to {results}")
    return int(any("ours" not in row for row in rows))


def main() -> int:
    """Run all of them, or those that are named."""
    names = sys.argv[1:] or MEASUREMENTS
    return shown([row for name in names for row in measured(name)], RESULTS)


if __name__ == "__main__":
    sys.exit(main())
