"""Profiles, registering and logging in (cli.md 2, 6.2)."""

import json
from pathlib import Path

import pytest

from deis_cli import session
from deis_cli.brand import Brand, brand_of
from deis_cli.errors import CliError
from tests.unit.deis_cli.scripted import TOKEN, Person, Scripted

WHO = ("--username", "ada", "--password", "secret word")


@pytest.fixture
def account(server: Scripted) -> None:
    server.says("POST /v2/auth/register/", 201, {"username": "ada"})
    server.says("POST /v2/auth/login/", 200, {"token": TOKEN})


@pytest.mark.usefixtures("account")
async def test_login_writes_the_profile(person: Person) -> None:
    shown = await person.types("login", person.server.url, *WHO)
    assert shown.code == 0
    assert shown.out == f"Logged in as ada\nConfiguration file written to {person.profile}\n"
    assert person.profile.read_text() == json.dumps(
        {
            "username": "ada",
            "ssl_verify": True,
            "controller": person.server.url,
            "token": TOKEN,
            "response_limit": 0,
        },
        separators=(",", ":"),
    )
    assert person.profile.stat().st_mode & 0o777 == 0o600
    assert person.profile.parent.stat().st_mode & 0o777 == 0o700
    shown = await person.types("whoami")
    assert shown.out == f"You are ada at {person.server.url}\n"


@pytest.mark.usefixtures("account")
async def test_register_logs_in(person: Person) -> None:
    shown = await person.types("register", person.server.url, *WHO, "--email", "a@example.com")
    assert shown.out.splitlines()[:2] == ["Registered ada", "Logged in as ada"]
    sent = next(one for one in person.server.asked if one.path == "/v2/auth/register/")
    assert sent.body == {"username": "ada", "password": "secret word", "email": "a@example.com"}
    assert "Authorization" not in sent.headers


@pytest.mark.usefixtures("account")
async def test_an_admin_registers_another(ada: Person) -> None:
    before = ada.profile.read_text()
    shown = await ada.types(
        "register", ada.server.url, "--username=bob", "--password=x", "--email=", "--login=false"
    )
    assert shown.out == "Registered bob\n"
    sent = next(one for one in ada.server.asked if one.path == "/v2/auth/register/")
    assert sent.headers["Authorization"] == f"token {TOKEN}"
    assert ada.profile.read_text() == before


@pytest.mark.usefixtures("account")
async def test_prompts_at_a_terminal(person: Person) -> None:
    typed = "ada\nsecret\nsecret\na@example.com\n"
    shown = await person.types("register", person.server.url, stdin=typed, terminal=True)
    assert shown.out.startswith("username: password: password (confirm): email: Registered ada\n")


async def test_a_mismatch_sends_nothing(person: Person) -> None:
    shown = await person.types(
        "register", person.server.url, stdin="ada\none\ntwo\n", terminal=True
    )
    assert shown.code == 1
    assert person.server.paths() == ["GET /v2/"]


async def test_without_a_terminal_nothing_hangs(person: Person) -> None:
    shown = await person.types("login", person.server.url)
    assert shown.code == 1
    assert "--username" in shown.err
    shown = await person.types("login", person.server.url, "--username=ada")
    assert "--password" in shown.err


@pytest.mark.usefixtures("account")
async def test_the_password_may_come_from_standard_input(person: Person) -> None:
    await person.types("login", person.server.url, "--username=ada", "--password=-", stdin="pw\n")
    assert person.server.asked[-1].body == {"username": "ada", "password": "pw"}


async def test_a_failed_registration_says_so_first(person: Person) -> None:
    person.server.says(
        "POST /v2/auth/register/", 400, {"username": ["A user with that username already exists."]}
    )
    shown = await person.types("register", person.server.url, *WHO, "--email=")
    assert shown.code == 1
    assert shown.err.startswith("Registration failed: Error: A user with that username already")
    assert not person.profile.exists()


async def test_a_wrong_password_writes_nothing(person: Person) -> None:
    person.server.says(
        "POST /v2/auth/login/",
        400,
        {"non_field_errors": ["Unable to log in with provided credentials."]},
    )
    shown = await person.types("login", person.server.url, *WHO)
    assert shown.code == 1
    assert "Unable to log in" in shown.err
    assert not person.profile.exists()


async def test_what_is_no_controller(person: Person) -> None:
    person.server.says("GET /v2/", 200, {})
    shown = await person.types("login", person.server.url, *WHO)
    assert shown.code == 1
    assert "does not look like a Deis controller" in shown.err


async def test_nobody_there(person: Person) -> None:
    shown = await person.types("login", "http://127.0.0.1:1", *WHO)
    assert shown.code == 1
    assert shown.err.startswith("Error: ")


async def test_a_redirect_to_https_is_told_not_followed(person: Person) -> None:
    async def elsewhere(_: object) -> object:
        from aiohttp import web

        return web.Response(status=301, headers={"Location": "https://deis.example.com/v2/"})

    person.server.answers["GET /v2/"] = elsewhere  # type: ignore[assignment]
    shown = await person.types("login", person.server.url, *WHO)
    assert "log in again with https://deis.example.com" in shown.err


async def test_logout_twice(ada: Person) -> None:
    assert (await ada.types("logout")).out == "Logged out\n"
    assert not ada.profile.exists()
    assert (await ada.types("logout")).code == 0
    assert (await ada.types("whoami")).code == 1


async def test_profiles_do_not_mix(person: Person) -> None:
    person.server.says("POST /v2/auth/login/", 200, {"token": TOKEN})
    await person.types("login", person.server.url, *WHO, "-c", "stage")
    person.environ["DEIS_PROFILE"] = str(person.folder / "x.json")
    await person.types("login", person.server.url, *WHO)
    assert (person.home / ".deis" / "stage.json").exists()
    assert (person.folder / "x.json").exists()
    assert not person.profile.exists()
    assert (await person.types("whoami", "--config", "stage")).code == 0


def test_paths() -> None:
    home = {"HOME": "/h"}
    assert session.profile_path("", home, Brand()) == Path("/h/.deis/client.json")
    assert session.profile_path("prod", home, Brand()) == Path("/h/.deis/prod.json")
    assert session.profile_path("./x.json", home, Brand()) == Path("x.json")
    assert session.profile_path("~/x.json", home, Brand()) == Path("/h/x.json")
    other = Brand("hephy")
    assert session.profile_path("", home | {"HEPHY_PROFILE": "a"}, other) == Path(
        "/h/.hephy/a.json"
    )


def test_brand() -> None:
    assert brand_of("/usr/bin/deis") == Brand()
    assert brand_of("C:\\bin\\Hephy.exe") == Brand("Hephy")
    assert (Brand("My-Deis").profile_variable, Brand("My Deis").remote) == (
        "MY_DEIS_PROFILE",
        "my-deis",
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"controller": ""}'])
def test_a_damaged_profile_names_its_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "client.json"
    path.write_text(text)
    with pytest.raises(CliError, match=r"client\.json is damaged"):
        session.load(path)


def test_unknown_keys_survive(tmp_path: Path) -> None:
    path = tmp_path / "client.json"
    path.write_text('{"controller": "http://x", "token": "t", "color": "red"}')
    loaded = session.load(path)
    assert loaded.ssl_verify
    session.save(path, loaded)
    assert json.loads(path.read_text())["color"] == "red"


async def test_whoami_all(ada: Person) -> None:
    ada.server.says(
        "GET /v2/auth/whoami/",
        200,
        {"username": "ada", "email": "a@b.co", "is_superuser": True, "last_login": None},
    )
    shown = await ada.types("whoami", "--all")
    assert shown.out.splitlines()[:3] == ["ID: 0", "Username: ada", "Email: a@b.co"]
    assert "Is Superuser: true" in shown.out


async def test_cancel_asks(ada: Person) -> None:
    ada.server.says("POST /v2/auth/login/", 200, {"token": TOKEN})
    ada.server.says("DELETE /v2/auth/cancel/", 204)
    shown = await ada.types("auth:cancel", "--password=x", stdin="n\n", terminal=True)
    assert shown.code == 0
    assert ada.profile.exists()
    assert (await ada.types("auth:cancel", "--password=x")).code == 1
    shown = await ada.types("auth:cancel", "--password=x", "--yes")
    assert shown.out.endswith("Account cancelled\n")
    assert not ada.profile.exists()


async def test_regenerate_keeps_us_logged_in(ada: Person) -> None:
    ada.server.says("POST /v2/auth/tokens/", 200, {"token": "f" * 40})
    assert (await ada.types("auth:regenerate")).out == "Token Regenerated\n"
    assert session.load(ada.profile).token == "f" * 40
    assert (await ada.types("auth:regenerate", "--all")).code == 1


async def test_passwd(ada: Person) -> None:
    ada.server.says("POST /v2/auth/passwd/", 200)
    typed = "old\nnew\nnew\n"
    shown = await ada.types("passwd", stdin=typed, terminal=True)
    assert shown.out == (
        "current password: new password: new password (confirm): Password change succeeded.\n"
    )
    assert ada.server.asked[-1].body == {"password": "old", "new_password": "new"}
    await ada.types("auth:passwd", "--username=bob", "--new-password=x")
    assert ada.server.asked[-1].body == {"username": "bob", "new_password": "x"}
    count = len(ada.server.asked)
    shown = await ada.types("passwd", "--password=a", stdin="one\ntwo\n", terminal=True)
    assert (shown.code, len(ada.server.asked)) == (1, count)
    assert "Password mismatch, not changing." in shown.err
    ada.server.says("POST /v2/auth/passwd/", 400, {"detail": "Current password does not match"})
    shown = await ada.types("passwd", "--password=a", "--new-password=b")
    assert shown.err == "Password change failed: Error: Current password does not match\n"


async def test_a_stale_token_says_what_to_do(ada: Person) -> None:
    ada.server.says("GET /v2/apps/", 401, {"detail": "Invalid token."})
    shown = await ada.types("apps")
    assert (shown.code, "Log in again with `deis login`" in shown.err) == (1, True)
    assert TOKEN not in shown.err
    ada.environ["DEIS_EXIT_CODES"] = "fine"
    codes = {401: 3, 403: 4, 404: 5, 409: 6, 422: 6, 500: 1}
    for status, code in codes.items():
        ada.server.says("GET /v2/apps/", status, {"detail": "no"})
        assert (await ada.types("apps")).code == code


async def test_a_profile_that_cannot_be_written_fails_the_login(person: Person) -> None:
    person.server.says("POST /v2/auth/login/", 200, {"token": TOKEN})
    (person.home / ".deis").write_text("in the way")
    shown = await person.types("login", person.server.url, *WHO)
    assert shown.code == 1
    assert "Cannot write the profile" in shown.err
    assert "Logged in" not in shown.out


async def test_cancelling_as_another_user_keeps_ones_own_profile(ada: Person) -> None:
    ada.server.says("DELETE /v2/auth/cancel/", 204)
    shown = await ada.types("auth:cancel", "--username=bob", "--yes")
    assert (shown.code, shown.out) == (0, "Account cancelled\n")
    assert ada.server.asked[-1].body == {"username": "bob"}
    assert ada.profile.exists()
