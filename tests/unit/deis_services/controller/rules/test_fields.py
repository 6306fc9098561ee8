"""Fields of a body and their messages."""

import pytest

from deis_services.controller.rules import Invalid
from deis_services.controller.rules.fields import Form


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "This field is required."),
        ({"name": None}, "This field may not be null."),
        ({"name": "   "}, "This field may not be blank."),
        ({"name": ["x"]}, "Not a valid string."),
        ({"name": True}, "Not a valid string."),
        ({"name": "a\0b"}, "Null characters are not allowed."),
        ({"name": "abcdef"}, "Ensure this field has no more than 5 characters."),
    ],
)
def test_what_a_required_text_must_be(body: dict[str, object], message: str) -> None:
    form = Form(body)
    assert form.text("name", required=True, limit=5) == ""
    with pytest.raises(Invalid) as caught:
        form.done()
    assert caught.value.fields == {"name": [message]}


def test_texts_are_stripped_unless_told_otherwise() -> None:
    form = Form({"name": " ada ", "password": " p ", "number": 7})
    assert form.text("name") == "ada"
    assert form.text("password", strip=False) == " p "
    assert form.text("number") == "7"
    assert form.text("absent") == ""
    form.done()


def test_all_wrong_fields_are_told_at_once() -> None:
    form = Form({"name": ""})
    form.text("name")
    form.text("other", required=True)
    with pytest.raises(Invalid, match="name, other"):
        form.done()


@pytest.mark.parametrize("given", [True, "true", "Yes", "on", 1, "1", " T "])
def test_words_for_yes(given: object) -> None:
    assert Form({"flag": given}).boolean("flag") is True


@pytest.mark.parametrize("given", [False, "false", "No", "off", 0, "0"])
def test_words_for_no(given: object) -> None:
    form = Form({"flag": given})
    assert form.boolean("flag") is False
    form.done()


@pytest.mark.parametrize("given", ["maybe", None, 2, [True], {}])
def test_other_words_are_no_boolean(given: object) -> None:
    form = Form({"flag": given})
    assert form.boolean("flag") is False
    assert form.errors == {"flag": ["Must be a valid boolean."]}


def test_an_absent_boolean_is_its_default() -> None:
    assert Form({}).boolean("flag", True) is True


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "This field may not be null."),
        (["a"], 'Expected a dictionary of items but got type "list".'),
        ("[1]", 'Expected a dictionary of items but got type "list".'),
        ("{", "Value must be valid JSON."),
        ("[" * 5000, "Value must be valid JSON."),
        (7, 'Expected a dictionary of items but got type "int".'),
    ],
)
def test_what_a_mapping_must_be(given: object, message: str) -> None:
    form = Form({"values": given})
    assert form.mapping("values") == {}
    assert form.errors == {"values": [message]}


def test_a_mapping_may_be_a_string_of_json() -> None:
    assert Form({"values": '{"A": 1}'}).mapping("values") == {"A": 1}
    assert Form({}).mapping("values") == {}
