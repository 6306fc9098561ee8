"""Brings a node up, from nothing to Ready with DNS."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from integration.cluster import (
    addons,
    certificates,
    containers,
    control_plane,
    debian,
    image,
    kubelet,
    machine,
    network,
    watchdog,
)
from integration.cluster.binaries import programs as built_programs
from integration.cluster.cleanup import clean
from integration.cluster.commands import run
from integration.cluster.errors import ClusterError
from integration.cluster.layout import NODE, NODE_PODS, Layout
from integration.cluster.programs import Programs, ourselves
from integration.cluster.state import State, load, process

NODE_SECONDS = 120.0


def bring_up(
    layout: Layout, *, owner: int | None, seconds: float, say: Callable[[str], None]
) -> None:
    """Start the node; it ends `seconds` from now, or when process `owner` does.

    Leftovers of an earlier one are removed first. Raises ClusterError, and leaves nothing then.
    """
    binaries, archive = parts(say)
    if load(layout) is not None:
        say("cleaning up what an earlier node left")
        clean(layout)
    network.check_free()
    state = State(
        owner=None if owner is None else process(owner),
        ends_at=time.time() + seconds,
        sysctls=machine.sysctls(),
        folders=machine.new_folders(),
    )
    layout.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    state.save(layout)
    try:
        state.watchdog = watchdog.start(layout)
        state.save(layout)
        _start(Programs(layout, binaries, state), archive, say)
    except BaseException as fault:
        say(f"the node does not come up: {fault}")
        _keep_logs(layout, say)
        clean(layout)
        raise
    state.ready = True
    state.save(layout)


def parts(say: Callable[[str], None]) -> tuple[Path, Path]:
    """What a node is made of: the folder of its programs, the archive of the base image.

    What is missing is fetched and built. Raises ClusterError.
    """
    _check_machine()
    debian.install(say)
    return built_programs(say), image.base_image(say)


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise ClusterError("a Kubernetes node needs root: run this as root, or set KUBECONFIG")
    if not Path("/proc/self/ns/net").exists():
        raise ClusterError("this kernel has no network namespaces")


def _start(programs: Programs, archive: Path, say: Callable[[str], None]) -> None:
    layout = programs.layout
    layout.logs.mkdir()
    (layout.folder / "resolv.conf").write_text("")  # for pods that do not ask the cluster's DNS
    certificates.write_all(layout)
    network.make(layout.net)
    say("starting etcd, the API server and containerd")
    control_plane.start_etcd(programs)
    control_plane.start_api_server(programs)
    containers.start_containerd(programs)
    addons.start_registry(programs)
    ready = control_plane.READY_SECONDS
    programs.wait("the API server", lambda: control_plane.answers(layout, programs.binaries), ready)
    control_plane.start_controllers(programs)
    kubelet.start_proxy(programs)
    addons.start_dns(programs)
    programs.start("attendant", ourselves("attend"))
    programs.wait("containerd", lambda: containers.has_started(layout), containers.READY_SECONDS)
    containers.load_image(layout, image.pause_image(programs.binaries))
    say("starting the kubelet")
    kubelet.start_kubelet(programs)
    addons.start_metrics(programs)
    containers.load_image(layout, archive)
    programs.wait("the node", lambda: _is_usable(programs), NODE_SECONDS)


def _is_usable(programs: Programs) -> bool:
    """Ready, with the range of pods that its bridge has, and pods can be made."""
    found = _get(programs, "node", NODE)
    ready = any(
        one["type"] == "Ready" and one["status"] == "True"
        for one in found.get("status", {}).get("conditions", [])
    )
    given = found.get("spec", {}).get("podCIDR")
    if given not in (None, str(NODE_PODS)):
        raise ClusterError(f"the node was given {given} for its pods, its bridge has {NODE_PODS}")
    return ready and given is not None and bool(_get(programs, "serviceaccount", "default"))


def _get(programs: Programs, kind: str, name: str) -> dict[str, Any]:
    argv = control_plane.kubectl(
        programs.layout, programs.binaries, "get", kind, name, "-o", "json"
    )
    done = run(*argv, check=False, seconds=30)
    return json.loads(done.stdout) if done.returncode == 0 else {}


def _keep_logs(layout: Layout, say: Callable[[str], None]) -> None:
    """A node that did not come up leaves its logs beside its folder."""
    if layout.logs.exists():
        kept = layout.folder.with_name("failed-logs")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(layout.logs, kept)
        say(f"the logs of what was started are in {kept}")
