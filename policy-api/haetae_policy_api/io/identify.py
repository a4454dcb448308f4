"""Who is calling: a Passport from the gateway, or a short-lived token of the configured issuer. Exactly one of them.

Rules kept: nothing unverified decides anything; a person's role comes from groups through the settings only; no
identity, or two, is a refusal. `Development` lets everybody in as administrator and exists for a laptop: the command
line makes it only for an explicit flag, with a warning.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from haetae_oidc.access_token import AccessTokenVerifier
from haetae_oidc.bearer import parse_bearer
from haetae_oidc.errors import BearerMalformed, KeysUnavailable, OidcError
from haetae_passport.claims import Passport
from haetae_passport.headers import is_passport_header
from haetae_passport.io.gate import PassportGate

from haetae_policy_api.errors import NotAllowed, NotSignedIn, Unavailable
from haetae_policy_api.roles import FEED, READ, STAFF, WRITE, Caller, Role
from haetae_policy_api.settings import Settings

_SCOPES = frozenset({READ, WRITE, FEED})
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="haetae-policy-api"'}


class Identify(Protocol):
    """Finds the caller of a request from its header lines; raises NotSignedIn, NotAllowed, Unavailable."""

    async def __call__(self, headers: list[tuple[str, str]], /) -> Caller:
        """Return the verified caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Passports and tokens, whichever is configured (None: not accepted)."""

    settings: Settings
    gate: PassportGate | None = None
    tokens: AccessTokenVerifier | None = None
    clock: Callable[[], float] = time.time

    async def __call__(self, headers: list[tuple[str, str]], /) -> Caller:
        """Return the verified caller."""
        has_passport = any(is_passport_header(name) for name, _ in headers)
        bearers = [value for name, value in headers if name.lower() == "authorization"]
        if has_passport and bearers:
            raise NotSignedIn("a request carries a Passport or a token, not both", headers=_CHALLENGE)
        if has_passport and self.gate is not None:
            admitted = await self.gate.admit(headers)
            if isinstance(admitted, Passport):
                return self._from_passport(admitted)
            if admitted.status >= 500:
                raise Unavailable("the keys that sign Passports cannot be reached", headers={"Retry-After": "1"})
            raise NotSignedIn("the Passport is not valid here", headers=_CHALLENGE)
        if bearers and self.tokens is not None:
            return self._from_token(bearers, self.tokens)
        raise NotSignedIn("sign in through the gateway, or send a token", headers=_CHALLENGE)

    def _from_passport(self, passport: Passport) -> Caller:
        service = passport.claims.get("svc")
        if passport.user is None:
            if not isinstance(service, str) or service not in self.settings.services:
                raise NotAllowed("this service may not use the policy API")
            return Caller(name=service, scopes=self.settings.services[service] & _SCOPES)
        role = self._role(passport.user_words("groups"))
        return Caller(name=passport.subject, role=role, browser=True)

    def _from_token(self, lines: list[str], tokens: AccessTokenVerifier) -> Caller:
        try:
            token = parse_bearer(lines)
            if token is None:
                raise NotSignedIn("the Authorization header is not a bearer token", headers=_CHALLENGE)
            access = tokens.verify(token, now=self.clock())
        except BearerMalformed as error:
            raise NotSignedIn("the Authorization header is malformed", headers=_CHALLENGE) from error
        except KeysUnavailable as error:
            raise Unavailable("the issuer's keys cannot be reached", headers={"Retry-After": "1"}) from error
        except OidcError as error:
            raise NotSignedIn("the token is not valid here", headers=_CHALLENGE) from error
        if access.cnf_jkt is not None or access.cnf_x5t is not None:
            raise NotSignedIn("tokens bound to a key are not accepted here", headers=_CHALLENGE)
        if STAFF in access.scopes:
            return Caller(name=access.subject, role=self._role(_words(access.claims, "groups")))
        return Caller(name=access.subject, scopes=access.scopes & _SCOPES)

    def _role(self, groups: Iterable[str]) -> Role:
        roles = [self.settings.groups[group] for group in groups if group in self.settings.groups]
        if not roles:
            raise NotAllowed("none of your groups has a role here")
        return max(roles)


@dataclass(frozen=True, slots=True)
class Development:
    """Everybody is an administrator, by the name in `X-Haetae-Developer`. Never in production."""

    async def __call__(self, headers: list[tuple[str, str]], /) -> Caller:
        """Return an administrator."""
        names = [value for name, value in headers if name.lower() == "x-haetae-developer"]
        name = names[0] if len(names) == 1 and 0 < len(names[0]) <= 64 and names[0].isprintable() else "developer"
        return Caller(name=name, role=Role.ADMIN, browser=True)


def _words(claims: Mapping[str, object], name: str) -> frozenset[str]:
    values = claims.get(name)
    if not isinstance(values, list):
        return frozenset()
    return frozenset(value for value in values if isinstance(value, str))
