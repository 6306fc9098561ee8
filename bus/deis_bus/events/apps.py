"""What happens to applications, users, keys and who may do what."""

from deis_bus.events import Event


class AppCreated(Event, frozen=True):
    """An application exists; release v1 comes with it."""

    TYPE = "app.created"
    owner: str


class AppUpdated(Event, frozen=True):
    """The owner changed."""

    TYPE = "app.updated"
    owner: str


class AppDestroyed(Event, frozen=True):
    """An application is gone; everything kept under its identity may go too."""

    TYPE = "app.destroyed"
    owner: str


class AppScaled(Event, frozen=True):
    """The wanted process counts changed."""

    TYPE = "app.scaled"
    counts: dict[str, int]


class AppRestarted(Event, frozen=True):
    """Instances were asked to restart."""

    TYPE = "app.restarted"
    process_type: str = ""
    instance: str = ""


class AppRun(Event, frozen=True):
    """A one-off command was started; the command itself may hold secrets and is not told."""

    TYPE = "app.run"
    instance: str


class DomainAdded(Event, frozen=True):
    """A host name belongs to the application now."""

    TYPE = "domain.added"
    domain: str


class DomainRemoved(Event, frozen=True):
    """A host name no longer belongs to the application."""

    TYPE = "domain.removed"
    domain: str


class ShareGranted(Event, frozen=True):
    """A user may use the application now."""

    TYPE = "share.granted"
    username: str


class ShareRevoked(Event, frozen=True):
    """A user may no longer use the application."""

    TYPE = "share.revoked"
    username: str


class UserRegistered(Event, frozen=True):
    """A user exists."""

    TYPE = "user.registered"
    username: str
    admin: bool = False


class UserCancelled(Event, frozen=True):
    """A user is gone; its tokens and keys no longer work."""

    TYPE = "user.cancelled"
    username: str


class TokenRegenerated(Event, frozen=True):
    """The user's earlier token no longer works."""

    TYPE = "token.regenerated"
    username: str


class PasswordChanged(Event, frozen=True):
    """The user's password is another one."""

    TYPE = "password.changed"
    username: str


class AdminGranted(Event, frozen=True):
    """A user is an administrator now."""

    TYPE = "admin.granted"
    username: str


class AdminRevoked(Event, frozen=True):
    """A user is no longer an administrator."""

    TYPE = "admin.revoked"
    username: str


class KeyAdded(Event, frozen=True):
    """An SSH key may push now."""

    TYPE = "key.added"
    username: str
    fingerprint: str


class KeyRemoved(Event, frozen=True):
    """An SSH key may no longer push."""

    TYPE = "key.removed"
    username: str
    fingerprint: str
