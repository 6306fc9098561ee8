"""Who may do what, as data; integration/test_nats_users.py tries it on a real server."""

import json

import pytest

from deis_bus import subjects, users
from deis_bus.users import OPERATOR, SERVICES, Automation, rights


def may(allowed: users.Rules, subject: str) -> bool:
    """Whether one of the patterns lets it through."""
    return any(subjects.matches(pattern, subject) for pattern in allowed)


def test_every_service_has_a_user() -> None:
    assert set(SERVICES) == {
        "gateway",
        "controller",
        "builder",
        "runtime",
        "router",
        "logger",
        "shipper",
        "manager",
        OPERATOR,
    }


def test_events_come_from_the_controller_alone() -> None:
    fact = subjects.event("blog", "release.created")
    assert {name for name in SERVICES if may(rights(name).publish, fact)} == {
        "controller",
        OPERATOR,
    }


@pytest.mark.parametrize("name", SERVICES)
def test_everybody_hears_only_inboxes_of_its_own(name: str) -> None:
    heard = [other for other in SERVICES if may(rights(name).subscribe, f"_INBOX_{other}.x")]
    assert heard == [name]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_answers_its_own_requests_only(name: str) -> None:
    served = [o for o in SERVICES if may(rights(name).subscribe, subjects.rpc(o, "status.read"))]
    assert served == ([] if name == OPERATOR else [name])


def test_a_reader_of_events_never_touches_an_automation() -> None:
    denied = rights("gateway", ["mailer"]).deny
    for verb in ("CREATE", "MSG.NEXT", "DELETE"):
        assert may(denied, f"$JS.API.CONSUMER.{verb}.EVENTS.automation-mailer")


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in ("gateway", OPERATOR)])
def test_who_reads_no_events_is_not_told_of_automations(name: str) -> None:
    assert rights(name, ["mailer"]) == rights(name)


def test_an_answer_goes_to_those_who_may_ask_and_to_nobody_else() -> None:
    asked = {o for o in SERVICES if may(rights("logger").publish, f"_INBOX_{o}.x")}
    assert asked == {"logger", "controller", "shipper", "manager", OPERATOR}


def test_an_automation_publishes_nothing_but_fetch_and_ack() -> None:
    allowed = users.automation_rights("mailer")
    assert all(
        subject.startswith(("$JS.API.CONSUMER.MSG.NEXT", "$JS.ACK")) for subject in allowed.publish
    )
    assert allowed.subscribe == ("_INBOX_automation-mailer.>",)
    assert not may(allowed.publish, "$JS.API.CONSUMER.MSG.NEXT.EVENTS.controller")


def test_a_name_that_is_no_service_has_no_rights() -> None:
    with pytest.raises(KeyError):
        rights("stranger")


def test_the_block_for_the_server_is_json_and_complete() -> None:
    block = users.authorization({"logger": "s3"}, [Automation("mailer", "s4")])
    told = json.loads(block.removeprefix("authorization: "))["users"]
    assert [(user["user"], user["password"]) for user in told] == [
        ("logger", "s3"),
        ("automation-mailer", "s4"),
    ]
