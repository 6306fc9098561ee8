"""What a user reads when an image cannot be had: docker's words, and those of api.md 25.1.

They are made of the image's name and of our own sentences alone. A registry's own words stay
out: it could send back the credentials that it was shown.
"""

from deis_bus.errors import Refused, Transient

DENIED = "denied: requested access to the resource is denied"


def invalid(why: str = "") -> Refused:
    """No image's name. The name stays out: people paste URLs with passwords in them."""
    words = why or "expected [HOST[:PORT]/]NAME[:TAG][@DIGEST]"
    return Refused(400, f"invalid reference format: {words}", "invalid")


def reserved(name: str) -> Refused:
    """An image of the platform itself (api.md 25.1)."""
    text = f"Repository name {name} is not allowed, as it is reserved by Deis"
    return Refused(400, text, "reserved")


def half_a_login() -> Refused:
    """A user name without password, or the other way round (api.md 25.1)."""
    return Refused(400, "Registry auth requires a username and a password", "denied")


def absent(image: str) -> Refused:
    """The registry has no such image."""
    return Refused(400, f"manifest for {image} not found: manifest unknown", "absent")


def denied(image: str, *, login: bool, wrong: bool) -> Refused:
    """The registry does not let us, with a login that is good or `wrong`; to nobody it says the
    same of what is not there."""
    if not login:
        why = f"repository does not exist or may require `deis registry:set`: {DENIED}"
    else:
        why = "unauthorized: incorrect username or password" if wrong else DENIED
    return Refused(400, f"Permission Denied attempting to pull image {image}: {why}", "denied")


def limited(host: str) -> Refused:
    """It stays so for hours where a registry counts pulls, so it is not asked for ever."""
    text = f"toomanyrequests: the registry {host} takes no more requests for now; try again later"
    return Refused(400, text, "limited")


def unusable(image: str, why: str, kind: str) -> Refused:
    """There is something, but no image that could run, or (`platform`) none on this processor."""
    return Refused(400, f"The image {image} cannot be used: {why}", kind)


def nonsense(host: str, why: str) -> Refused:
    """Not what the distribution API says."""
    return Refused(400, f"{host} does not answer as an image registry does: {why}", "nonsense")


def unreachable(host: str, why: str) -> Refused:
    """It cannot be spoken to, and trying again will not help."""
    return Refused(400, f"The registry {host} cannot be used: {why}", "unreachable")


def away(host: str) -> Transient:
    """It may be back soon. Why it is away stays out: the text would tell who listens where."""
    return Transient(f"the registry {host} is away")
