"""The request target and the authority, read once and strictly (RFC 9112 section 3.2, RFC 3986).

One raw path goes to the upstream and under the signature; one decoded path is what routes and policies match. They
must never mean different things, so every form that two readers could take differently is refused: dot segments in
any spelling, empty segments, encoded slashes, backslashes, NUL or other controls, matrix parameters, double encoding,
a fragment. What remains decodes in exactly one way.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from haetae_edge.errors import Refusal

#: pchar (RFC 3986 section 3.3) without ";" and "%"; the common case is one match of this and nothing else.
_PLAIN_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9\-._~!$&'()*+,=:@]+)*/?")
_ENCODED_PATH = re.compile(r"(?:/(?:[A-Za-z0-9\-._~!$&'()*+,=:@]|%[0-9A-Fa-f]{2})+)*/?")
_QUERY = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]|^`{}]|%[0-9A-Fa-f]{2})*")
#: After one decoding these would be read as structure by somebody: separators, a second decoding, controls.
_UNSAFE_DECODED = re.compile(r"[/\\;\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")
_DOT_SEGMENT = re.compile(r"(?:^|/)\.{1,2}(?:/|$)")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9\-]{0,62})(?:\.[a-z0-9\-]{1,63})*\.?")

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
MAX_TARGET: Final = 8000
_CACHE_ENTRIES: Final = 8192
_CACHE_TARGET: Final = 256


@dataclass(frozen=True, slots=True)
class Target:
    """A request target: `raw_path` and `query` as on the request line, `path` decoded once for matching.

    `line` is both as bytes, as they go on when no filter changes them. `query` is None when there is no "?" and ""
    when nothing follows it, as RFC 9421 section 2.2.7 tells them apart.
    """

    raw_path: str
    query: str | None
    path: str
    line: bytes


@dataclass(frozen=True, slots=True)
class Authority:
    """What the client addressed: `value` is `host[:port]` in lower case without a default port (RFC 9421 2.2.3)."""

    value: str
    host: str


_targets: dict[str, Target] = {}
_authorities: dict[tuple[str, str], Authority] = {}


def parse_target(raw: str) -> Target:
    """Read an origin-form request target.

    Raises `Refusal`: `uri-too-long`, or `request-ambiguous` for everything that is not one plain path.
    """
    found = _targets.get(raw)
    if found is not None:
        return found
    if len(raw) > MAX_TARGET:
        raise Refusal("uri-too-long", reason="target-length")
    path, mark, query = raw.partition("?")
    if not path.startswith("/"):
        raise Refusal("request-malformed", reason="target-form")
    if mark and not _QUERY.fullmatch(query):
        raise Refusal("request-ambiguous", reason="query-characters")
    target = Target(raw_path=path, query=query if mark else None, path=_decode_path(path), line=raw.encode("ascii"))
    if len(raw) <= _CACHE_TARGET:
        if len(_targets) >= _CACHE_ENTRIES:
            _targets.clear()
        _targets[raw] = target
    return target


def _decode_path(raw: str) -> str:
    if _PLAIN_PATH.fullmatch(raw):
        return raw
    if not _ENCODED_PATH.fullmatch(raw):
        raise Refusal("request-ambiguous", reason="path-characters")
    segments = []
    for segment in raw.split("/"):
        try:
            decoded = unquote_to_bytes(segment).decode("utf-8")
        except UnicodeDecodeError:
            raise Refusal("request-ambiguous", reason="path-encoding") from None
        if _UNSAFE_DECODED.search(decoded):
            raise Refusal("request-ambiguous", reason="path-encoded-separator")
        segments.append(decoded)
    path = "/".join(segments)
    if _DOT_SEGMENT.search(path):
        raise Refusal("request-ambiguous", reason="path-dot-segment")
    return path


def parse_authority(raw: str, *, scheme: str) -> Authority:
    """Read a Host value (`uri-host [":" port]`, RFC 9110 section 7.2).

    Raises `Refusal("request-malformed")` for user information, spaces, zone ids, bad ports and anything else that is
    not a DNS name or an IP literal.
    """
    key = (raw, scheme)
    found = _authorities.get(key)
    if found is not None:
        return found
    host, port = _split_port(raw.lower())
    if host.startswith("["):
        host = f"[{_ipv6(host)}]"
    elif len(host) > 255 or not _HOST.fullmatch(host):
        raise Refusal("request-malformed", reason="host-invalid")
    value = host if port is None or port == DEFAULT_PORTS[scheme] else f"{host}:{port}"
    authority = Authority(value=value, host=host)
    if len(_authorities) >= _CACHE_ENTRIES:
        _authorities.clear()
    _authorities[key] = authority
    return authority


def _split_port(raw: str) -> tuple[str, int | None]:
    host, colon, port = raw.rpartition(":")
    if not colon or raw.endswith("]"):
        return raw, None
    if not port:
        return host, None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535):
        raise Refusal("request-malformed", reason="host-port")
    return host, int(port)


def _ipv6(host: str) -> str:
    if not host.endswith("]") or "%" in host:
        raise Refusal("request-malformed", reason="host-invalid")
    try:
        return ipaddress.IPv6Address(host[1:-1]).compressed
    except ValueError:
        raise Refusal("request-malformed", reason="host-invalid") from None
