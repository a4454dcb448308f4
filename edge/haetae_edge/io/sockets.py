"""Listening sockets, made once by the supervisor and inherited by workers.

One socket per worker slot on one port (`SO_REUSEPORT`), so the kernel spreads connections. They belong to the
supervisor: when a worker dies or is replaced, connections waiting in its queue are served by its successor, not reset.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

_BACKLOG: Final = 4096


class ListenError(Exception):
    """The address cannot be listened on; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: an IP literal or host name, and a port (0: any free one)."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """`host:port`, `[v6]:port` or `:port` (all IPv4 interfaces). Raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
            raise ValueError(f"{text!r} is not HOST:PORT; write for example 127.0.0.1:8443")
        return cls(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104 - ":port" means every interface, as usual

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listen(address: Address, *, count: int) -> list[socket.socket]:
    """Make `count` listening sockets on one port. Raises ListenError."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        _refuse_shared_port(family, address)
        first = _bind(family, address.host, address.port)
        sockets = [first]
        port = first.getsockname()[1]
        sockets.extend(_bind(family, address.host, port) for _ in range(count - 1))
        for sock in sockets:
            sock.listen(_BACKLOG)
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {error.strerror or error}") from error
    return sockets


def listen_apart(address: Address, *, count: int) -> list[socket.socket]:
    """Make one socket per worker on consecutive ports (each on any free port for port 0). Raises ListenError."""
    sockets = []
    for index in range(count):
        port = address.port + index if address.port else 0
        sockets.extend(listen(Address(address.host, port), count=1))
    return sockets


def _refuse_shared_port(family: socket.AddressFamily, address: Address) -> None:
    """A second program with SO_REUSEPORT would silently take half of the connections."""
    if address.port == 0:
        return
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address.host, address.port))
        probe.listen(1)


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setblocking(False)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
