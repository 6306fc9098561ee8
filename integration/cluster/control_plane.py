"""etcd, the API server with RBAC, the controller manager and the scheduler."""

from pathlib import Path

from integration.cluster.commands import inside, run
from integration.cluster.layout import API_PORT, NODE_ADDRESS, PODS, SERVICES, Layout
from integration.cluster.programs import Programs

READY_SECONDS = 120.0
_ETCD = "http://127.0.0.1:2379"
_ISSUER = "https://kubernetes.default.svc.cluster.local"


def start_etcd(programs: Programs) -> None:
    """Nothing that is written must survive the machine, so nothing is synced to the disk."""
    data = programs.layout.folder / "etcd"
    programs.start(
        "etcd",
        [
            programs.binaries / "etcd",
            f"--data-dir={data}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--log-level=warn",
        ],
    )


def start_api_server(programs: Programs) -> None:
    """It listens on every address of the node; Service `kubernetes` leads to NODE_ADDRESS."""
    pki = programs.layout.pki
    programs.start(
        "kube-apiserver",
        [
            programs.binaries / "kube-apiserver",
            f"--etcd-servers={_ETCD}",
            "--bind-address=0.0.0.0",
            f"--secure-port={API_PORT}",
            f"--advertise-address={NODE_ADDRESS}",
            f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--client-ca-file={pki}/ca.crt",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-client-certificate={pki}/kubelet-client.crt",
            f"--kubelet-client-key={pki}/kubelet-client.key",
            f"--service-account-issuer={_ISSUER}",
            f"--service-account-key-file={pki}/tokens.key",
            f"--service-account-signing-key-file={pki}/tokens.key",
            *_aggregation(pki),
        ],
    )


def _aggregation(pki: Path) -> list[str]:
    """What lets metrics-server answer behind the API server."""
    return [
        f"--requestheader-client-ca-file={pki}/front-ca.crt",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        "--enable-aggregator-routing=true",
    ]


def start_controllers(programs: Programs) -> None:
    """Faster than the defaults where a test would wait: node faults and autoscaling."""
    pki, kubeconfig = programs.layout.pki, programs.layout.kubeconfig
    who = "kube-controller-manager"
    programs.start(
        who,
        [
            programs.binaries / who,
            f"--kubeconfig={kubeconfig(who)}",
            f"--cluster-cidr={PODS}",
            "--allocate-node-cidrs=true",
            "--use-service-account-credentials",
            "--leader-elect=false",
            f"--root-ca-file={pki}/ca.crt",
            f"--service-account-private-key-file={pki}/tokens.key",
            f"--flex-volume-plugin-dir={programs.layout.folder / 'volume-plugins'}",
            "--node-monitor-grace-period=20s",
            "--horizontal-pod-autoscaler-sync-period=3s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=5s",
            "--horizontal-pod-autoscaler-downscale-stabilization=20s",
        ],
    )
    who = "kube-scheduler"
    programs.start(
        who,
        [programs.binaries / who, f"--kubeconfig={kubeconfig(who)}", "--leader-elect=false"],
    )


def answers(layout: Layout, binaries: Path) -> bool:
    """Whether the API server says that it is ready."""
    argv = inside(layout.net, kubectl(layout, binaries, "get", "--raw=/readyz"))
    return run(*argv, check=False, seconds=20).returncode == 0


def kubectl(layout: Layout, binaries: Path, *words: str | Path) -> list[str | Path]:
    """A call of kubectl as the administrator; no single request takes longer than 15 s."""
    options = [f"--kubeconfig={layout.kubeconfig()}", "--request-timeout=15s"]
    return [binaries / "kubectl", *options, *words]
