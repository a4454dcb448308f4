"""Keeping a TCP port for a child that will listen on it with ``SO_REUSEPORT``.

A bound socket that does not listen receives no connection, yet nobody but this user can take its port: so a
whole stack can know all its addresses before any part starts, without a race.
"""

import secrets
import socket

from haetae_cli.errors import CannotStart

HOST = "127.0.0.1"
_ATTEMPTS = 50
# Below the ports that outgoing connections use and leave behind for a minute.
_RUNS_FROM, _RUNS_UP_TO = 20_000, 32_000


class ReservedPort:
    """A port of the loopback address that is ours until :meth:`release`. ``wanted`` 0 takes a free one.

    Raises:
        CannotStart: the port is taken or not allowed to us; ``what`` names its purpose in the message.
    """

    def __init__(self, wanted: int, *, what: str, strict: bool = False) -> None:
        """``strict`` also refuses a port with no listener on it: one another stack has reserved, or one whose
        connections have just ended.
        """
        self._holder = _hold(wanted, what, strict=strict)
        self.number = int(self._holder.getsockname()[1])

    @property
    def url(self) -> str:
        """The base URL of whoever listens there."""
        return f"http://{HOST}:{self.number}"

    def release(self) -> None:
        """Give the port back (a child that listens on it keeps it)."""
        self._holder.close()


def reserve_run(wanted: int, *, count: int, what: str) -> list[ReservedPort]:
    """``count`` consecutive ports from ``wanted``, or any free run of them for 0.

    Raises:
        CannotStart: one of them is taken, or no free run was found.
    """
    if wanted:
        return _run_from(wanted, count=count, what=what)
    for _ in range(_ATTEMPTS):
        start = _RUNS_FROM + secrets.randbelow(_RUNS_UP_TO - _RUNS_FROM)
        try:
            # Strictly free: another stack's reserved port does not listen yet, and must not be shared.
            return _run_from(start, count=count, what=what, strict=True)
        except CannotStart:
            continue
    raise CannotStart(f"no {count} free ports in a row for {what}; choose some with --port-base N")


def _run_from(first: int, *, count: int, what: str, strict: bool = False) -> list[ReservedPort]:
    held: list[ReservedPort] = []
    try:
        for number in range(first, first + count):
            held += [ReservedPort(number, what=what, strict=strict)]
    except CannotStart:
        for port in held:
            port.release()
        raise
    return held


def _hold(wanted: int, what: str, *, strict: bool) -> socket.socket:
    try:
        if wanted:
            # SO_REUSEPORT would let us join another stack of the same user: ask without it first.
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0 if strict else 1)
                probe.bind((HOST, wanted))
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, OverflowError) as error:
        raise _taken(wanted, what, error) from error
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((HOST, wanted))
    except OSError as error:
        holder.close()
        raise _taken(wanted, what, error) from error
    return holder


def _taken(wanted: int, what: str, error: OSError | OverflowError) -> CannotStart:
    reason = (error.strerror if isinstance(error, OSError) else None) or "there is no such port"
    return CannotStart(
        f"port {wanted} for {what} cannot be used ({reason.lower()}); stop what uses it, or choose other"
        " ports with --port-base N (0 takes free ones)"
    )
