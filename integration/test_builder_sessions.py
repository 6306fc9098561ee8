"""What an SSH client may do here, and how a push that is cut off ends (components.md 2.3, 2.5)."""

import asyncio
import contextlib
import os
import signal
import stat
from pathlib import Path

import pytest

from deis_platform.objects import DirectoryStore
from deis_platform.runtime.memory import MemoryRuntime
from deis_services.builder.repositories import Git
from integration.builder_fixtures import WithBuilder, WithController
from integration.builder_rig import BuilderRig, Pusher
from integration.servers import RunningNats, until

pytestmark = pytest.mark.server


class TestSessions(WithBuilder):
    async def test_ping(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        assert (await ada.on_ssh("ping")).output == "pong\n"

    async def test_many_sessions_on_one_connection(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        shared = ("-o", "ControlPath=shared")
        master = await ada.starts(
            *(*ada.ssh, *shared, "-M", "-N", "-p", str(rig.port), "git@127.0.0.1"), folder=ada.home
        )
        await until((ada.home / "shared").exists, "the first connection")
        for _ in range(10):
            assert (await ada.on_ssh("ping", flags=shared)).output == "pong\n"
        master.terminate()
        await master.wait()

    async def test_there_is_no_shell(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        assert "There is no shell here" in (await ada.on_ssh(code=1)).output
        terminal = await ada.on_ssh(code=255, flags=("-tt",))
        assert "PTY allocation request failed" in terminal.output

    async def test_other_commands_are_refused(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        await ada.app("blog")
        for command in (
            "id",
            "git-receive-pack 'blog.git'; touch owned",
            "git-receive-pack '$(touch owned).git'",
            "git-upload-archive 'blog.git'",
            "git-receive-pack '../blog.git'",
            "git-receive-pack",
        ):
            said = await ada.on_ssh(command, code=1)
            assert "served here" in said.output or "name of a repository" in said.output
        assert not list(rig.folder.rglob("owned"))
        assert await rig.push_rows() == []

    async def test_nothing_else_of_ssh_works(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        subsystem = await ada.on_ssh("sftp", code=None, flags=("-s",))
        assert subsystem.code != 0
        there = f"127.0.0.1:{rig.port}"
        forwarded = await ada.on_ssh(code=None, flags=("-W", there))
        assert forwarded.code != 0
        assert "forwarding failed" in forwarded.output
        back = await ada.on_ssh("ping", flags=("-o", "ExitOnForwardFailure=yes", "-A", "-X"))
        assert back.output.endswith("pong\n")
        listening = await ada.on_ssh(
            "ping",
            code=None,
            flags=("-o", "ExitOnForwardFailure=yes", "-R", f"127.0.0.1:0:{there}"),
        )
        assert listening.code != 0

    async def test_who_only_knocks_keeps_nobody_out(
        self, nats: RunningNats, platform: BuilderRig
    ) -> None:
        async with platform.builder(nats, connections=5) as parts:
            ada = await platform.person("ada")
            here = ("127.0.0.1", platform.port)
            knocking = [await asyncio.open_connection(*here) for _ in range(12)]
            await until(lambda: len(parts.ssh.connections.open) == 5, "as many as there may be")
            assert (await ada.on_ssh("ping")).output == "pong\n"
            assert len(parts.ssh.connections.open) <= 5
            for _, writer in knocking:
                writer.close()

    async def test_nobody_takes_all_the_room(self, nats: RunningNats, platform: BuilderRig) -> None:
        async with platform.builder(nats, connections=8):
            ada, bob = await platform.person("ada"), await platform.person("bob")
            inside = []
            for number in range(2):
                path = ada.home / f"shared{number}"
                master = await ada.starts(
                    *(*ada.ssh, "-M", "-N", "-o", f"ControlPath={path}"),
                    *("-p", str(platform.port), "git@127.0.0.1"),
                    folder=ada.home,
                )
                await until(path.exists, "a connection")
                inside.append(master)
            assert (await ada.on_ssh("ping", code=255)).code == 255
            assert (await bob.on_ssh("ping")).output == "pong\n"
            for master in inside:
                master.terminate()
                await master.wait()
            await until(lambda: _pings(ada), "there is room again")

    async def test_a_client_lost_while_sending_frees_the_app(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        client = await _half_a_push(ada, blog)
        assert [row["state"] for row in await rig.push_rows()] == ["receiving"]
        os.killpg(client.pid, signal.SIGINT)
        await client.wait()
        # Either git or the session sees it first.
        reasons = ("the connection was lost", "nothing was pushed")
        await until(lambda: _closed(rig, *reasons), "the row is closed")
        assert not list((rig.folder / "builder").glob("*.git/objects/*incoming*"))
        assert rig.builds.seen == []
        assert "Done, blog:v2 deployed" in (await ada.push(blog)).output


async def _pings(person: Pusher) -> bool:
    return (await person.on_ssh("ping", code=None)).code == 0


async def _half_a_push(ada: Pusher, tree: Path) -> asyncio.subprocess.Process:
    """A client that has said what it will push, and then sends half of its pack."""
    pack = await asyncio.create_subprocess_exec(
        *("git", "pack-objects", "--all", "--stdout", "-q"),
        cwd=tree,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    data, _ = await pack.communicate()
    head = (await ada.git(tree, "rev-parse", "HEAD")).output.strip()
    line = f"{'0' * 40} {head} refs/heads/main\0report-status".encode()
    packet = f"{len(line) + 4:04x}".encode() + line + b"0000"
    client = await asyncio.create_subprocess_exec(
        *(*ada.ssh, "-p", ada.url("x").split(":")[2].split("/")[0], "git@127.0.0.1"),
        f"git-receive-pack '{tree.name}.git'",
        env=ada.environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    if client.stdin is None or client.stdout is None:
        raise TypeError("no pipes")
    await client.stdout.readuntil(b"0000")
    client.stdin.write(packet + data[: len(data) // 2])
    await client.stdin.drain()
    return client


async def _closed(rig: BuilderRig, *reasons: str) -> bool:
    (row,) = await rig.push_rows()
    return row["state"] == "closed" and row["reason"] in reasons


def _pipes() -> int:
    """Pipes that this process, and so the builder in it, holds open."""
    count = 0
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            count += os.readlink(f"/proc/self/fd/{number}").startswith("pipe:")
    return count


class TestDoor(WithController):
    async def test_a_client_that_stalls_is_given_up(
        self, nats: RunningNats, platform: BuilderRig
    ) -> None:
        # Longer than a busy machine takes to start ssh and git on either side.
        async with platform.builder(nats, stall_seconds=4.0):
            ada = await platform.person("ada")
            blog = await ada.app("blog")
            client = await _half_a_push(ada, blog)
            await client.communicate()
            assert client.returncode != 0
            assert await _closed(platform, "the client stalled")
        async with platform.builder(nats):
            assert "Done, blog:v2 deployed" in (await ada.push(blog)).output

    async def test_a_push_that_the_builder_leaves_is_closed(
        self, nats: RunningNats, platform: BuilderRig
    ) -> None:
        async with platform.builder(nats):
            ada = await platform.person("ada")
            blog = await ada.app("blog")
            client = await _half_a_push(ada, blog)
        assert await client.wait() != 0
        assert await _closed(platform, "the builder is stopping")
        async with platform.builder(nats):
            assert "Done, blog:v2 deployed" in (await ada.push(blog)).output

    async def test_a_git_that_does_not_start_leaves_no_pipe_open(
        self, nats: RunningNats, platform: BuilderRig
    ) -> None:
        async with platform.builder(nats) as parts:
            ada = await platform.person("ada")
            blog = await ada.app("blog")
            await ada.push(blog)
            repositories = parts.receiver.repositories
            git, repositories.git = repositories.git, Git("/nowhere/git", "/nowhere")
            before = _pipes()
            await ada.commit(blog, {"more": "x"})
            assert "a part of it is away" in (await ada.push(blog, code=128)).output
            await until(lambda: _pipes() <= before, "all pipes are closed")
            repositories.git = git
            assert "Done, blog:v3 deployed" in (await ada.push(blog)).output

    async def test_host_keys_stay(self, nats: RunningNats, platform: BuilderRig) -> None:
        seen: list[list[bytes]] = []
        keys: list[Path] = []
        for _ in range(2):
            async with platform.builder(nats):
                keys = sorted((platform.folder / "builder").glob("ssh_host_*"))
                seen.append([key.read_bytes() for key in keys])
        assert seen[0] == seen[1]
        assert len(seen[0]) == 2
        assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}

    async def test_who_shows_no_key_in_time_is_put_out(
        self, nats: RunningNats, platform: BuilderRig
    ) -> None:
        async with platform.builder(nats, login_seconds=0.5):
            reader, writer = await asyncio.open_connection("127.0.0.1", platform.port)
            assert (await reader.read()).startswith(b"SSH-2.0-")
            writer.close()
            await writer.wait_closed()

    async def test_too_many_connections(self, nats: RunningNats, platform: BuilderRig) -> None:
        async with platform.builder(nats, connections=1) as parts:
            ada = await platform.person("ada")
            inside = await ada.starts(
                *(*ada.ssh, "-M", "-N", "-o", "ControlPath=shared"),
                *("-p", str(platform.port), "git@127.0.0.1"),
                folder=ada.home,
            )
            await until((ada.home / "shared").exists, "the first connection")
            assert (await ada.on_ssh("ping", code=255)).code == 255
            inside.terminate()
            await inside.wait()
            await until(lambda: not parts.ssh.connections.open, "room")
            assert (await ada.on_ssh("ping")).output == "pong\n"

    async def test_a_waiting_push_shows_that_it_lives(
        self, nats: RunningNats, platform: BuilderRig
    ) -> None:
        async with platform.builder(nats, alive_seconds=0.1):
            ada = await platform.person("ada")
            blog = await ada.app("blog")
            platform.runtime.script("hold", app="blog", reason="nothing listens")
            push = await ada.starts("git", "push", ada.url("blog"), "main", folder=blog)
            if push.stdout is None:
                raise TypeError("no pipe")
            await push.stdout.readuntil(b"Launching App...")
            await push.stdout.readuntil(b"\x1b[1G... web: nothing listens ")
            platform.runtime.make_ready("blog")
            rest, _ = await push.communicate()
            assert b"Done, blog:v2 deployed" in rest


async def test_without_a_controller_the_client_is_told(nats: RunningNats, tmp_path: Path) -> None:
    rig = BuilderRig(tmp_path, MemoryRuntime(), DirectoryStore(tmp_path / "objects"))
    async with rig.builder(nats):
        home = tmp_path / "home"
        home.mkdir()
        eve = Pusher(rig, "eve", home)
        await eve.types("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key", folder=home)
        said = await eve.on_ssh("ping", code=255, flags=("-o", "LogLevel=INFO"))
        assert "is starting or a part of it is away" in said.output
