"""The types of annotation values (components.md 0.2). Pure: text in, value out, ValueError that
says what is expected.

What comes out of here may stand in nginx' configuration: it holds no blank, quote, brace,
semicolon, `$` or line end, unless a function says otherwise.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator

MAX_NUMBER = 1_000_000_000
MAX_BYTES = 1024**4
MAX_MS = 10 * 365 * 24 * 3600 * 1000
"""Ten years: what nginx' timers take with ease."""
MAX_WORDS = 64

_MS = {
    "ms": 1,
    "": 1000,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "M": 2_592_000_000,
    "y": 31_536_000_000,
}
_BYTES = {"": 1, "k": 1024, "m": 1024**2}
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_HOST = re.compile(rf"({_NAME.pattern}\.)+[a-z0-9][a-z0-9-]*[a-z0-9]")
_PATH = re.compile(r"/[A-Za-z0-9._~/%+@=-]{0,199}")
_CIPHERS = re.compile(r"[A-Za-z0-9_+!@=.:-]{1,2000}")


def boolean(text: str) -> bool:
    """`true` or `false` in any case; nothing else."""
    word = text.strip().lower()
    if word not in ("true", "false"):
        raise ValueError("expected true or false")
    return word == "true"


def number(lowest: int, highest: int = MAX_NUMBER) -> Callable[[str], int]:
    """A parser of whole numbers between these."""

    def parse(text: str) -> int:
        word = text.strip()
        if re.fullmatch(r"0|[1-9][0-9]{0,9}", word) and lowest <= int(word) <= highest:
            return int(word)
        raise ValueError(f"expected a whole number from {lowest} to {highest}")

    return parse


def size(text: str, highest: int = MAX_BYTES) -> int:
    """Bytes of `4096`, `8k` or `1m`; more than none."""
    if not (found := size_or_none(text, highest)):
        raise ValueError("expected a size such as 4096, 8k or 1m")
    return found


def size_or_none(text: str, highest: int = MAX_BYTES) -> int:
    """The same, 0 allowed."""
    match = re.fullmatch(r"([0-9]{1,13})([kKmM]?)", text.strip())
    if match and int(match[1]) * _BYTES[match[2].lower()] <= highest:
        return int(match[1]) * _BYTES[match[2].lower()]
    raise ValueError("expected a size such as 4096, 8k or 1m, not too large")


def small(text: str) -> int:
    """A size of at most 1 MB, for what nginx holds per request."""
    return size(text, 1024**2)


def milliseconds(text: str) -> int:
    """Of `30`, `30s`, `500ms`, `2h`, more than none; without a unit they are seconds."""
    match = re.fullmatch(r"([1-9][0-9]{0,12})(ms|[smhdwMy]?)", text.strip())
    if match and int(match[1]) * _MS[match[2]] <= MAX_MS:
        return int(match[1]) * _MS[match[2]]
    raise ValueError("expected a time such as 30, 30s, 500ms or 2h, at most 10 years")


def network(text: str) -> str:
    """An address or a network; IPv6 too, which the original had not."""
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        raise ValueError("expected an address or a network such as 10.0.0.0/8") from None


def ipv4(text: str) -> str:
    """One IPv4 address."""
    try:
        return str(ipaddress.IPv4Address(text.strip()))
    except ValueError:
        raise ValueError("expected an IPv4 address") from None


def label(text: str) -> str:
    """A name of lower-case letters, digits and inner hyphens, at most 63."""
    word = text.strip()
    if len(word) > 63 or not _NAME.fullmatch(word):
        raise ValueError("expected lower-case letters, digits and inner hyphens")
    return word


def host(text: str) -> str:
    """A name with a dot, lower-cased, its last label of two letters at least."""
    word = text.strip().lower()
    labels = word.split(".")
    if len(word) > 253 or max(map(len, labels)) > 63 or not _HOST.fullmatch(word):
        raise ValueError("expected a host name such as www.example.com")
    return word


def pattern(text: str) -> str:
    """A host name that may begin with `*.`."""
    word = text.strip()
    return f"*.{host(word[2:])}" if word.startswith("*.") else host(word)


def domain(text: str) -> str:
    """An entry of `domains`: one label or a pattern, lower-cased."""
    return pattern(text) if "." in text else label(text.lower())


def path(text: str) -> str:
    """A path prefix."""
    word = text.strip()
    if not _PATH.fullmatch(word):
        raise ValueError("expected a path that begins with /")
    return word


def ciphers(text: str) -> str:
    """A cipher list of OpenSSL as far as its letters go."""
    word = text.strip()
    if word and not _CIPHERS.fullmatch(word):
        raise ValueError("expected a cipher list of OpenSSL")
    return word


def one_of(*words: str) -> Callable[[str], str]:
    """A parser of one of these words."""

    def parse(text: str) -> str:
        if text.strip() not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text.strip()

    return parse


def some_of(*words: str) -> Callable[[str], tuple[str, ...]]:
    """A parser of some of these words with blanks between them, at least one."""

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(text.split()))
        if not found or not set(found) <= set(words):
            raise ValueError(f"expected some of {' '.join(words)}")
        return found

    return parse


def media_types(text: str) -> tuple[str, ...]:
    """Media types with blanks between them."""
    found = tuple(dict.fromkeys(text.split()))
    if not found or len(found) > MAX_WORDS:
        raise ValueError("expected media types such as text/css")
    if not all(re.fullmatch(r"[a-z]+/[a-z0-9.+*-]+|\*", word) for word in found):
        raise ValueError("expected media types such as text/css")
    return found


def listed(text: str) -> Iterator[str]:
    """The entries of a list with commas, without blanks around them."""
    return (word.strip() for word in text.split(",") if word.strip())
