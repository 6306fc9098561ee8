"""The way to the API server: a pod's account, every form of a kubeconfig, and no secret shown."""

import base64
import json
import ssl
import stat
import sys
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deis_bus.errors import Transient
from deis_platform.groups import KubernetesSettings
from deis_platform.kubernetes import NoCluster, View, access, kinds, open_kubernetes
from deis_platform.kubernetes.access import from_pod
from deis_platform.kubernetes.kubeconfig import from_file
from deis_platform.kubernetes.plugin import credential
from deis_platform.kubernetes.tokens import Unreadable
from integration.cluster.authority import Pair, new_authority, signed
from tests.unit.deis_platform.kubernetes.fake import Fake, answer, fake_server, obj, refusal

SECRET = "s3cr3t-t0k3n"


def written(folder: Path, cluster: dict[str, Any], user: dict[str, Any] | None) -> Path:
    """A kubeconfig as kubectl writes them, another context beside ours."""
    file = folder / "config"
    other = {"name": "other", "cluster": {"server": "https://192.0.2.1"}}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "current-context": "ours",
        "contexts": [
            {"name": "other", "context": {"cluster": "other", "user": "nobody"}},
            {"name": "ours", "context": {"cluster": "c", "user": "u", "namespace": "x"}},
        ],
        "clusters": [other, {"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    file.write_text(json.dumps(config))
    return file


async def asked_with(fake: Fake, file: Path) -> str:
    """The token that a request with this kubeconfig shows."""
    fake.will(answer(obj("a", 1)))
    async with open_kubernetes(KubernetesSettings(kubeconfig=str(file))) as api:
        await api.get(kinds.CONFIG_MAP, "a", "blog", view=View)
    return fake.asked[-1].token


async def test_a_token(fake: Fake, tmp_path: Path) -> None:
    assert (
        await asked_with(fake, written(tmp_path, {"server": fake.url}, {"token": SECRET})) == SECRET
    )


@pytest.mark.parametrize("user", [{}, None])
async def test_nobody_in_particular(
    fake: Fake, tmp_path: Path, user: dict[str, Any] | None
) -> None:
    assert await asked_with(fake, written(tmp_path, {"server": fake.url + "/"}, user)) == ""


async def test_a_token_file_beside_the_kubeconfig(fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    user = {"tokenFile": "token", "token": "older"}
    assert await asked_with(fake, written(tmp_path, {"server": fake.url}, user)) == SECRET


async def test_a_token_file_that_changes_is_used_at_once_after_a_401(
    fake: Fake, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    file = written(tmp_path, {"server": fake.url}, {"tokenFile": str(token)})
    fake.will(answer(obj("a", 1)), refusal(401), answer(obj("a", 1)))
    async with open_kubernetes(KubernetesSettings(kubeconfig=str(file))) as api:
        await api.get(kinds.CONFIG_MAP, "a", "blog", view=View)
        token.write_text("new")
        await api.get(kinds.CONFIG_MAP, "a", "blog", view=View)
    assert [asked.token for asked in fake.asked] == ["old", "old", "new"]


def plugin(folder: Path, body: str) -> dict[str, Any]:
    """An exec plugin that is a Python program beside the kubeconfig."""
    program = folder / "plugin"
    program.write_text(f"#!{sys.executable}\nimport json, os, sys\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "./plugin",
            "args": ["get-token", "--for", "us"],
            "env": [{"name": "PROFILE", "value": "prod"}],
            "interactiveMode": "IfAvailable",
            "provideClusterInfo": True,
        }
    }


async def test_an_exec_plugin(fake: Fake, tmp_path: Path) -> None:
    body = """
told = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
assert told["kind"] == "ExecCredential" and told["spec"]["interactive"] is False
assert told["spec"]["cluster"]["server"].startswith("http://127.0.0.1")
assert sys.argv[1:] == ["get-token", "--for", "us"] and os.environ["PATH"]
print(json.dumps({"kind": "ExecCredential", "status": {"token": os.environ["PROFILE"]}}))
"""
    file = written(tmp_path, {"server": fake.url}, plugin(tmp_path, body))
    assert await asked_with(fake, file) == "prod"


async def test_an_exec_plugin_runs_again_after_a_401_only(fake: Fake, tmp_path: Path) -> None:
    body = f"""
with open({str(tmp_path / "runs")!r}, "a") as runs:
    runs.write("x")
token = "t%d" % os.path.getsize({str(tmp_path / "runs")!r})
print(json.dumps({{"status": {{"token": token, "expirationTimestamp": "2999-01-01T00:00:00Z"}}}}))
"""
    file = written(tmp_path, {"server": fake.url}, plugin(tmp_path, body))
    good = answer(obj("a", 1))
    fake.will(good, good, refusal(401), good)
    async with open_kubernetes(KubernetesSettings(kubeconfig=str(file))) as api:
        for _ in range(3):
            await api.get(kinds.CONFIG_MAP, "a", "blog", view=View)
    assert [asked.token for asked in fake.asked] == ["t1", "t1", "t1", "t2"]


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ends", "seconds"),
    [
        ("2026-01-01T00:15:00Z", 870.0),
        ("2026-01-01T02:15:00+02:00", 870.0),
        ("2026-01-01T00:15:00", 870.0),
        ("2025-01-01T00:00:00Z", 1.0),
    ],
)
def test_a_token_is_read_before_it_ends(ends: str, seconds: float) -> None:
    printed = json.dumps({"status": {"token": "t", "expirationTimestamp": ends}}).encode()
    assert credential(printed, NOW) == ("t", seconds)


@pytest.mark.parametrize(
    "printed",
    [
        SECRET.encode(),
        b"{}",
        json.dumps({"status": {"token": SECRET + "\nX: y"}}).encode(),
        json.dumps({"status": {"token": [SECRET]}}).encode(),
        json.dumps({"status": {"clientCertificateData": SECRET}}).encode(),
        json.dumps({"status": {"token": "t", "expirationTimestamp": SECRET}}).encode(),
    ],
)
def test_what_a_plugin_must_not_print(printed: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        credential(printed, NOW)
    assert SECRET not in str(caught.value)


BROKEN_USERS = [
    ({"token": 5}, "token"),
    ({"token": SECRET + "\nX: y"}, "token"),
    ({"tokenFile": "absent"}, "absent"),
    ({"username": "u", "password": SECRET}, "username"),
    ({"auth-provider": {"name": "gcp", "config": {"access-token": SECRET}}}, "auth-provider"),
    ({"client-certificate": "absent"}, "absent"),
    ({"client-certificate-data": "!" + SECRET}, ""),
    ({"client-certificate-data": base64.b64encode(SECRET.encode()).decode()}, "certificate"),
    ({"exec": {"apiVersion": "v1", "command": "/no/such/plugin", "args": [SECRET]}}, "plugin"),
    ({"exec": {"apiVersion": "v1", "command": "false", "args": [SECRET]}}, "false"),
    ({"exec": {"apiVersion": "v1", "command": "echo", "args": [SECRET]}}, "ExecCredential"),
    ({"exec": {"command": "x"}}, "apiVersion"),
]


@pytest.mark.parametrize(("user", "named"), BROKEN_USERS)
async def test_users_that_do_not_work(tmp_path: Path, user: dict[str, Any], named: str) -> None:
    file = written(tmp_path, {"server": "https://127.0.0.1:1"}, user)
    with pytest.raises(NoCluster) as caught:
        await from_file(file)
    text = str(caught.value)
    assert str(file) in text
    assert named in text
    assert SECRET not in text


BROKEN_FILES = [
    f"token: {SECRET}\n  : [",
    f"- {SECRET}",
    "",
    "current-context: a",
    "{current-context: a, contexts: [{name: a, context: {cluster: b}}]}",
    "{current-context: a, contexts: [{name: a, context: {cluster: b}}],"
    " clusters: [{name: b, cluster: {server: 5}}]}",
    "{current-context: a, contexts: [{name: a, context: {cluster: b, user: u}}],"
    " clusters: [{name: b, cluster: {server: 'https://x'}}]}",
    "{current-context: a, contexts: [{name: a, context: {cluster: b}}],"
    " clusters: [{name: b, cluster: {server: 'ftp://x'}}]}",
    "{current-context: a, contexts: [{name: a, context: {cluster: b}}],"
    f" clusters: [{{name: b, cluster: {{server: 'https://x', proxy-url: 'http://u:{SECRET}@p'}}}}]}}",
    "\x00",
]


@pytest.mark.parametrize("content", BROKEN_FILES)
async def test_files_that_do_not_work(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config"
    file.write_text(content)
    with pytest.raises(NoCluster, match="no usable kubeconfig") as caught:
        await from_file(file)
    assert SECRET not in str(caught.value)


async def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(NoCluster, match="No such file"):
        await from_file(tmp_path / "absent")


class TestTls:
    """Certificates on both sides, with a real handshake."""

    @pytest.fixture
    def ours(self) -> Pair:
        return new_authority("ours")

    @pytest.fixture
    async def fake(self, ours: Pair, tmp_path: Path) -> AsyncIterator[Fake]:
        """A server that wants a client certificate."""
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=ours.pem.decode())
        tls.verify_mode = ssl.CERT_REQUIRED
        server = signed(ours, "kubernetes", names=["kubernetes"])
        (tmp_path / "server.pem").write_bytes(server.pem + server.key_pem)
        tls.load_cert_chain(tmp_path / "server.pem")
        async with fake_server(tls) as running:
            yield running

    @pytest.mark.parametrize("as_data", [True, False])
    async def test_both_sides(
        self,
        fake: Fake,
        ours: Pair,
        tmp_path: Path,
        as_data: bool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """As data, and as files beside the kubeconfig; data stands before a file."""
        admin = signed(ours, "admin")
        made: dict[str, dict[str, str]] = {"cluster": {}, "user": {}}
        for where, name, content in (
            ("cluster", "certificate-authority", ours.pem),
            ("user", "client-certificate", admin.pem),
            ("user", "client-key", admin.key_pem),
        ):
            (tmp_path / name).write_bytes(content if not as_data else b"nonsense")
            made[where][name] = name
            if as_data:
                made[where][f"{name}-data"] = base64.b64encode(content).decode()
        cluster = {"server": fake.url, "tls-server-name": "kubernetes"} | made["cluster"]
        monkeypatch.setattr(tempfile, "tempdir", str(temporary := tmp_path / "temporary"))
        temporary.mkdir()
        assert await asked_with(fake, written(tmp_path, cluster, made["user"])) == ""
        assert list(temporary.iterdir()) == []

    @pytest.mark.parametrize("insecure", [True, False])
    async def test_another_authority(
        self, fake: Fake, ours: Pair, tmp_path: Path, insecure: bool
    ) -> None:
        admin = signed(ours, "admin")
        user = {
            "client-certificate-data": base64.b64encode(admin.pem).decode(),
            "client-key-data": base64.b64encode(admin.key_pem).decode(),
        }
        other = base64.b64encode(new_authority("other").pem).decode()
        cluster = {
            "server": fake.url,
            "certificate-authority-data": other,
            "insecure-skip-tls-verify": insecure,
        }
        file = written(tmp_path, cluster, user)
        if insecure:
            assert await asked_with(fake, file) == ""
            return
        with pytest.raises(Transient, match="certificate is not trusted"):
            await asked_with(fake, file)

    async def test_a_key_of_another_certificate(self, ours: Pair, tmp_path: Path) -> None:
        user = {
            "client-certificate-data": base64.b64encode(signed(ours, "a").pem).decode(),
            "client-key-data": base64.b64encode(signed(ours, "b").key_pem).decode(),
        }
        with pytest.raises(NoCluster, match="certificate or key"):
            await from_file(written(tmp_path, {"server": "https://x"}, user))

    async def test_a_key_with_a_password(self, ours: Pair, tmp_path: Path) -> None:
        """Nobody is asked for it on the terminal."""
        made = signed(ours, "a")
        user = {
            "client-certificate-data": base64.b64encode(made.pem).decode(),
            "client-key-data": base64.b64encode(made.locked(SECRET)).decode(),
        }
        with pytest.raises(NoCluster, match="encrypted") as caught:
            await from_file(written(tmp_path, {"server": "https://x"}, user))
        assert SECRET not in str(caught.value)


class TestPod:
    """The account that the kubelet mounts."""

    @pytest.fixture
    def mount(self, tmp_path: Path) -> Path:
        (tmp_path / "ca.crt").write_bytes(new_authority("ours").pem)
        (tmp_path / "token").write_text(f"{SECRET}\n")
        return tmp_path

    @pytest.mark.parametrize(
        ("host", "url"),
        [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")],
    )
    async def test_found(self, mount: Path, host: str, url: str) -> None:
        way = await from_pod({"KUBERNETES_SERVICE_HOST": host}, mount)
        assert way.server == url
        assert way.tls is not None
        assert way.tls.verify_mode == ssl.CERT_REQUIRED
        assert (await way.token.now()).token == SECRET

    async def test_a_token_is_read_again_within_minutes(
        self, mount: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(access, "FILE_SECONDS", 0.0)
        way = await from_pod({"KUBERNETES_SERVICE_HOST": "x"}, mount)
        (mount / "token").write_text("new")
        assert (await way.token.now()).token == "new"

    @pytest.mark.parametrize("missing", ["token", "ca.crt"])
    async def test_half_a_mount(self, mount: Path, missing: str) -> None:
        (mount / missing).unlink()
        with pytest.raises(NoCluster, match="service account"):
            await from_pod({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, mount)

    async def test_no_pod(self, mount: Path) -> None:
        with pytest.raises(NoCluster, match="DEIS_KUBECONFIG"):
            await from_pod({}, mount)

    async def test_a_pod_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        with pytest.raises(NoCluster, match="DEIS_KUBECONFIG"):
            async with open_kubernetes(KubernetesSettings()):
                pass
