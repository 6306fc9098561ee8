"""The key file, encryption that rotates, keyed hashes, and passwords in threads."""

import asyncio
import base64
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from deis_bus.errors import Transient
from deis_platform.crypto import (
    CryptoError,
    Hasher,
    Keyring,
    hash_password,
    key_number,
    rotate,
    verify_password,
)

KEYS = Keyring.generate()


def a_key(letter: str) -> str:
    """A key that is easy to tell apart."""
    return base64.b64encode(letter.encode() * 32).decode()


def test_a_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret"
    first = Keyring.open(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["secret"]
    assert Keyring.open(str(path)).derive("x") == first.derive("x")
    assert Keyring.open(path).decrypt(first.encrypt(b"data")) == b"data"


def test_services_that_start_at_once_agree_on_one_file(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def start(_: int) -> bytes:
        together.wait()
        return Keyring.open(tmp_path / "secret").derive("x")

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(start, range(8)))) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "root\n",
        f"root {a_key('r')}\n",
        f"1 {a_key('a')}\n",
        f"root {a_key('r')}\n1 c2hvcnQ=\n",
        f"root {a_key('r')}\none {a_key('a')}\n",
        f"root {a_key('r')}\n-1 {a_key('a')}\n",
        f"root {a_key('r')}\n70000 {a_key('a')}\n",
        f"root {a_key('r')}\n1 {a_key('a')}\n1 {a_key('b')}\n",
        f"root {a_key('r')}\nroot {a_key('s')}\n1 {a_key('a')}\n",
        f"root {a_key('r')}\n1 {a_key('a')} {a_key('b')}\n",
        "root é\n",
    ],
)
def test_what_is_no_key_file_is_told_without_its_content(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CryptoError, match=str(path)) as caught:
        Keyring.open(path)
    assert not any(a_key(letter)[:12] in str(caught.value) for letter in "rsab")
    assert path.read_text(encoding="utf-8") == text, "a file that is not understood is left alone"


def test_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(CryptoError, match="DEIS_SECRET_FILE is not set"):
        Keyring.open("")
    with pytest.raises(CryptoError, match="cannot be used"):
        Keyring.open(tmp_path)


def test_keys_of_purposes_differ_and_are_not_the_root(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"# made by hand\n\nroot {a_key('r')}\n1 {a_key('a')}\n")
    keys = Keyring.open(path)
    found = {keys.derive(purpose) for purpose in ("artifacts", "token hash", "")}
    assert len(found) == 3
    assert all(len(key) == 32 for key in found)
    assert b"r" * 32 not in found
    assert keys.derive("artifacts") == keys.derive("artifacts")
    assert Keyring.generate().derive("artifacts") not in found


def test_after_a_rotation_old_data_reads_and_new_data_has_the_new_key(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    before = Keyring.open(path)
    old = before.encrypt(b"data", b"app")
    assert rotate(path) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(list(tmp_path.iterdir())) == 1
    after = Keyring.open(path)
    new = after.encrypt(b"data", b"app")
    assert (key_number(old), key_number(new)) == (1, 2)
    assert (after.outdated(old), after.outdated(new)) == (True, False)
    assert after.decrypt(old, b"app") == after.decrypt(new, b"app") == b"data"
    assert after.token_hash("t") == before.token_hash("t"), "tokens outlive a rotation"
    with pytest.raises(CryptoError, match="key 2 is not in the key file"):
        before.decrypt(new, b"app")


def test_encryption_never_repeats_itself() -> None:
    found = {KEYS.encrypt(b"same") for _ in range(100)}
    assert len(found) == 100
    assert not any(b"same" in one for one in found)


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_what_is_encrypted_comes_back(data: bytes, context: bytes) -> None:
    assert KEYS.decrypt(KEYS.encrypt(data, context), context) == data


@given(st.binary(max_size=60), st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_byte_is_noticed(data: bytes, position: int, change: int) -> None:
    sealed = bytearray(KEYS.encrypt(data, b"app blog"))
    sealed[position % len(sealed)] ^= change
    with pytest.raises(CryptoError):
        KEYS.decrypt(bytes(sealed), b"app blog")


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_as_a_sentence(data: bytes) -> None:
    with pytest.raises(CryptoError):
        KEYS.decrypt(data)


def test_data_of_another_place_does_not_decrypt() -> None:
    sealed = KEYS.encrypt(b"data", b"app blog")
    for keys, context in ((KEYS, b"app shop"), (KEYS, b""), (Keyring.generate(), b"app blog")):
        with pytest.raises(CryptoError, match="damaged or of another platform"):
            keys.decrypt(sealed, context)
    with pytest.raises(CryptoError):
        KEYS.decrypt(sealed[:-1], b"app blog")


def test_a_token_hash_needs_the_key() -> None:
    assert KEYS.token_hash("t") == KEYS.token_hash("t")
    assert len(KEYS.token_hash("t")) == 64
    assert (
        len({KEYS.token_hash("t"), KEYS.token_hash("T"), Keyring.generate().token_hash("t")}) == 3
    )


async def test_passwords() -> None:
    hashed = await hash_password("secret word")
    assert hashed.startswith("$argon2id$")
    assert hashed != await hash_password("secret word")
    assert await verify_password(hashed, "secret word")
    assert not await verify_password(hashed, "secret wort")
    assert not await verify_password("!unusable", "secret word")


class Gate(PasswordHasher):
    """A hash that waits until it is let through."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.threads: list[str] = []

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.threads.append(threading.current_thread().name)
        self.open.wait(20)
        return "hash"


async def until(condition: Callable[[], bool]) -> None:
    """Until a thread has made it so."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - a thread sets no event of ours
            await asyncio.sleep(0)


async def test_the_loop_goes_on_and_only_so_many_hash_or_wait() -> None:
    gate = Gate()
    hasher = Hasher(at_once=2, waiting=3)
    hasher._argon2 = gate
    tasks = [asyncio.create_task(hasher.hash("x")) for _ in range(3)]
    try:
        await until(lambda: len(gate.threads) == 2)
        assert threading.current_thread().name not in gate.threads
        with pytest.raises(Transient, match="too many logins"):
            await hasher.hash("x")
        with pytest.raises(Transient):
            await hasher.verify("h", "x")
        assert len(gate.threads) == 2
    finally:
        gate.open.set()
    assert await asyncio.gather(*tasks) == ["hash"] * 3
    assert await hasher.hash("x") == "hash", "places are free again"


async def test_a_caller_that_goes_away_gives_its_place_back() -> None:
    gate = Gate()
    hasher = Hasher(at_once=1, waiting=2)
    hasher._argon2 = gate
    tasks = [asyncio.create_task(hasher.hash("x")) for _ in range(2)]
    try:
        await until(lambda: gate.threads != [])
        tasks[1].cancel()
        await asyncio.wait({tasks[1]})
        again = asyncio.create_task(hasher.hash("x"))
    finally:
        gate.open.set()
    assert [await tasks[0], await again] == ["hash", "hash"]


async def test_a_hash_that_nobody_waits_for_still_counts_while_it_runs() -> None:
    gate = Gate()
    hasher = Hasher(at_once=1, waiting=2)
    hasher._argon2 = gate
    first = asyncio.create_task(hasher.hash("x"))
    try:
        await until(lambda: gate.threads != [])
        first.cancel()
        await asyncio.wait({first})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(hasher.hash("y"), 0.05)
        assert len(gate.threads) == 1
    finally:
        gate.open.set()
    assert await hasher.hash("z") == "hash"


def test_callers_of_several_loops_may_wait_for_their_turn() -> None:
    hasher = Hasher(at_once=1)

    async def several() -> list[str]:
        return await asyncio.gather(*(hasher.hash("x") for _ in range(3)))

    assert all(len(asyncio.run(several())) == 3 for _ in range(2))
