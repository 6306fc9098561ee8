"""Host names of applications (api.md 13)."""

from collections.abc import Mapping
from typing import Any

import idna

from deis_services.controller.rules.apps import RESERVED
from deis_services.controller.rules.fields import Form, Invalid

TAKEN = "Domain is already in use by another application"
BAD = "Hostname does not look valid."
ONLY_WILDCARD = "Hostname can't only be a wildcard"
TOO_LONG = "Hostname must be 253 characters or less."
MAX_LENGTH = 253
MAX_DOTS = 126
"""More would not fit into so many characters; each label costs time to convert."""


def domain_of(body: Mapping[str, Any]) -> str:
    """The host name asked for in its ASCII form, lower case; raises Invalid."""
    form = Form(body)
    given = form.text("domain", required=True)
    form.done()
    try:
        return to_ascii(given)
    except ValueError as fault:
        raise Invalid({"domain": [str(fault)]}) from fault


def to_ascii(given: str) -> str:
    """A host name in its ASCII form; raises ValueError with the sentence for the user."""
    name = given.strip().lower().removesuffix(".")
    if name == "*":
        raise ValueError(ONLY_WILDCARD)
    if name.count(".") > MAX_DOTS:
        raise ValueError(TOO_LONG)
    wildcard = name.startswith("*.")
    try:
        labels = [idna.alabel(label).decode() for label in name.removeprefix("*.").split(".")]
    except (idna.IDNAError, UnicodeError) as fault:
        shown = given[:MAX_LENGTH]
        raise ValueError(
            f"Hostname does not look valid, could not convert to ACE {shown}: {fault}"
        ) from fault
    if labels[-1].isdigit():
        raise ValueError(BAD)
    ascii_name = ".".join(["*"] * wildcard + labels)
    if len(ascii_name) > MAX_LENGTH:
        raise ValueError(TOO_LONG)
    return ascii_name


def spellings(domain: str, platform: str) -> tuple[str, ...]:
    """All names a router would take for the same host: one label is completed with the platform's."""
    if "." not in domain:
        return (domain, f"{domain}.{platform}") if platform else (domain,)
    label, _, rest = domain.partition(".")
    return (domain, label) if platform and rest == platform else (domain,)


def is_reserved(domain: str, platform: str) -> bool:
    """Whether a host belongs to the platform itself, so that no application may have it."""
    if platform and domain in (platform, f"*.{platform}"):
        return True
    return any(name in RESERVED for name in spellings(domain, platform))
