"""Topics, their actions and the shortcuts, as data: the pre-parser needs no command module."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """A noun of the command line; its module is `deis_cli.commands.<name>`."""

    about: str
    actions: tuple[str, ...] = ()
    """What may follow the colon; a topic without actions is a command by itself."""
    default: str = ""
    """Action of the bare topic; without one the bare topic shows its help."""


TOPICS = {
    "apps": Topic(
        "manage applications",
        ("create", "list", "info", "open", "logs", "run", "destroy", "transfer"),
        "list",
    ),
    "auth": Topic(
        "log in and out, manage your account",
        ("register", "login", "logout", "whoami", "passwd", "cancel", "regenerate"),
    ),
    "builds": Topic(
        "see builds, build from an image, follow a build", ("list", "create", "attach"), "list"
    ),
    "config": Topic("manage environment variables", ("list", "set", "unset"), "list"),
    "domains": Topic("manage host names of an application", ("list", "add", "remove"), "list"),
    "events": Topic("what happened, and what happens"),
    "git": Topic("manage git remotes of applications", ("remote", "remove")),
    "keys": Topic("manage the SSH keys you push with", ("list", "add", "remove"), "list"),
    "perms": Topic(
        "manage who may use an application", ("list", "create", "delete", "remove"), "list"
    ),
    "ps": Topic("manage processes", ("list", "scale", "restart"), "list"),
    "releases": Topic("see releases and roll back", ("list", "info", "rollback"), "list"),
    "shortcuts": Topic("list the short forms of commands", ("list",), "list"),
    "users": Topic("list users (administrators only)", ("list",), "list"),
    "version": Topic("show the client's version"),
}
"""By name; `deis help` lists them in this order."""

SHORTCUTS = {
    "create": "apps:create",
    "destroy": "apps:destroy",
    "info": "apps:info",
    "login": "auth:login",
    "logout": "auth:logout",
    "logs": "apps:logs",
    "open": "apps:open",
    "passwd": "auth:passwd",
    "pull": "builds:create",
    "register": "auth:register",
    "rollback": "releases:rollback",
    "run": "apps:run",
    "scale": "ps:scale",
    "sharing": "perms:list",
    "sharing:add": "perms:create",
    "sharing:list": "perms:list",
    "sharing:remove": "perms:delete",
    "whoami": "auth:whoami",
}
"""Short form to command (cli.md 7)."""


def commands(topic: str) -> list[str]:
    """Full names of a topic's commands: `apps:create`, or `version` where it has no actions."""
    return [f"{topic}:{action}" for action in TOPICS[topic].actions] or [topic]
