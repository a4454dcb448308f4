"""What a Passport says: its claims, typed.

| claim | member | meaning |
|---|---|---|
| `iss` | `issuer` | the gateway installation that states all this |
| `aud` | `audience` | the one upstream it is stated to |
| `sub` | `subject` | who is served: a user, or the device, service or client when there is no user |
| `iat`, `exp` | `issued_at`, `expires_at` | Unix seconds; 60 s apart |
| `jti` | `passport_id` | unique |
| `usr` | `user` | the user's facts from the identity service, or None for a call without a user |
| `dev` | `device` | the device's facts, or None |
| `cns` | `consents` | what the user agreed to, by name |
| `rsk` | `risk` | `score` from 0 (harmless) to 1, and `level` |
| `ctx` | `context` | how the call came in: gateway, route, trace, client address, how the caller
authenticated |

Rules kept: the table is append-only. A claim never changes its meaning or type; new ones are added, and a
reader that does not know them still finds them in `claims` (and `context.members`). A known claim of another
type refuses the Passport.

Not done here: signatures, times, and whether the audience is us; see `verifier.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from haetae_passport.errors import PassportInvalid

MAX_NAME_CHARS: Final = 512
MAX_ID_CHARS: Final = 256
MAX_AUTH_METHODS: Final = 16


@dataclass(frozen=True, slots=True)
class Risk:
    """How risky the caller looks: `score` in 0..1, `level` a word such as `low`."""

    score: float
    level: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """How the call came in. `client` is an IP address; `auth` names what was verified, such as
    `device-signature`. `trace` is that of the one request the Passport was minted for, None where it serves
    several of one caller.

    `members` is the whole object as read, with members that this version does not know; minting ignores it.
    """

    gateway: str
    route: str
    client: str
    auth: tuple[str, ...]
    trace: str | None = None
    members: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passport:
    """A verified statement of whom a service is serving. See the table of this module.

    `claims` is everything that was signed, including claims this version does not know.
    """

    issuer: str
    audience: str
    subject: str
    issued_at: int
    expires_at: int
    passport_id: str
    user: Mapping[str, object] | None
    device: Mapping[str, object] | None
    consents: Mapping[str, object]
    risk: Risk | None
    context: CallContext
    claims: Mapping[str, object] = field(compare=False, repr=False)

    def has_consented(self, name: str) -> bool:
        """Whether the consent `name` was given: present and exactly true."""
        return self.consents.get(name) is True

    def user_words(self, name: str) -> frozenset[str]:
        """The strings listed under `usr.<name>`, such as `roles` or `groups`; none when absent or of another
        type.
        """
        values = None if self.user is None else self.user.get(name)
        if not isinstance(values, list):
            return frozenset()
        return frozenset(value for value in values if isinstance(value, str))


def parse_claims(claims: Mapping[str, object]) -> Passport:
    """The typed form of claims. Raises PassportInvalid when one is missing or of another type."""
    return Passport(
        issuer=_text(claims, "iss", MAX_NAME_CHARS),
        audience=_text(claims, "aud", MAX_NAME_CHARS),
        subject=_text(claims, "sub", MAX_ID_CHARS),
        issued_at=_seconds(claims, "iat"),
        expires_at=_seconds(claims, "exp"),
        passport_id=_text(claims, "jti", MAX_ID_CHARS),
        user=_optional_object(claims, "usr"),
        device=_optional_object(claims, "dev"),
        consents=_optional_object(claims, "cns") or {},
        risk=_risk(_optional_object(claims, "rsk")),
        context=_context(_optional_object(claims, "ctx")),
        claims=claims,
    )


def _risk(members: Mapping[str, object] | None) -> Risk | None:
    if members is None:
        return None
    score = members.get("score")
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise PassportInvalid("claim-rsk")
    return Risk(score=float(score), level=_text(members, "level", MAX_ID_CHARS, claim="rsk"))


def _context(members: Mapping[str, object] | None) -> CallContext:
    if members is None:
        raise PassportInvalid("claim-ctx")
    auth = members.get("auth")
    if not isinstance(auth, list) or len(auth) > MAX_AUTH_METHODS:
        raise PassportInvalid("claim-ctx")
    methods = tuple(method for method in auth if isinstance(method, str) and 0 < len(method) <= MAX_ID_CHARS)
    client = _text(members, "client", MAX_ID_CHARS, claim="ctx")
    try:
        ip_address(client)
    except ValueError:
        raise PassportInvalid("claim-ctx") from None
    if len(methods) != len(auth):
        raise PassportInvalid("claim-ctx")
    return CallContext(
        gateway=_text(members, "gateway", MAX_ID_CHARS, claim="ctx"),
        route=_text(members, "route", MAX_ID_CHARS, claim="ctx"),
        trace=_text(members, "trace", MAX_ID_CHARS, claim="ctx") if "trace" in members else None,
        client=client,
        auth=methods,
        members=members,
    )


def _text(members: Mapping[str, object], name: str, max_chars: int, *, claim: str | None = None) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= max_chars:
        raise PassportInvalid(f"claim-{claim or name}")
    return value


def _seconds(claims: Mapping[str, object], name: str) -> int:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise PassportInvalid(f"claim-{name}")
    return value


def _optional_object(claims: Mapping[str, object], name: str) -> Mapping[str, object] | None:
    value = claims.get(name)
    if value is not None and not isinstance(value, dict):
        raise PassportInvalid(f"claim-{name}")
    return value
