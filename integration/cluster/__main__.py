"""`python -m integration.cluster up|down|status|prepare|during -- COMMAND`.

`prepare` fetches and builds what a node is made of (minutes, the first time), so that a later
`up` takes seconds. `during` runs a command while a node is up: the one that is there, or one for
as long as it takes. `watch` and `attend` are the node's own processes.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time

from integration.cluster import attendant, node, watchdog
from integration.cluster.errors import ClusterError
from integration.cluster.layout import node_layout
from integration.cluster.state import load

_HOUR = 3600.0


def main() -> int:
    """Do what is asked; 1 on a fault, and for `status` when there is no node."""
    parser = argparse.ArgumentParser(prog="python -m integration.cluster", description=__doc__)
    parser.add_argument(
        "verb", choices=("up", "down", "status", "prepare", "watch", "attend", "during")
    )
    parser.add_argument("--owner", type=int, help="the node ends when this process does")
    parser.add_argument("command", nargs="*", help="for `during`, behind --")
    parser.add_argument("--hours", type=float, help="how long the node may stay up")
    asked = parser.parse_args()
    try:
        if asked.verb == "up":
            node.up(asked.owner, asked.hours and asked.hours * _HOUR)
        elif asked.verb == "prepare":
            node.prepare()
            return 0
        elif asked.verb == "during":
            return _during(asked.command)
        elif asked.verb == "watch":
            watchdog.watch(node_layout())
            return 0
        elif asked.verb == "attend":
            asyncio.run(attendant.attend(node_layout()))
        elif asked.verb == "down":
            print("the node is down" if node.down() else "there is no node")
            return 0
        return _status()
    except ClusterError as fault:
        print(f"cluster: {fault}", file=sys.stderr)
        return 1


def _during(command: list[str]) -> int:
    with node.running_node():
        env = os.environ | {"PYTHONSAFEPATH": "1"}
        return subprocess.run(command, env=env, check=False).returncode


def _status() -> int:
    layout = node_layout()
    state = load(layout)
    if state is None:
        print("there is no node")
        return 1
    for name, one in state.programs.items():
        print(f"{name:24} {one.pid:>8} {'runs' if one.alive() else 'ENDED'}")
    print(f"ends in {(state.ends_at - time.time()) / _HOUR:.1f} h at the latest")
    print(f"KUBECONFIG={layout.kubeconfig()}")
    return 0 if node.is_up(layout) else 1


if __name__ == "__main__":
    sys.exit(main())
