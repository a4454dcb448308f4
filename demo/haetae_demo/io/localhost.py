"""Names below ``localhost`` lead to this machine (RFC 6761 section 6.3), whatever the system's resolver thinks."""

import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult


class LocalhostResolver(AbstractResolver):
    """``*.localhost`` is 127.0.0.1; other names go to the system."""

    def __init__(self) -> None:
        self._system = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """As aiohttp wants it."""
        if host != "localhost" and not host.endswith(".localhost"):
            return await self._system.resolve(host, port, family)
        return [
            ResolveResult(
                hostname=host,
                host="127.0.0.1",
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """End the system's one."""
        await self._system.close()


def local_session(*, cookies: bool = False) -> aiohttp.ClientSession:
    """A client for demos: finds ``*.localhost``, believes no environment; the caller closes it."""
    # unsafe=True keeps cookies of addresses too: the demo provider has no name.
    jar = aiohttp.CookieJar(unsafe=True) if cookies else aiohttp.DummyCookieJar()
    connector = aiohttp.TCPConnector(resolver=LocalhostResolver())
    return aiohttp.ClientSession(connector=connector, cookie_jar=jar)
