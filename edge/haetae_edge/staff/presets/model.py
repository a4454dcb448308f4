"""The shape of a preset: what a tool is told of the person, what it never gets from outside, what is no activity."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, Protocol
from urllib.parse import quote

from haetae_edge.config.values import ArgumentError, HeaderName
from haetae_edge.exchange import Fields
from haetae_edge.headers import folded
from haetae_edge.request import Request
from haetae_edge.template import parse_template

Identity = Literal["headers", "assertion", "none"]
NameFrom = Literal["username", "email", "subject"]

#: Fields by which some tool takes a caller's word for who is calling. No tool gets them from outside, because which
#: one is behind a route is more than a route knows.
_STRIPPED: Final = frozenset(
    {
        b"authorization",
        b"es-client-authentication",
        b"es-secondary-authorization",
        b"es-secondary-x-client-authentication",
        b"es-security-runas-user",
        b"x-access-token",
        b"x-grafana-id",
        b"x-jwt-assertion",
        b"x-remote-email",
        b"x-remote-groups",
    }
)
_STRIPPED_FAMILY: Final = b"x-webauth-"

_PRINTABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_MAX_NAME: Final = 256
_MAX_GROUPS: Final = 8000


@lru_cache(maxsize=1024)
def is_stripped(name: bytes) -> bool:
    """Whether a field (name in lower case) never reaches a tool from outside, in any spelling of it."""
    plain = folded(name)
    return plain in _STRIPPED or plain.startswith(_STRIPPED_FAMILY)


class NameUnusable(Exception):
    """The tool cannot be told this person's name in a way that only means this person."""


class Person(Protocol):
    """Who is signed in."""

    @property
    def subject(self) -> str:
        """The provider's identifier."""
        ...

    @property
    def username(self) -> str | None:
        """The log-in name."""
        ...

    @property
    def name(self) -> str | None:
        """The name to show."""
        ...

    @property
    def email(self) -> str | None:
        """The address."""
        ...

    @property
    def groups(self) -> frozenset[str]:
        """The groups."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleExempt:
    """A request that is nobody's doing: `header` (with `value`, or any) and `path` as in `Path`, all must hold."""

    header: HeaderName | None = None
    value: str | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        if self.header is None and self.path is None:
            raise ValueError("write `header` or `path`")
        if self.value is not None and self.header is None:
            raise ArgumentError("value", "goes with `header`")
        if self.path is not None:
            parse_template(self.path)

    def build(self) -> Callable[[Request], bool]:
        """The test."""
        header = self.header.lower().encode("ascii") if self.header is not None else None
        value = self.value.encode("utf-8") if self.value is not None else None
        match = parse_template(self.path).compile() if self.path is not None else None

        def test(request: Request) -> bool:
            if header is not None:
                values = request.values.get(header)
                if not values or (value is not None and values != [value]):
                    return False
            return match is None or match(request.path, {})

        return test


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One tool.

    `headers` writes the plain identity fields of a person under a log-in name. `assertion` is where the tool expects a
    signed assertion, and what stands before it; None where it can verify none of ours. `api_paths` hold no pages;
    `no_return` are pages that a new sign-in should not lead back to, such as the tool's own for signing out.
    `calm_upgrades` delays refusals of upgrades to a tool that would ask again at once.
    """

    name: str
    identity: Identity
    headers: Callable[[Person, str], Fields]
    assertion: tuple[bytes, bytes] | None = None
    idle_exempt: tuple[IdleExempt, ...] = ()
    api_paths: tuple[str, ...] = ()
    no_return: tuple[str, ...] = ()
    calm_upgrades: bool = False

    def is_api(self) -> Callable[[str], bool]:
        """Whether a path holds no pages."""
        return _any_of(self.api_paths)

    def is_no_return(self) -> Callable[[str], bool]:
        """Whether a sign-in should lead to the tool's start instead of this path."""
        return _any_of(self.no_return)


def _any_of(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    matches = [parse_template(pattern).compile() for pattern in patterns]
    return lambda path: any(match(path, {}) for match in matches)


def log_in_name(person: Person, name_from: NameFrom) -> str:
    """The name by which tools know somebody. One sort of name never stands in for another: they may collide.

    Raises NameUnusable when the provider told none, or one with white space around it.
    """
    name = {"username": person.username, "email": person.email, "subject": person.subject}[name_from]
    if not name or name != name.strip():
        # Encoders and tools drop white space around a name, and what is left may be somebody else's.
        raise NameUnusable
    return name


def exact(text: str) -> bytes:
    """A name as it is. Raises NameUnusable when no header can hold it unchanged."""
    if len(text) > _MAX_NAME or not _PRINTABLE.fullmatch(text):
        raise NameUnusable
    return text.encode("ascii")


@lru_cache(maxsize=4096)
def percent(text: str) -> bytes:
    """Any text as printable ASCII: UTF-8, percent-encoded (RFC 3986 section 2.1)."""
    return quote(_bounded(text), safe=" !#$&'()*+/:;=?@[]^_`{|}~<>").strip(" ").encode("ascii")


@lru_cache(maxsize=4096)
def quoted_printable(text: str) -> bytes:
    """Any text in one line of quoted-printable (RFC 2045 section 6.7), without soft line breaks."""
    raw = _bounded(text).strip().encode("utf-8")
    return b"".join(bytes((byte,)) if 0x20 <= byte < 0x7F and byte != 0x3D else b"=%02X" % byte for byte in raw)


def _bounded(text: str) -> str:
    """A name that was cut could be another's."""
    if len(text) > _MAX_NAME:
        raise NameUnusable
    return text


def listed(groups: Iterable[str], encode: Callable[[str], bytes]) -> bytes:
    """Group names with commas between, sorted. One with a comma in it would read as two others and is left out."""
    names = [encode(group) for group in sorted(groups) if group and "," not in group]
    if sum(map(len, names)) + len(names) > _MAX_GROUPS:
        raise NameUnusable
    return b",".join(names)
