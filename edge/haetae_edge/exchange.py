"""One request on its way through the gateway: the frozen request, what was learned of the caller, what will be sent.

The request never changes. What filters may change is named here: the outgoing path, query, header fields and body on
the way in, and the `Response` on the way out. Facts for the log and the behaviour event are collected beside them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from haetae_edge.deadlines import Deadlines
from haetae_edge.headers import FOLD, folded, forwardable
from haetae_edge.request import Request

if TYPE_CHECKING:
    from haetae_edge.auth_report import AuthReport
    from haetae_edge.problems import Problem
    from haetae_edge.route import Route
    from haetae_edge.services import DeviceRecord
    from haetae_edge.trace import TraceContext

Fields = list[tuple[bytes, bytes]]

DEFAULT_DEADLINES = Deadlines()


class RequestBody(Protocol):
    """The request body while nobody has read it yet."""

    length: int | None

    async def read(self) -> bytes:
        """The next piece, empty at the end. Raises `Refusal` when the client is too slow, too large or malformed."""
        ...

    async def read_all(self, limit: int) -> bytes:
        """The whole body, at most `limit` bytes. Raises `Refusal` as `read` does."""
        ...

    def abort(self) -> None:
        """Leave the rest unread."""
        ...


class BodyStream(Protocol):
    """A body that arrives in pieces; `length` in bytes where it is known."""

    length: int | None

    async def read(self) -> bytes:
        """The next piece; empty at the end. Raises the declared error of whichever side broke off."""
        ...

    def abort(self) -> None:
        """Give up: the source must not be read again and its connection is not reused."""
        ...


class Tunnel(Protocol):
    """The upstream side of an upgraded connection."""

    async def read(self) -> bytes:
        """The next bytes; empty when that side closed."""
        ...

    async def write(self, data: bytes) -> None:
        """Send, waiting while that side is slow. Raises the upstream's error when it is gone."""
        ...

    def close(self) -> None:
        """End it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """A client certificate whose chain was checked on the connection it came with.

    `thumbprint` is base64url(SHA-256(DER)) as in `cnf.x5t#S256` (RFC 8705 section 3.1). Names are those of the
    certificate's SAN extension and nothing else. `not_after` is Unix seconds.
    """

    thumbprint: str
    uris: tuple[str, ...]
    dns: tuple[str, ...]
    emails: tuple[str, ...]
    not_after: int


@dataclass(slots=True)
class Caller:
    """What has been *verified* about the caller. None means not known, never "any".

    `user`, `device`, `session` and `client` are the subjects that policies name; `key_id` is the device key used.
    `owner` is whose device it is, also on a call without a token: policies for that user cover it.
    `service` is the certificate's name (one SAN, such as a SPIFFE id); `client_id` is the OAuth client of a token.
    `auth` lists how each was proven ("signature", "token", "certificate", "session", …) in order. `claims` are the
    verified access token's. `certificate` is what was presented on this connection, `groups` are a staff member's, and
    `profile` is what the authenticator itself knows of the user: it becomes the Passport's `usr`, unasked.
    `good_until` is when the first of the token and certificate that prove this ends, Unix seconds.
    """

    user: str | None = None
    device: str | None = None
    key_id: str | None = None
    owner: str | None = None
    session: str | None = None
    client: str | None = None
    service: str | None = None
    client_id: str | None = None
    auth: tuple[str, ...] = ()
    device_record: DeviceRecord | None = None
    claims: dict[str, Any] | None = None
    scopes: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    certificate: ClientCertificate | None = None
    profile: Mapping[str, Any] | None = None
    good_until: float | None = None

    def ends_with(self, moment: float) -> None:
        """What proves the caller is good until then at most."""
        self.good_until = moment if self.good_until is None else min(self.good_until, moment)


@dataclass(slots=True)
class Response:
    """An answer on its way out. `body` is whole, or a stream; `fields` are end-to-end fields, names in lower case.

    `announced_length` is the Content-Length of an answer that has none of its bytes (HEAD, 304). `tunnel` is set after
    101: from then on the two connections are one.
    """

    status: int
    fields: Fields
    body: bytes | BodyStream
    problem: Problem | None = None
    close: bool = False
    announced_length: int | None = None
    tunnel: Tunnel | None = None


class Seal(Protocol):
    """Encrypts the answer for the caller (set once the content key was opened)."""

    def apply(self, exchange: Exchange, response: Response) -> None:
        """Replace the body of `response` by its sealed form, and set the fields that say so."""
        ...


@dataclass(slots=True)
class Facts:
    """What the access log and the behaviour event say beside the request itself; fixed words only.

    `claimed_device` is who a request said it was when that could not be verified. `report` and `items` are what the
    upstream said of a log-in, and of how many things it returned.
    """

    signature: str | None = None
    nonce: str | None = None
    body: str | None = None
    policy: str | None = None
    policy_action: str | None = None
    policy_why: str | None = None
    observed: tuple[str, ...] = ()
    throttles: frozenset[int] = frozenset()
    reason: str | None = None
    upstream: str | None = None
    reference: str | None = None
    claimed_device: str | None = None
    report: AuthReport | None = None
    items: int | None = None


ResponseStep = Callable[["Exchange", Response], None]


@dataclass(slots=True)
class Exchange:
    """A request being served.

    `variables` are the URI variables of the matched `Path`. `path`, `query` and `fields` are what the upstream will
    be sent; they start as the request's own. `body` is the request body: bytes once a filter has read it whole.
    `still_allowed` says, for a connection that outlives its request, whether policies would let it begin now. `inform`
    passes an interim answer (1xx) on; it is None for a client that knows none. `on_finished` is told the status once
    the request is through; 499 when the client did not wait for it. `host` is what the upstream is told the client
    addressed, when that is not the upstream's own name. `finish` has the last word on an answer of the gateway's own
    endpoints, as a filter's response step has on a route's. `peer` is the other end of the connection and
    `unverified_peer_certificate` (DER) what it presented there: its chain was checked, its names and dates were not.
    """

    request: Request
    body: bytes | RequestBody | None
    route: Route | None = None
    variables: dict[str, str] = field(default_factory=dict)
    caller: Caller = field(default_factory=Caller)
    path: str = ""
    query: str | None = None
    fields: Fields = field(default_factory=list)
    trace: TraceContext | None = None
    seal: Seal | None = None
    deadlines: Deadlines = DEFAULT_DEADLINES
    facts: Facts = field(default_factory=Facts)
    state: dict[str, Any] = field(default_factory=dict)
    still_allowed: Callable[[Exchange], bool] | None = None
    inform: Callable[[int, Fields], None] | None = None
    on_finished: Callable[[int], None] | None = None
    host: bytes | None = None
    finish: ResponseStep | None = None
    peer: str = ""
    unverified_peer_certificate: bytes | None = None

    def begin_forwarding(self) -> None:
        """Set what will be sent from the request as received, minus what no hop passes on."""
        request = self.request
        self.path = request.target.raw_path
        self.query = request.target.query
        self.fields = forwardable(request.fields)

    def set_field(self, name: bytes, value: bytes) -> None:
        """Replace every outgoing field of this lower-case name by one."""
        self.remove_field(name)
        self.fields.append((name, value))

    def remove_field(self, name: bytes) -> None:
        """Remove every outgoing field of this lower-case name, in any spelling of `-`, `_` and `.`."""
        self.remove_fields(frozenset((folded(name),)))

    def remove_fields(self, plain: frozenset[bytes]) -> None:
        """The same for several names at once, given with `-` for every separator."""
        self.fields = [pair for pair in self.fields if pair[0].translate(FOLD) not in plain]


Step = Callable[[Exchange], "Awaitable[None] | None"]
Send = Callable[[Exchange], Awaitable[Response]]
Around = Callable[[Send], Send]
