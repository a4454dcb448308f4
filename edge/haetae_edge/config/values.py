"""The kinds of values a configuration field can have beyond text and numbers, each with its one way to be
written.

A kind is an `Annotated` type: the field's own type for the program, a `From` for the binder, which holds the
function from text to value and the words that messages and the generated documentation use.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from haetae_edge.address import IPNetwork
from haetae_edge.config.pattern import Pattern
from haetae_edge.headers import is_safe_value, is_token

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s?(ns|us|ms|s|m|h|d)")
_ISO_DURATION = re.compile(
    r"P(?:(?P<d>[0-9]{1,6})D)?(?:T(?=[0-9])(?:(?P<h>[0-9]{1,9})H)?(?:(?P<m>[0-9]{1,9})M)?(?:(?P<s>[0-9]{1,9}(?:\.[0-9]{1,9})?)S)?)?",
    re.IGNORECASE,
)
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_OTHER_SCHEMES: Final = {
    "lb": "there is no service discovery here; write `http://host:port`, the name of a service or load balancer",
    "ws": "write `http://host:port`; WebSocket upgrades pass on http routes",
    "wss": "write `https://host:port`; WebSocket upgrades pass on https routes",
    "forward": "there are no handlers inside the gateway; write `http://host:port`",
    "no": "every route has an upstream; write `http://host:port`",
}
_MAX_SECONDS: Final = 366 * 86400.0
_SIZE = re.compile(r"([0-9]{1,15})\s?(B|KB|MB|GB|TB)")
_BYTES: Final = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


class ArgumentError(ValueError):
    """A check in `__post_init__` that concerns one field: the message is then reported at that field's
    line."""

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(message)
        self.argument = argument


@dataclass(frozen=True, slots=True)
class From:
    """How a field's text becomes its value. `parse` raises ValueError with a sentence; `secret` keeps it
    unquoted."""

    parse: Callable[[str], Any]
    expects: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class SecretText:
    """Text that is not shown by repr or in messages."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Doc:
    """What a setting is, for the generated documentation."""

    text: str


class Derived:
    """Marks a field that is not read from the file but filled by the loader."""


def parse_duration(text: str) -> float:
    """Seconds from `800ms`, `10s`, `2m`, `1h`, `1d` or ISO 8601 (`PT0.8S`). Raises ValueError."""
    match = _DURATION.fullmatch(text)
    if match:
        seconds = float(match[1]) * _SECONDS[match[2]]
    else:
        iso = _ISO_DURATION.fullmatch(text)
        if iso is None or not any(iso.groups()):
            raise ValueError("write a duration with its unit, such as `800ms`, `10s`, `2m` or `PT0.8S`")
        seconds = sum(float(iso[unit]) * _SECONDS[unit] for unit in "dhms" if iso[unit])
    if seconds > _MAX_SECONDS:
        raise ValueError("a duration is at most 366 days")
    return seconds


def parse_size(text: str) -> int:
    """Bytes from `512B`, `10KB`, `5MB` (steps of 1024, as Spring's DataSize). Raises ValueError."""
    match = _SIZE.fullmatch(text.upper())
    if match is None:
        raise ValueError("write a size with its unit, such as `512B`, `10KB` or `5MB`")
    return int(match[1]) * _BYTES[match[2]]


def parse_network(text: str) -> IPNetwork:
    """An address or CIDR block without host bits. Raises ValueError."""
    if "%" in text or ("/0" in text and text.rpartition("/")[2].strip("0") == ""):
        raise ValueError("write a network such as `10.0.0.0/8`; one that holds every address cannot be trusted")
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("write an address or network such as `10.0.0.0/8` or `fd00::/8`, without host bits") from None


def parse_http_url(text: str) -> str:
    """An absolute http(s) URL without user information, query or fragment; a trailing slash is removed."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("write an absolute URL such as `https://host:8443/base`") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("write an absolute URL that starts with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL with a user name or password in it ends up in logs; use a token field instead")
    if parts.query or parts.fragment or not text.isascii() or any(c <= " " or c == "\x7f" for c in text):
        raise ValueError("a base URL has no query, fragment, spaces or characters beyond ASCII")
    return text.rstrip("/")


def parse_origin(text: str) -> str:
    """The `uri` of a route: `http[s]://host[:port]`. Raises ValueError that says what to write for each other
    form."""
    scheme = text.partition(":")[0].lower()
    if scheme in _OTHER_SCHEMES:
        raise ValueError(f"`{scheme}:` is not supported: {_OTHER_SCHEMES[scheme]}")
    url = parse_http_url(text)
    parts = urlsplit(url)
    if not _HOST.fullmatch(parts.hostname or "") or parts.netloc.endswith(":") or parts.port == 0:
        raise ValueError("write `http://host:port` with a DNS name or an IP address and a port from 1 to 65535")
    if parts.path:
        raise ValueError("an upstream has no path (Spring ignores it): write `http://host:port` and use `PrefixPath`")
    return url


def parse_path(text: str) -> Path:
    """A file or directory; the loader takes a relative one from the directory of the gateway. Raises
    ValueError."""
    if not text or "\x00" in text:
        raise ValueError("write a path, such as `keys` or `/etc/haetae/keys`")
    return Path(text)


def parse_redis_url(text: str) -> str:
    """`redis://`, `rediss://` or `unix://`. Raises ValueError."""
    parts = urlsplit(text)
    if parts.scheme not in ("redis", "rediss", "unix") or not (parts.netloc or parts.path):
        raise ValueError("write `redis://host:6379/0`, `rediss://…` or `unix:///path/to/socket`")
    return text


def parse_secret(text: str) -> SecretText:
    """Visible ASCII, as a bearer token or password is. Raises ValueError."""
    if not text or not text.isascii() or any(not "!" <= c <= "~" for c in text):
        raise ValueError("must be at least one visible ASCII character, without spaces")
    return SecretText(text)


def parse_header_name(text: str) -> str:
    """A field name (RFC 9110 section 5.1), kept as written. Raises ValueError."""
    if len(text) > 128 or not text.isascii() or not is_token(text.encode()):
        raise ValueError("a header name has letters, digits and `-` only, such as `X-Request-Id`")
    return text


def parse_header_value(text: str) -> str:
    """A field value of visible ASCII, spaces and tabs (RFC 9110 section 5.5). Raises ValueError."""
    if len(text) > 4096 or not text.isascii() or not is_safe_value(text.encode()) or text != text.strip(" \t"):
        raise ValueError(
            "a header value has visible ASCII characters and inner spaces only: no line breaks, no other letters"
        )
    return text


Duration = Annotated[float, From(parse_duration, "a duration such as `800ms`, `10s`, `2m` or `PT0.8S`")]
DataSize = Annotated[int, From(parse_size, "a size such as `10KB` or `5MB`")]
Network = Annotated[IPNetwork, From(parse_network, "a network such as `10.0.0.0/8`")]
Origin = Annotated[str, From(parse_origin, "`http://host:port` or `https://host:port`")]
FilePath = Annotated[Path, From(parse_path, "a path")]
HttpUrl = Annotated[str, From(parse_http_url, "an http or https URL")]
RedisUrl = Annotated[str, From(parse_redis_url, "a Redis URL such as `redis://host:6379/0`", secret=True)]
Secret = Annotated[SecretText, From(parse_secret, "a secret, usually `${NAME}`", secret=True)]
Regexp = Annotated[Pattern, From(Pattern, "a regular expression (RE2 syntax)")]
HeaderName = Annotated[str, From(parse_header_name, "a header name")]
HeaderValue = Annotated[str, From(parse_header_value, "a header value")]
