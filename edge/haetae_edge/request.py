"""The request view: made once at the way in, frozen, and used by everything after it.

Matching, signature checking, blocking, forwarding and logging read this same value, so that no two of them can see
different requests (architecture rule 2). What cannot be read in one way is refused here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from haetae_edge.address import AddressReader, ClientAddress
from haetae_edge.errors import Refusal
from haetae_edge.headers import HOP_BY_HOP, connection_options
from haetae_edge.target import Authority, Target, parse_authority, parse_target

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

#: At most one line each: two copies would let us and the upstream pick different ones.
_SINGLE = (
    b"authorization",
    b"content-type",
    b"content-encoding",
    b"content-digest",
    b"haetae-key",
    b"expect",
    b"origin",
)

_NO_OPTIONS: frozenset[bytes] = frozenset()


class Request(NamedTuple):
    """One request, as every part of the gateway sees it (a named tuple: immutable, and cheap to make).

    `fields` are the header lines in order, names in lower case, values as received and printable ASCII. `values` maps
    a name to its values. `options` are the lower-case `Connection` options. `content_length` is None when the body is
    chunked or absent; `has_body` tells those apart. `received` is wall-clock seconds.
    """

    method: str
    target: Target
    authority: Authority
    scheme: str
    client: ClientAddress
    fields: tuple[tuple[bytes, bytes], ...]
    values: dict[bytes, list[bytes]]
    options: frozenset[bytes]
    content_length: int | None
    has_body: bool
    received: float

    @property
    def path(self) -> str:
        """The decoded path that routes and policies match."""
        return self.target.path

    def header(self, name: bytes) -> str | None:
        """The value of a field that may occur once; None when absent.

        Raises `Refusal("request-ambiguous")` when it occurs more often.
        """
        values = self.values.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise Refusal("request-ambiguous", reason="header-repeated")
        return values[0].decode("ascii")

    def field_lines(self, name: str) -> Sequence[str]:
        """All values of a field in order (lower-case name); empty when absent."""
        values = self.values.get(name.encode("ascii"))
        return [value.decode("ascii") for value in values] if values else ()


class RawRequest(NamedTuple):
    """What the HTTP parser delivered: method, target, version and header lines as bytes."""

    method: str
    target: str
    version: tuple[int, int]
    fields: Sequence[tuple[bytes, bytes]]
    chunked: bool
    max_header_bytes: int = 65_536


def normalise(raw: RawRequest, *, scheme: str, peer: str, addresses: AddressReader, received: float) -> Request:
    """Make the request view. `peer` is the socket's address; `addresses` knows which peers are our own proxies.

    Raises `Refusal`: `request-malformed`, `request-ambiguous`, `method-not-supported`, `uri-too-long`.
    """
    if raw.version not in ((1, 1), (1, 0)):
        raise Refusal("request-malformed", reason="http-version")
    if raw.method not in METHODS:
        raise Refusal("method-not-supported", reason="method")
    fields, index = _read_fields(raw.fields, max_bytes=raw.max_header_bytes)
    client = addresses.read(peer, index)
    if client.trusted_peer and len(index.get(b"x-forwarded-host", ())) > 1:
        raise Refusal("request-ambiguous", reason="header-repeated")
    hosts = index.get(b"host")
    if hosts is None or len(hosts) != 1:
        raise Refusal("request-malformed", reason="host-count")
    named = hosts[0].decode("ascii")
    host, target = _authority_and_target(raw.target, named)
    if host is not named or client.host is not None:
        # Not what decides, but still a message with an invalid Host (RFC 9112 section 3.2).
        parse_authority(named, scheme=scheme)
    if len(index) != len(fields) and any(name in index and len(index[name]) > 1 for name in _SINGLE):
        raise Refusal("request-ambiguous", reason="header-repeated")
    _check_coding(index, version=raw.version)
    length = _content_length(index, chunked=raw.chunked)
    connection = index.get(b"connection")
    options = _options(connection, index, version=raw.version) if connection else _NO_OPTIONS
    return Request(
        method=raw.method,
        target=parse_target(target),
        authority=parse_authority(client.host or host, scheme=client.scheme or scheme),
        scheme=client.scheme or scheme,
        client=client,
        fields=fields,
        values=index,
        options=options,
        content_length=length,
        has_body=raw.chunked or bool(length),
        received=received,
    )


def _read_fields(
    raw: Sequence[tuple[bytes, bytes]], *, max_bytes: int
) -> tuple[tuple[tuple[bytes, bytes], ...], dict[bytes, list[bytes]]]:
    fields = []
    size = 4 * len(raw)
    index: dict[bytes, list[bytes]] = {}
    for name, value in raw:
        lower = name.lower()
        size += len(name) + len(value)
        # bytes.isascii and the parser's own control-character check leave printable ASCII, space and tab.
        if not value.isascii():
            raise Refusal("request-ambiguous", reason="header-not-ascii")
        fields.append((lower, value))
        values = index.get(lower)
        if values is None:
            index[lower] = [value]
        else:
            values.append(value)
    if size > max_bytes:
        raise Refusal("headers-too-large", reason="header-bytes")
    return tuple(fields), index


def _authority_and_target(target: str, host: str) -> tuple[str, str]:
    """Absolute-form carries its own authority, which replaces Host (RFC 9112 section 3.2.2)."""
    if target.startswith("/"):
        return host, target
    for prefix in ("http://", "https://"):
        if target[: len(prefix)].lower() == prefix:
            rest = target[len(prefix) :]
            end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
            path = rest[end:]
            return rest[:end], path if path.startswith("/") else "/" + path
    raise Refusal("request-malformed", reason="target-form")


def _options(
    connection: Sequence[bytes], index: dict[bytes, list[bytes]], *, version: tuple[int, int]
) -> frozenset[bytes]:
    """The `Connection` options; an upgrade in HTTP/1.0 is ignored (RFC 9110 section 7.8).

    An option that names a field which is here and means something end to end is refused: to drop that field would take
    from the service what was signed for it, to keep it would be another reading than the sender's (section 7.6.1).
    """
    options = connection_options(connection)
    if not (options - HOP_BY_HOP).isdisjoint(index):
        raise Refusal("request-ambiguous", reason="connection-names-field")
    return options - {b"upgrade"} if version == (1, 0) else options


def _check_coding(index: dict[bytes, list[bytes]], *, version: tuple[int, int]) -> None:
    """`chunked` alone, and not in HTTP/1.0 (RFC 9112 section 6.1): any other coding would reach the upstream undone."""
    codings = index.get(b"transfer-encoding")
    if codings is not None and (version == (1, 0) or [coding.lower() for coding in codings] != [b"chunked"]):
        raise Refusal("request-malformed", reason="framing")


def _content_length(index: dict[bytes, list[bytes]], *, chunked: bool) -> int | None:
    values = index.get(b"content-length")
    if values is None:
        return None
    if chunked or len(values) > 1 or not values[0].isdigit():
        raise Refusal("request-malformed", reason="framing")
    return int(values[0])
