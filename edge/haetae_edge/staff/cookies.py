"""The gateway's own cookies: read strictly, written with every guard, kept from tools and not accepted from them.

A browser keeps a `__Host-` name from other hosts only if the server reads names as strictly as the browser writes them.
So names are compared byte for byte and nothing is trimmed but the SP and HTAB around a pair; a name that another reader
could take for ours (other case, odd whitespace, `%`-encoding), a second copy, a quoted value or the `$Version` of
RFC 2109 makes all of them unusable: there is no session then. Several `Cookie` lines are one list, as RFC 9113
section 8.2.3 has a proxy in front of us join them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from haetae_edge.exchange import Fields

SESSION_COOKIE: Final = b"__Host-haetae-session"
LOGIN_COOKIE: Final = b"__Host-haetae-login"

#: base64url and the full stop between the parts; what the session package makes is well below this length.
_VALUE = re.compile(rb"[A-Za-z0-9_\-.]{1,512}")
_FAMILY: Final = b"__host-haetae-"
_IGNORABLE: Final = re.compile(rb"[\x00-\x20\x7f-\xff\"'\\]")
_NAMELESS: Final = b"=" + bytes(range(0x21))
_LOGIN_SECONDS: Final = 600
_ATTRIBUTES: Final = frozenset({b"$version", b"$path", b"$domain", b"$port"})


class CookiesUnusable(Exception):
    """There are cookies of our names that another reader could read otherwise. `reason` is a fixed word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_cookie(lines: Sequence[bytes], name: bytes) -> str | None:
    """The value of one of our cookies in these `Cookie` lines; None when there is none.

    Raises CookiesUnusable for anything that could be read in another way.
    """
    found: str | None = None
    for piece in _pieces(lines):
        given, mark, value = piece.partition(b"=")
        if given.lower() in _ATTRIBUTES:
            raise CookiesUnusable("cookie-version")
        if given == name and mark:
            if found is not None:
                raise CookiesUnusable("cookie-twice")
            if not _VALUE.fullmatch(value):
                raise CookiesUnusable("cookie-value")
            found = value.decode("ascii")
        elif given not in (SESSION_COOKIE, LOGIN_COOKIE) and _is_ours(given):
            raise CookiesUnusable("cookie-name")
    return found


def foreign_cookies(lines: Sequence[bytes]) -> bytes | None:
    """What a tool gets of these `Cookie` lines: one line without anything that resembles our names; None if empty."""
    kept = [piece for piece in _pieces(lines) if piece and not _is_ours(piece.partition(b"=")[0])]
    return b"; ".join(kept) if kept else None


def without_our_cookies(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """The fields of a tool's answer without those that set a cookie of our names."""
    return [pair for pair in fields if pair[0] != b"set-cookie" or not _sets_ours(pair[1])]


def set_session(ticket: str) -> tuple[bytes, bytes]:
    """The field that gives the browser its ticket. No Max-Age: it ends with the browser, the session by itself."""
    return _set(SESSION_COOKIE, ticket.encode("ascii"), b"")


def set_login(value: str) -> tuple[bytes, bytes]:
    """The field that binds a sign-in to this browser for as long as it may take."""
    return _set(LOGIN_COOKIE, value.encode("ascii"), b"; Max-Age=%d" % _LOGIN_SECONDS)


def clear_session() -> tuple[bytes, bytes]:
    """The field that takes the ticket away, with the same attributes that gave it."""
    return _set(SESSION_COOKIE, b"", b"; Max-Age=0")


def _set(name: bytes, value: bytes, age: bytes) -> tuple[bytes, bytes]:
    return b"set-cookie", b"%b=%b; Path=/; Secure; HttpOnly; SameSite=Lax%b" % (name, value, age)


def _pieces(lines: Sequence[bytes]) -> list[bytes]:
    return [piece.strip(b" \t") for line in lines for piece in line.split(b";")]


def _sets_ours(value: bytes) -> bool:
    """Whether some browser would send back a cookie of our names after this.

    One without a name is sent as its value alone, `=name=value` as `name=value`: browsers that do not know of it yet
    (RFC 6265bis section 5.7) take no offence at a prefix there.
    """
    return _is_ours(value.lstrip(_NAMELESS).partition(b"=")[0])


@lru_cache(maxsize=1024)
def _is_ours(name: bytes) -> bool:
    """Whether some reader could take this name for one of ours."""
    return _IGNORABLE.sub(b"", unquote_to_bytes(name)).lower().startswith(_FAMILY)
