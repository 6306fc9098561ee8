"""Reading a request's body field by field, with the messages the original client knows (api.md 1.7)."""

from collections.abc import Mapping
from typing import Any

import msgspec

REQUIRED = "This field is required."
BLANK = "This field may not be blank."
NULL = "This field may not be null."
NOT_TEXT = "Not a valid string."
NOT_BOOLEAN = "Must be a valid boolean."
NUL = "Null characters are not allowed."
TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
FALSE = frozenset({"false", "f", "no", "n", "off", "0"})


class Invalid(Exception):
    """Fields that cannot be accepted: answered 400 with this map."""

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        super().__init__(", ".join(sorted(fields)))
        self.fields = dict(fields)


def too_long(limit: int) -> str:
    """The message for a text over `limit` characters."""
    return f"Ensure this field has no more than {limit} characters."


def not_mapping(value: object) -> str:
    """The message for something that is no object."""
    return f'Expected a dictionary of items but got type "{type(value).__name__}".'


class Form:
    """Reads fields and collects what is wrong with them; `done` raises it all at once."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.body = body
        self.errors: dict[str, list[str]] = {}

    def wrong(self, name: str, *messages: str) -> None:
        """Note that a field cannot be accepted."""
        self.errors.setdefault(name, []).extend(messages)

    def text(
        self,
        name: str,
        *,
        required: bool = False,
        blank: bool = False,
        strip: bool = True,
        limit: int = 0,
    ) -> str:
        """A text, stripped unless told otherwise; empty when absent or wrong."""
        if name not in self.body:
            if required:
                self.wrong(name, REQUIRED)
            return ""
        value = self.body[name]
        if value is None:
            self.wrong(name, NULL)
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self.wrong(name, NOT_TEXT)
            return ""
        return self._checked(name, str(value).strip() if strip else str(value), blank, limit)

    def _checked(self, name: str, text: str, blank: bool, limit: int) -> str:
        if not text and not blank:
            self.wrong(name, BLANK)
        elif "\0" in text:
            self.wrong(name, NUL)
        elif limit and len(text) > limit:
            self.wrong(name, too_long(limit))
        else:
            return text
        return ""

    def boolean(self, name: str, default: bool = False) -> bool:
        """A boolean or one of the usual words for it."""
        value = self.body.get(name, default)
        word = str(value).strip().lower() if isinstance(value, bool | int | str) else ""
        if word not in TRUE | FALSE:
            self.wrong(name, NOT_BOOLEAN)
        return word in TRUE

    def mapping(self, name: str) -> dict[str, Any]:
        """An object, or a string that holds one as JSON; empty when absent or wrong."""
        value = self.body.get(name, {})
        if value is None:
            self.wrong(name, NULL)
            return {}
        if isinstance(value, str):
            try:
                value = msgspec.json.decode(value)
            except (msgspec.MsgspecError, RecursionError):
                self.wrong(name, "Value must be valid JSON.")
                return {}
        if not isinstance(value, dict):
            self.wrong(name, not_mapping(value))
            return {}
        return value

    def done(self) -> None:
        """Raise Invalid when anything was wrong."""
        if self.errors:
            raise Invalid(self.errors)
