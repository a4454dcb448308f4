"""Who can sign in: people, their groups, and their passwords as scrypt hashes.

Rules kept: no password is kept in clear; an unknown name costs as much time as a wrong password; the file is
read strictly. Does not count attempts: :mod:`haetae_demo.provider.attempts` does.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from importlib import resources

from haetae_demo.errors import RequestInvalid, WorldInvalid
from haetae_demo.fields import Fields, parse_object

MAX_PEOPLE = 1000
MAX_GROUPS = 50
MAX_PASSWORD = 200
_COST, _BLOCK, _LANES = 2**14, 8, 1
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person. ``subject`` is what tokens call them; ``username`` is what they type."""

    subject: str
    username: str
    name: str
    email: str
    groups: tuple[str, ...]
    password: str

    def claims(self, scopes: frozenset[str]) -> dict[str, object]:
        """What ``scopes`` let a client know (OpenID Connect Core section 5.4; ``groups`` is ours)."""
        known: dict[str, object] = {"sub": self.subject}
        if "profile" in scopes:
            known |= {"name": self.name, "preferred_username": self.username}
        if "email" in scopes:
            known |= {"email": self.email, "email_verified": True}
        if "groups" in scopes:
            known["groups"] = list(self.groups)
        return known


class People:
    """Everybody, by username and by subject."""

    def __init__(self, people: tuple[Person, ...]) -> None:
        self._by_username = {person.username: person for person in people}
        self._by_subject = {person.subject: person for person in people}
        if len(self._by_username) != len(people) or len(self._by_subject) != len(people):
            raise WorldInvalid("two people share a username or a subject")
        self._nobody = hash_password("nobody has this password", salt=bytes(16))

    def get(self, subject: str) -> Person | None:
        """The person tokens call ``subject``."""
        return self._by_subject.get(subject)

    def check(self, username: str, password: str) -> Person | None:
        """The person, if both are right. Takes tens of milliseconds of processor time: call it in a thread."""
        person = self._by_username.get(username.strip().lower())
        matches = password_matches(password, person.password if person else self._nobody)
        return person if person is not None and matches else None


def hash_password(password: str, *, salt: bytes) -> str:
    """``scrypt$N$r$p$salt$hash`` in base64url (RFC 7914)."""
    made = _derive(password, salt)
    return "$".join(("scrypt", str(_COST), str(_BLOCK), str(_LANES), _text(salt), _text(made)))


def password_matches(password: str, kept: str) -> bool:
    """Whether ``password`` is the one ``kept`` was made of."""
    *_, salt, expected = kept.split("$")
    made = _derive(password[:MAX_PASSWORD], base64.urlsafe_b64decode(salt))
    return hmac.compare_digest(made, base64.urlsafe_b64decode(expected))


def parse_people(raw: bytes) -> People:
    """Read the file of people.

    Raises:
        WorldInvalid: it does not read.
    """
    try:
        top = Fields(parse_object(raw))
        people = tuple(_person(row) for row in top.rows("people", most=MAX_PEOPLE))
        top.done()
    except RequestInvalid as error:
        raise WorldInvalid(f"the file of people does not read: {error}") from error
    return People(people)


def packaged_people() -> People:
    """Mina, Joon and Sora."""
    return parse_people(resources.files("haetae_demo").joinpath("data", "people.json").read_bytes())


def _person(row: Fields) -> Person:
    person = Person(
        subject=row.text("subject"),
        username=row.text("username").lower(),
        name=row.text("name"),
        email=row.text("email"),
        groups=tuple(sorted(row.texts("groups", most=MAX_GROUPS))),
        password=row.text("password"),
    )
    row.done()
    parts = person.password.split("$")
    if parts[:4] != ["scrypt", str(_COST), str(_BLOCK), str(_LANES)] or len(parts) != 6:
        raise RequestInvalid(f"password: must be scrypt${_COST}${_BLOCK}${_LANES}$SALT$HASH")
    try:
        fits = len(base64.urlsafe_b64decode(parts[5])) == _HASH_BYTES and base64.urlsafe_b64decode(parts[4])
    except ValueError as error:
        raise RequestInvalid("password: salt and hash must be base64url") from error
    if not fits:
        raise RequestInvalid(f"password: the hash must have {_HASH_BYTES} bytes, and a salt")
    return person


def _derive(password: str, salt: bytes) -> bytes:
    data = password.encode("utf-8", "replace")
    return hashlib.scrypt(data, salt=salt, n=_COST, r=_BLOCK, p=_LANES, maxmem=64 * 1024 * 1024, dklen=_HASH_BYTES)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()
