"""Keeping a TCP port for a child that will listen on it with ``SO_REUSEPORT``.

A bound socket that does not listen receives no connection, yet nobody but this user can take its port: so a
whole stack can know all its addresses before any part starts, without a race.
"""

import socket

from haetae_cli.errors import CannotStart

HOST = "127.0.0.1"


class ReservedPort:
    """A port of the loopback address that is ours until :meth:`release`. ``wanted`` 0 takes a free one.

    Raises:
        CannotStart: the port is taken or not allowed to us; ``what`` names its purpose in the message.
    """

    def __init__(self, wanted: int, *, what: str) -> None:
        self._holder = _hold(wanted, what)
        self.number = int(self._holder.getsockname()[1])

    @property
    def url(self) -> str:
        """The base URL of whoever listens there."""
        return f"http://{HOST}:{self.number}"

    def release(self) -> None:
        """Give the port back (a child that listens on it keeps it)."""
        self._holder.close()


def _hold(wanted: int, what: str) -> socket.socket:
    try:
        if wanted:
            # SO_REUSEPORT would let us join another stack of the same user: ask without it first.
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((HOST, wanted))
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise _taken(wanted, what, error) from error
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((HOST, wanted))
    except OSError as error:
        holder.close()
        raise _taken(wanted, what, error) from error
    return holder


def _taken(wanted: int, what: str, error: OSError) -> CannotStart:
    reason = error.strerror or "it is not available"
    return CannotStart(
        f"port {wanted} for {what} cannot be used ({reason.lower()}); stop what uses it, or choose other"
        " ports with --port-base N (0 takes free ones)"
    )
