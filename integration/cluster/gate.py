"""The last network plugin of each pod: waits until the policies for its address are in force.

containerd runs this file with a bare interpreter: nothing but the standard library, and no import
of ours. The protocol is that of the CNI specification 0.4.0, as a chained plugin: settings on
standard input, the earlier plugins' result out.
"""

import json
import os
import socket
import sys
from typing import Any

VERSION = "0.4.0"
SECONDS = 15.0
_FAILED = 100
"""A plugin's own error; the kubelet tries the pod again."""


def add(settings: dict[str, Any], arguments: str) -> dict[str, Any]:
    """Tell the pod's address at the socket `gate` of the settings. Raises OSError."""
    result: dict[str, Any] = settings["prevResult"]
    pairs = dict(pair.partition("=")[::2] for pair in arguments.split(";"))
    address = result["ips"][0]["address"].partition("/")[0]
    told = {"uid": pairs["K8S_POD_UID"], "address": address}
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(SECONDS)
        line.connect(settings["gate"])
        line.sendall(json.dumps(told).encode() + b"\n")
        answer = line.makefile().readline()
    if not json.loads(answer or "{}").get("ok"):
        raise OSError("the policies of the pod are not in force")
    return result


def main() -> int:
    """One call of the runtime."""
    command = os.environ["CNI_COMMAND"]
    if command == "VERSION":
        print(json.dumps({"cniVersion": VERSION, "supportedVersions": [VERSION]}))
    elif command == "ADD":
        try:
            print(json.dumps(add(json.load(sys.stdin), os.environ["CNI_ARGS"])))
        except (OSError, KeyError, ValueError) as fault:
            print(json.dumps({"cniVersion": VERSION, "code": _FAILED, "msg": f"gate: {fault}"}))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
