"""Who the operator's commands are on a bus that is somebody else's."""

from pathlib import Path

import pytest

from deis_bus.users import OPERATOR
from deis_services.platform_cli.reach import reach

OUTSIDE = {
    "DEIS_NATS_URL": "tls://nats.example.com:4222",
    "DEIS_NATS_USER": "controller",
    "DEIS_NATS_PASSWORD_FILE": "/secrets/controller",
    "DEIS_NATS_CA_FILE": "/secrets/ca.crt",
}


@pytest.mark.parametrize(
    ("more", "user", "file"),
    [
        ({}, "controller", "/secrets/controller"),
        ({"DEIS_OPERATOR_PASSWORD_FILE": "/secrets/operator"}, OPERATOR, "/secrets/operator"),
    ],
)
def test_in_a_service_s_pod_they_are_the_operator(
    tmp_path: Path, more: dict[str, str], user: str, file: str
) -> None:
    settings = reach(str(tmp_path), OUTSIDE | more).bus()
    assert (settings.url, settings.ca_file) == (OUTSIDE["DEIS_NATS_URL"], "/secrets/ca.crt")
    assert (settings.user, settings.password_file) == (user, file)


def test_a_command_to_type_names_the_folder_where_there_is_one(tmp_path: Path) -> None:
    here = reach(str(tmp_path), {}).command("automation", "list")
    assert here == f"deis-platform automation list --data {tmp_path}"
    pod = reach(None, {"DEIS_AUTOMATIONS_SECRET": "automations"}).command("automation", "list")
    assert pod == "deis-platform automation list"
