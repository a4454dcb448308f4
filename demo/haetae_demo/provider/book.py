"""What the provider remembers: sign-ins, codes, tokens. In memory, bounded, gone with the process.

Rules kept: everything has an end and is forgotten after it; a full table refuses rather than forgets what is
live; tokens are kept by hash; a code or a refresh token that comes twice ends everything that grew from it
(RFC 9700 sections 2.1.1 and 4.14.2). Time and randomness are arguments.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, TokenMixin

from haetae_demo.errors import CapacityReached
from haetae_demo.provider.clients import Client
from haetae_demo.provider.people import Person

MOST = 20_000


class _Ends(Protocol):
    expires: float


T = TypeVar("T", bound=_Ends)


class Table(Generic[T]):
    """Records by key until their ``expires`` (Unix seconds)."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._records: dict[str, T] = {}

    def put(self, key: str, record: T, *, now: float) -> None:
        """Keep ``record``.

        Raises:
            CapacityReached: the table is full of live records.
        """
        if len(self._records) >= self._most:
            self._records = {name: kept for name, kept in self._records.items() if kept.expires > now}
            if len(self._records) >= self._most:
                raise CapacityReached("too many sign-ins at once")
        self._records[key] = record

    def get(self, key: str, *, now: float) -> T | None:
        """The live record."""
        record = self._records.get(key)
        return record if record is not None and record.expires > now else None

    def find(self, matches: Callable[[T], bool], *, now: float) -> list[T]:
        """All live records that match."""
        return [record for record in self._records.values() if record.expires > now and matches(record)]

    def drop(self, matches: Callable[[T], bool]) -> None:
        """Forget all records that match."""
        self._records = {key: record for key, record in self._records.items() if not matches(record)}

    def remove(self, key: str) -> None:
        """Forget one record."""
        self._records.pop(key, None)


@dataclass(slots=True, kw_only=True)
class OneTimeCode:
    """A second step that somebody was asked for."""

    code: str
    expires: float
    tries: int = 0


@dataclass(slots=True, kw_only=True)
class SignIn:
    """One person signed in with one browser. ``sid`` is its public name; ``auth_time`` in Unix seconds."""

    sid: str
    person: Person
    auth_time: int
    expires: float
    amr: tuple[str, ...] = ("pwd",)
    clients: set[str] = field(default_factory=set)
    second_step: OneTimeCode | None = None

    @property
    def acr(self) -> str:
        """``mfa`` once the second step was made."""
        return "mfa" if "otp" in self.amr else "pwd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """Somebody as they were when a code was given out; what ID tokens say of the act."""

    person: Person
    sid: str
    auth_time: int
    acr: str
    amr: tuple[str, ...]

    @classmethod
    def of(cls, sign_in: SignIn) -> "Authenticated":
        """The state of ``sign_in`` now."""
        return cls(
            person=sign_in.person,
            sid=sign_in.sid,
            auth_time=sign_in.auth_time,
            acr=sign_in.acr,
            amr=sign_in.amr,
        )


@dataclass(slots=True, kw_only=True)
class Code(AuthorizationCodeMixin):
    """An authorization code; kept after its use, so that a second use is seen."""

    client_id: str
    redirect_uri: str
    scope: str
    who: Authenticated
    nonce: str | None
    code_challenge: str
    code_challenge_method: str
    family: str
    expires: float
    used: bool = False

    def get_redirect_uri(self) -> str:
        """Where it was sent."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """What was granted."""
        return self.scope

    def get_nonce(self) -> str | None:
        """The client's nonce."""
        return self.nonce

    def get_auth_time(self) -> int:
        """Unix seconds."""
        return self.who.auth_time

    def get_acr(self) -> str:
        """How surely."""
        return self.who.acr

    def get_amr(self) -> list[str]:
        """By which means."""
        return list(self.who.amr)


@dataclass(slots=True, kw_only=True)
class Token(TokenMixin):
    """An access or refresh token. ``family`` ties together what grew from one code."""

    kind: str
    client: Client
    scope: str
    who: Authenticated | None
    family: str
    issued: int
    expires: float
    used: bool = False

    def check_client(self, client: Client) -> bool:
        """Whether it was issued to ``client``."""
        return client.client_id == self.client.client_id

    def get_scope(self) -> str:
        """What was granted."""
        return self.scope

    def is_expired(self) -> bool:
        """False: the book gives live tokens only."""
        return False

    def is_revoked(self) -> bool:
        """False: the book forgets revoked ones."""
        return False


class Book:
    """All tables together."""

    def __init__(self, *, most: int = MOST) -> None:
        self.sign_ins: Table[SignIn] = Table(most=most)
        self.codes: Table[Code] = Table(most=most)
        self.tokens: Table[Token] = Table(most=most)

    def end_family(self, family: str) -> None:
        """Forget every token that grew from one code."""
        self.tokens.drop(lambda token: token.family == family)

    def end_sign_in(self, sid: str) -> None:
        """Forget a sign-in, and the tokens and codes that hang on it."""
        self.sign_ins.drop(lambda kept: kept.sid == sid)
        self.codes.drop(lambda code: code.who.sid == sid)
        self.tokens.drop(lambda token: token.who is not None and token.who.sid == sid)


def hashed(token: str) -> str:
    """The name a token is kept under."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
