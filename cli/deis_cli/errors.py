"""What ends a command: message and exit code, and API answers in words (cli.md 1.3, 3.5, 13.1)."""

import json
from collections.abc import Mapping

FAILURE, USAGE, NOT_LOGGED_IN, FORBIDDEN, NOT_FOUND, CONFLICT, TIMEOUT = 1, 2, 3, 4, 5, 6, 7
INTERRUPTED = 130
AWAY = (502, 503, 504)
"""Statuses of a platform whose parts are away for the moment; it may have begun all the same."""


class CliError(Exception):
    """A command failed: printed as `Error: <message>`."""

    def __init__(self, message: str, code: int = FAILURE) -> None:
        super().__init__(message)
        self.code = code
        """The fine exit code; `exit_code` says what the shell sees."""


class UsageFault(CliError):
    """Wrong words on the command line."""

    def __init__(self, message: str) -> None:
        super().__init__(message, USAGE)


class Lost(CliError):
    """The connection broke, or there was none; whether the request arrived is not known."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent
        """Whether it may have arrived."""


class ApiError(CliError):
    """The API said no."""

    def __init__(self, status: int, message: str, code: int) -> None:
        super().__init__(message, code)
        self.status = status


class Ended(Exception):
    """A command ends with an exit code that is not ours: a remote command's."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit {code}")
        self.code = code


def exit_code(fault: CliError, environ: Mapping[str, str]) -> int:
    """What the shell sees: codes from 3 to 7 only with `DEIS_EXIT_CODES=fine`."""
    if environ.get("DEIS_EXIT_CODES") == "fine" or fault.code <= USAGE:
        return fault.code
    return FAILURE


_BLANK = "This field may not be blank."
_FIELDS = (
    ("username", (_BLANK, "Enter a valid username"), "The username is not valid: letters, digits, @.+-_"),
    ("username", ("already exists",), "A user with that username already exists."),
    ("password", (_BLANK,), "A password is needed."),
    ("non_field_errors", ("Unable to log in",), "Unable to log in with these credentials."),
    ("id", ("App name", "alphabetic"), "App names hold only a-z (lower case), 0-9 and hyphens."),
    ("id", ("SSH Key",), "SSH Key with this id already exists: choose a name, `keys:add <name> <file>`."),
    ("id", ("already exists",), "Application with this id already exists."),
    ("id", (_BLANK,), "An id is needed."),
    ("key", (_BLANK,), "A key is needed."),
    ("public", (_BLANK, "base64"), "A key is needed: this is no public SSH key."),
    ("key", ("already in use",), "Public Key is already in use."),
    ("public", ("already in use",), "Public Key is already in use."),
    ("certificate", (_BLANK, "Could not load"), "Could not load certificate."),
    ("name", (_BLANK, "Can only contain"), "Names hold only a-z (lower case), 0-9 and hyphens."),
    ("domain", ("already in use",), "Domain is already in use by another application."),
    ("domain", ("does not look valid",), "Hostname does not look valid."),
    ("image", (_BLANK,), "The image is not valid."),
    ("email", ("valid email",), "The e-mail address is not valid."),
)  # fmt: skip
_DETAILS = (
    ("does not exist in application", "No such process type in this application: pod not found."),
    ("version cannot be below 0", "The version is not valid: it cannot be below 1."),
)
_CODES = {
    400: CONFLICT,
    401: NOT_LOGGED_IN,
    403: FORBIDDEN,
    404: NOT_FOUND,
    409: CONFLICT,
    422: CONFLICT,
}


def explain(status: int, raw: bytes) -> ApiError:
    """The error of an answer, in words instead of JSON."""
    body = _decoded(raw)
    return ApiError(status, _words(status, body, raw), _CODES.get(status, FAILURE))


def _words(status: int, body: object, raw: bytes) -> str:
    text = _text(body)
    if status == 401:
        return "Unauthorized: the token is missing or invalid. Log in again with `deis login`."
    if status == 403:
        return "You do not have permission to perform this action."
    if status == 405:
        return "This method is not allowed here."
    if status == 422:
        return f"Unable to process your request: {text}"
    if status == 500:
        return "Internal Server Error"
    if status == 404:
        return _known(body) or text or "Not Found"
    if status in (400, 409) and text:
        return _known(body) or text
    shown = text or raw.decode(errors="replace").replace("\\n", "\n")
    return f"Unknown Error ({status}): {shown}"


def _known(body: object) -> str:
    if not isinstance(body, dict):
        return ""
    for field, marks, message in _FIELDS:
        texts = [str(text) for text in body.get(field) or ()]
        if any(mark in text for mark in marks for text in texts):
            return message
    detail = str(body.get("detail", ""))
    return next((message for mark, message in _DETAILS if mark in detail), "")


def _text(body: object) -> str:
    """A body's texts, without JSON around them; field names stay, they say what is meant."""
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return " ".join(_text(part) for part in body)
    if not isinstance(body, dict):
        return ""
    if "detail" in body:
        return _text(body["detail"])
    parts = (
        _text(value) if key == "non_field_errors" else f"{key}: {_text(value)}"
        for key, value in body.items()
    )
    return "; ".join(parts)


def _decoded(raw: bytes) -> object:
    try:
        return json.loads(raw) if raw.strip() else None
    except (ValueError, RecursionError):
        return None
