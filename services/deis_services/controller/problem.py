"""A refusal with its exact body, for the answers that are not `{"detail": …}` everywhere."""

from deis_bus.errors import Refused

NOT_PROVIDED = "Authentication credentials were not provided."
INVALID_TOKEN = "Invalid token."  # noqa: S105 - a message
INACTIVE = "User inactive or deleted."
FORBIDDEN = "You do not have permission to perform this action."


class Problem(Exception):
    """An answer that ends a request: status and body; nothing is written."""

    def __init__(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status}")
        self.status = status
        self.body = body
        self.headers = headers or {}


def detail(status: int, text: str) -> Problem:
    """The usual body."""
    return Problem(status, {"detail": text})


def missing(entity: str) -> Problem:
    """404 is a bare JSON string: the original client prints it as it is (api.md 1.7)."""
    return Problem(404, f"No {entity} matches the given query.")


def forbidden() -> Problem:
    """The caller is known and may not."""
    return detail(403, FORBIDDEN)


def unauthorized(text: str = NOT_PROVIDED) -> Problem:
    """The caller is not known."""
    return detail(401, text)


def as_refused(problem: Problem) -> Refused:
    """The same for who asks on the bus rather than over HTTP."""
    body = problem.body
    text = body["detail"] if isinstance(body, dict) else body
    return Refused(problem.status, str(text))
