"""What a service that checks credentials reports of them, in a header of its answer that no client ever sees.

    Haetae-Auth: bad;account=:3q2+7wAAAAA=:;credential=:8J+YgPCfmIA=:;secret=:AAECAwQFBgc=:

A Structured Field Item (RFC 9651): a token, the outcome, with byte sequences of 8 to 32 bytes: keyed hashes of the name
that was tried, of name and secret together, and of the secret alone. The service makes them where it sees the secret
(docs/events.md); the gateway never does. Beside it `Haetae-Items: 25` counts the things in an answer.

Believed only on routes marked `metadata: auth-events: true`; removed from every answer of every route. A report that
cannot be read is no report. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from haetae_crypto.structured import Token, parse_item
from haetae_fds import AuthOutcome

MAX_HEADER: Final = 512
_MAX_ITEMS: Final = 1_000_000
_OUTCOMES: Final = frozenset(outcome.value for outcome in AuthOutcome)
_FINGERPRINTS: Final = ("account", "credential", "secret")


@dataclass(frozen=True, slots=True)
class AuthReport:
    """One report. Fingerprints are hexadecimal."""

    outcome: str | None = None
    account: str | None = None
    credential: str | None = None
    secret: str | None = None


NOTHING: Final = AuthReport()


def read_auth_report(value: bytes) -> AuthReport | None:
    """The report, or None for what is none."""
    if len(value) > MAX_HEADER:
        return None
    try:
        item, parameters = parse_item(value.decode("ascii"))
    except ValueError:
        return None
    if not isinstance(item, Token) or str(item) not in _OUTCOMES:
        return None
    found: dict[str, str] = {}
    for name in _FINGERPRINTS:
        given = parameters.get(name)
        if given is None:
            continue
        if not isinstance(given, bytes) or not 8 <= len(given) <= 32:
            return None
        found[name] = given.hex()
    return AuthReport(str(item), found.get("account"), found.get("credential"), found.get("secret"))


def read_items(value: bytes) -> int | None:
    """How many things an answer holds, or None."""
    if not 0 < len(value) <= 7 or not value.isdigit():
        return None
    return min(int(value), _MAX_ITEMS)
