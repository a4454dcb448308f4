"""From an origin to a connected transport: name lookup with a short memory, a race over the addresses, TLS.

Rules kept: one deadline over all of it; addresses of both families take turns and the next one is tried when
the one before failed or is slow (RFC 8305, simplified); TLS always checks the chain and the host name and
speaks http/1.1 only. The operating system's resolver is the only source of names.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from itertools import chain, zip_longest
from typing import Final, TypeVar

from haetae_edge.io.upstream.errors import ConnectFailed, ConnectTimeout, TlsFailed
from haetae_edge.io.upstream.settings import Origin, UpstreamSettings

Address = tuple[int, tuple[str, int]]
PeerCheck = Callable[[bytes], None]


class Discardable(asyncio.Protocol):
    """A protocol that can be told to close its connection at once."""

    def discard(self) -> None:
        """Close at once. May be called again."""
        raise NotImplementedError


ProtocolT = TypeVar("ProtocolT", bound=Discardable)

MAX_ADDRESSES: Final = 16


def default_tls() -> ssl.SSLContext:
    """A context with the system's authorities, TLS 1.2 or later, offering http/1.1."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def closing_alert_seen(transport: asyncio.BaseTransport) -> bool:
    """Whether TLS ended with its closing alert; without it the end may be an attacker's (RFC 8446 6.1).

    uvloop reports an end without the alert as a lost connection, asyncio as an ordinary end.
    """
    try:
        return bool(transport.get_extra_info("ssl_object").read(1) == b"")
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLError:
        return False


class Dialer:
    """Opens connections to one origin.

    ``peer_check`` gets the DER certificate and raises ValueError to refuse it.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        settings: UpstreamSettings,
        loop: asyncio.AbstractEventLoop,
        ssl_context: ssl.SSLContext | None,
        peer_check: PeerCheck | None,
    ) -> None:
        if origin.scheme == "http" and (ssl_context is not None or peer_check is not None):
            raise ValueError("an http upstream has no TLS")
        if ssl_context is not None and (not ssl_context.check_hostname or ssl_context.verify_mode != ssl.CERT_REQUIRED):
            raise ValueError("the TLS context of an upstream checks chain and host name")
        self._origin = origin
        self._settings = settings
        self._loop = loop
        self._ssl = (ssl_context or default_tls()) if origin.scheme == "https" else None
        self._peer_check = peer_check
        self._addresses: list[Address] = []
        self._fresh_until = -1.0
        self._turn = 0

    async def connect(self, factory: Callable[[], ProtocolT], due: float) -> ProtocolT:
        """A connected protocol by ``due`` (the loop's time). Raises ConnectFailed, TlsFailed, ConnectTimeout.

        A caller cancelled here leaves nothing open.
        """
        try:
            async with asyncio.timeout_at(due):
                return await self._race(factory, await self._resolve())
        except TimeoutError as error:
            raise ConnectTimeout("no connection in time") from error

    async def _resolve(self) -> list[Address]:
        """Addresses in the order to try, the first of each family moving on by one each time."""
        now = self._loop.time()
        if now >= self._fresh_until:
            try:
                found = await self._loop.getaddrinfo(self._origin.host, self._origin.port, type=socket.SOCK_STREAM)
            except OSError as error:
                raise ConnectFailed("the upstream's name has no address") from error
            unique = dict.fromkeys((int(f), (str(a[0]), int(a[1]))) for f, _, _, _, a in found)
            self._addresses = list(unique)[:MAX_ADDRESSES]
            self._fresh_until = now + self._settings.dns_ttl
        self._turn += 1
        return _take_turns(self._addresses, self._turn)

    async def _race(self, factory: Callable[[], ProtocolT], addresses: list[Address]) -> ProtocolT:
        """The first connection that stands; every other attempt is ended."""
        attempts: set[asyncio.Task[ProtocolT]] = set()
        failure = ConnectFailed("the upstream's name has no address")
        try:
            while addresses or attempts:
                if addresses:
                    attempts.add(self._loop.create_task(self._attempt(factory, addresses.pop(0))))
                delay = self._settings.attempt_delay if addresses else None
                done, _ = await asyncio.wait(attempts, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
                for attempt in done:
                    attempts.remove(attempt)
                    try:
                        return attempt.result()
                    except ConnectFailed as error:
                        failure = error
        finally:
            for attempt in attempts:
                attempt.add_done_callback(_close_loser)
                attempt.cancel()
        self._fresh_until = -1.0
        raise failure

    async def _attempt(self, factory: Callable[[], ProtocolT], address: Address) -> ProtocolT:
        """One connection to one address, with TLS where the origin asks for it.

        The loop owns the socket from the start: a socket object handed to uvloop would outlive its descriptor when
        the attempt is cancelled.
        """
        family, (host, port) = address
        name = self._origin.host if self._ssl is not None else None
        try:
            transport, protocol = await self._loop.create_connection(
                factory, host, port, family=family, ssl=self._ssl, server_hostname=name
            )
        except ssl.SSLError as error:
            raise TlsFailed("the TLS handshake with the upstream failed") from error
        except OSError as error:
            raise ConnectFailed("an address of the upstream accepts no connection") from error
        if self._ssl is not None:
            self._check_peer(transport)
        return protocol

    def _check_peer(self, transport: asyncio.Transport) -> None:
        tls = transport.get_extra_info("ssl_object")
        try:
            if tls.selected_alpn_protocol() not in (None, "http/1.1"):
                raise ValueError("the upstream chose another protocol")
            if self._peer_check is not None:
                self._peer_check(tls.getpeercert(binary_form=True))
        except ValueError as error:
            transport.abort()
            raise TlsFailed("the upstream's TLS identity was refused") from error


def _take_turns(addresses: list[Address], turn: int) -> list[Address]:
    """Interleave the families, the preferred one first, each rotated by ``turn``."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    rotated = [group[turn % len(group) :] + group[: turn % len(group)] for group in families.values()]
    return [address for address in chain.from_iterable(zip_longest(*rotated)) if address is not None]


def _close_loser(attempt: "asyncio.Task[ProtocolT]") -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().discard()
