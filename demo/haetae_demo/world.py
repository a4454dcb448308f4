"""The people of the demo and their accounts, read from a small data file.

Everybody here is invented. The file that ships is ``data/world.json``; another one of the same shape may be
given. Rules kept: unknown members are errors; ids, enrolment codes and account numbers are unique. Opens no
file itself except the packaged one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType

from haetae_demo.errors import RequestInvalid, WorldInvalid
from haetae_demo.fields import Fields, parse_object

MAX_WORLD_BYTES = 1024 * 1024
MAX_BALANCE = 10**15


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningAccount:
    """An account as the bank opens it; ``balance`` in the currency's minor unit (KRW has none: whole won)."""

    id: str
    name: str
    currency: str
    balance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Someone the identity service knows. ``risk`` is 0 (none) to 1 (certain)."""

    id: str
    name: str
    locale: str
    tier: str
    enrolment_code: str
    risk: float
    consents: Mapping[str, bool]
    accounts: tuple[OpeningAccount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All people, by id."""

    people: Mapping[str, Person]


def parse_world(raw: bytes) -> World:
    """Read a data file.

    Raises:
        WorldInvalid: with the member that is wrong.
    """
    try:
        top = Fields(parse_object(raw, limit=MAX_WORLD_BYTES))
        people = [_person(row) for row in top.rows("people", most=1000)]
        top.done()
    except RequestInvalid as error:
        raise WorldInvalid(str(error)) from error
    _unique("person id", [person.id for person in people])
    _unique("enrolment code", [person.enrolment_code for person in people])
    _unique("account id", [account.id for person in people for account in person.accounts])
    if not people:
        raise WorldInvalid("people: is empty")
    return World(people=MappingProxyType({person.id: person for person in people}))


def packaged_world() -> World:
    """The data file that ships with the package."""
    return parse_world(resources.files("haetae_demo").joinpath("data/world.json").read_bytes())


def _person(row: Fields) -> Person:
    accounts = []
    for entry in row.rows("accounts", most=20):
        accounts.append(
            OpeningAccount(
                id=entry.text("id", most=32),
                name=entry.text("name"),
                currency=entry.choice("currency", {"KRW", "USD", "EUR"}),
                balance=entry.integer("balance", least=0, most=MAX_BALANCE),
            )
        )
        entry.done()
    person = Person(
        id=row.text("id", most=64),
        name=row.text("name"),
        locale=row.text("locale", most=35),
        tier=row.choice("tier", {"standard", "gold"}),
        enrolment_code=row.text("enrolment_code", most=64),
        risk=row.number("risk", least=0, most=1),
        consents=MappingProxyType(row.flags("consents")),
        accounts=tuple(accounts),
    )
    row.done()
    return person


def _unique(what: str, values: list[str]) -> None:
    if len(set(values)) != len(values):
        raise WorldInvalid(f"a {what} occurs twice")
